"""How good a trained classifier is on labelled pictures: its row, its tables, its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets.class_names import relabel
from datasets.images import ImageSet, check_images, scan
from datasets.joint import describe_sources, join
from datasets.loader import count_workers
from engine.flags.evaluate.options import EvaluateOptions
from engine.workflows.finetune.images import name_sources
from evaluation.classifier.classify import Predictions
from evaluation.classifier.pictures import find_split
from evaluation.classifier.predictions import NamedPredictions, draw_predictions
from evaluation.classifier.report import detail_sources as describe_found
from evaluation.classifier.report import measure_predictions, write_report_files
from evaluation.classifier.trained import Trained
from evaluation.features.subject import check_classes
from evaluation.ledger import Result, append_result, read_results
from evaluation.metrics.classification import count_confusions, score_branches, score_classes, score_sources
from evaluation.reports.classifier_page import (
    BRANCHES,
    MISTAKES,
    SOURCES,
    list_branches,
    list_hardest,
    list_pairs,
    list_sources,
    write_classifier_page,
    write_rows,
)
from runtime.files import write_atomically


def load_pictures(options: EvaluateOptions, trained: Trained) -> tuple[Trained, ImageSet]:
    """The pictures under the classifier's numbers, all of which decode; and the classifier, which may get names."""
    splits = [find_split(Path(root), labelled=True) if options.split == "auto" else options.split
              for root in options.root]
    shown = "+".join(dict.fromkeys(splits))
    joint = join([replace(scan(root, split), split=shown) for root, split in zip(options.root, splits)],
                 name_sources(options.root, options.data_set))
    if not trained.names:
        print(f"note: {trained.source} does not name its classes; they are taken in the order of the data set's names")
        trained = replace(trained.named(joint.images.classes, str(joint.images.root)), sources=joint.sources)
    sources = describe_sources(trained.sources)
    images = relabel(joint.images, trained.names, sources, text=trained.source)
    check_classes(images, 0)
    return trained, check_images(images, skip_bad=options.skip_bad, workers=count_workers(options.num_workers),
                                 crop_bottom=trained.crop_bottom)


def make_evaluation_row(trained: Trained, images: ImageSet, predictions: Predictions) -> Result:
    """The line of the ledger."""
    details = describe_found(predictions) | {"classes": len(images.classes)}
    return trained.result(images, predictions.images_per_second, measure_predictions(predictions, images.classes),
                          details=details)


def publish_evaluation(
    options: EvaluateOptions, trained: Trained, images: ImageSet, predictions: Predictions, row: Result, folder: Path
) -> None:
    """All files of an evaluation and its row."""
    if read_results(folder / "results.jsonl"):
        for name in (SOURCES, MISTAKES):  # of an earlier evaluation, which this one may not have
            (folder / name).unlink(missing_ok=True)
    write_report_files(predictions, images, folder, "", row)
    branches = list_branches(score_branches(predictions.branches, predictions.labels))
    write_rows(folder / BRANCHES, branches)
    tables = {"Branches": branches}
    if len(predictions.sources) > 1:
        logits = predictions.logits[predictions.answer]
        tables["Sources"] = list_sources(score_sources(logits, predictions.labels, predictions.sources))
        write_rows(folder / SOURCES, tables["Sources"])
    found = NamedPredictions(images, images.classes, predictions.probabilities)
    wrong = found.wrong()[: options.mistakes]
    if wrong:
        title = f"the surest {len(wrong)} of {len(found.wrong())} mistakes: predicted, and what it is"
        write_atomically(folder / MISTAKES, draw_predictions(found, wrong, title, trained.crop_bottom).save)
    counts = count_confusions(predictions.predicted, predictions.labels, len(images.classes))
    tables["Hardest classes"] = list_hardest(score_classes(predictions.predicted, predictions.labels, images.classes))
    tables["Most frequent errors"] = list_pairs(counts, images.classes)
    write_classifier_page(folder, row, trained.describe(), tables)
    append_result(folder / "results.jsonl", row.to_dict())
