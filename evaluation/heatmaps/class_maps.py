"""Where a trained classifier looks: a plug-in module's levels, a transformer's tokens, the evidence for a class.

Every map is stretched to 0..1 for each picture, so that all are drawn and scored alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet
from datasets.views.recipes import View
from evaluation.features.compute import Outputs
from evaluation.features.extract import extract
from evaluation.features.settings import ExtractSettings
from evaluation.heatmaps.rollout import TOKENS, attention_layers, watch_attention
from losses.cam import activation_map
from models.backbones import as_map
from models.classifiers.classifier import Classifier
from models.network import ClassNetwork
from models.plug_in.module import PlugIn

if TYPE_CHECKING:
    from typing_extensions import Unpack

# How maps are called in tables; a level's own map bears the level's name.
CAM, FUSED, OF_CLASS, SELECTED = "cam", "fused", "class_", "selected_"
LOGITS = "logits"
TRUE, PREDICTED = "true", "predicted"
WORDS = {TOKENS[0]: "attention roll-out, class token", TOKENS[1]: "attention roll-out, distillation token"}


@dataclass(frozen=True)
class Looks:
    """Maps [N, h, w] in 0..1 by name, and the logits [N, K] of the network's answer, in the order of the images."""

    maps: dict[str, Tensor]
    logits: Tensor


def look_at(
    network: ClassNetwork, images: ImageSet, view: View, *, wanted: str | int = PREDICTED,
    weights: Sequence[float] | None = None, **how: Unpack[ExtractSettings],
) -> Looks:
    """All maps of the network for the pictures; `how` goes to `extract`.

    `wanted` is the class of class maps: its number, "predicted", or "true" for each picture's label, which must exist.
    `weights` fuse a plug-in module's levels (see `fuse`).
    """
    if wanted == TRUE:
        found = extract_by_label(network, images, view, **how)
    else:
        number = None if wanted == PREDICTED else int(wanted)
        found = extract(looker(network, number), images, view, **how).tensors
    logits = found.pop(LOGITS)
    maps = {name: stretch_each(square(flat)) for name, flat in found.items()}
    return Looks(maps | fuse_levels(network, maps, weights), logits)


def extract_by_label(
    network: ClassNetwork, images: ImageSet, view: View, **how: Unpack[ExtractSettings]
) -> dict[str, Tensor]:
    """The outputs of all pictures, each asked for its own label: one class after the other."""
    parts: dict[str, list[Tensor]] = {}
    places = []
    with tqdm(total=len(images), unit="img", desc=f"maps of {images.split}", mininterval=0.5) as bar:
        for label in images.labels.unique().tolist():
            inside = (images.labels == label).nonzero().flatten()
            part = replace(images, samples=tuple(images.samples[n] for n in inside.tolist()))
            for name, value in extract(looker(network, label), part, view, bar=bar, **how).tensors.items():
                parts.setdefault(name, []).append(value)
            places.append(inside)
    order = torch.cat(places).argsort()
    return {name: torch.cat(values)[order] for name, values in parts.items()}


def looker(network: ClassNetwork, wanted: int | None) -> Outputs:
    """What `extract` calls: pictures -> flat maps [B, h w] by name, and the answer's logits [B, K].

    Class maps are of class `wanted`, None for the predicted one.
    """
    if isinstance(network, PlugIn):
        return level_looker(network, wanted)
    assert isinstance(network, Classifier), f"{type(network).__name__} is of a kind that has no maps here"
    return roll_out_looker(network) if attention_layers(network.backbone) else cam_looker(network, wanted)


def roll_out_looker(network: Classifier) -> Outputs:
    """Attention roll-out of a vision transformer, the same whatever the class."""
    def answer(images: Tensor) -> dict[str, Tensor]:
        with watch_attention(network.backbone) as rolling:
            logits = network.outputs(images)[network.answer]
        return {LOGITS: logits, **rolling.maps(network.backbone)}

    return answer


