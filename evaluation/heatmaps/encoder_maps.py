"""Where an encoder looks: its predicted rationale, the CAM of its own loss, the norm of its map."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.heatmaps.class_maps import CAM
from losses.cam import activation_map, scale_to_peak
from losses.contrastive import info_nce_from_logits
from methods.byol import Byol
from models.encoder import Encoder

Losses = Callable[[Tensor, Tensor, Tensor], Tensor]
TEMPERATURE = 0.2
# How maps are called in tables; the words say what they are.
RATIONALE, NORM = "rationale", "norm"


def make_map_function(encoder: Encoder, losses: Losses | None) -> Callable[[Tensor], dict[str, Tensor]]:
    """Flat maps [B, h w] of pictures, by name: `norm`, `rationale` with a branch, `cam` with a loss.

    `losses` maps pooled features [B, C], pictures and their mirror images to a loss for each, [B].
    """
    def answer(images: Tensor) -> dict[str, Tensor]:
        encoded = encoder(images)
        found = {NORM: encoded.map.float().norm(dim=1)}
        if encoded.attention is not None:
            found[RATIONALE] = encoded.attention
        if losses is not None:
            with torch.enable_grad():
                pooled = encoded.pooled.detach().requires_grad_()
                loss = losses(pooled, images, images.flip(3))
                (gradient,) = torch.autograd.grad(loss.sum(), pooled)
            found[CAM] = scale_to_peak(activation_map(encoded.map, gradient))
        return {name: value.flatten(1) for name, value in found.items()}

    return answer


def contrast_losses(encoder: Encoder, others: Tensor) -> Losses:
    """InfoNCE of a picture and its mirror image against the other pictures, whose head rows [N, D] are `others`.

    A row that equals the picture's own is no negative.
    """
    head = encoder.head
    assert head is not None, "InfoNCE is of the head's rows"

    def losses(pooled: Tensor, images: Tensor, mirrored: Tensor) -> Tensor:
        with torch.no_grad():
            keys, own = encoder(mirrored, attend=False).known_head, encoder(images, attend=False).known_head
        query = F.normalize(head(pooled).float(), dim=1)
        positive = (query * keys).sum(dim=1, keepdim=True)
        logits = torch.cat([positive, query @ others.T], dim=1) / TEMPERATURE
        return info_nce_from_logits(logits, own @ others.T > 1 - 1e-5)

    return losses


def byol_losses(byol: Byol) -> Losses:
    """BYOL's own loss of a picture against its mirror image."""
    def losses(pooled: Tensor, images: Tensor, mirrored: Tensor) -> Tensor:
        with torch.no_grad():
            answer = byol.target(mirrored).projection
        return -F.cosine_similarity(byol.predictor(byol.online.head(pooled)).float(), answer.float(), dim=1)

    return losses
