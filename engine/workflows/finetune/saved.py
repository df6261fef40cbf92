"""main_finetune.py --eval: a network that was trained before, here or by a public code, on images of its classes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from datasets.class_names import relabel
from datasets.images import ImageSet, check_images
from datasets.joint import Source, describe_sources
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.flags.finetune.finished import REMEDY, is_own
from engine.flags.finetune.options import FinetuneOptions
from engine.workflows.finetune.images import load_photographs, scan_any
from engine.workflows.finetune.run import name_subject
from engine.workflows.report.page import refresh_pages
from evaluation.classifier.report import report
from evaluation.classifier.trained import load_saved, name_public
from evaluation.run_record import Settings, choose_evaluation_precision, read_settings
from models.classifiers.file import SavedClassifier
from models.weights.files import read_checkpoint
from models.weights.styles import CLASSIFIER_FORMAT
from runtime import distributed
from runtime.devices import use_threads
from runtime.errors import ConfigError
from runtime.options import list_given

EPOCHS = {"model_last.pth": "last", "model_best.pth": "best", "model_ema.pth": "ema"}


def evaluate_saved_classifier(options: FinetuneOptions, device: torch.device, *, keep: bool = True) -> None:
    """Report on the network of a finished run, or on a public file; raises ConfigError, WeightsError."""
    use_threads(options.threads)
    assert options.run is not None  # as --eval has it
    source = Path(options.run)
    if not source.is_file():
        raise ConfigError(f"--eval: no network at {source}; {REMEDY}")
    saved = open_saved(source, options)
    images, sources = find_images(options, saved, read_settings(source))
    view = View("full", saved.view.get("recipe", options.eval_view), saved.view.get("size", options.size))
    if not saved.meta.get("method"):  # a public file, of which the flags may say more
        view = look_as_asked(view, options)
        if "method" not in list_given(options):
            options = replace(options, method=name_public(saved.network))
    precision = choose_evaluation_precision(options, saved.meta, device)
    subject = name_subject(saved.network.eval(), sources, view, options, weights=str(source))
    report(subject, images, device, precision=precision, workers=count_workers(options.num_workers),
           crop_bottom=options.crop_bottom, folder=Path(options.results_dir), epoch=EPOCHS.get(source.name, ""),
           selection=f"{source.name} of the run", keep=keep)
    if distributed.is_main() and keep:
        refresh_pages([Path(options.results_dir)])
        print(f"tables and pictures are in {options.results_dir}")


def find_images(
    options: FinetuneOptions, saved: SavedClassifier, settings: Settings
) -> tuple[ImageSet, tuple[Source, ...]]:
    """The images of the given folders, else those that the run of `settings` was reported on; and its sources.

    Raises DataError or ConfigError where there are none.
    """
    told = tuple(Source(**one) for one in saved.sources)
    if told and is_own(options, settings):
        photos = load_photographs(replace(options, disable_eval=False))
        images = photos.test if photos.test is not None else photos.val
        if images is None:
            raise ConfigError(f"{', '.join(options.root)}: the run had no images to report on; name some with "
                              "--test-root")
        return images, told
    joint = scan_any(options.test_root or options.root)
    if told and options.val_share and not options.test_root and distributed.is_main():
        print(f"note: {options.run} kept {options.val_share:g} of its images for validation, and those of "
              f"{', '.join(options.root)} are reported on as another set: where they are the same photographs, most "
              "were trained on; --root as the run had it reports on its own part", file=sys.stderr)
    images = match_class_names(joint.images, saved)
    images = check_images(images, skip_bad=options.skip_bad, crop_bottom=options.crop_bottom)
    return images, told or joint.sources


def look_as_asked(view: View, options: FinetuneOptions) -> View:
    """The view of a public file, which flags may change."""
    given = list_given(options)
    return View("full", options.eval_view if "eval_view" in given else view.recipe,
                options.size if "size" in given else view.size)


def open_saved(source: Path, options: FinetuneOptions) -> SavedClassifier:
    """A network of ours, or one of the public codes', whose architecture --model names."""
    own = read_checkpoint(source).get("format") == CLASSIFIER_FORMAT
    return load_saved(str(source), arch=None if own else options.model, selects=tuple(options.num_selects.values()),
                      size=options.size if "size" in list_given(options) else 0)


def match_class_names(images: ImageSet, saved: SavedClassifier) -> ImageSet:
    """The images under the numbers of the network's classes, by name; raises ConfigError when that cannot be."""
    if saved.class_names:
        return relabel(images, saved.class_names, describe_sources([Source(**one) for one in saved.sources]),
                       text="the network")
    if len(images.classes) != saved.network.classes:
        raise ConfigError(f"{images.root} has {len(images.classes)} classes, the network {saved.network.classes}; its "
                          "file does not name them, so that they must be all of them, in order")
    return images
