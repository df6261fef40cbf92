"""The photographs of main_metric.py: a class-disjoint split of those that decode."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from datasets.disjoint_split import USUAL_CHOICES, DisjointSplit, flip_labels, hold_out_validation, split_classes
from datasets.images import check_images
from datasets.layouts.collections import read_collection
from datasets.views.recipes import AUGMENTATIONS, View
from engine.flags.metric.options import MetricOptions
from runtime.errors import DataError


def load_disjoint_split(options: MetricOptions) -> DisjointSplit:
    """Training, test and validation classes, all of which decode; training labels with noise where asked for.

    Raises DataError where a split is not possible.
    """
    split = split_classes(read_collection(options.root, options.dataset, "learned"), options.partition)
    whole = partial(check_images, skip_bad=options.skip_bad, crop_bottom=options.crop_bottom)
    split = replace(split, train=whole(split.train), test=whole(split.test))
    if options.use_tv_split:
        by: Literal["class", "sample"] = "sample" if options.tv_split_by_samples else "class"
        choice = USUAL_CHOICES.get(options.dataset, "even")
        split = hold_out_validation(split, options.tv_split_perc, by=by, choice=choice, seed=options.seed)
        assert split.val is not None  # that is what was held out
        if len(split.val.labels.unique()) == len(split.val):
            raise DataError(f"{options.root}: no class has two images to validate on; hold out more (--tv-split-perc "
                            f"is the share that stays in training, {options.tv_split_perc} now)")
    noisy = options.noisy_label and options.noisy_ratio
    return replace(split, train=flip_labels(split.train, options.noisy_ratio, options.seed)) if noisy else split


def eval_view(options: MetricOptions) -> View:
    """The view in which classes are searched: the augmentation's test view."""
    return View("full", AUGMENTATIONS[options.augmentation].test, options.size)
