"""Several networks under one protocol, with labels and without."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from engine.flags.compare import parse_compared_network
from evaluation.ledger import read_results
from runtime.errors import ConfigError
from tools.compare import main


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, root: Path, *words: str) -> None:
    """The command from a folder of its own, with two random networks."""
    monkeypatch.chdir(folder)
    common = ["--root", str(root), "--out", "out", "--size", "32", "--device", "cpu", "--num-workers", "0", "--cache", "none"]
    monkeypatch.setattr(sys, "argv", ["compare", *common, *words])
    main()


def test_every_network_raw_and_centred(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], photo_tree: Path, tmp_path: Path
) -> None:
    run(monkeypatch, tmp_path, photo_tree, "--network", "one=none", "--network", "two=none@48")
    rows = read_results(tmp_path / "out" / "results.jsonl")
    assert [(row["label"], row["size"], row["centred"], row["kind"]) for row in rows] == [
        (label, size, centred, kind) for label, size in (("one", 32), ("two", 48)) for centred in (False, True)
        for kind in ("retrieval", "linear", "linear")]
    table = capsys.readouterr().out
    assert "| two, centred |" in table and "48 px" in table


def test_unlabelled_pictures_get_a_sheet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], photo_tree: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photo_tree.glob("test/*/*.jpg"):
        shutil.copy(path, flat)
    run(monkeypatch, tmp_path, flat, "--network", "one=none", "--centre", "false")
    assert (tmp_path / "out" / "0" / "neighbours.png").exists()
    assert "no labels" in capsys.readouterr().out


def test_only_its_own_folders_are_emptied(monkeypatch: pytest.MonkeyPatch, photo_tree: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "results.jsonl"
    precious.parent.mkdir()
    precious.write_text("{}\n")
    with pytest.raises(ConfigError, match="choose another --out"):
        run(monkeypatch, tmp_path, photo_tree, "--network", "one=none")
    assert precious.read_text() == "{}\n"


def test_network_words() -> None:
    assert parse_compared_network("our best=checkpoints/a@64").size == 64
    assert parse_compared_network("x=package:efficientnet-lite0").source == "package:efficientnet-lite0"
    both = parse_compared_network("x=package:efficientnet-lite0@96:head")
    assert (both.source, both.size, both.feature) == ("package:efficientnet-lite0", 96, "head")
    for wrong in ("nothing", "a=", "a=b@c"):
        with pytest.raises(Exception, match="LABEL=SOURCE"):
            parse_compared_network(wrong)
