"""Relational distillation: a teacher's similarities within a batch are the target of the student's.

Progressive self-distillation (PSD; arXiv 2206.08880, arXiv 2211.07566) with the teacher that its caller provides.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def in_single(values: Tensor) -> Tensor:
    """float16 and bfloat16 become float32; float32 and float64 stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def batch_similarity(embeddings: Tensor) -> Tensor:
    """Dot products within a batch, cosines for unit vectors: [B, D] -> at least float32 [B, B], under autocast too."""
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = in_single(embeddings)
        return rows @ rows.T


def relation_target(similarity: Tensor, temperature: float = 1.0) -> Tensor:
    """softmax(S / tau) of every row, the diagonal included, without gradient: [B, B] -> probabilities [B, B]."""
    return (in_single(similarity.detach()) / temperature).softmax(dim=1)


def relational_divergence(similarity: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(T || softmax(S / tau)) of each row in nats: similarities and target probabilities [B, B] -> [B]."""
    with torch.autocast(similarity.device.type, enabled=False):
        target = in_single(target.detach())
        log_student = (in_single(similarity) / temperature).log_softmax(dim=1)
        return F.kl_div(log_student, target, reduction="none").sum(dim=1)
