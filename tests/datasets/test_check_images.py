"""What is checked before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.crops import find_crops, need_crops, open_crops
from datasets.files import find_crop_bottom
from datasets.images import load_images, sample_images, scan
from datasets.loader import count_workers
from datasets.options import CropOptions
from engine.flags.pretrain.arguments import parse
from engine.workflows.pretrain.methods import queue_size
from runtime.errors import DataError
from runtime.files import need_disk


def test_a_full_disk_is_told_before_training(tmp_path: Path) -> None:
    assert need_disk(tmp_path, 1) == []
    (line,) = need_disk(tmp_path, 10**18)
    assert "MB free" in line and "--results-dir" in line


def test_undecodable_images_are_refused_or_left_out(photo_tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = sorted(photo_tree.glob("train/*/*.jpg"))[3]
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=broken.name):
        load_images(str(photo_tree), "train", skip_bad=False)
    assert len(load_images(str(photo_tree), "train", skip_bad=True)) == 23
    assert broken.name in capsys.readouterr().out


def test_a_banner_that_leaves_nothing_is_told_before_training(photo_tree: Path) -> None:
    assert len(load_images(str(photo_tree), "train", skip_bad=False, crop_bottom=47)) == 24
    with pytest.raises(DataError, match=r"(?s)24 of 24 images.*--crop-bottom 48 leaves nothing"):
        load_images(str(photo_tree), "train", skip_bad=False, crop_bottom=48)


def test_missing_crops_name_the_command(photo_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run_ddt.sh bird"):
        find_crops(tmp_path / "nowhere", "auto", "bird", photo_tree)
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\ntrain/001.Red_bird/001.Red_bird_00.jpg,1,1,9,9\n")
    crops = find_crops(tmp_path, "auto", "bird", photo_tree)
    with pytest.raises(DataError, match="23 of 24 train images have no crop"):
        need_crops(crops, scan(photo_tree), "bird", photo_tree)


@pytest.mark.parametrize("columns", ["path,x1,y1,x2,y2,empty", "path,x1,y1,x2,y2,empty,group,margin"])
@pytest.mark.parametrize(("empty", "told"), [(0, False), (4, False), (5, True), (24, True)])
def test_many_images_without_a_mask_are_told_before_training(
    photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: str, empty: int, told: bool
) -> None:
    keys = [sample.key for sample in scan(photo_tree).samples]
    rest = ",1,0.5" * columns.endswith("margin")
    (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},1,1,9,9\n" for key in keys))
    cuts = [f"{key},1,1,9,9,{int(number < empty)}{rest}\n" for number, key in enumerate(keys)]
    (tmp_path / "cuts.csv").write_text(f"{columns}\n" + "".join(cuts))
    crops = open_crops(CropOptions(task="bird", root=str(photo_tree), crop_root=str(tmp_path)), scan(photo_tree))
    assert crops is not None and crops.boxes is not None
    lines = [line for line in capsys.readouterr().err.splitlines() if "no object" in line]
    assert len(lines) == told
    if told:
        assert f"in {empty} of the 24 images" in lines[0] and "--directions, --layer or network" in lines[0]


def test_automatic_values() -> None:
    assert count_workers(3) == 3 and 1 <= count_workers("auto") <= 8
    assert (find_crop_bottom("auto", "aircraft"), find_crop_bottom("auto", "bird"), find_crop_bottom(7, "bird")) == (20, 0, 7)


@pytest.mark.parametrize("images,batch,expected", [(5994, 64, 4096), (300, 32, 256), (24, 8, 16), (100, 64, 32), (8, 8, 2)])
def test_queue_is_the_largest_power_of_two_that_leaves_room(images: int, batch: int, expected: int) -> None:
    args = parse(["--root", "x", "--pretrained", "none", "--batch-size", str(batch)])
    assert queue_size(args, images) == expected


def test_monitored_images_are_spread_over_the_list(photo_tree: Path) -> None:
    images = scan(photo_tree)
    few = sample_images(images, 6)
    assert len(few) == 6 and set(few.labels.tolist()) == {0, 1, 2} and len(sample_images(images, 99)) == 24
