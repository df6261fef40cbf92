"""Is it learning? Numbers read from the training split every few epochs; labels, if any, are only looked at here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.images import ImageSet
from datasets.multi_context import Crops
from datasets.views import View
from engine.evaluate.features import extract
from engine.evaluate.knn import knn_leave_one_out
from methods.method import Method


@dataclass(frozen=True)
class Monitor:
    """monitor(method, epoch): features of (a part of) the training split in the evaluation view become numbers."""

    images: ImageSet
    view: View
    device: torch.device
    number_format: str
    crops: Crops | None = None
    batch_size: int = 64
    workers: int = 0
    crop_bottom: int = 0
    knn_k: int = 20
    knn_temperature: float = 0.07

    def __call__(self, method: Method, epoch: int) -> dict[str, object]:
        """kNN accuracy (leave one out), spread and effective rank of every feature."""
        method.eval()
        found = extract(method.outputs, self.images, self.view, crops=self.crops, batch_size=self.batch_size,
                        workers=self.workers, device=self.device, precision=self.number_format,
                        crop_bottom=self.crop_bottom)
        row: dict[str, object] = {}
        for name, features in found.tensors.items():
            row[f"spread_{name}"] = spread(features)
            row[f"rank_{name}"] = effective_rank(features)
            if bool((found.labels >= 0).all()):
                row[f"knn_{name}"] = knn_leave_one_out(features, found.labels, self.knn_k, self.knn_temperature)
        return row


def spread(features: Tensor) -> float:
    """How far unit features [N, D] lie apart: sqrt(D) * mean standard deviation; 1 = over the sphere, 0 = collapsed.

    The collapse measure of SimSiam (Chen & He, arXiv 2011.10566).
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalised singular values of centred features [N, D] (RankMe, arXiv 2210.02885)."""
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    share = values / values.sum().clamp_min(1e-12)
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))
