"""docs/path_of_an_image.md shows the code as it is, and its example walks through every place that it names."""

from __future__ import annotations

import math
import re
import sys
import textwrap
from pathlib import Path
from types import FrameType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "path_of_an_image.md").read_text(encoding="utf-8")
# A line that names a file, then the excerpts from it up to the next such line.
PARTS = re.findall(r"^`(\S+\.py)`\n(.*?)(?=^`\S+\.py`\n|^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
EXCERPTS = [(name, code) for name, part in PARTS for code in re.findall(r"```python\n(.*?)```", part, re.DOTALL)]
PLACES = {
    ("datasets/files.py", "load_photo"), ("datasets/crops.py", "cut"), ("datasets/views/recipes.py", "mocov2_steps"),
    ("datasets/loader.py", "per_view_seed"), ("datasets/view_set.py", "__getitem__"), ("datasets/loader.py", "collate"),
    ("models/backbones.py", "normalise"), ("models/backbones.py", "forward"), ("methods/lead.py", "encode_pairs"),
    ("methods/lead.py", "follow_prototypes"), ("losses/contrastive.py", "info_nce_from_logits"),
    ("engine/trainer.py", "accumulate"),
}  # fmt: skip


def test_there_are_ten_places() -> None:
    assert re.findall(r"^## (\d+)\. ", TEXT, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert {name for name, _ in EXCERPTS} == {name for name, _ in PLACES} and len(EXCERPTS) >= 10


@pytest.mark.parametrize(("name", "code"), EXCERPTS)
def test_an_excerpt_stands_in_its_file(name: str, code: str) -> None:
    source = (ROOT / name).read_text(encoding="utf-8")
    assert any(textwrap.indent(code, " " * depth) in source for depth in (0, 4, 8, 12)), f"{name} has changed"


def test_the_example_walks_the_whole_path_to_a_finite_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python run\n(.*?)```", TEXT, re.DOTALL)
    seen: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add((frame.f_code.co_filename, frame.f_code.co_name))

    space: dict[str, object] = {}
    sys.setprofile(note)
    try:
        exec(compile(example, "path_of_an_image.md", "exec"), space)
    finally:
        sys.setprofile(None)
    assert not {(str(ROOT / name), function) for name, function in PLACES} - seen
    numbers = space["trainer"].readings.latest
    assert {"total", "loss1", "loss2", "loss3", "distill", "cam"} <= numbers.keys()
    assert math.isfinite(numbers["total"]) and numbers["total"] > 0
    gradients = [p.grad for p in space["method"].query.backbone.parameters() if p.requires_grad]
    assert gradients and all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)
