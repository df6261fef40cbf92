"""Photographs out of tar archives against the same ones as files: bytes in the order of training, and whole batches."""

from __future__ import annotations

import os
import random
import statistics
import tarfile
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.loader import LoaderTimingOptions
from benchmarks.photos import save_photos
from benchmarks.timing import interleave, start_benchmark, time_both
from datasets.images import ImageSet, scan
from datasets.loader import Loader, make_loader
from datasets.sampling.batches import SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View

ARCHIVES, BATCH = 4, 16
Order = Literal["in order", "shuffled"]


def pack_photos(photos: Sequence[Path], root: Path, folder: Path) -> None:
    """The photographs in archives, each under its path below `root`, one archive filled after the other."""
    folder.mkdir()
    share = -(-len(photos) // ARCHIVES)
    for number in range(ARCHIVES):
        with tarfile.open(folder / f"{number:04d}.tar", "w") as archive:
            for photo in photos[number * share : (number + 1) * share]:
                archive.add(photo, photo.relative_to(root).as_posix())


def read_all(images: ImageSet, order: Order, forget: Sequence[Path]) -> None:
    """The bytes of every photograph; the pages of the files in `forget` are asked to leave memory first."""
    for path in forget:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    samples = list(images.samples)
    if order == "shuffled":
        random.Random(0).shuffle(samples)
    for sample in samples:
        sample.path.read_bytes()


def load_all(loader: Loader) -> None:
    """Every batch of two views."""
    for _ in loader:
        pass


def make_sides(folder: Path, count: int) -> dict[str, ImageSet]:
    """The same photographs as files and as members of archives; what is remembered of these goes with the folder."""
    kept = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        pack_photos(save_photos(folder / "photos", count), folder / "photos", folder / "tars")
        os.sync()
        return {"files": scan(folder / "photos"), "tars": scan(folder / "tars")}
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        os.environ.update({} if kept is None else {"XDG_CACHE_HOME": kept})


def time_reading(sides: dict[str, ImageSet], order: Order, cold: bool, rounds: int) -> None:
    """Print how many photographs a second each side reads, and the ratio."""
    works = {side: partial(read_all, images, order, sorted(images.root.rglob("*.*")) if cold else ())
             for side, images in sides.items()}
    files, tars = (statistics.median(spent) for spent in interleave(works, rounds).values())
    name, count = f"read-{order.replace(' ', '-')}-{'cold' if cold else 'warm'}", len(sides["files"])
    print(f"READ {name}: files {count / files:.0f}, tars {count / tars:.0f} images/s\nRATIO {name} {files / tars:.2f}",
          flush=True)


def time_archives(options: LoaderTimingOptions) -> int:
    """Ratios of reading, from memory and from the disk, and of a loader's whole epoch, which is the last line."""
    report = start_benchmark(options, "loader-archives")
    with tempfile.TemporaryDirectory() as folder:
        sides = make_sides(Path(folder), options.count)
        orders: tuple[Order, ...] = ("in order", "shuffled")
        for order in orders:
            for cold in (False, True):
                time_reading(sides, order, cold, report.rounds)
        views = {"v1": View("full", "mocov2", 224), "v2": View("full", "mocov2", 224)}
        batches = SequentialBatches(options.count, BATCH)
        plain, packed = (make_loader(ViewSet(images, views), batches, workers=1) for images in sides.values())
        files, tars = time_both(partial(load_all, plain), partial(load_all, packed), report.rounds)
    report.add("LOADER files images/s", options.count / files)
    report.add("LOADER tars images/s", options.count / tars)
    return report.finish(files / tars)
