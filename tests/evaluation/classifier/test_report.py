"""What a report says of predictions."""

from __future__ import annotations

import torch

from datasets.joint import Source
from evaluation.classifier.classify import Predictions
from evaluation.classifier.report import detail_sources


def test_sources_rank_classes_whose_probabilities_vanish() -> None:
    # Beside the first class all probabilities are 0 in float32; the label is the second most likely of eight.
    logits = torch.tensor([[300.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 50.0]])
    predictions = Predictions(["a.jpg"], torch.tensor([7]), "cls", {"cls": logits}, logits.softmax(dim=1), {}, {},
                              (Source("birds", 0, 4), Source("dogs", 4, 4)), 1.0)
    assert (predictions.probabilities[0, 1:] == 0).all()
    assert detail_sources(predictions)["sources"] == {"dogs": {"top1": 0.0, "top5": 1.0, "images": 1}}
