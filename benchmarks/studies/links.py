"""A fold of the training split as a data set of its own: a tree of symbolic links."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.studies.options import FOLDS
from datasets.images import ImageSet, scan
from datasets.layouts.listing import Sample, show_first
from datasets.tars.member import need_files
from engine.results_folder import hold_results
from runtime.errors import ConfigError, DataError, refuse
from runtime.folders.claims import claim_folder
from runtime.folders.overlaps import find_overlaps, lies_in
from runtime.names.safe import name_each, safe_name


def split_fold(images: ImageSet, fold: int) -> dict[str, list[Sample]]:
    """Samples by split: "test" the fold, "train" the rest. Raises ConfigError when either would be empty."""
    seen: Counter[int | None] = Counter()
    splits: dict[str, list[Sample]] = {"train": [], "test": []}
    for sample in sorted(images.samples, key=lambda sample: sample.key):
        splits["test" if seen[sample.label] % FOLDS == fold else "train"].append(sample)
        seen[sample.label] += 1
    if not all(splits.values()):
        raise ConfigError(f"{images.root}: fold {fold} of {len(images)} training images would leave a split empty; "
                          f"no class has more than {max(seen.values())}, give --fold 0 or more images")
    return splits


def place_link(sample: Sample, split: str, folders: Mapping[str, str], classes: tuple[str, ...]) -> Path:
    """Where a sample is linked, within the split whatever labels and keys say.

    Its key below train/ where the folder there is its class, else its class's folder and its key with "_" for "/".
    """
    parts, label = sample.key.split("/"), classes[sample.label] if sample.label is not None else None
    if parts[0] == "train" and ".." not in parts and label in (None, parts[1]):
        return Path(split, *parts[1:])
    folder = folders[label] if label is not None else ""
    return Path(split, folder, safe_name(sample.key))


def plan_links(splits: Mapping[str, Sequence[Sample]], classes: tuple[str, ...]) -> dict[Path, Sample]:
    """Every link to be made; raises DataError for classes or images that would share a place."""
    folders = name_each(classes, "classes")
    links: dict[Path, Sample] = {}
    clashes = []
    for split, samples in splits.items():
        for sample in samples:
            other = links.setdefault(place_link(sample, split, folders, classes), sample)
            if other is not sample:
                clashes.append(f"{other.key} and {sample.key}")
    if clashes:
        raise DataError(f"these images would share a link, rename one of each: {show_first(clashes)}")
    return links


def list_link_overlaps(root: Path, out: Path) -> list[str]:
    """A line when the links would lie among the photographs."""
    return find_overlaps({"--out": out}, [("--root", root)])


def link_fold(root: Path, fold: int, out: Path) -> dict[str, list[Sample]]:
    """Make the tree of links in `out`; raises DataError for no data set, ConfigError for a folder that is not ours."""
    images = scan(root, "train")
    need_files((sample.path for sample in images.samples), "a tree of links")
    splits = split_fold(images, fold)
    links = plan_links(splits, images.classes)
    refuse(list_link_overlaps(root, out)
           or [f"--out {out} holds {sample.path}, which it would be emptied of; give it a place outside"
               for sample in images.samples if lies_in(sample.path, out)][:1])
    with hold_results(out):
        claim_folder(out, "benchmarks.studies.folds", tuple(splits))
        for place, sample in links.items():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            (out / place).symlink_to(os.path.abspath(sample.path))
    return splits
