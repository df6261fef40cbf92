"""The pictures that a file is checked on: of --root, of the run's own data set, or noise where there are none."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.files import decode
from datasets.images import ImageSet, check_images, first_split, sample_images, scan
from datasets.loader import count_workers
from datasets.tars.places import place_exists
from datasets.views.recipes import make_transform
from engine.flags.evaluate.export import ExportOptions
from engine.workflows.export.subject import Exportable
from evaluation.run_record import as_list
from runtime.errors import DataError

CHECKED = 32


@dataclass(frozen=True)
class CheckPictures:
    """`pixels` uint8 [N, 3, S, S] in the test view, and where they come from."""

    pixels: np.ndarray
    source: str


def gather_photographs(options: ExportOptions, exportable: Exportable) -> CheckPictures:
    """Evenly chosen photographs; raises DataError for a --root that cannot be read. A note says why it is noise."""
    images = find_photographs_of(options, exportable)
    size = exportable.view.size
    if images is None:
        noise = np.random.default_rng(options.seed).integers(0, 256, (CHECKED, 3, size, size), dtype=np.uint8)
        why = "no --root, and no photographs of the run's here"
        return CheckPictures(noise, f"{CHECKED} images of noise ({why})")
    chosen = sample_images(images, CHECKED)
    if options.skip_bad:
        chosen = check_images(chosen, skip_bad=True, crop_bottom=exportable.crop_bottom)
    transform = make_transform(exportable.view)
    pixels = np.stack([transform(decode(one.path, exportable.crop_bottom)).numpy() for one in chosen.samples])
    return CheckPictures(pixels, f"{len(pixels)} photographs of {images.root.name} ({images.split})")


def find_photographs_of(options: ExportOptions, exportable: Exportable) -> ImageSet | None:
    """The photographs of --root, else those that the run was trained on where they are still there."""
    if options.root:
        return scan_split(Path(options.root), options.split)
    roots = as_list(exportable.settings.get("test_root")) or as_list(exportable.settings.get("root"))
    for root in map(Path, roots):
        try:
            if place_exists(root):
                return scan_split(root, options.split)
        except DataError as error:
            print(f"note: {error}; another place is --root", file=sys.stderr)
    return None


def scan_split(root: Path, split: str) -> ImageSet:
    """The images of a split; auto = test, or what there is in its place."""
    return scan(root, first_split(root, "test", "val", "train") if split == "auto" else split, "ignored")


def load_labelled(options: ExportOptions, exportable: Exportable) -> ImageSet:
    """Every photograph of --root's split with its label, all of which decode; raises DataError where there is none."""
    root = Path(options.root)
    split = first_split(root, "test", "val", "train", labelled=True) if options.split == "auto" else options.split
    return check_images(scan(root, split), skip_bad=options.skip_bad, workers=count_workers(options.num_workers),
                        crop_bottom=exportable.crop_bottom)
