"""The networks of main_finetune.py: the one that learns, and a teacher that knows the same classes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from datasets.class_names import name_key
from datasets.images import ImageSet
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.flags.finetune.checks import find_weight_file
from evaluation.features.extract import extract
from models.arch_names import resolve_arch
from models.classifiers.classifier import Classifier
from models.classifiers.file import SavedClassifier, load_classifier
from models.classifiers.start import start_from
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.presets import find_preset
from models.present import check_architecture
from models.sizes import check_arch_size, check_size
from models.teachers.class_teacher import ClassTeacher, build_class_teacher
from runtime import distributed
from runtime.errors import ConfigError, WeightsError
from runtime.given import name_flags

Built = TypeVar("Built")


def build_network(args: argparse.Namespace, classes: int) -> nn.Module:
    """The network that learns, with its start weights; raises WeightsError, or ConfigError for impossible choices."""
    torch.manual_seed(args.seed)
    network = explain(lambda: make_plug_in(args, classes) if args.method == "pim" else make_classifier(args, classes))
    with name_flags(args, "finetune"):
        notes = start_from(network, find_weight_file(args.finetune))
    if distributed.is_main():
        for note in notes:
            print(f"start weights: {note}")
    return network


def make_classifier(args: argparse.Namespace, classes: int) -> Classifier:
    """A timm network with a head for each branch, without weights."""
    return Classifier(args.model, classes, second_head=args.second_head, drop=args.drop,
                      drop_path=args.drop_path or 0.0, image_size=args.size, head_init_scale=args.head_init_scale,
                      layer_scale_init=args.layer_scale_init_value)


def check_fit(args: argparse.Namespace) -> None:
    """Raise WeightsError for an unknown network, or a side that it cannot look at, before an image is read."""
    check_architecture(args, "model")
    preset = find_preset(args.model) if args.method == "pim" else None
    arch = preset.arch if preset else resolve_arch(args.model)
    check_arch_size(lambda side: Classifier(arch, 2, image_size=side), arch, args.size)


def make_plug_in(args: argparse.Namespace, classes: int) -> PlugIn:
    """A backbone with the plug-in module, without weights."""
    options = PlugInOptions(use_fpn=args.use_fpn, fpn_size=args.fpn_size, use_selection=args.use_selection,
                            selects=args.num_selects, use_combiner=args.use_combiner, combiner_size=args.comb_proj_size)
    return build_plug_in(args.model, classes, size=args.size, taps=args.taps, drop_path=args.drop_path,
                         class_token=args.class_token, options=options)


def explain(build: Callable[[], Built]) -> Built:
    """What `build` makes; a ValueError (of timm, or of an impossible choice) is the user's to mend."""
    try:
        return build()
    except WeightsError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def load_teacher(args: argparse.Namespace, names: Sequence[str]) -> SavedClassifier:
    """The trained teacher; raises ConfigError when its classes are not those of the data."""
    check_architecture(args, "teacher_model")
    with name_flags(args, "teacher_path"):
        saved = load_classifier(find_weight_file(args.teacher_path), arch=args.teacher_model, size=args.size)
    check_size(saved.network, int(saved.view.get("size", args.size)))
    known = saved.class_names
    if saved.network.classes != len(names):
        raise ConfigError(f"--teacher-path {args.teacher_path} knows {saved.network.classes} classes, the data has "
                          f"{len(names)}; train it on the same data")
    strangers = [name for name, other in zip(names, known) if name_key(name) != name_key(other)]
    if strangers:
        raise ConfigError(f"--teacher-path {args.teacher_path} knows other classes, or in another order: "
                          f"{len(strangers)} differ, the first is {strangers[0]}; train it on the same data")
    return saved


def make_class_teacher(saved: SavedClassifier, args: argparse.Namespace, precision: str | None) -> ClassTeacher:
    """The teacher as the method asks it; `precision` is that of a run that is continued."""
    size = int(saved.view.get("size", args.size))
    return build_class_teacher(saved.network, size=size, precision=precision or "fp32")


def remember_answers(
    teacher: ClassTeacher, saved: SavedClassifier, images: ImageSet, args: argparse.Namespace, device: torch.device
) -> Tensor:
    """The teacher's logits [N, K] to every training image in its own evaluation view, kept under --cache."""
    view = View("full", str(saved.view.get("recipe", args.eval_view)), teacher.size)
    found = extract(lambda pixels: {"logits": teacher.encode(pixels)}, images, view, device=device,
                    batch_size=args.batch_size, workers=count_workers(args.num_workers), crop_bottom=args.crop_bottom,
                    cache=Path(args.cache), cache_key=f"teacher/{teacher.fingerprint()}")
    return found.tensors["logits"]
