"""The example of docs/evaluation.md that calls the commands' work from Python runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_example_trains_and_searches(
    photo_tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## From Python.*?```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(photo_tree.parent)
    exec(compile(code, "docs/evaluation.md", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"rank-1 \d+\.\d%, mAP \d+\.\d%", said)
    assert (photo_tree.parent / "run" / "model_last.pth").is_file()
