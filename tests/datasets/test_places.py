"""No command writes onto what it reads, however links spell the place."""

from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from datasets.places import list_overlaps
from runtime.errors import ConfigError
from runtime.options import Options

LOOK = ("--pretrained", "none", "-a", "test_resnet", "--device", "cpu", "-j", "0")
COMMANDS = [
    ("main_pretrain", "--root ROOT --results-dir OUT --arch test_resnet --pretrained none --device cpu"),
    ("main_metric", "--root ROOT --results-dir OUT -a test_resnet --pretrained none --device cpu"),
    ("main_finetune", "--root ROOT --results-dir OUT --model test_resnet --finetune none --device cpu"),
    ("main_linear", "--root ROOT --results-dir OUT LOOK"), ("main_retrieval", "--root ROOT --results-dir OUT LOOK"),
    ("tools.atlas", "none -a test_resnet --device cpu -j 0 --root ROOT --out OUT"), ("tools.audit", "ROOT --out OUT LOOK"), ("tools.sort", "ROOT --out OUT LOOK"), ("tools.embed", "ROOT --out OUT LOOK"),
    ("tools.search", "ROOT --results-dir OUT --image x LOOK"), ("tools.heatmap", "--root ROOT --out OUT LOOK"),
    ("tools.infer", "ROOT --out OUT --pretrained x"), ("tools.evaluate", "--root ROOT --out OUT --pretrained x"),
    ("benchmarks.studies.study", "--root ROOT --row a=none@32 --out OUT"), ("tools.compare", "--root ROOT --network a=none --out OUT"),
    ("benchmarks.studies.trials", "--root ROOT --row a=x --out OUT"),
    ("benchmarks.studies.partitions", "--root ROOT --row a=x --against a --out OUT"), ("benchmarks.studies.folds", "--root ROOT --out OUT"),
    ("tools.text_studio", "x.csv --root ROOT --out OUT"), ("tools.text_ablation", "x.csv --root ROOT --out OUT"),
    ("DDT.__main__", "--root ROOT --pretrained none --device cpu --out OUT")]


def list_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_every_command_refuses_an_output_in_its_data(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to(photo_tree)
    before = list_files(photo_tree)
    for out in (photo_tree / "out", link / "train" / "out"):
        line = words.replace("LOOK", " ".join(LOOK)).replace("ROOT", str(photo_tree)).replace("OUT", str(out))
        monkeypatch.setattr(sys, "argv", [command, *line.split()])
        with pytest.raises(ConfigError, match=r"lies in .*photos"):
            importlib.import_module(command).main()
        assert list_files(photo_tree) == before


@dataclass(frozen=True, kw_only=True)
class Told(Options):
    """Where a command reads and writes."""

    root: str | None = None
    results_dir: str | None = None
    out: str | None = None
    cache: str = "none"
    pretrained: str = "none"
    text: tuple[str, ...] = ()


def overlaps(root: Path, out: Path, *given: str) -> list[str]:
    told = Told(root=str(root), results_dir=str(out), given={name: f"--{name}" for name in given})
    return list_overlaps(told, ("results.jsonl",))


def test_links_and_spellings_lead_to_the_same_place(photo_tree: Path, tmp_path: Path) -> None:
    outside, link = tmp_path / "outside", tmp_path / "link"
    outside.mkdir()
    link.symlink_to(photo_tree)
    inside = photo_tree / "out"
    inside.symlink_to(outside)  # pictures that are written outside are read through it
    crows = tmp_path / "crows"
    shutil.move(photo_tree / "train" / "001.Red_bird", crows)
    (photo_tree / "train" / "001.Red_bird").symlink_to(crows)
    for out in (photo_tree, link, link / "new", inside / "new", photo_tree / "train" / ".." / "x", crows / "out", outside):
        assert overlaps(photo_tree, out, "results_dir"), out
        assert overlaps(link, out, "results_dir"), out
    for out in (tmp_path, tmp_path / "photos_out", photo_tree / ".." / "x", photo_tree.parent / "link2"):
        assert not overlaps(photo_tree, out, "results_dir"), out


def test_a_default_place_beside_train_and_test_is_fine(photo_tree: Path, tmp_path: Path) -> None:
    assert not overlaps(photo_tree, photo_tree / "checkpoints" / "run")
    assert overlaps(photo_tree, photo_tree / "checkpoints" / "run", "results_dir"), "where it was asked for, it is not"
    assert overlaps(photo_tree, photo_tree / "train" / "run")
    assert overlaps(photo_tree / "train", photo_tree / "train" / "checkpoints"), "flat folders have no beside"
    for split in ("train", "test"):
        (photo_tree / split).rename(photo_tree / f"birds_{split}_images")
    assert not overlaps(photo_tree, photo_tree / "checkpoints" / "run"), "splits in another spelling are splits"
    assert overlaps(photo_tree, photo_tree / "birds_test_images" / "run")


def test_a_list_is_no_folder_but_is_not_overwritten(tmp_path: Path) -> None:
    listing, results = tmp_path / "list.csv", tmp_path / "results.jsonl"
    listing.touch()
    results.touch()
    assert not overlaps(listing, tmp_path / "out", "results_dir") and not overlaps(listing, tmp_path, "results_dir")
    assert overlaps(listing, listing, "results_dir")
    assert overlaps(results, tmp_path, "results_dir"), "the command's own results.jsonl would replace it"


def test_words_that_are_no_paths_are_no_inputs(tmp_path: Path) -> None:
    assert not list_overlaps(Told(out=str(tmp_path), pretrained="package:x", text=("a red bird " * 100,)))
