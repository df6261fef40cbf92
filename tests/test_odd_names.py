"""Files and classes with names that no text file takes as they are: every command reads, writes and finds them again."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main_retrieval
from datasets.crops import Crops
from datasets.images import scan
from datasets.layouts.listing import show_first
from DDT import __main__ as ddt
from evaluation.classifier.predictions import NamedPredictions, write_predictions_json
from evaluation.features.sources import find_source
from evaluation.features.store import read_embeddings
from evaluation.sorting.filing import read_labels
from runtime.errors import ConfigError
from runtime.files import write_cells
from runtime.names.spelling import unspell
from tools import embed, sort

CLASSES = (b"US$1 $x$", b"caf\xe9", b"back\\slash|", b"_two\nlines <b>")
FILES = (b"caf\xe9.png", b"a\\b.png", b" lead.png", b"two\nlines.png", b"-dash.png", b'q"uote,.png')
QUICK = ("--pretrained", "none", "-a", "test_resnet", "--size", "32", "--device", "cpu", "--num-workers", "0",
         "--cache", "none")


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four classes of six images, in the folder `odd` of the current one."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        folder = Path("odd", "test", os.fsdecode(name))
        folder.mkdir(parents=True)
        for file in FILES:
            pixels = random.integers(0, 60, (24, 24, 3), dtype=np.uint8) + np.uint8(40 * number)
            with open(folder / os.fsdecode(file), "wb") as out:
                Image.fromarray(pixels).save(out, "PNG")
    return tmp_path / "odd"


def call(monkeypatch: pytest.MonkeyPatch, command: object, *words: str | Path) -> None:
    monkeypatch.setattr("sys.argv", ["command", *map(str, words)])
    command.main()


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows; each is a line."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(rows) + 1
    return rows


def test_retrieval_embeddings_and_sorting(monkeypatch: pytest.MonkeyPatch, odd: Path) -> None:
    keys = {sample.key for sample in scan(odd, "test").samples}
    call(monkeypatch, main_retrieval, "--root", odd, *QUICK, "--results-dir", "found", "--input", "full")
    assert {unspell(row["path"]) for row in read(Path("found", "per_query.csv"))} == keys
    call(monkeypatch, embed, odd, *QUICK, "--out", "rows")
    found = read_embeddings("rows")
    assert set(found.keys) == keys and set(found.classes) == set(map(os.fsdecode, CLASSES))
    call(monkeypatch, sort, odd, *QUICK, "--split", "test", "--out", "sorted", "--name-first", "6")
    asked = read(Path("sorted", "name_these.csv"))
    assert {unspell(row["path"]) for row in asked} < keys
    page = Path("sorted", "sort.html").read_text(encoding="utf-8")
    assert "caf\\xE9" in page and "<b>.png" not in page
    names = ["x$", "caf\udce9"]
    write_cells(Path("labels.csv"), [("path", "label"), *((unspell(row["path"]), names[number % 2])
                                                          for number, row in enumerate(asked))])
    images = scan(odd, "test")
    given = read_labels("labels.csv", images)
    assert sorted(given.values()) == sorted(names * 3)
    assert [images.samples[index].key for index in given] == [unspell(row["path"]) for row in asked]


def test_boxes_and_crops(monkeypatch: pytest.MonkeyPatch, odd: Path) -> None:
    Path("odd", "test").rename(Path("odd", "train"))
    words = ("--root", odd, "-t", "x", "--pretrained", "none", "-a", "test_resnet", "--size", "32", "--device", "cpu",
             "-j", "0", "--out", "crops", "--precision", "fp32")
    call(monkeypatch, ddt, *words)
    images = scan(odd, "train")
    for prefer in ("boxes", "files"):
        crops = Crops.open("crops/x_crop", prefer)
        assert not crops.missing(images) and all(crops.crop(sample).size[0] for sample in images.samples)
    before = read(Path("crops", "x_crop", "boxes.csv"))
    call(monkeypatch, ddt, *words)  # it finds all of them done
    assert read(Path("crops", "x_crop", "boxes.csv")) == before
    assert scan("crops/x_crop", "train").fingerprint() == images.fingerprint()


def test_a_list_may_spell_its_paths_or_not(odd: Path) -> None:
    keys = [sample.key for sample in scan(odd, "test").samples]
    write_cells(odd / "LIST.CSV", [("path", "label"), *((f"./{key}", key.split("/")[1]) for key in keys)])
    listed = scan(odd / "LIST.CSV", "train")
    assert [sample.key for sample in listed.samples] == keys and set(listed.classes) == set(map(os.fsdecode, CLASSES))
    (odd / "raw.csv").write_text('path\n"test/back\\slash|/a\\b.png"\ntest\\US$1 $x$\\-dash.png\n', encoding="utf-8")
    assert {sample.path.name for sample in scan(odd / "raw.csv", "train").samples} == {"a\\b.png", "-dash.png"}


def test_boxes_by_hand_may_begin_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\n./a/1.jpg,0,0,2,2\na\\2.jpg,0,0,2,2\n")
    assert set(Crops.open(tmp_path / "boxes.csv").boxes) == {"a/1.jpg", "a/2.jpg"}


def test_predictions_as_json(odd: Path) -> None:
    images = scan(odd, "test")
    found = NamedPredictions(images, images.classes, torch.eye(4).repeat(6, 1))
    write_predictions_json(Path("p.json"), found, 2, about={})
    read = json.loads(Path("p.json").read_bytes().decode("utf-8"))
    assert read["classes"] == list(images.classes)
    assert [record["path"] for record in read["predictions"]] == [sample.key for sample in images.samples]


def test_lists_in_messages_keep_to_their_line() -> None:
    assert show_first(["two\nlines", "caf\udce9"]) == r"two\x0Alines, caf\xE9"


def test_a_run_named_as_a_folder_of_photographs(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("checkpoints", "odd")
    with pytest.raises(ConfigError, match="--pretrained odd is no folder under checkpoints/.*odd is a folder without model"):
        find_source("odd")
    run.mkdir(parents=True)
    (run / "args.json").write_text("{}")
    with pytest.raises(ConfigError, match="checkpoints/odd has no model_last.pth: no run has finished there"):
        find_source("odd")
    (run / "model_last.pth").touch()
    assert find_source("odd") == ("checkpoints/odd/model_last.pth", run) and not capsys.readouterr().err
    (odd / "model_last.pth").touch()
    assert find_source("odd")[1] == run and "./odd is named by that path" in capsys.readouterr().err
    assert find_source("./odd")[1] == Path("odd")
