"""The photographs of main_finetune.py: one set or several as one, in parts to train, to watch and to report on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from datasets.class_names import relabel
from datasets.disjoint_split import choose_per_class
from datasets.images import ImageSet, check_images, first_split, has_split, need_classes, scan
from datasets.joint import Joint, Source, describe_sources, join
from engine.flags.finetune.options import FinetuneOptions
from runtime import distributed
from runtime.errors import ConfigError, DataError


@dataclass(frozen=True)
class Photographs:
    """Images to train on, to watch (None without a validation part) and to report on (None where there are none).

    All have the same classes; `sources` are the joined sets they come from.
    """

    train: ImageSet
    val: ImageSet | None
    test: ImageSet | None
    sources: tuple[Source, ...]


def load_photographs(options: FinetuneOptions) -> Photographs:
    """The parts that the flags ask for, all of which decode; raises DataError, or ConfigError for a class count."""
    names = name_sources(options.root, options.data_set)
    joined = join([scan(root, "train", "learned") for root in options.root], names)
    train, count = joined.images, len(joined.images.classes)
    need_classes(train)
    if not train.classes or bool((train.labels < 0).any()):
        raise DataError(f"{', '.join(options.root)}: training images without a class; put them into class folders")
    if options.nb_classes and options.nb_classes != count:
        raise ConfigError(f"--nb-classes {options.nb_classes}, but {', '.join(options.root)} has {count} classes; "
                          "leave the flag out, or look whether this is the right folder")
    held_out = options.val_share > 0
    train, val = split_off(train, options.val_share, options.seed) if held_out else (train, find_val(options, names))
    test = None if options.disable_eval else find_test(options, names, joined)
    whole = partial(check_images, skip_bad=options.skip_bad, crop_bottom=options.crop_bottom)
    train, val, test = whole(train), val and whole(val), test and whole(test)
    return Photographs(train, None if options.disable_eval else val, test, joined.sources)


def name_sources(roots: Sequence[str], given: Sequence[str]) -> list[str]:
    """A name for every folder: --data-set's, else the folder's own."""
    return [Path(root).resolve().name if name == "FOLDER" else name
            for root, name in zip(roots, given or ["FOLDER"] * len(roots), strict=True)]


def split_off(images: ImageSet, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Training images and the share of every class that is kept for validation; raises DataError if that is nothing."""
    stays = choose_per_class(images.labels.tolist(), 1 - share, "random", seed)
    parts = [tuple(sample for place, sample in enumerate(images.samples) if (place in stays) == kept)
             for kept in (True, False)]
    if not parts[1]:
        raise DataError(f"{images.root}: --val-share {share:g} of classes with a single image is nothing; leave it out")
    return replace(images, samples=parts[0]), replace(images, split="val", samples=parts[1])


def find_val(options: FinetuneOptions, names: Sequence[str]) -> ImageSet | None:
    """The data sets' own validation splits, where all have one with labels."""
    found = [images for root in options.root if (images := scan_labelled(root, "val")) is not None]
    return join(found, names).images if len(found) == len(options.root) else None


def find_test(options: FinetuneOptions, names: Sequence[str], trained: Joint) -> ImageSet | None:
    """The images to report on: --test-root's under the training classes, else test splits; None where there are none.

    Raises DataError for classes that are not trained, or when only some of the sets have a test split.
    """
    if options.test_root:
        return relabel(scan_any(options.test_root).images, trained.images.classes, describe_sources(trained.sources),
                       text="the training images")
    found = {root: images for root in options.root if (images := scan_labelled(root, "test")) is not None}
    without = [root for root in options.root if root not in found]
    if not found:
        return None
    if without:
        raise DataError(f"{', '.join(without)}: no test split, but the other sets have one; add labelled test "
                        "folders, or name all test images with --test-root")
    return join([found[root] for root in options.root], names).images


def scan_labelled(root: str, split: str) -> ImageSet | None:
    """A split to score on; None where there is none, or (with a note) where none of its images has a label."""
    if not has_split(root, split):
        return None
    images = scan(root, split, "learned")
    if bool((images.labels >= 0).any()):
        return images
    if distributed.is_main():
        print(f"note: the {len(images)} {split} images of {root} have no labels (as in competitions), so they are left "
              "out; tools.infer answers them, --test-root names labelled ones", file=sys.stderr)
    return None


def scan_any(roots: Sequence[str]) -> Joint:
    """The images of folders given for evaluation: their test split, else val, else everything, if it has labels."""
    sets = [scan(root, first_split(root, "test", "val", "train", labelled=True)) for root in roots]
    return join([replace(images, split="test") for images in sets], name_sources(roots, ()))






