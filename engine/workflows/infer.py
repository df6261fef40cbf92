"""What a trained classifier sees in pictures: a table, a JSON file, sheets."""

from __future__ import annotations

import json
from pathlib import Path

from datasets.files import decode
from datasets.images import ImageSet
from engine.flags.evaluate.options import InferOptions
from evaluation.classifier.classify import Predictions
from evaluation.classifier.predictions import (
    NamedPredictions,
    accuracy,
    draw_predictions,
    pick_evenly,
    write_predictions_csv,
    write_predictions_json,
)
from evaluation.classifier.result_files import INFERENCE, write_results
from evaluation.classifier.trained import Trained
from evaluation.metrics.classification import count_confusions
from evaluation.reports.confusion import draw_confusion
from runtime.errors import DataError
from runtime.files import write_atomically, write_cells

CSV, JSON, SHEET, WRONG = "predictions.csv", "predictions.json", "predictions.png", "mistakes.png"
CONFUSION, SKIPPED = "confusion.png", "skipped.csv"
PRINTED = 10


def name_skipped(given: ImageSet, kept: ImageSet) -> dict[str, str]:
    """Why each picture was left out, by its key."""
    present = {sample.key for sample in kept.samples}
    reasons = {}
    for sample in given.samples:
        if sample.key not in present:
            try:
                decode(sample.path)
            except DataError as error:
                reasons[sample.key] = str(error)
    return reasons


def publish_predictions(
    options: InferOptions, trained: Trained, found: NamedPredictions, predictions: Predictions,
    skipped: dict[str, str], folder: Path,
) -> None:
    """All files; those of an earlier run that this one does not have are removed."""
    if is_earlier_answer(folder / JSON):
        for name in (SHEET, WRONG, CONFUSION, INFERENCE, SKIPPED):
            (folder / name).unlink(missing_ok=True)
    write_predictions_csv(folder / CSV, found, options.top)
    about = {"classifier": trained.source, "arch": trained.arch, "sha256": trained.sha256, "view": trained.view.recipe,
             "size": trained.view.size, "skipped": [{"path": key, "reason": why} for key, why in skipped.items()]}
    write_predictions_json(folder / JSON, found, options.top, about=about)
    if skipped:
        write_cells(folder / SKIPPED, [("path", "reason"), *skipped.items()])
    if options.shown:
        chosen = pick_evenly(len(found.images), options.shown)
        title = f"{len(chosen)} of {len(found.images)} pictures, as {trained.source} sees them"
        write_atomically(folder / SHEET, draw_predictions(found, chosen, title, trained.crop_bottom).save)
    if accuracy(found) is not None:
        publish_labelled(options, trained, found, predictions, folder)


def is_earlier_answer(path: Path) -> bool:
    """Whether a file is this command's own, which shows that those beside it are too."""
    try:
        return {"classifier", "sha256", "predictions"} <= set(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False


def publish_labelled(
    options: InferOptions, trained: Trained, found: NamedPredictions, predictions: Predictions, folder: Path
) -> None:
    """infer_results.txt, the confusion matrix, and the surest mistakes."""
    facts = {"weights": trained.source, "data": f"{found.images.root} ({found.images.split})"}
    write_results(folder / INFERENCE, predictions, facts, trained.describe())
    counts = count_confusions(predictions.predicted, predictions.labels, len(found.names))
    draw_confusion(counts, found.names, folder / CONFUSION, title=trained.describe(),
                   borders=[source.first for source in trained.sources[1:]])
    wrong = found.wrong()
    if wrong and options.shown:
        title = f"the surest {min(len(wrong), options.shown)} of {len(wrong)} mistakes: predicted, and what it is"
        sheet = draw_predictions(found, wrong[: options.shown], title, trained.crop_bottom)
        write_atomically(folder / WRONG, sheet.save)


def tell_predictions(found: NamedPredictions, trained: Trained, skipped: dict[str, str]) -> None:
    """The first answers, and how many are right."""
    print(trained.describe())
    classes, shares = (column[:PRINTED, 0].tolist() for column in found.best(1))
    for sample, number, share in zip(found.images.samples, classes, shares):
        print(f"  {sample.key}: {found.names[number]} ({share:.1%})")
    if len(found.images) > PRINTED:
        print(f"  ... and {len(found.images) - PRINTED} more")
    right = accuracy(found)
    if right is not None:
        print(f"  {right:.2%} of {int((found.images.labels >= 0).sum())} labelled pictures are right")
    if skipped:
        print(f"  {len(skipped)} were skipped")
