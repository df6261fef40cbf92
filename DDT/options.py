"""The options of `python -m DDT`: images and network, from maps to boxes, and what is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.options import DataOptions
from runtime.names.safe import safe_name
from runtime.options import MachineOptions, Options, again, flag, switch
from runtime.ranges import BATCH, COUNT_OR_0, ROWS, SEED, SHARE_BELOW_1, SIDE, WORKERS, real, whole_number
from runtime.words import architecture


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(Options):
    """Images, network, machine."""

    title: ClassVar[str | None] = "input"

    task: str = flag("custom", None, "name of the data set; picks policy, banner and output folder", "-t")
    root: str = flag(None, None, "the data set in any layout the trainer takes", "--dataset", metavar="DIR",
                     required=True)
    pretrained: str = flag("auto", None, "path, package:efficientnet-lite0|1|2, hub or none; auto = the file or "
                           "package that is at hand", "--weights")
    arch: str | None = flag(None, architecture, "timm name; default resnet50, or the package's own network", "-a")
    layer: int = flag(-1, whole_number(-1000, 1000), "which of the network's stages, -1 = the last")
    size: int = flag(448, SIDE, "images are squashed to this square", metavar="PIXELS")
    crop_bottom: int | str = flag("auto", ROWS, "rows to drop; auto = task's own", metavar="PIXELS")
    batch_size: int = flag(16, BATCH, "images per forward pass", "-b")
    num_workers: int | str = flag("auto", WORKERS, "loader processes", "-j", "--workers")
    device: str = again(MachineOptions, "device", "auto")
    precision: str = flag("auto", ("auto", "fp32", "bf16"), "auto = bf16 on CUDA and on CPUs with AMX where the "
                          "network gains by it, else fp32")
    limit: int = flag(0, COUNT_OR_0, "N images of each split, evenly chosen; 0 = all", metavar="N")
    threads: int = again(MachineOptions, "threads", 0)
    seed: int = flag(123, SEED, "of the random weights of --pretrained none")
    skip_bad: bool = again(DataOptions, "skip_bad", False)


@dataclass(frozen=True, kw_only=True)
class BoxOptions(Options):
    """From maps to boxes."""

    title: ClassVar[str | None] = "localisation"

    cut_rate: str = flag("search", None, "search, or a number: the crop's sides in units of the mask's box")
    policy: str = flag("auto", None, "auto = the task's own, square, none, or rect:W,H in percent to grow by")
    directions: int | str = flag("auto", whole_number(1, 16, "auto"), "one for all images, or one each for N groups "
                                 "of images that look alike; auto = as many as there are kinds of things", metavar="N")
    over_num: float = flag(0.0, SHARE_BELOW_1, "threshold of the rescaled indicator map, in [0, 1)")
    recipe: str = flag("default", ("default", "seed"), "seed: banner kept, one direction, any mask counts")


@dataclass(frozen=True, kw_only=True)
class CropFolderOptions(Options):
    """What is written."""

    title: ClassVar[str | None] = "output"

    out: str = flag("DDT/crop_dataset", None, "results go to DIR/<task>_crop", metavar="DIR")
    gt: str | None = flag(None, None, "true boxes (path,x1,y1,x2,y2), only to be scored against", metavar="FILE")
    no_crops: bool = switch(False, "write boxes.csv without crop files")
    scratch: float = flag(10, real(0, 10**6), "disk for maps during a run; 0 = compute them twice", metavar="GB")
    restart: bool = switch(False, "redo a folder; an unchanged fit is used again")


@dataclass(frozen=True, kw_only=True)
class DdtOptions(ReadingOptions, BoxOptions, CropFolderOptions):
    """All options of the command."""

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out) / f"{safe_name(self.task, room=5)}_crop"
