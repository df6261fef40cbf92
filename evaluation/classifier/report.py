"""What a trained classifier is worth: a row of results.jsonl, tables by class and by source, pictures of its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from datasets.images import ImageSet
from datasets.joint import Source
from datasets.views.recipes import View
from evaluation.classifier.classify import Predictions, classify
from evaluation.classifier.result_files import EVALUATION, write_results
from evaluation.ledger import Result, append_result
from evaluation.metrics.bootstrap import interval
from evaluation.metrics.calibration import calibrate
from evaluation.metrics.classification import (
    SourceScores,
    count_confusions,
    score_branches,
    score_classes,
    score_sources,
)
from evaluation.metrics.ensembles import Order
from evaluation.reports.classifier_page import write_rows
from evaluation.reports.confusion import draw_confusion
from evaluation.reports.reliability import draw_reliability
from models.network import ClassNetwork
from models.weights.read import fingerprint
from runtime import distributed


@dataclass(frozen=True)
class ReportedClassifier:
    """A classifier to report on: its network, its joined sets, how images are shown to it; and what the ledger says.

    `weights` names the network, `label` its run; `order` is that of the plug-in module's ensembles.
    """

    network: ClassNetwork
    sources: tuple[Source, ...]
    view: View
    weights: str
    task: str
    method: str
    label: str
    seed: int
    order: Order


def report(
    subject: ReportedClassifier, images: ImageSet, device: torch.device, *, precision: str, workers: int,
    crop_bottom: int, folder: Path, epoch: str = "", selection: str = "", prefix: str = "", keep: bool = True,
) -> Result:
    """Predict all images, say it, add a row to results.jsonl in `folder`, and write tables and pictures beside it.

    Their names begin with `prefix`; without `keep` the folder cannot be written to, and nothing is. Several processes
    share the prediction, the main one writes.
    """
    predictions = classify(subject.network.to(device), images, subject.view, sources=subject.sources, device=device,
                           precision=precision, workers=workers, order=subject.order, crop_bottom=crop_bottom)
    row = replace(make_classifier_row(predictions, subject, images, precision), epoch=epoch, selection=selection)
    if distributed.is_main():
        print(describe_classifier_row(row))
    if distributed.is_main() and keep:
        folder.mkdir(parents=True, exist_ok=True)
        append_result(folder / "results.jsonl", row.to_dict())
        write_report_files(predictions, images, folder, prefix, row)
    return row


def make_classifier_row(
    predictions: Predictions, subject: ReportedClassifier, images: ImageSet, precision: str
) -> Result:
    """The line of the ledger."""
    return Result("classify", subject.task, images.fingerprint(), images.split, len(images), weights=subject.weights,
                  weights_sha256=fingerprint(subject.network), arch=str(subject.network.describe()["arch"]),
                  feature=predictions.answer, input="full", view=subject.view.recipe, size=subject.view.size,
                  centred=False, seed=subject.seed, precision=precision,
                  images_per_second=predictions.images_per_second,
                  metrics=measure_predictions(predictions, images.classes), method=subject.method, label=subject.label,
                  details=detail_sources(predictions) | {"classes": len(images.classes)})


def measure_predictions(predictions: Predictions, classes: Sequence[str]) -> dict[str, float]:
    """All numbers that tables quote, shares in [0, 1]: the answer's, then the branches' and ensembles' top-1."""
    scores = score_branches(predictions.branches, predictions.labels)
    own = scores[predictions.answer]
    low, high = interval((predictions.predicted == predictions.labels).numpy().astype(np.float64))
    numbers = {"top1": own.top1, "top3": own.top3, "top5": own.top5, "top1_low": low, "top1_high": high}
    numbers |= score_classes(predictions.predicted, predictions.labels, classes).macro()
    numbers |= calibrate(predictions.probabilities, predictions.labels).to_dict()
    numbers |= {f"top1_{name}": score.top1 for name, score in scores.items()} if len(scores) > 1 else {}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def detail_sources(predictions: Predictions) -> dict[str, object]:
    """Accuracies by source and which source images were taken for; {} for a single data set."""
    if len(predictions.sources) < 2:
        return {}
    found: SourceScores = score_sources(predictions.logits[predictions.answer], predictions.labels, predictions.sources)
    return {"sources": {name: {"top1": score.top1, "top5": score.top5, "images": score.images}
                        for name, score in found.scores.items() if score.images},
            "source_confusion": found.confusion.tolist()}


def write_report_files(predictions: Predictions, images: ImageSet, folder: Path, prefix: str, row: Result) -> None:
    """eval_results.txt, classes.csv, confusion.png and reliability.png."""
    facts = {"weights": row.weights, "data": f"{images.root} ({images.split})", "epoch": row.epoch or "-"}
    write_results(folder / f"{prefix}{EVALUATION}", predictions, facts, row.label)
    write_rows(folder / f"{prefix}classes.csv",
               score_classes(predictions.predicted, predictions.labels, images.classes).rows())
    counts = count_confusions(predictions.predicted, predictions.labels, len(images.classes))
    title = describe_classifier_row(row).partition(";")[0]
    draw_confusion(counts, images.classes, folder / f"{prefix}confusion.png", title=title,
                   borders=[source.first for source in predictions.sources[1:]])
    draw_reliability(calibrate(predictions.probabilities, predictions.labels), folder / f"{prefix}reliability.png")


def describe_classifier_row(row: Result) -> str:
    """The numbers that tables quote, in a line."""
    numbers = row.metrics
    text = (f"{row.images} {row.split} images, {row.details['classes']} classes: top-1 {numbers['top1']:.2%} "
            f"({numbers['top1_low']:.2%} to {numbers['top1_high']:.2%}), top-5 {numbers['top5']:.2%}")
    heads = [f"{name.removeprefix('top1_')} {value:.2%}" for name, value in numbers.items()
             if name.startswith(("top1_cls", "top1_dist", "top1_layer", "top1_highest"))]
    parts = [f"{name} {scores['top1']:.2%}" for name, scores in row.details.get("sources", {}).items()]
    return text + "".join(f"; {part}" for part in (*heads, *parts))
