"""DDT fitted on some pictures, and asked where the object of others is: the numbers of `python -m DDT`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import torch

from datasets.views.given import GivenPicture, GivenPictures, list_given_pictures, read_given
from datasets.views.recipes import View
from DDT.descriptors import MapBatch, MapReading, choose_map_precision, need_numbers, prepare_backbone, read_maps
from DDT.directions.grouped import GroupedDirections
from DDT.localize import Frame
from DDT.policy import parse_policy
from DDT.prepare import choose_arch
from DDT.stages import Rule, find_boxes, fit_direction, fit_groups, follow
from models.backbones import Backbone, build_backbone
from models.loading import load_quietly
from models.sizes import check_size
from runtime.devices import choose_device
from runtime.errors import ConfigError, DataError, refuse

from .located import Located, make_located  # relative, so that checkers of types follow it in an installed package, too

if TYPE_CHECKING:
    from typing_extensions import Unpack

KEPT = 10**9  # bytes of maps that are kept in memory between the passes of a fit; what is beyond is computed again
WEIGHTS = "package:efficientnet-lite0"


@dataclass(frozen=True)
class MapReader:
    """A network, and how pictures become its maps."""

    backbone: Backbone
    reading: MapReading
    device: torch.device

    def read(self, images: GivenPictures) -> Iterator[MapBatch]:
        """Maps of pictures, batch by batch; raises DataError with every picture of a batch that cannot be read."""
        view = View("full", "squash-exact", self.reading.size)
        for batch in read_given(images, view, self.reading.batch_size, crop_bottom=self.reading.crop_bottom,
                                threads=self.reading.workers):
            maps = read_maps(self.backbone, batch.pixels.to(self.device), self.reading)
            need_numbers(maps, batch.names)
            yield MapBatch(batch.names, maps, [Frame(*size) for size in batch.sizes])


class MapMemory:
    """Maps of some pictures, read several times: what fits into `room` bytes is kept, the rest is computed again."""

    def __init__(self, reader: MapReader, images: list[GivenPicture], room: float = KEPT) -> None:
        self.reader, self.images, self.room = reader, images, room
        self.kept: list[MapBatch] = []
        self.full = False

    def __iter__(self) -> Iterator[MapBatch]:
        """All maps, in batches that are the same each time."""
        yield from list(self.kept)
        done = len(self.kept) * self.reader.reading.batch_size
        for batch in self.reader.read(self.images[done:]) if done < len(self.images) else ():
            size = batch.maps.numel() * batch.maps.element_size()
            self.full = self.full or size > self.room
            if not self.full:
                self.kept.append(batch)
                self.room -= size
            yield batch


@dataclass(frozen=True)
class Locator:
    """Directions that were fitted on some pictures, and what becomes of maps. Threads may share one."""

    reader: MapReader
    directions: GroupedDirections
    rule: Rule

    @property
    def groups(self) -> int:
        """How many kinds of things the pictures of the fit show."""
        return len(self.directions.groups)

    def locate(self, images: GivenPictures, *, progress: bool = False) -> list[Located]:
        """Where the object of each picture is, in the order of the pictures; of one, a list of one.

        `images`: a path, a picture of Pillow, a uint8 array [H, W, 3], or any iterable of such. Raises DataError with
        every picture of a batch that cannot be read.
        """
        pictures = list(list_given_pictures(images))
        return self.find(self.reader.read(pictures), len(pictures), progress)

    def find(self, batches: Iterator[MapBatch], images: int, progress: bool) -> list[Located]:
        """The same of maps that are there."""
        found = []
        for batch in follow(batches, images, "locate", progress):
            (rows,) = find_boxes([batch], self.directions, self.rule, self.reader.reading)
            indicators = self.directions.project(batch.maps, [row.member for row in rows]).cpu().numpy()
            found += [make_located(row, indicator, self.rule.over_num) for row, indicator in zip(rows, indicators)]
        return found


class LocateSettings(TypedDict, total=False):
    """Keywords of `fit_locator`, see there."""

    weights: str | os.PathLike[str]
    arch: str | None
    device: str | torch.device
    precision: str
    size: int
    layer: int
    batch_size: int
    directions: int | None
    cut_rate: float | None
    policy: str
    over_num: float
    crop_bottom: int
    threads: int
    progress: bool


def locate(images: GivenPictures, **settings: Unpack[LocateSettings]) -> list[Located]:
    """Where the object of each of these pictures is, told by what they have in common; `settings`: `fit_locator`."""
    locator, maps = _fit(images, **settings)
    return locator.find(iter(maps), len(maps.images), settings.get("progress", False))


def fit_locator(images: GivenPictures, **settings: Unpack[LocateSettings]) -> Locator:
    """What these pictures have in common, to locate it in others too. The more, the better: a dozen at least.

    weights: a file, `package:efficientnet-lite0|1|2`, or `hub`; arch: timm's name, where it is another than resnet50.
    size: pixels of the square that pictures are squashed to. layer: which of the network's stages, -1 the last.
    directions: how many kinds of things there are, None to find it. cut_rate: the crop's sides in units of the mask's
    box, None to search. policy: the crop's shape: square, none, or rect:W,H. over_num: the mask's threshold in [0, 1).
    crop_bottom: pixel rows to drop of every picture. batch_size, device ("auto", "cpu", "cuda", ...), precision
    ("auto", "fp32", "bf16"). threads: that decode; 0 is one a processor, 8 at most. progress: bars on stderr.
    The defaults are those of `python -m DDT`. Raises ConfigError, WeightsError, and DataError for pictures that cannot
    be read or have nothing in common.
    """
    return _fit(images, **settings)[0]


def _fit(
    images: GivenPictures, *, weights: str | os.PathLike[str] = WEIGHTS, arch: str | None = None,
    device: str | torch.device = "auto", precision: str = "auto", size: int = 448, layer: int = -1,
    batch_size: int = 16, directions: int | None = None, cut_rate: float | None = None, policy: str = "square",
    over_num: float = 0.0, crop_bottom: int = 0, threads: int = 0, progress: bool = False,
) -> tuple[Locator, MapMemory]:
    """The locator, and the maps that it was fitted on."""
    pictures = list(list_given_pictures(images))
    if not pictures:
        raise DataError("no pictures were given, so there is nothing that they have in common")
    refuse_settings(directions, cut_rate, over_num, crop_bottom)
    rule = Rule(parse_policy(policy, "custom"), cut_rate, over_num)
    reading = MapReading(size, layer, crop_bottom, batch_size, threads, precision)
    maps = MapMemory(_open_reader(os.fspath(weights), arch, choose_device(device), reading), pictures)
    if directions == 1:
        found = GroupedDirections.of_one(fit_direction(maps, len(pictures), bars=progress), len(pictures))
    else:
        found = fit_groups(maps, lambda: maps, len(pictures), directions, bars=progress)
    return Locator(maps.reader, found, rule), maps


def refuse_settings(directions: int | None, cut_rate: float | None, over_num: float, crop_bottom: int) -> None:
    """Raise ConfigError with all of these that `python -m DDT` would not take."""
    refuse([f"{name} {value}: give {wanted}" for name, value, wanted, fits in (
        ("cut_rate", cut_rate, "None or a number above 0", cut_rate is None or 0 < cut_rate < math.inf),
        ("over_num", over_num, "a number in [0, 1)", 0 <= over_num < 1),
        ("directions", directions, "None, or 1 to 16", directions is None or 1 <= directions <= 16),
        ("crop_bottom", crop_bottom, "0 or more", crop_bottom >= 0)) if not fits])


def _open_reader(weights: str, arch: str | None, device: torch.device, reading: MapReading) -> MapReader:
    """The network in the form that answers fastest, and the number format that suits it; random weights are refused."""
    if weights == "none":
        raise ConfigError("weights 'none': a network that never saw a picture finds nothing; give a file, "
                          f"{WEIGHTS}, or hub")
    if reading.precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"precision {reading.precision!r}: known are auto, fp32, bf16")
    with load_quietly():
        backbone = build_backbone(choose_arch(arch, weights), weights, device=device)
        check_size(backbone, reading.size, flag="size", look="intermediate", layer=reading.layer)
    precision = choose_map_precision(reading.precision, device, backbone)
    return MapReader(prepare_backbone(backbone), replace(reading, precision=precision), device)
