"""main_finetune.py --eval: a network that was trained before, here or by a public code, on images of its classes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from datasets.class_names import relabel
from datasets.images import ImageSet, check_images
from datasets.joint import Source
from datasets.views.recipes import View
from engine.flags.finetune.finished import REMEDY, is_own
from engine.workflows.finetune.images import load_photographs, scan_any
from evaluation.classifier.report import ReportedClassifier, report
from evaluation.classifier.trained import load_saved, name_public
from evaluation.run_record import choose_evaluation_precision, read_settings
from models.classifiers.file import SavedClassifier
from models.weights.files import read_checkpoint
from models.weights.styles import CLASSIFIER_FORMAT
from runtime import distributed
from runtime.errors import ConfigError
from runtime.given import list_given

EPOCHS = {"model_last.pth": "last", "model_best.pth": "best", "model_ema.pth": "ema"}


def evaluate_saved_classifier(args: argparse.Namespace, device: torch.device, *, keep: bool = True) -> None:
    """Report on the network of a finished run, or on a public file; raises ConfigError, WeightsError."""
    if args.threads:
        torch.set_num_threads(args.threads)
    source = Path(args.run)
    if not source.is_file():
        raise ConfigError(f"--eval: no network at {source}; {REMEDY}")
    saved = open_saved(source, args)
    images, sources = find_images(args, saved)
    view = View("full", saved.view.get("recipe", args.eval_view), saved.view.get("size", args.size))
    if not saved.meta.get("method"):  # a public file, of which the flags may say more
        view = look_as_asked(view, args)
        args.method = args.method if "method" in list_given(args) else name_public(saved.network)
    precision = choose_evaluation_precision(args, saved.meta, device)
    subject = ReportedClassifier(saved.network.eval(), sources, view, str(source))
    report(subject, images, args, device, precision=precision, folder=Path(args.results_dir),
           epoch=EPOCHS.get(source.name, ""), selection=f"{source.name} of the run", keep=keep)
    if distributed.is_main() and keep:
        print(f"tables and pictures are in {args.results_dir}")


def find_images(args: argparse.Namespace, saved: SavedClassifier) -> tuple[ImageSet, tuple[Source, ...]]:
    """The images of the folders that were given, else those that the run itself was reported on; and its sources.

    Raises DataError or ConfigError where there are none.
    """
    told = tuple(Source(**one) for one in saved.sources)
    if told and is_own(args, read_settings(Path(args.run))):
        photos = load_photographs(argparse.Namespace(**{**vars(args), "disable_eval": False}))
        images = photos.test if photos.test is not None else photos.val
        if images is None:
            raise ConfigError(f"{', '.join(args.root)}: the run had no images to report on; name some with --test-root")
        return images, told
    joint = scan_any(args.test_root or args.root)
    if told and args.val_share and not args.test_root and distributed.is_main():
        print(f"note: {args.run} kept {args.val_share:g} of its images for validation, and those of "
              f"{', '.join(args.root)} are reported on as another set: where they are the same photographs, most were "
              "trained on; --root as the run had it reports on its own part", file=sys.stderr)
    images = check_images(match_class_names(joint.images, saved), skip_bad=args.skip_bad, crop_bottom=args.crop_bottom)
    return images, told or joint.sources


def look_as_asked(view: View, args: argparse.Namespace) -> View:
    """The view of a public file, which flags may change."""
    given = list_given(args)
    return View("full", args.eval_view if "eval_view" in given else view.recipe,
                args.size if "size" in given else view.size)


def open_saved(source: Path, args: argparse.Namespace) -> SavedClassifier:
    """A network of ours, or one of the public codes', whose architecture --model names."""
    own = read_checkpoint(source).get("format") == CLASSIFIER_FORMAT
    named = argparse.Namespace(arch=None if own else args.model, size=args.size if "size" in list_given(args) else 0,
                               num_selects=list(args.num_selects.values()) or None)
    return load_saved(str(source), named)


def match_class_names(images: ImageSet, saved: SavedClassifier) -> ImageSet:
    """The images under the numbers of the network's classes, by name; raises ConfigError when that cannot be."""
    if saved.class_names:
        return relabel(images, saved.class_names, saved.sources, text="the network")
    if len(images.classes) != saved.network.classes:
        raise ConfigError(f"{images.root} has {len(images.classes)} classes, the network {saved.network.classes}; its "
                          "file does not name them, so that they must be all of them, in order")
    return images
