"""Commands whose outputs are single files never write onto their inputs, and leave no half of a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from evaluation.ledger import Result, append_result
from evaluation.reports import ledger_report
from runtime.errors import ConfigError, DataError, StopTraining
from tools import encode_text, infer, organize, report

CSV = "class name,description\ncrow,a black bird\njay,a blue bird\n"


@pytest.mark.parametrize("out", ["bird.csv", "link.csv", "sub/../bird.csv", "bird.json"])
def test_encode_text_keeps_its_input(tmp_path: Path, out: str) -> None:
    source = tmp_path / "bird.csv"
    source.write_text(CSV)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.csv").symlink_to(source)
    with pytest.raises(ConfigError, match=r"overwritten|bears that name"):
        encode_text.main([str(source), "--out", str(tmp_path / out), "--weights", "none"])
    assert source.read_text() == CSV


def test_encode_text_keeps_descriptions_that_the_manifest_would_replace(tmp_path: Path) -> None:
    (tmp_path / "bird.json").symlink_to(tmp_path / "bird.csv")
    (tmp_path / "bird.csv").write_text(CSV)
    with pytest.raises(ConfigError, match="manifest"):
        encode_text.main([str(tmp_path / "bird.csv"), "--out", str(tmp_path / "bird.pt"), "--weights", "none"])


@pytest.mark.parametrize("flags", [["--html", "r.jsonl"], ["--figure", "link.jsonl"], ["--write", "r.jsonl"],
                                   ["--html", "p.png", "--picture", "P=p.png"], ["--html", "x", "--figure", "./x"]])
def test_report_keeps_ledgers_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("r.jsonl", "p.png"):
        Path(name).write_text("")
    Path("link.jsonl").symlink_to("r.jsonl")
    monkeypatch.setattr(sys, "argv", ["report", "r.jsonl", *flags])
    with pytest.raises(ConfigError, match="overwritten|are one file"):
        report.main()
    assert sorted(os.listdir()) == ["link.jsonl", "p.png", "r.jsonl"]


def test_report_writes_its_table_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    text = f"# Mine\n{ledger_report.START}\nold\n{ledger_report.END}\nafter\n"
    readme.write_text(text)
    row = Result(kind="linear", task="bird", dataset_sha256="d", split="test", images=3, weights="none",
                 weights_sha256="w", arch="resnet18", feature="backbone", input="full", view="eval", size=32,
                 centred=False, seed=1, precision="fp32", images_per_second=2.0, metrics={"top1": 0.5, "top5": 1.0})
    append_result(tmp_path / "r.jsonl", row.to_dict())
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "r.jsonl"), "--write", str(readme)])

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StopTraining, match="No space left"):
        report.main()
    assert readme.read_text() == text
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "r.jsonl"), "--write", str(readme)])
    report.main()
    assert readme.read_text().startswith("# Mine\n") and readme.read_text().endswith("after\n")


def test_organize_refuses_a_folder_in_its_source(tmp_path: Path) -> None:
    for name, text in (("images.txt", "1 001.Crow/a.jpg\n2 001.Crow/b.jpg\n"), ("train_test_split.txt", "1 1\n2 0\n"),
                       ("image_class_labels.txt", "1 1\n2 1\n"), ("classes.txt", "1 001.Crow\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "images/001.Crow").mkdir(parents=True)
    for name in "ab":
        (tmp_path / f"images/001.Crow/{name}.jpg").write_bytes(name.encode())
    with pytest.raises(DataError, match="lies in --source"):
        organize.main(["cub", "--source", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_organize_refuses_classes_that_would_merge() -> None:
    assert organize.name_class_folders(["F-16A/B", "747-100"]) == {"F-16A/B": "F-16AB", "747-100": "747-100"}
    with pytest.raises(ValueError, match="'F/16' and 'F16'"):
        organize.name_class_folders(["F/16", "F16"])


def test_infer_keeps_a_list_that_bears_the_name_of_its_table(tmp_path: Path) -> None:
    listing = tmp_path / "predictions.csv"
    listing.write_text("path\na.jpg\n")
    with pytest.raises(ConfigError, match="would hold a predictions.csv"):
        infer.parse([str(listing), "--pretrained", "x", "--out", str(tmp_path)])
