"""main_finetune.py --eval: which network it means, and the settings that it was trained with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finished import find_contradictions, settle_flags
from evaluation.run_record import ARGS, Finished, Settings, as_list, find_network, find_photographs, open_selected
from models.plug_in.published import is_public_pim
from models.weights.files import read_checkpoint
from models.weights.styles import CLASSIFIER_FORMAT
from runtime.options import list_given

REMEDY = "--eval RUN, or --resume, or --results-dir, names a file or the folder of a finished run"
# What may be otherwise when a finished run is evaluated: other photographs of its classes, which meet them by name;
# which of its networks; in which number format; and what only training asks for.
FREE = frozenset({"root", "test_root", "data_set", "nb_classes", "select", "precision", "use_amp",
                  "pretrained", "teacher_path", "teacher_model", "skip_bad", "monitor_every", "save_every",
                  "monitor_images",
                  "disable_eval", "teacher_cache", "model_ema"})


def find_finished_classifier(args: argparse.Namespace) -> Finished | None:
    """The network that --eval means, whose run says what no flag does; None in training.

    `run` becomes its file, `method` that of a public file. Rows go to the run's folder unless --results-dir is given.
    None also where there is no such file.
    """
    asked, args.run, given = args.eval, None, list_given(args)
    args.eval = bool(asked)
    if not args.eval:
        return None
    named = asked if isinstance(asked, str) else args.resume if args.resume not in (None, "auto") else args.results_dir
    selected = args.select if "select" in given else None
    file = find_network(named, best=selected == "best-val")
    args.run = str(file)
    if not file.is_file():  # `evaluate_saved_classifier` says so
        return None
    saved = open_selected(named, selected, remedy=REMEDY)
    args.run = str(saved.network)
    if "results_dir" not in given:
        args.results_dir = str(saved.results)
    own = is_own(args, saved.settings)
    # Other folders take the place of all that the run read: its own would be reported on in their stead.
    settle_flags(args, saved.settings, keep=() if own else {"data_set", "root", "test_root"})
    if own and saved.folder is not None:
        find_photographs([folder for name in ("root", "test_root") if name not in given
                          for folder in as_list(saved.settings.get(name))], saved.folder / ARGS)
    if not saved.settings:
        take_public_file(args, saved.network)
    return saved


def is_own(args: FinetuneOptions | argparse.Namespace, settings: Settings) -> bool:
    """Whether the given folders, where some are, are those of the run itself: then its own split is reported on."""
    return all(places(getattr(args, name)) == places(settings.get(name)) for name in ("root", "test_root")
               if name in list_given(args))


def places(folders: object) -> list[str]:
    """Folders in one spelling."""
    return [os.path.realpath(folder) for folder in as_list(folders)]


def take_public_file(args: argparse.Namespace, file: Path) -> None:
    """What a file that tells nothing lets one see: whether it holds a plug-in module."""
    content = read_checkpoint(file)
    if content.get("format") != CLASSIFIER_FORMAT and is_public_pim(content) and "method" not in list_given(args):
        args.method = "pim"


def list_contradictions(args: argparse.Namespace, saved: Finished | None) -> list[str]:
    """A line for every given flag that is not what the run had; none in training."""
    return find_contradictions(args, saved.settings, saved.network, free=FREE) if saved is not None else []
