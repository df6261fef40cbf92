"""The public code's numbers by position, and its best of all: against a count of one position after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datasets.images import ImageSet, scan
from datasets.loader import make_loader
from datasets.sampling.batches import SequentialBatches
from datasets.view_set import ViewSet
from datasets.views.recipes import View
from evaluation.classifier.classify import Predictions, classify
from evaluation.classifier.result_files import find_best, name_metrics, write_results
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in

VIEW = View("full", "warp", 64)
SELECTS = (40, 20, 8, 2)


@pytest.fixture(scope="module")
def network() -> PlugIn:
    torch.manual_seed(0)
    options = PlugInOptions(fpn_size=16, selects=SELECTS)
    network = build_plug_in("test_resnet", 5, size=64, options=options).eval()
    with torch.no_grad():
        for classifier in network.classify.values():
            classifier.logits.weight.mul_(20)  # positions that differ in what they say
    return network


@pytest.fixture
def images(photo_tree: Path) -> ImageSet:
    return scan(photo_tree, "test")


def classify_and_count(network: PlugIn, images: ImageSet) -> tuple[Predictions, dict[str, float]]:
    """The predictions, and the same numbers counted as the public code does: every position of every image."""
    batch = next(iter(make_loader(ViewSet(images, {"v": VIEW}), SequentialBatches(len(images), len(images)))))
    counts: dict[str, float] = {}
    with torch.no_grad():
        answer = network(batch.views["v"])
    for name, logits in answer.levels.items():
        for kind, mask in (("select", ~answer.selections[name].dropped), ("drop", answer.selections[name].dropped)):
            for depth in (1, 3):
                right = [label in scores.topk(depth).indices.tolist()
                         for image, label in enumerate(images.labels.tolist()) for scores in logits[image][mask[image]]]
                counts[f"{kind}_{name}-top-{depth}"] = sum(right) / len(right)
    return classify(network, images, VIEW, batch_size=5), counts


def test_shares_of_positions_are_those_of_a_plain_count(network: PlugIn, images: ImageSet) -> None:
    predictions, counts = classify_and_count(network, images)
    metrics = name_metrics(predictions)
    found = {name: value for name, value in metrics.items() if name.startswith(("select_", "drop_"))}
    assert found == pytest.approx(counts)
    assert len(counts) == 16 and len(set(counts.values())) > 4
    assert list(metrics)[-5:] == [f"highest-{count}" for count in range(1, 6)]
    with torch.no_grad():
        assert set(predictions.logits) == set(network.outputs(torch.zeros(1, 3, 64, 64)))


def test_the_best_of_the_public_code_may_be_one_of_positions(
    network: PlugIn, images: ImageSet, tmp_path: Path
) -> None:
    predictions, _ = classify_and_count(network, images)
    predictions.positions["select_layer3"][:, 0] = 0.99
    predictions.positions["drop_layer2"][:, 1] = 1.0  # a top-3, which does not count
    assert find_best(name_metrics(predictions)) == "select_layer3-top-1"
    write_results(tmp_path / "eval_results.txt", predictions, {"Project": "a"}, "Results")
    text = (tmp_path / "eval_results.txt").read_text()
    assert "    select_layer3-top-1 99.000%\n" in text and "    drop_layer2-top-3 100.000%\n" in text
    assert text.endswith("BEST_ACC: select_layer3-top-1 99.000%\n")


def test_images_without_a_label_count_nowhere(network: PlugIn, images: ImageSet) -> None:
    predictions, counts = classify_and_count(network, images)
    predictions.labels[4:] = -1
    predictions.positions["select_layer1"][4:] = 0.123
    share = name_metrics(predictions)["select_layer1-top-1"]
    assert share == pytest.approx(predictions.positions["select_layer1"][:4, 0].mean().item())
    images.labels[:] = -1
    assert classify(network, images, VIEW).positions == {}
