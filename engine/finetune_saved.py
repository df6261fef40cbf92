"""main_finetune.py --eval: a network that was trained before, here or by a public code, on images of its classes."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from datasets.images import ImageSet
from datasets.joint import Source
from datasets.views import View
from engine import distributed
from engine.args import ConfigError
from engine.evaluate.known_classes import relabel
from engine.evaluate.trained import load_saved
from engine.finetune_data import scan_any
from engine.finetune_evaluate import Subject, report
from engine.finetune_network import find_file
from engine.prepare import check_images
from models.checkpoint_styles import CLASSIFIER_FORMAT
from models.classifier_file import SavedClassifier
from models.weights import read_checkpoint


def evaluate_saved(args: argparse.Namespace, device: torch.device) -> None:
    """Report on the network of --resume (else of --results-dir); raises ConfigError, WeightsError."""
    if args.threads:
        torch.set_num_threads(args.threads)
    source = find_saved_network(args)
    joint = scan_any(args.test_root or args.root)
    saved = open_saved(source, args)
    images = check_images(name_classes(joint.images, saved), skip_bad=args.skip_bad)
    view = View("full", args.eval_view if args.asked_view else saved.view.get("recipe", args.eval_view),
                args.size if args.asked_size else saved.view.get("size", args.size))
    sources = tuple(Source(**one) for one in saved.sources) or joint.sources
    precision = "fp32" if args.precision == "auto" else args.precision
    report(Subject(saved.network.eval(), sources, view, str(source)), images, args, device, precision=precision,
           folder=Path(args.results_dir))
    if distributed.is_main():
        print(f"tables and pictures are in {args.results_dir}")


def find_saved_network(args: argparse.Namespace) -> Path:
    """The file that --eval means: --resume's, else --results-dir's, else --finetune's; raises ConfigError."""
    named = args.resume if args.resume not in (None, "auto") else args.results_dir
    best = Path(named) / "model_best.pth"
    path = best if args.select == "best-val" and best.is_file() else Path(find_file(str(named)))
    if not path.is_file():
        raise ConfigError(f"--eval: no network at {path}; name a file or a run's folder with --resume")
    return path


def open_saved(source: Path, args: argparse.Namespace) -> SavedClassifier:
    """A network of ours, or one of the public codes', whose architecture --model names."""
    own = read_checkpoint(source).get("format") == CLASSIFIER_FORMAT
    named = argparse.Namespace(arch=None if own else args.model, size=args.size if args.asked_size else 0,
                               num_selects=list(args.num_selects.values()) or None)
    return load_saved(str(source), named)


def name_classes(images: ImageSet, saved: SavedClassifier) -> ImageSet:
    """The images under the numbers of the network's classes, by name; raises ConfigError when that cannot be."""
    if saved.class_names:
        return relabel(images, saved.class_names, saved.sources, text="the network")
    if len(images.classes) != saved.network.classes:
        raise ConfigError(f"{images.root} has {len(images.classes)} classes, the network {saved.network.classes}; its "
                          "file does not name them, so that they must be all of them, in order")
    return images
