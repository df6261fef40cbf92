"""Crops of the object: where they lie, what boxes mean, and how one is cut out of its picture."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from datasets.files import decode
from datasets.images import SHOWN, ImageSet
from datasets.layouts.listing import Sample, show_first
from datasets.layouts.tables import read_rows
from datasets.options import CropOptions
from runtime.distributed import is_main
from runtime.errors import DataError
from runtime.names.safe import safe_name
from runtime.names.spelling import unspell_path

MANY_EMPTY = 0.2  # share of images without a mask from which crops deserve a second look

Prefer = Literal["auto", "boxes", "files"]


@dataclass(frozen=True)
class Box:
    """Corners in pixels of the original image (before any banner is cut off); x2 and y2 are exclusive."""

    x1: float
    y1: float
    x2: float
    y2: float


def read_boxes(path: str | Path) -> dict[str, Box]:
    """boxes.csv (path,x1,y1,x2,y2[,width,height,...]) as key -> box.

    Raises DataError that names every line whose box is no numbers, empty, or outside of the image.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; run DDT on the data set, or write path,x1,y1,x2,y2 by hand")
    boxes: dict[str, Box] = {}
    problems = []
    for line, row in read_rows(path, ("path", "x1", "y1", "x2", "y2")):
        key = os.path.normpath(unspell_path(row["path"]))
        try:
            boxes[key] = _parse_box(row)
        except ValueError as error:
            problems.append(f"line {line}: {key}: {error}")
    if problems:
        raise DataError(f"{path}: {len(problems)} bad boxes; fix them or run DDT again\n  "
                        + show_first(problems, "\n  "))
    return boxes


def _parse_box(row: dict[str, str]) -> Box:
    """A row's box; raises ValueError when nothing of it lies in the image."""
    box = Box(*(float(row[name]) for name in ("x1", "y1", "x2", "y2")))
    width, height = (float(row.get(name) or math.inf) for name in ("width", "height"))
    # Written so that a NaN fails as well.
    if not (max(box.x1, 0) < min(box.x2, width) and max(box.y1, 0) < min(box.y2, height)):
        raise ValueError(f"the box {box.x1:g},{box.y1:g},{box.x2:g},{box.y2:g} holds no pixel of the image")
    return box


@dataclass(frozen=True)
class Crops:
    """Where an image's crop comes from: a table of boxes (one decode serves both contexts), or mirrored files."""

    root: Path
    boxes: dict[str, Box] | None

    @classmethod
    def open(cls, root: str | Path, prefer: Prefer = "auto") -> Crops:
        """The crops under `root`; "auto" takes boxes.csv when there is one. `root` may be a boxes file itself."""
        root = Path(root)
        if not root.exists():
            raise DataError(f"{root}: no such crop folder; run DDT first (./run_ddt.sh), or check the path")
        if root.is_file():
            return cls(root.parent, read_boxes(root))
        table = root / "boxes.csv"
        if prefer == "boxes" or (prefer == "auto" and table.is_file()):
            return cls(root, read_boxes(table))
        return cls(root, None)

    def missing(self, images: ImageSet) -> list[str]:
        """Keys of `images` that have no crop."""
        keys = (sample.key for sample in images.samples)
        if self.boxes is not None:
            return [key for key in keys if key not in self.boxes]
        return [key for key in keys if not (self.root / key).is_file()]

    def crop(self, sample: Sample, full_image: Image.Image | None = None, scale: float = 1.0) -> Image.Image:
        """The crop of a sample: cut from `full_image` (decoded at `scale`) by its box, else read from its file."""
        if self.boxes is None:
            return decode(self.root / sample.key)
        image = decode(sample.path) if full_image is None else full_image
        return cut(image, self.boxes[sample.key], scale, sample.key)


def cut(image: Image.Image, box: Box, scale: float = 1.0, key: str = "image") -> Image.Image:
    """The box's pixels, clipped to the image; raises DataError when none of them is in it."""
    left, top = max(math.floor(box.x1 * scale), 0), max(math.floor(box.y1 * scale), 0)
    right, bottom = min(math.ceil(box.x2 * scale), image.width), min(math.ceil(box.y2 * scale), image.height)
    if left >= right or top >= bottom:
        raise DataError(f"{key}: its box {box} lies outside of {image.width} x {image.height} pixels; fix boxes.csv")
    return image.crop((left, top, right, bottom))


def crop_folder(options: CropOptions) -> Path | None:
    """The folder that `--crop-root` means; None when whole images stand in for crops."""
    if options.crop_root == "none":
        return None
    if options.crop_root == "auto":
        made_by_ddt = options.root is not None and (Path(options.root) / "ddt.json").is_file()
        usual = Path("DDT/crop_dataset") / f"{safe_name(options.task, room=5)}_crop"
        return Path(options.root) if made_by_ddt else usual
    return Path(options.crop_root)


def find_crops(folder: Path, prefer: Prefer, task: str, root: str | Path) -> Crops:
    """The crops in a folder; raises DataError with the command that makes them when it is not there."""
    if not folder.exists():
        raise DataError(f"no crops at {folder}. {crop_remedy(task, root)}")
    crops = Crops.open(folder, prefer=prefer)
    warn_of_empty_masks(crops.root)
    return crops


def warn_of_empty_masks(root: Path) -> None:
    """Say so when DDT found no object in many of the images: their crops are whole images, or squares of these."""
    table = root / "cuts.csv"
    if not is_main() or not table.is_file():
        return
    try:
        empty = [row["empty"] == "1" for _, row in read_rows(table, ("path", "empty"))]
    except DataError:  # it is damaged, or none of DDT's: there is nothing to warn of, and the boxes are good without it
        return
    if sum(empty) > MANY_EMPTY * len(empty):
        print(f"warning: DDT found no object in {sum(empty)} of the {len(empty)} images of {root}, their crops are "
              "whole pictures or the middle of them; look at its boxes.png, and run it with another --directions, "
              "--layer or network", file=sys.stderr)


def need_crops(crops: Crops, images: ImageSet, task: str, root: str | Path) -> None:
    """Raise DataError listing the images that have no crop, with the command that makes them."""
    absent = crops.missing(images)
    if absent:
        listing = "\n".join(f"  {key}" for key in absent[:SHOWN])
        more = f"\n  (+{len(absent) - SHOWN} more)" if len(absent) > SHOWN else ""
        raise DataError(f"{len(absent)} of {len(images)} {images.split} images have no crop in {crops.root}:\n"
                        f"{listing}{more}\n{crop_remedy(task, root)}")


def crop_remedy(task: str, root: str | Path) -> str:
    """The ways out when crops are missing."""
    return (f"Make them with `./run_ddt.sh {task} {root} WEIGHTS cpu`, name their folder with --crop-root, "
            "or take whole images (--crop-root none in training, --input full in evaluation)")


def open_crops(options: CropOptions, images: ImageSet | None) -> Crops | None:
    """The crops of a training run, None for whole images; raises DataError when some or all are missing."""
    folder = crop_folder(options)
    if folder is None:
        return None
    crops = find_crops(folder, options.crop_from, options.task, options.root)
    if images is not None:
        need_crops(crops, images, options.task, options.root)
    return crops
