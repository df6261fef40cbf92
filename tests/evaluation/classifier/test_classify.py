"""From a network and images to predictions, and the result files that it is written into."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from datasets.images import ImageSet, scan
from datasets.loader import make_loader
from datasets.sampling.batches import SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from evaluation.classifier.classify import Predictions, classify
from evaluation.classifier.result_files import find_best, name_metrics, write_results
from evaluation.metrics.classification import score_branches
from evaluation.metrics.ensembles import ensemble
from runtime.errors import DataError

VIEW = View("full", "warp", 16)


class Colours(nn.Module):
    """Tells red, green and blue pictures apart by their mean colours; in training it answers at random."""

    def __init__(self, branches: dict[str, float], answer: str, classes: int = 3) -> None:
        super().__init__()
        self.scales, self.answer, self.classes = branches, answer, classes

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Logits by branch; a scale below 0 makes a branch that is wrong."""
        means = images.float().mean(dim=(2, 3))[:, : self.classes] / 255
        means = torch.rand_like(means) if self.training else means
        return {name: scale * means for name, scale in self.scales.items()}


def colours() -> Colours:
    """A network with the branches of a plug-in module with two levels."""
    return Colours({"layer1": 5.0, "layer2": -2.0, "combiner": 50.0}, "combiner").train()


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    return scan(photo_tree, "test")


def test_the_predictions_are_what_the_network_says_of_each_image(images: ImageSet) -> None:
    network = colours()
    predictions = classify(network, images, VIEW, batch_size=5)
    assert network.training and predictions.keys == [sample.key for sample in images.samples]
    batch = next(iter(make_loader(ViewSet(images, {"v": VIEW}), SequentialBatches(len(images), len(images)))))
    expected = network.eval().outputs(batch.views["v"])
    for name, logits in expected.items():
        assert torch.equal(predictions.logits[name], logits)
    assert torch.equal(predictions.probabilities, expected["combiner"].softmax(1))
    assert torch.equal(predictions.predicted, images.labels) and torch.equal(predictions.labels, images.labels)
    assert predictions.ensembles.keys() == ensemble(expected).keys() == {"highest-1", "highest-2", "highest-3"}
    assert list(predictions.branches) == [*expected, "highest-1", "highest-2", "highest-3"]


def test_predictions_follow_logits_where_probabilities_are_equal(images: ImageSet) -> None:
    class Close(Colours):
        def outputs(self, images: Tensor) -> dict[str, Tensor]:
            return {"cls": torch.tensor([[0.001, 0.00100001, -5.0]]).expand(len(images), 3)}

    predictions = classify(Close({}, "cls"), images, VIEW)
    assert (predictions.probabilities[:, 0] == predictions.probabilities[:, 1]).all() and (predictions.predicted == 1).all()
    scores = score_branches(predictions.logits, predictions.labels)["cls"]
    hits = (predictions.predicted == predictions.labels).double().mean().item()
    assert (scores.top1, hits) == pytest.approx((1 / 3, 1 / 3))


def test_the_order_of_the_ensembles_is_an_option(images: ImageSet) -> None:
    falling, rising = classify(colours(), images, VIEW), classify(colours(), images, VIEW, order="ascending")
    assert torch.equal(falling.ensembles["highest-3"], rising.ensembles["highest-3"])
    scores = score_branches(rising.ensembles, rising.labels)
    assert scores["highest-1"].top1 == 0.0 and score_branches(falling.ensembles, falling.labels)["highest-1"].top1 == 1


def test_two_heads_make_no_ensemble(images: ImageSet) -> None:
    predictions = classify(Colours({"cls": 1.0, "dist": -1.0, "average": 0.5}, "average"), images, VIEW)
    assert predictions.ensembles == {} and torch.equal(predictions.probabilities, predictions.logits["average"].softmax(1))


def test_the_network_keeps_its_mode_when_an_image_is_broken(images: ImageSet) -> None:
    images.samples[3].path.write_bytes(b"broken")
    network = colours()
    with pytest.raises(DataError, match=images.samples[3].path.name):
        classify(network, images, VIEW)
    assert network.training


def test_labels_that_the_network_has_no_class_for(images: ImageSet) -> None:
    with pytest.raises(DataError, match="2 classes"):
        classify(Colours({"cls": 1.0}, "cls", classes=2), images, VIEW)


def predictions_with_mistakes(images: ImageSet) -> Predictions:
    """Predictions with mistakes: two of twelve images are called what they are not."""
    predictions = classify(colours(), images, VIEW)
    predictions.labels[:2] = torch.tensor([1, 2])
    return predictions


def test_metrics_bear_the_public_names(images: ImageSet) -> None:
    metrics = name_metrics(predictions_with_mistakes(images))
    assert list(metrics) == ["layer1-top-1", "layer1-top-3", "layer2-top-1", "layer2-top-3", "combiner-top-1",
                             "combiner-top-3", "highest-1", "highest-2", "highest-3"]
    assert metrics["combiner-top-1"] == pytest.approx(10 / 12) and metrics["layer2-top-3"] == 1.0
    heads = name_metrics(classify(Colours({"cls": 1.0, "average": 1.0}, "average"), images, VIEW))
    assert list(heads) == [f"{name}-top-{depth}" for name in ("cls", "average") for depth in (1, 3, 5)]


def test_the_best_of_the_public_code_is_a_top_1_or_an_ensemble() -> None:
    metrics = {"layer1-top-1": 0.5, "layer1-top-3": 0.9, "highest-2": 0.6, "combiner-top-1": 0.55}
    assert find_best(metrics) == "highest-2"


def test_the_results_file(images: ImageSet, tmp_path: Path) -> None:
    write_results(tmp_path / "eval_results.txt", predictions_with_mistakes(images), {"Project": "birds", "Experiment": "a"}, "Results")
    lines = (tmp_path / "eval_results.txt").read_text().splitlines()
    assert lines[:4] == ["[Results]", "Project: birds", "Experiment: a", "Samples: 12"]
    assert "    combiner-top-1 83.333%" in lines and "    layer1-top-3 100.000%" in lines
    assert lines[-2] == "ANSWER: combiner-top-1 83.333%" and lines[-1].startswith("BEST_ACC: layer1-top-1 83.333%")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".txt"] == ["eval_results.txt"]
