"""What main_finetune.py looks at between epochs: validation images, or training images in the test view; never test."""

from __future__ import annotations

import torch

from datasets.images import ImageSet, sample_images
from datasets.loader import count_workers
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finetune.views import evaluation_view
from engine.monitor import measure_or_warn
from engine.workflows.finetune.images import Photographs
from evaluation.classifier.classify import Predictions, classify
from evaluation.metrics.calibration import calibrate
from evaluation.metrics.classification import score_branches
from methods.method import Method
from methods.supervised import Supervised
from models.network import ClassNetwork


class Watch:
    """watch(method, epoch): accuracies and losses of looks at images.

    Names: train_top1, val_top1, val_top5, val_loss, val_top1_<branch>, and val_top1_ema of the moving average.
    """

    def __init__(
        self, options: FinetuneOptions, photos: Photographs, device: torch.device, number_format: str
    ) -> None:
        self.options, self.photos, self.device, self.number_format = options, photos, device, number_format
        self.sample = sample_images(photos.train, options.monitor_images)

    def __call__(self, method: Method, epoch: int) -> dict[str, float]:
        """The numbers of this epoch's networks; {}, with a note, when one of them returns NaN or infinity."""
        assert isinstance(method, Supervised), "FINETUNE makes no other"
        return measure_or_warn(self.measure, method, epoch)

    def measure(self, method: Supervised) -> dict[str, float]:
        """The numbers; raises BrokenNetwork."""
        network, val = method.encoder(), self.photos.val
        row = list_epoch_scores("train", self.classify(network, self.sample))
        if val is not None:
            row |= list_epoch_scores("val", self.classify(network, val), branches=True)
        if method.averaged is not None:
            name, images = ("train", self.sample) if val is None else ("val", val)
            averaged = list_epoch_scores(name, self.classify(method.averaged, images))
            row |= {f"{key}_ema": value for key, value in averaged.items()}
        return row

    def classify(self, network: ClassNetwork, images: ImageSet) -> Predictions:
        """Predictions in the evaluation view."""
        options = self.options
        return classify(network, images, evaluation_view(options), device=self.device, precision=self.number_format,
                        workers=count_workers(options.num_workers), crop_bottom=options.crop_bottom)


def list_epoch_scores(name: str, predictions: Predictions, *, branches: bool = False) -> dict[str, float]:
    """The numbers of predictions as an epoch's row has them."""
    scores = score_branches(predictions.logits, predictions.labels)
    own = scores[predictions.answer]
    row: dict[str, float] = {f"{name}_top1": own.top1, f"{name}_top5": own.top5,
                             f"{name}_loss": calibrate(predictions.probabilities, predictions.labels).nll}
    if branches and len(scores) > 1:
        row |= {f"{name}_top1_{branch}": score.top1 for branch, score in scores.items()}
    return row
