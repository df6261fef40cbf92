"""What stands before the first step of LEAD: the teacher's answers, prototypes, and their temperature.

A continued run takes all of it from its checkpoint and asks no teacher for what it knows already.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.loader import count_workers
from datasets.views.recipes import View
from engine.checkpoint import ResumeState
from engine.flags.pretrain.options import PretrainOptions
from evaluation.features.extract import extract
from models.teachers.build import build_teacher
from models.teachers.clip import ClipTeacher
from models.teachers.frozen import FrozenTeacher
from models.teachers.guide import BankGuide, Guide, LiveGuide, Prototypes
from models.teachers.neighbours import smooth_by_neighbours
from models.teachers.prototypes import (
    Space,
    default_prototype_count,
    fit_space,
    kmeans_prototypes,
    mean_entropy,
    temperature_for_entropy,
)
from runtime import distributed
from runtime.errors import ConfigError
from text.options import TEXT_TEMPERATURE
from text.tensor import ensure_text_tensor, load_text, order_rows


class Asking(Protocol):
    """The options that say how a teacher looks at images, whichever command they are of."""

    @property
    def teacher(self) -> str: ...
    @property
    def teacher_norm(self) -> str: ...
    @property
    def teacher_size(self) -> int: ...
    @property
    def num_workers(self) -> int | str: ...
    @property
    def crop_bottom(self) -> int: ...
    @property
    def cache(self) -> str: ...


class TeacherInputs(Protocol):
    """Images and crops that a teacher looks at; `answers` [N, F] keeps what it said of them, once it was asked."""

    train: ImageSet
    crops: Crops | None
    answers: Tensor | None


def build_guide(
    options: PretrainOptions, inputs: TeacherInputs, device: torch.device, saved: ResumeState | None
) -> Guide:
    """LEAD's guide as the flags ask for it, or as the checkpoint `saved` remembers it."""
    if saved is not None:
        return restore_guide(options, saved["method"], str(saved["identity"]["teacher_precision"]), device)
    teacher = make_guide_teacher(options, device)
    if options.teacher == "clip":
        return guide_by_text(options, teacher, inputs, device)
    return guide_by_images(options, teacher, ask_once(options, teacher, inputs, device))


def restore_guide(
    options: PretrainOptions, state: Mapping[str, Tensor], precision: str, device: torch.device
) -> Guide:
    """The guide whose tensors lie in a method's state dict; a live one gets its frozen teacher again."""
    own = {name.removeprefix("guide."): value for name, value in state.items() if name.startswith("guide.")}
    names = sorted({name.split(".")[1] for name in own if name.startswith("prototypes.")})
    prototypes = {name: Prototypes(own[f"prototypes.{name}.rows"], float(own[f"prototypes.{name}.temperature"]),
                                   unit=False) for name in names}
    if "bank" in own:
        return BankGuide(own["bank"], prototypes)
    space = Space(own["mean"], own["components"]) if "components" in own else None
    return LiveGuide(make_guide_teacher(options, device, precision), prototypes, space)


def make_guide_teacher(options: PretrainOptions, device: torch.device, precision: str | None = None) -> FrozenTeacher:
    """The frozen teacher. Answers that are kept are taken in float32, so that two machines keep the same ones."""
    kept = options.teacher_view == "clean" and options.teacher != "clip"
    assert options.teacher_weights is not None, "`list_pretrain_problems` refuses a teacher without weights"
    build = partial(build_teacher, options.teacher, weights=options.teacher_weights, clip_arch=options.teacher_arch,
                    norm=options.teacher_norm, size=options.teacher_size or None, device=device)
    wanted = "fp32" if kept else precision or options.teacher_precision
    if wanted == "auto" and distributed.is_on():  # ranks would time, and choose, each for itself
        mine = build(precision="auto").precision if distributed.is_main() else ""
        wanted = distributed.broadcast_object(mine)
    return build(precision=wanted)


def guide_by_text(
    options: PretrainOptions, teacher: FrozenTeacher, inputs: TeacherInputs, device: torch.device
) -> Guide:
    """CLIP and class descriptions; with `--prototypes both` also centroids of CLIP's own image features."""
    assert options.text_load is not None, "`list_pretrain_problems` sees to it"
    teacher = cast(ClipTeacher, teacher)  # the only teacher of that name, see `build_teacher`
    path = ensure_text_tensor(options.text_load, teacher, options.teacher_arch)
    text = load_text(path, teacher=teacher, rows=options.num_classes or None, as_stored=options.rows_as_stored)
    rows = order_rows(text, inputs.train) if options.text_rows == "classes" else text.rows
    temperature = TEXT_TEMPERATURE if options.temperature is None else options.temperature
    prototypes = {"text": Prototypes(rows, temperature, unit=not options.rows_as_stored)}
    clean, both = options.teacher_view == "clean", options.prototypes == "both"
    if not (clean or both):
        return LiveGuide(teacher, prototypes)
    answers = smooth_answers(options, F.normalize(ask_once(options, teacher, inputs, device), dim=1))
    if both:
        prototypes["image"] = cluster(options, answers)
    return BankGuide(answers, prototypes) if clean else LiveGuide(teacher, prototypes)


