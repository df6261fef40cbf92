"""Sets of images: find them on disk, name them, label them, check that they decode."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.files import decode
from datasets.layouts.findings import VOICE, announce, describe_listing
from datasets.layouts.listing import Listing, Sample, show_first
from datasets.layouts.read import Labels, read_listing
from runtime import distributed
from runtime.errors import DataError

SHOWN = 10  # images that a message names


@dataclass(frozen=True)
class ImageSet:
    """The images of one split, sorted by key. `classes` spans all splits, in label order; () when unlabelled."""

    root: Path
    split: str
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.samples)

    @cached_property
    def labels(self) -> Tensor:
        """LongTensor [N]; -1 where there is no label."""
        return torch.tensor([-1 if sample.label is None else sample.label for sample in self.samples], dtype=torch.long)

    def fingerprint(self) -> str:
        """sha256 of keys and labels in order: the same set of names on any machine."""
        lines = (f"{sample.key}\t{sample.label}\n" for sample in self.samples)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def scan(root: str | Path, split: str = "train", labels: Labels = "searched") -> ImageSet:
    """The images of one split of a data set in any known layout (docs/data.md), without opening them.

    What was found is said once a run, on stderr. `labels` says what they are for, see `read_listing`.
    Raises DataError for a missing or empty folder, a missing split, a bad list, or labels that are unclear.
    """
    listing = read_listing(root, labels)
    if split not in listing.splits:
        raise DataError(
            f"{root}: no split {split!r}, only {', '.join(listing.splits)} ({describe_listing(listing)}); "
            f"ask for another split, add a {split}/ folder, or give a .csv list with a split column"
        )
    announce(listing)
    return take_split(listing, split)


def has_split(root: str | Path, split: str) -> bool:
    """Whether `scan(root, split)` would find images."""
    return split in read_listing(root, "ignored").splits


def first_split(root: str | Path, *order: str, labelled: bool = False) -> str:
    """The first of some splits that holds images, `labelled` ones where any are; else the first there is.

    Raises DataError where there is no data set.
    """
    listing = read_listing(root, "ignored")
    known = [split for split in order if labelled and listing.present_classes(split)]
    return next(split for split in (*known, *order, *listing.splits) if split in listing.splits)


def take_split(listing: Listing, split: str) -> ImageSet:
    """One split of a listing, labels numbered over all splits."""
    number: dict[str | None, int] = {name: label for label, name in enumerate(listing.classes)}
    samples = tuple(
        Sample(entry.path, entry.key, number.get(entry.class_name)) for entry in listing.entries if entry.split == split
    )
    return ImageSet(listing.root, split, samples, listing.classes)


def find_undecodable(images: ImageSet, workers: int = 0, crop_bottom: int = 0) -> dict[str, str]:
    """Decode every file to its end; the keys of those that fail, or have no more than `crop_bottom` rows, and why.

    Threads suffice, since Pillow decodes outside the interpreter's lock; 0 workers means one per processor.
    """
    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        reasons = pool.map(partial(_find_fault, crop_bottom=crop_bottom), images.samples)
        progress = tqdm(reasons, total=len(images), unit="img", desc=f"decoding {images.split}")
        found = list(progress)
    return {sample.key: reason for sample, reason in zip(images.samples, found) if reason is not None}


def _find_fault(sample: Sample, crop_bottom: int) -> str | None:
    """Why a file cannot be decoded, None when it can."""
    try:
        decode(sample.path, crop_bottom)
    except DataError as error:
        return str(error)
    return None


def without(images: ImageSet, keys: Collection[str]) -> ImageSet:
    """The set without some keys; labels and classes stay as they were. Raises DataError when nothing is left."""
    gone = frozenset(keys)
    samples = tuple(sample for sample in images.samples if sample.key not in gone)
    if not samples:
        raise DataError(f"{images.root}: none of the {len(images)} images of {images.split} is usable")
    return replace(images, samples=samples)


def load_images(
    root: str, split: str, *, skip_bad: bool, workers: int = 0, labels: Labels = "searched", crop_bottom: int = 0
) -> ImageSet:
    """The images of a split that decode; raises DataError naming those that do not, unless `skip_bad`.

    `labels` says what they are for, see `datasets.layouts.read.read_listing`.
    """
    return check_images(scan(root, split, labels), skip_bad=skip_bad, workers=workers, crop_bottom=crop_bottom)


def need_classes(images: ImageSet) -> None:
    """Raise DataError where there is nothing to tell apart: one class, as of a folder one level too high or low."""
    if len(images.classes) < 2:
        named = "".join(f" ({name!r})" for name in images.classes)
        raise DataError(f"{images.root}: {len(images.classes)} class{named}, and telling classes apart needs two; give "
                        "the folder whose folders are the classes, or a .csv list with columns path,label,split")


def check_images(images: ImageSet, *, skip_bad: bool, workers: int = 0, crop_bottom: int = 0) -> ImageSet:
    """Those that decode; raises DataError naming those that do not, unless `skip_bad`.

    Of each, `crop_bottom` pixel rows are going to be dropped, and something must be left. With several processes the
    main one looks and the others are told.
    """
    bad = distributed.broadcast_object(
        find_undecodable(images, workers, crop_bottom) if distributed.is_main() else None)
    if not bad:
        return images
    listing = "\n".join(f"  {reason}" for _, reason in sorted(bad.items())[:SHOWN])  # a reason names its file
    more = f"\n  (+{len(bad) - SHOWN} more)" if len(bad) > SHOWN else ""
    if not skip_bad:
        raise DataError(f"{len(bad)} of {len(images)} images do not decode:\n{listing}{more}\n"
                        "Replace or remove them, or leave them out with --skip-bad")
    if distributed.is_main():
        print(f"leaving out {len(bad)} of {len(images)} images that do not decode:\n{listing}{more}")
        VOICE.said.add(f"{images.root}: {len(bad)} of {len(images)} {images.split} images do not decode and are left "
                       f"out: {show_first(sorted(bad))}")
    return without(images, bad.keys())


def sample_images(images: ImageSet, most: int) -> ImageSet:
    """At most `most` images, evenly spread over the list."""
    if len(images) <= most:
        return images
    chosen = [images.samples[i * len(images) // most] for i in range(most)]
    return ImageSet(images.root, images.split, tuple(chosen), images.classes)
