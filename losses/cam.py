"""A class activation map without classes: where on the map the training loss itself looks (LCR, arXiv 2303.01669).

`G = relu(sum_c F_c * dL/dF_c)` is fitted by a predicted attention map A through KL(P || Q), where P and Q are the
softmaxes of G and A over positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from losses.distillation import kl_divergence
from losses.entropy import normalised_entropy

_TINY = 1e-30


@dataclass(frozen=True)
class CamFit:
    """How well attention fits the map: `loss` [B], `target_entropy` [B] in [0, 1] (1 = uniform), `valid` bool [B]."""

    loss: Tensor
    target_entropy: Tensor
    valid: Tensor


def activation_map(features: Tensor, pooled_gradient: Tensor) -> Tensor:
    """relu(sum_c F * dL/dF): map [B, C, h, w] and dL/dx [B, C] of its global average x -> float32 [B, h, w].

    Exact wherever the loss sees the map only through its average, for then dL/dF = dL/dx / (h w) at every position.
    The sign is the loss's: positions whose activation raises it. Gradient flows into `features` unless detached.
    """
    height, width = features.shape[-2:]
    product = (features.float() * pooled_gradient.float().detach()[:, :, None, None]).sum(dim=1)
    return product.relu() / (height * width)


def map_log_softmax(scores: Tensor, temperature: float = 1.0, *, rows: bool = False) -> Tensor:
    """Log-probabilities of positions: [B, h, w] -> float32 [B, 1, h w]; with `rows` each image row apart: [B, h, w]."""
    scores = scores.float() / temperature
    return (scores if rows else scores.flatten(1)[:, None]).log_softmax(dim=-1)


def scale_to_peak(scores: Tensor) -> Tensor:
    """Each non-negative map over its maximum: [B, h, w] -> [B, h, w] in [0, 1]; an all-zero map stays zero."""
    return scores / scores.amax(dim=(1, 2), keepdim=True).clamp_min(_TINY)


def fit_cam(activation: Tensor, attention: Tensor, temperature: float) -> CamFit:
    """KL(P || Q) with P = softmax(G / (max G * tau)) detached and Q = softmax(A / tau), over all positions.

    `activation` and `attention` are [B, h, w]. An all-zero activation map says nothing: its loss is 0.
    """
    valid = activation.detach().flatten(1).amax(dim=1) > 0
    log_target = map_log_softmax(scale_to_peak(activation.detach()), temperature)
    loss = kl_divergence(log_target, map_log_softmax(attention, temperature)).sum(dim=1)
    return CamFit(loss * valid, normalised_entropy(log_target).mean(dim=1), valid)


def fit_cam_attached(activation: Tensor, attention: Tensor, temperature: float = 1.0, *, rows: bool = False) -> CamFit:
    """KL(P || Q) of the maps as they are: softmax of both at `temperature`, the target neither rescaled nor detached.

    With a softmax over the columns of each row (`rows`, summed) at temperature 1 it is the public code of LEAD and of
    LCR's MoCo path, over all positions at 0.4 that of its BYOL path. With the gradient of a batch mean the target is
    within about 1e-6 of uniform.
    """
    log_target = map_log_softmax(activation, temperature, rows=rows)
    loss = kl_divergence(log_target, map_log_softmax(attention, temperature, rows=rows)).sum(dim=1)
    entropy = normalised_entropy(log_target.detach()).mean(dim=1)
    return CamFit(loss, entropy, activation.detach().flatten(1).amax(dim=1) > 0)
