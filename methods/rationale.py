"""Fitting a rationale branch to the activation map of the training loss itself (LCR, arXiv 2303.01669)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from losses.cam import CamFit, activation_map, fit_cam, fit_cam_attached
from models.attention import RationaleBranch
from models.encoder import Encoded

# The target does not depend on the gradient's scale; 1024 keeps it above fp16's smallest numbers.
SCALE = 1024
PUBLISHED_TEMPERATURE = {"rows": 1.0, "positions": 0.4}
Cam = Literal["peak", "rows", "positions"]


@dataclass(frozen=True, kw_only=True)
class RationaleOptions:
    """What LCR lets its user choose; the defaults are ours.

    `cam` "peak": the map of the summed loss, each image's scaled to its peak, a constant, one softmax over all
    positions at `temperature`, and `weight` x `reference_batch` times the mean over images. "rows" and "positions" are
    the public MoCo and BYOL code: the map of the mean loss as it is, attached, a softmax over each row at 1 or over all
    positions at 0.4, summed over the local batch and weighed with `weight`.
    `sign` "loss" looks where activation raises the loss (as published), "similarity" where it lowers it.
    `normalise` whose minimum and maximum bring attention to [0, 1]; `width` of the branch.
    """

    weight: float = 0.01
    reference_batch: int = 128
    cam: Cam = "peak"
    temperature: float = 0.1
    sign: Literal["loss", "similarity"] = "loss"
    normalise: Literal["image", "batch"] = "image"
    width: int = 32

    @classmethod
    def seed(cls, cam: Cam, **changes: object) -> RationaleOptions:
        """The public code's arithmetic: `cam` "rows" is its MoCo path, "positions" its BYOL path."""
        change: Callable[..., RationaleOptions] = replace
        return change(cls(cam=cam, normalise="batch"), **changes)

    @property
    def sums_up(self) -> bool:
        """Whether the term is a sum over the local batch."""
        return self.cam != "peak"

    @property
    def couples_batch(self) -> bool:
        """Whether an image's term depends on the others of its batch."""
        return self.sums_up or self.normalise == "batch"

    def make_branch(self, channels: int) -> RationaleBranch:
        """The branch on a map of that many channels."""
        return RationaleBranch(channels, self.width, self.normalise)


@dataclass(frozen=True)
class Rationale:
    """The CAM term [] before its weight, its weight, and numbers worth logging."""

    term: Tensor
    weight: float
    stats: dict[str, Tensor]


def fit_rationale(
    view: Encoded, loss: Tensor, options: RationaleOptions, path: Literal["rows", "positions"]
) -> Rationale:
    """The term that teaches `view.attention` [B, h, w], from per-sample losses [B] that depend on `view.pooled`.

    Both targets' entropies are among the numbers: `cam_entropy` of ours, `cam_entropy_seed` of the one that the public
    code fits on this `path`, "rows" for MoCo and "positions" for BYOL.
    """
    direction = 1.0 if options.sign == "loss" else -1.0
    (gradient,) = torch.autograd.grad(direction * SCALE * loss.sum(), view.pooled, retain_graph=True)
    features = view.map if options.sums_up else view.map.detach()
    activation = activation_map(features, gradient / (SCALE * len(loss)))  # of the mean loss, as published
    ours = fit_cam(activation, view.known_attention, options.temperature)
    seed = fit_published(activation, view.known_attention, path if options.cam == "peak" else options.cam)
    stats = describe_targets(ours, seed)
    if options.sums_up:
        return Rationale(seed.loss.sum(), options.weight, stats)
    return Rationale(ours.loss.mean(), options.weight * options.reference_batch, stats)


def fit_published(activation: Tensor, attention: Tensor, cam: Literal["rows", "positions"]) -> CamFit:
    """The public code's KL of one path, map [B, h, w] of the mean loss against attention [B, h, w]."""
    return fit_cam_attached(activation, attention, PUBLISHED_TEMPERATURE[cam], rows=cam == "rows")


def describe_targets(ours: CamFit, seed: CamFit) -> dict[str, Tensor]:
    """Entropies in [0, 1] of both targets over the images that have one (1 = uniform), and the share that has one."""
    count = ours.valid.sum().clamp_min(1)
    return {
        "cam_entropy": (ours.target_entropy * ours.valid).sum() / count,
        "cam_entropy_seed": (seed.target_entropy * seed.valid).sum() / count,
        "cam_valid": ours.valid.float().mean(),
    }
