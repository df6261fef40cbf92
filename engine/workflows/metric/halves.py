"""The photographs of main_metric.py: halves of classes that decode, and the view in which they are searched."""

from __future__ import annotations

import argparse
from dataclasses import replace

from datasets.halves import USUAL_CHOICES, Halves, flip_labels, halve, hold_out_validation
from datasets.images import check_images
from datasets.layouts.collections import read_collection
from runtime.errors import DataError


def load_halves(args: argparse.Namespace) -> Halves:
    """Training, test and validation classes, all of which decode; training labels with noise where asked for.

    Raises DataError where a split is not possible.
    """
    halves = halve(read_collection(args.root, args.dataset, "learned"), args.partition)
    halves = replace(halves, train=check_images(halves.train, skip_bad=args.skip_bad, crop_bottom=args.crop_bottom),
                     test=check_images(halves.test, skip_bad=args.skip_bad, crop_bottom=args.crop_bottom))
    if args.use_tv_split:
        by = "sample" if args.tv_split_by_samples else "class"
        halves = hold_out_validation(halves, args.tv_split_perc, by=by, choice=USUAL_CHOICES.get(args.dataset, "even"),
                          seed=args.seed)
        if len(halves.val.labels.unique()) == len(halves.val):
            raise DataError(f"{args.root}: no class has two images to validate on; hold out more (--tv-split-perc is "
                            f"the share that stays in training, {args.tv_split_perc} now)")
    noisy = args.noisy_label and args.noisy_ratio
    return replace(halves, train=flip_labels(halves.train, args.noisy_ratio, args.seed)) if noisy else halves


