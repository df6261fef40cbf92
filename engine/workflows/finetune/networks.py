"""The networks of main_finetune.py: the one that learns, and a teacher that knows the same classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from datasets.class_names import name_key
from datasets.images import ImageSet
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.flags.finetune.checks import find_weight_file
from engine.flags.finetune.options import FinetuneOptions
from evaluation.features.extract import extract
from models.arch_names import resolve_arch
from models.classifiers.classifier import Classifier
from models.classifiers.file import SavedClassifier, load_classifier
from models.classifiers.start import start_from
from models.network import ClassNetwork
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.presets import find_preset
from models.present import check_architecture
from models.sizes import check_arch_size, check_size
from models.teachers.class_teacher import ClassTeacher, build_class_teacher
from runtime import distributed
from runtime.errors import ConfigError, WeightsError
from runtime.options import name_flags

Built = TypeVar("Built")


def build_network(options: FinetuneOptions, classes: int) -> ClassNetwork:
    """The network that learns, with its start weights; raises WeightsError, or ConfigError for impossible choices."""
    torch.manual_seed(options.seed)
    make = make_plug_in if options.method == "pim" else make_classifier
    network = explain(lambda: make(options, classes))
    with name_flags(options, "pretrained"):
        notes = start_from(network, find_weight_file(options.pretrained))
    if distributed.is_main():
        for note in notes:
            print(f"start weights: {note}")
    return network


def make_classifier(options: FinetuneOptions, classes: int) -> Classifier:
    """A timm network with a head for each branch, without weights."""
    return Classifier(options.model, classes, second_head=options.second_head, drop=options.drop,
                      drop_path=options.drop_path or 0.0, image_size=options.size,
                      head_init_scale=options.head_init_scale, layer_scale_init=options.layer_scale_init_value)


def check_fit(options: FinetuneOptions) -> None:
    """Raise WeightsError for an unknown network, or a side that it cannot look at, before an image is read."""
    check_architecture(options, "model")
    preset = find_preset(options.model) if options.method == "pim" else None
    arch = preset.arch if preset else resolve_arch(options.model)
    check_arch_size(lambda side: Classifier(arch, 2, image_size=side), arch, options.size)


def make_plug_in(options: FinetuneOptions, classes: int) -> PlugIn:
    """A backbone with the plug-in module, without weights."""
    chosen = PlugInOptions(use_fpn=options.use_fpn, fpn_size=options.fpn_size, use_selection=options.use_selection,
                           selects=options.num_selects, use_combiner=options.use_combiner,
                           combiner_size=options.comb_proj_size)
    return build_plug_in(options.model, classes, size=options.size, taps=options.taps, drop_path=options.drop_path,
                         class_token=options.class_token, options=chosen)


def explain(build: Callable[[], Built]) -> Built:
    """What `build` makes; a ValueError (of timm, or of an impossible choice) is the user's to fix."""
    try:
        return build()
    except WeightsError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def load_teacher(options: FinetuneOptions, names: Sequence[str]) -> SavedClassifier:
    """The trained teacher; raises ConfigError when its classes are not those of the data."""
    check_architecture(options, "teacher_model")
    assert options.teacher_path is not None, "`list_finetune_problems` refuses to distil from nobody"
    with name_flags(options, "teacher_path"):
        saved = load_classifier(find_weight_file(options.teacher_path), arch=options.teacher_model, size=options.size)
    check_size(saved.network, int(saved.view.get("size", options.size)))
    known = saved.class_names
    if saved.network.classes != len(names):
        raise ConfigError(f"--teacher-path {options.teacher_path} knows {saved.network.classes} classes, the data has "
                          f"{len(names)}; train it on the same data")
    strangers = [name for name, other in zip(names, known) if name_key(name) != name_key(other)]
    if strangers:
        raise ConfigError(f"--teacher-path {options.teacher_path} knows other classes, or in another order: "
                          f"{len(strangers)} differ, the first is {strangers[0]}; train it on the same data")
    return saved


def make_class_teacher(saved: SavedClassifier, options: FinetuneOptions, precision: str | None) -> ClassTeacher:
    """The teacher as the method asks it; `precision` is that of a run that is continued."""
    size = int(saved.view.get("size", options.size))
    return build_class_teacher(saved.network, size=size, precision=precision or "fp32")


def remember_answers(
    teacher: ClassTeacher, saved: SavedClassifier, images: ImageSet, options: FinetuneOptions, device: torch.device
) -> Tensor:
    """The teacher's logits [N, K] to every training image in its own evaluation view, kept under --cache."""
    view = View("full", str(saved.view.get("recipe", options.eval_view)), teacher.size)
    found = extract(lambda pixels: {"logits": teacher.encode(pixels)}, images, view, device=device,
                    batch_size=options.batch_size, workers=count_workers(options.num_workers),
                    crop_bottom=options.crop_bottom, caches=(Path(options.cache),),
                    cache_key=f"teacher/{teacher.fingerprint()}", title=f"teacher answers for {images.split} images")
    return found.tensors["logits"]