def cam_looker(network: Classifier, wanted: int | None) -> Outputs:
    """Class activation map: relu of the last map weighted by the gradient of the class's logit at its average.

    With a linear head on the average it is the weighted sum of Zhou et al. 2016 (arXiv 1512.04150), with anything
    between them (ConvNeXt's norm) Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).
    """
    def answer(images: Tensor) -> dict[str, Tensor]:
        features = network.features(images).detach()
        with torch.enable_grad():
            answers = network.classify(features.requires_grad_()).values()  # of one head, or of two
            logits = reduce(torch.add, answers)
            evidence = logits.gather(1, choose_class(logits, wanted)).sum()
            (gradient,) = torch.autograd.grad(evidence, features)
        last, slope = (as_map(network.backbone, value.detach(), images) for value in (features, gradient))
        found = activation_map(last, slope.sum(dim=(2, 3)))
        return {LOGITS: logits.detach() / len(network.heads), CAM: found.flatten(1)}

    return answer


def level_looker(network: PlugIn, wanted: int | None) -> Outputs:
    """Of every level: the largest class probability at each position, that of the class, and which were selected."""
    def answer(images: Tensor) -> dict[str, Tensor]:
        seen = network(images)
        logits = seen.levels[network.answer].mean(dim=1) if seen.combiner is None else seen.combiner
        chosen = choose_class(logits, wanted)[:, None]
        found = {LOGITS: logits}
        for name, scores in seen.levels.items():  # [B, S, K]; a class token has no place on a map
            first, shares = seen.shapes[name].prefix, scores.float().softmax(dim=2)
            found[name] = shares.amax(dim=2)[:, first:]
            found[OF_CLASS + name] = shares.gather(2, chosen.expand(-1, shares.shape[1], -1)).squeeze(2)[:, first:]
            if name in seen.selections:
                empty = torch.zeros_like(shares[..., 0])
                found[SELECTED + name] = empty.scatter(1, seen.selections[name].kept, 1.0)[:, first:]
        return found

    return answer


def choose_class(logits: Tensor, wanted: int | None) -> Tensor:
    """The class to ask for: [B, 1]."""
    if wanted is None:
        return logits.argmax(dim=1, keepdim=True)
    return torch.full((len(logits), 1), wanted, device=logits.device)


def square(flat: Tensor) -> Tensor:
    """Maps [N, h w] of square views as [N, h, w]; positions that form no square stay a column."""
    side = round(flat.shape[1] ** 0.5)
    return flat.unflatten(1, (side, side) if side * side == flat.shape[1] else (-1, 1))


def stretch_each(maps: Tensor) -> Tensor:
    """Each map [N, h, w] from its minimum, 0, to its maximum, 1; a map without differences is 0."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-12)


def level_weights(count: int) -> list[float]:
    """1 for the deepest level, twice as much for each one before it: 8, 4, 2, 1 for four, as published."""
    return [2.0 ** (count - 1 - place) for place in range(count)]


def fuse(maps: Sequence[Tensor], weights: Sequence[float], mode: str = "bilinear") -> Tensor:
    """Weighted mean of stretched maps [N, h, w], shallow to deep, at the largest grid among them, stretched again."""
    largest = max((level.shape[1:] for level in maps), key=lambda shape: shape.numel())
    grown = [F.interpolate(level[:, None], size=largest, mode=mode)[:, 0] for level in maps]
    weighted = (weight * level for weight, level in zip(weights, grown, strict=True))
    return stretch_each(reduce(torch.add, weighted) / sum(weights))


def fuse_levels(
    network: ClassNetwork, maps: Mapping[str, Tensor], weights: Sequence[float] | None
) -> dict[str, Tensor]:
    """The levels' maps as one, so too those of the class and of what was selected; {} for a network without levels."""
    if not isinstance(network, PlugIn):
        return {}
    names = [name for name in maps if not name.startswith((OF_CLASS, SELECTED))]
    given = weights or level_weights(len(names))
    found = {FUSED: fuse([maps[name] for name in names], given),
             OF_CLASS + FUSED: fuse([maps[OF_CLASS + name] for name in names], given)}
    kept = [maps[SELECTED + name] for name in names if SELECTED + name in maps]
    return found | ({SELECTED + FUSED: fuse(kept, [1.0] * len(kept), mode="nearest")} if kept else {})
