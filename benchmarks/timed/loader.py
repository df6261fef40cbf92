"""The two sides of benchmarks/loader.py, and what is timed of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.loader import LoaderTimingOptions
from benchmarks.photos import save_photos
from benchmarks.reference.loader import IMAGENET_MEAN, IMAGENET_STD, PlainViews, read_picture
from benchmarks.timing import Report, start_benchmark, time_both
from datasets.crops import Box, Crops
from datasets.images import scan
from datasets.loader import Loader, make_loader
from datasets.sampling.batches import SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from models.backbones import standardise

BATCH = 16
VIEWS: dict[str, Literal["full", "crop"]] = {"v1": "full", "v2": "full", "v3": "crop", "v4": "crop"}


def save_crops(photos: Sequence[Path], folder: Path, box: Box) -> list[Path]:
    """The crops as files, and boxes.csv beside them."""
    lines = ["path,x1,y1,x2,y2"]
    crops = [folder / photo.parent.name / photo.name for photo in photos]
    for photo, crop in zip(photos, crops):
        crop.parent.mkdir(parents=True, exist_ok=True)
        read_picture(photo).crop((box.x1, box.y1, box.x2, box.y2)).save(crop, quality=95)
        lines.append(f"{photo.parent.name}/{photo.name},{box.x1},{box.y1},{box.x2},{box.y2}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return crops


def run_plain(loader: DataLoader) -> None:
    """All batches of the plain loader."""
    for _ in loader:
        pass


def run_ours(loader: Loader, mean: torch.Tensor, std: torch.Tensor, device: str) -> None:
    """All batches, normalised as networks do it."""
    for batch in loader:
        for view in batch.views.values():
            standardise(view.to(device, non_blocking=True), mean, std)


def decode_plain(photos: Sequence[Path]) -> None:
    """As the reference reads its files."""
    for photo in photos:
        read_picture(photo)


def decode_bare(photos: Sequence[Path]) -> None:
    """Pillow alone."""
    for photo in photos:
        Image.open(photo, formats=("JPEG",)).convert("RGB")


def measure_photographs(report: Report, folder: Path, count: int, width: int, height: int, device: str) -> float:
    """The ratio at one size of photographs: the object's box is the central square of 0.7 of the height."""
    photos = save_photos(folder / "photos", count, width=width, height=height)
    side = round(0.7 * height)
    box = Box((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
    crops = save_crops(photos, folder / "crops", box)
    plain = PlainViews(photos, crops)
    report.check_reference(f"decode-{width}x{height}", count, partial(decode_plain, photos),
                           partial(decode_bare, photos))
    images = scan(folder / "photos")
    views = {name: View(source, "mocov2", 224) for name, source in VIEWS.items()}
    dataset = ViewSet(images, views, crops=Crops.open(folder / "crops", prefer="boxes"))
    loader = make_loader(dataset, SequentialBatches(count, BATCH), workers=1, pin=device != "cpu")
    plain_loader = DataLoader(plain, BATCH, num_workers=1, persistent_workers=True)
    mean, std = (torch.tensor(values).view(3, 1, 1).to(device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    ours = partial(run_ours, loader, mean, std, device)
    theirs, own = time_both(partial(run_plain, plain_loader), ours, report.rounds)
    report.add(f"OURS-{width}x{height} images/s", count / own)
    return theirs / own


def time_loaders(options: LoaderTimingOptions) -> int:
    """Photographs of CUB's size decide; larger ones are printed too."""
    report = start_benchmark(options, "loader")
    count = options.count
    with tempfile.TemporaryDirectory() as folder:
        large = measure_photographs(report, Path(folder, "large"), max(count // 2, 2), 1200, 900, options.device)
        print(f"RATIO loader-1200x900 {large:.2f}", flush=True)
        ratio = measure_photographs(report, Path(folder, "small"), count, 500, 375, options.device)
    return report.finish(ratio)
