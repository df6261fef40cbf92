"""docs/extending.md does what it says: its files and changes are made in a copy of the code, and its programs run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(zip(("method", "metric", "layout", "teacher"), re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:], strict=True))
CODE = ("datasets", "engine", "evaluation", "losses", "methods", "models", "runtime", "text")
RUN = """
import json, sys, traceback
from pathlib import Path
for name, program in json.loads(Path("programs.json").read_text()).items():
    space = {}
    try:
        exec(compile(program, f"extending.md: {name}", "exec"), space)
        space["error"] = ""
    except Exception:
        space["error"] = traceback.format_exc()
    plain = {key: value for key, value in space.items() if isinstance(value, (str, float, list)) and key[0] != "_"}
    Path(f"{name}.json").write_text(json.dumps(plain))
"""


def find_blocks(kind: str, section: str) -> list[tuple[str, str]]:
    """The code blocks of a kind: what follows the kind in their first line, and their text."""
    return re.findall(rf"^```{kind}(?: (\S+))?\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def change(source: str, hunk: str) -> str:
    """The source with a hunk of a diff: its lines without + stand there once; raises ValueError else."""
    lines = hunk.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    if source.count(before) != 1 or any(line[0] not in " +" for line in lines):
        raise ValueError(f"not there once: {before}")
    return source.replace(before, "".join(line[1:] for line in lines))


def extend(folder: Path, section: str) -> None:
    """Do in a copy of the code what a section says."""
    for name, text in find_blocks("python new", section):
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in find_blocks("diff", section):
        path = folder / name
        for hunk in text.split("@@\n"):
            path.write_text(change(path.read_text(encoding="utf-8"), hunk), encoding="utf-8")


def write_pictures(folder: Path) -> None:
    """Photos in plain folders, and Oxford-IIIT Pets."""
    rng = np.random.default_rng(0)
    pets = {"trainval": ("Abyssinian_1", "Maine_Coon_7"), "test": ("Abyssinian_2", "Maine_Coon_9")}
    pictures = [folder / "photos" / "train" / kind / f"{n}.jpg" for kind in ("wren", "robin") for n in range(8)]
    pictures += [folder / "pets" / "images" / f"{name}.jpg" for names in pets.values() for name in names]
    for picture in pictures:
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(picture)
    (folder / "pets" / "annotations").mkdir()
    for split, names in pets.items():
        (folder / "pets" / "annotations" / f"{split}.txt").write_text("".join(f"{name} 1 1 1\n" for name in names))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with all four additions, after their programs ran."""
    folder = tmp_path_factory.mktemp("extended")
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for section in SECTIONS.values():
        extend(folder, section)
    write_pictures(folder)
    programs = {name: find_blocks("python run", section)[0][1] for name, section in SECTIONS.items()}
    (folder / "programs.json").write_text(json.dumps(programs))
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": ""})
    assert done.returncode == 0, done.stderr
    (folder / "stderr").write_text(done.stderr)
    return folder


def read_result(folder: Path, name: str) -> dict:
    """What a program left in its variables."""
    result = json.loads((folder / f"{name}.json").read_text())
    assert result.pop("error") == ""
    return result


def read_epochs(folder: Path) -> list[dict]:
    """The lines of a log that are of epochs."""
    return [row for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if row["kind"] == "epoch"]


@pytest.mark.parametrize(("name", "title"), [
    ("method", "a method"), ("metric", "a retrieval metric"), ("layout", "a layout"), ("teacher", "a teacher")])
def test_the_table_counts_the_files_that_are_touched(name: str, title: str) -> None:
    (said,) = re.findall(rf"^\| {title} \| (\d+)", TEXT, re.MULTILINE)
    section = SECTIONS[name]
    touched = {place for kind in ("python new", "diff") for place, _ in find_blocks(kind, section)}
    assert len(touched) == int(said)
    assert section.count("```") == 2 * (len(touched) + 1)  # every block is one of these, or the program


def test_a_change_that_does_not_fit_is_refused() -> None:
    assert change("a\nb\n", " a\n+c\n") == "a\nc\nb\n"
    for source in ("b\n", "a\na\n"):
        with pytest.raises(ValueError, match="not there once"):
            change(source, " a\n+c\n")


def test_the_method_trains_and_its_term_is_logged(extended: Path) -> None:
    read_result(extended, "method")
    epochs = read_epochs(extended / "simsiam")
    assert len(epochs) == 2 and all(-1 <= row["simsiam"] <= 1 and row["simsiam"] == row["total"] for row in epochs)
    assert (extended / "simsiam" / "model_last.pth").is_file() and (extended / "simsiam" / "curves.png").is_file()


def test_flags_that_the_method_does_not_read_are_refused(extended: Path) -> None:
    asked = "from engine.flags.pretrain.arguments import parse; parse(root='photos', method='simsiam', pretrained='none', moco_k=8)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=extended, capture_output=True, text=True)
    assert "--moco-k: read only with --method lead or moco or lcr-moco" in done.stderr


def test_the_metric_is_measured(extended: Path) -> None:
    result = read_result(extended, "metric")  # four embeddings in a row: the outer ones find theirs second, the inner ones last
    assert result["of_each"] == [1 / 2, 1 / 3, 1 / 3, 1 / 2] and result["inp"] == pytest.approx(5 / 12)


def test_the_layout_is_read(extended: Path) -> None:
    result = read_result(extended, "layout")
    assert result["breeds"] == ["Abyssinian", "Maine_Coon"]
    assert result["keys"] == ["images/Abyssinian_2.jpg", "images/Maine_Coon_9.jpg"]


def test_the_teacher_teaches(extended: Path) -> None:
    read_result(extended, "teacher")
    (epoch,) = read_epochs(extended / "lead")
    assert epoch["distill"] > 0 and 0 < epoch["entropy"] < 1
    assert "teaches nothing" not in (extended / "stderr").read_text()
