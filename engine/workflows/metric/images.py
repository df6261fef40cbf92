"""The photographs of main_metric.py: a class-disjoint split of those that decode."""

from __future__ import annotations

import argparse
from dataclasses import replace

from datasets.disjoint_split import USUAL_CHOICES, DisjointSplit, flip_labels, hold_out_validation, split_classes
from datasets.images import check_images
from datasets.layouts.collections import read_collection
from runtime.errors import DataError


def load_disjoint_split(args: argparse.Namespace) -> DisjointSplit:
    """Training, test and validation classes, all of which decode; training labels with noise where asked for.

    Raises DataError where a split is not possible.
    """
    split = split_classes(read_collection(args.root, args.dataset, "learned"), args.partition)
    split = replace(split, train=check_images(split.train, skip_bad=args.skip_bad, crop_bottom=args.crop_bottom),
                    test=check_images(split.test, skip_bad=args.skip_bad, crop_bottom=args.crop_bottom))
    if args.use_tv_split:
        by = "sample" if args.tv_split_by_samples else "class"
        split = hold_out_validation(split, args.tv_split_perc, by=by, choice=USUAL_CHOICES.get(args.dataset, "even"),
                                    seed=args.seed)
        if len(split.val.labels.unique()) == len(split.val):
            raise DataError(f"{args.root}: no class has two images to validate on; hold out more (--tv-split-perc is "
                            f"the share that stays in training, {args.tv_split_perc} now)")
    noisy = args.noisy_label and args.noisy_ratio
    return replace(split, train=flip_labels(split.train, args.noisy_ratio, args.seed)) if noisy else split


