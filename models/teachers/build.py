"""Teachers by name: timm networks, the kinds of TEACHERS, and ensembles of both."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.arch_names import resolve_arch
from models.backbones import Backbone, build_backbone
from models.sizes import build_without_memory, check_size
from models.teachers.clip import ClipTeacher, has_quick_gelu, read_text_tensor
from models.teachers.frozen import (
    PRECISIONS,
    EnsembleTeacher,
    FrozenTeacher,
    ImageTeacher,
    TeacherLook,
    set_norm,
    settle_precision,
)
from models.teachers.pretrained_clip import build_clip, check_clip
from models.weights.usual import CLIP_ARCH
from runtime.errors import WeightsError

__all__ = ["ClipTeacher", "EnsembleTeacher", "FrozenTeacher", "ImageTeacher", "build_teacher", "has_quick_gelu",
           "read_text_tensor"]

NORMS = ("own", "student")


@dataclass(frozen=True)
class TeacherKind:
    """How teachers of a kind are built, and refused before anything is built, from the name after "kind:".

    `build` gets name, weights and TeacherLook; `check` gets name and TeacherLook, and raises WeightsError. With
    `has_weights` False there is nothing to load, and nobody is warned that nothing was.
    """

    build: Callable[[str, str | Path, TeacherLook], FrozenTeacher]
    check: Callable[[str, TeacherLook], None]
    has_weights: bool = True


def build_image_teacher(arch: str, weights: str | Path, look: TeacherLook) -> ImageTeacher:
    """A timm network as a teacher."""
    backbone = build_backbone(arch, weights, device=look.device)
    config = backbone.net.pretrained_cfg
    size = look.size or (config.get("test_input_size") or config["input_size"])[-1]
    check_size(backbone, size, flag="--teacher-size")
    set_norm(backbone.mean, backbone.std, look.norm)
    precision = settle_precision(backbone, look.precision, size)
    return ImageTeacher(backbone, size=size, dim=backbone.num_features, precision=precision)


def check_image_teacher(arch: str, look: TeacherLook) -> None:
    """Raise WeightsError for a name that timm does not know, or a side that the network cannot look at."""
    known = resolve_arch(arch)
    if look.size is not None:
        check_size(build_without_memory(lambda: Backbone(known)), look.size, flag="--teacher-size")


# By the word before the colon; any other word is the name of a timm network.
TEACHERS: dict[str, TeacherKind] = {
    "clip": TeacherKind(build_clip, check_clip),
}
TIMM = TeacherKind(build_image_teacher, check_image_teacher)


def build_teacher(
    spec: str,
    *,
    weights: str | Path,
    clip_arch: str = CLIP_ARCH,
    norm: str = "own",
    precision: str = "auto",
    size: int | None = None,
    device: str | torch.device = "cpu",
) -> FrozenTeacher:
    """A frozen teacher: `spec` is "clip", "clip:<open_clip name>", another of TEACHERS, a timm name, or several joined
    by "+".

    `weights`: a source as for a backbone (an ensemble: one per member, joined by "+"). `norm` "student" feeds the
    network images normalised by ImageNet's mean and std, as LEAD's public code does. `precision` fp32, bf16, or auto:
    whichever answers faster on this device; an ensemble's may be joined by "+" as well. Raises WeightsError.
    """
    if norm not in NORMS or not set(precision.split("+")) <= {*PRECISIONS, "auto"}:
        raise WeightsError(f"teacher norm is one of {', '.join(NORMS)}, its precision one of auto, fp32, bf16")
    look = TeacherLook(norm=norm, precision=precision, size=size, device=device, clip_arch=clip_arch)
    if "+" not in spec:
        return _build_one(spec, weights, look)
    pairs = _split_sources(spec, str(weights))
    formats = precision.split("+") if "+" in precision else [precision] * len(pairs)
    members = [_build_one(name, source, replace(look, precision=each))
               for (name, source), each in zip(pairs, formats, strict=True)]
    return EnsembleTeacher(members)


def check_teacher(spec: str, clip_arch: str, size: int | None) -> None:
    """Raise WeightsError for one teacher's unknown name, or a side that it cannot look at, before anything is built."""
    kind, name = find_kind(spec)
    kind.check(name, TeacherLook(norm="own", precision="auto", size=size, device="cpu", clip_arch=clip_arch))


def find_kind(spec: str) -> tuple[TeacherKind, str]:
    """The kind of one teacher, and its name within the kind: "" where there is only the kind's word."""
    word, _, name = spec.partition(":")
    return (TEACHERS[word], name) if word in TEACHERS else (TIMM, spec)


def _build_one(spec: str, weights: str | Path, look: TeacherLook) -> FrozenTeacher:
    kind, name = find_kind(spec)
    if kind.has_weights and str(weights) == "none":
        warnings.warn(f"teacher {spec} has random weights: it teaches nothing", stacklevel=3)
    return kind.build(name, weights, look)


def _split_sources(spec: str, weights: str) -> list[tuple[str, str]]:
    names, sources = spec.split("+"), weights.split("+")
    if len(sources) == 1 and weights in {"hub", "none"}:
        sources *= len(names)
    if len(sources) != len(names):
        raise WeightsError(f"{spec} has {len(names)} members and {len(sources)} weights; join one source each by '+'")
    return list(zip(names, sources, strict=True))
