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

from datasets.files import DataError, decode
from datasets.findings import announce, describe
from datasets.layouts import Labels, read_listing
from datasets.listing import Listing

__all__ = ["DataError", "ImageSet", "Sample", "decode", "find_undecodable", "first_split", "has_split", "scan",
           "without"]


@dataclass(frozen=True)
class Sample:
    """One image: its file, its key (relative to the data set's root, '/'-separated) and its label, None for none."""

    path: Path
    key: str
    label: int | None


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
            f"{root}: no split {split!r}, only {', '.join(listing.splits)} ({describe(listing)}); "
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
    number = {name: label for label, name in enumerate(listing.classes)}
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