def guide_by_images(options: PretrainOptions, teacher: FrozenTeacher, features: Tensor) -> Guide:
    """The vocabulary-free mode: an image teacher, centroids of its features [N, F] in a space fitted to them."""
    try:
        dim = choose_dim(options, len(features))
        space = distributed.broadcast_object(fit_space(
            features, dim, parts=teacher.widths, whiten=options.teacher_whiten))
    except ValueError as error:
        raise ConfigError(f"{'--moco-dim' if options.moco_dim else '--teacher-dim'}: {error}") from error
    answers = smooth_answers(options, space.project(features))
    prototypes = {"image": cluster(options, answers)}
    return BankGuide(answers, prototypes) if options.teacher_view == "clean" else LiveGuide(teacher, prototypes, space)


def choose_dim(options: PretrainOptions, images: int) -> int | None:
    """How many directions of an image teacher's features are kept; None = what `fit_space` takes by itself."""
    if options.moco_dim is not None:
        return options.moco_dim
    return None if options.teacher_dim is None else min(options.teacher_dim, max(images - 1, 1))


def smooth_answers(options: PretrainOptions, answers: Tensor) -> Tensor:
    """The teacher's unit rows [N, D], each drawn towards its neighbours' where `--neighbours` asks for it."""
    if not options.neighbours:
        return answers
    count = max(1, min(10, len(answers) // 20)) if options.neighbours == "auto" else options.neighbours
    try:
        return distributed.broadcast_object(smooth_by_neighbours(answers, count, options.neighbour_steps))
    except ValueError as error:
        raise ConfigError(f"--neighbours: {error}") from error


def teacher_precision(guide: Guide | None) -> str:
    """The number format of a guide's live teacher, for the checkpoint: measured once, then the same for ever."""
    return guide.teacher.precision if isinstance(guide, LiveGuide) else "fp32"


def ask_once(
    options: PretrainOptions, teacher: FrozenTeacher, inputs: TeacherInputs, device: torch.device
) -> Tensor:
    """The teacher's answers for the training images, asked for only if nobody has: trust, guide and judge need them."""
    if inputs.answers is None:
        inputs.answers = ask(options, teacher, inputs.train, inputs.crops, device)
    return inputs.answers


def ask(
    options: Asking, teacher: FrozenTeacher, images: ImageSet, crops: Crops | None, device: torch.device
) -> Tensor:
    """The teacher's answer for each image's clean crop [N, F], kept on disk under `--cache`."""
    view = View("crop" if crops is not None else "full", "eval", teacher.size)
    key = f"{teacher.fingerprint()}/{options.teacher}/{teacher.precision}/{options.teacher_norm}/{options.teacher_size}"
    found = extract(lambda pixels: {"teacher": teacher.encode(pixels)}, images, view, crops=crops, device=device,
                    workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom,
                    caches=(Path(options.cache),) if options.cache != "none" else (), cache_key=key,
                    title=f"teacher {options.teacher} answers for {images.split} images")
    if distributed.is_main():
        speed = f"{found.images_per_second:.1f} images/s{' (remembered)' * found.cached}"
        print(f"teacher {options.teacher}: {len(images)} images at {teacher.size} px in {teacher.precision}, {speed}")
    return found.tensors["teacher"]


def cluster(options: PretrainOptions, answers: Tensor) -> Prototypes:
    """k-means prototypes of unit rows [N, D] and the temperature that meets `--target-entropy`."""
    automatic = options.prototypes in ("auto", "both")
    count = default_prototype_count(len(answers)) if automatic else int(options.prototypes)
    try:
        rows = kmeans_prototypes(answers, count, options.seed)
        tau = options.temperature
        tau = temperature_for_entropy(answers, rows, options.target_entropy) if tau is None else tau
        rows, tau = distributed.broadcast_object((rows, tau))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if distributed.is_main():
        print(f"{count} prototypes of width {rows.shape[1]}, temperature {tau:.4f}, "
              f"mean normalised entropy {mean_entropy(answers, rows, tau):.3f}")
    return Prototypes(rows, tau)
