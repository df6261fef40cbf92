"""The head's closed-form initialisation: ridge regression from the start weights' features to the teacher's.

A few dozen steps, which is all that a small data set gives, are not enough to learn a head from noise and then the
backbone through it. One regression gives the head; the steps are left for the backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.crops import Crops
from datasets.images import ImageSet
from datasets.loader import count_workers
from engine.flags.pretrain.options import PretrainOptions
from engine.workflows.build import stand_in
from evaluation.features.extract import extract
from losses.distillation import cosine_distance
from methods.lead import Lead
from models.heads import ProjectionHead
from models.teachers.guide import BankGuide
from runtime import distributed

DRAWS = 2  # augmented looks at every view
RIDGE = 0.15  # penalty for each look, in squared lengths of one row


def initialise_head(
    method: Lead, options: PretrainOptions, images: ImageSet, crops: Crops | None, device: torch.device
) -> None:
    """Fit the query encoder's head to the remembered answers, from augmented views, and give the key encoder the same.

    The guide must be a BankGuide. The backbone is looked at in eval mode, and left as it was.
    """
    assert isinstance(method.guide, BankGuide)
    looks = look_around(method, options, images, crops, device)
    seen, targets = torch.cat(looks).to(device), method.guide.bank.repeat(len(looks), 1)
    head, key_head = method.query.head, method.key.head
    assert isinstance(head, ProjectionHead) and isinstance(key_head, ProjectionHead), "LEAD's heads are MLPs"
    head.fit(seen, targets, ridge=RIDGE * len(looks), seed=options.seed)
    fitted = distributed.broadcast_object(head.state_dict())  # ranks may differ in the last bits
    head.load_state_dict(fitted)
    key_head.load_state_dict(fitted)
    if distributed.is_main():
        with torch.no_grad():
            agreement = 1 - float(cosine_distance(head(seen), targets).mean())
        print(f"head fitted to {len(targets)} looks at {len(images)} images, mean cosine {agreement:.3f}")


@torch.no_grad()
def look_around(
    method: Lead, options: PretrainOptions, images: ImageSet, crops: Crops | None, device: torch.device
) -> list[Tensor]:
    """Pooled features [N, C] of every draw of the query views: the full image's and the crop's."""
    queries = {name: view for name, view in method.views().items() if name in ("v1", "v3")}
    views = dict.fromkeys(stand_in(queries, crops).values())
    backbone, training = method.query.backbone, method.query.backbone.training
    backbone.eval()
    looks = [extract(lambda pixels: {"pooled": backbone.pool(backbone(pixels).float())}, images, view, crops=crops,
                     device=device, workers=count_workers(options.num_workers), seed=options.seed, epoch=draw,
                     crop_bottom=options.crop_bottom,
                     title=f"the student sees {images.split} images to begin its head").tensors["pooled"]
             for view in views for draw in range(DRAWS)]
    backbone.train(training)
    return looks
