"""What is said of a folder of photographs: where it is, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from runtime.options import Options, flag, switch
from runtime.ranges import ROWS, WORKERS


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """How photographs are read."""

    title: ClassVar[str | None] = "data"

    task: str = flag("custom", None, "name of the data set; picks crop folder and policies", "-t")
    crop_bottom: int | Literal["auto"] = flag(
        "auto", ROWS, "rows to drop at the bottom (FGVC's banner); auto = 20 for the task aircraft", metavar="PIXELS")
    num_workers: int | str = flag("auto", WORKERS, "loader processes per rank; auto = one per core, at most 8", "-j",
                                  "--workers")
    skip_bad: bool = switch(False, "leave images out that do not decode instead of refusing to start")


@dataclass(frozen=True, kw_only=True)
class RootOptions(DataOptions):
    """The same of one folder or list of photographs."""

    title: ClassVar[str | None] = "data"

    root: str = flag(None, None, "train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, tar "
                     "archives, or a crop folder", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class CropOptions(RootOptions):
    """The same, and where the object's crops are."""

    title: ClassVar[str | None] = "data"

    crop_root: str = flag("auto", None, "crops made by run_ddt.sh; auto = DDT/crop_dataset/<task>_crop, none = whole "
                          "images", metavar="DIR")
    crop_from: Literal["auto", "boxes", "files"] = flag(
        "auto", ("auto", "boxes", "files"), "cut crops from boxes.csv (one decode an image) or read the files")
