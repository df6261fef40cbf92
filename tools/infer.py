"""What does a trained classifier see in these pictures? A table, a JSON file and a sheet of them.

python -m tools.infer photo.jpg other.jpg --pretrained my_birds
python -m tools.infer photos/ --pretrained my_birds --top 3 --out answers

Where class folders name the pictures, accuracy and confusion matrix come too. The class names are the network's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from evaluation.options import ClassifierOptions
from runtime.options import flag, list_given, word

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.files import decode
from datasets.images import ImageSet, check_images
from datasets.joint import describe_sources
from datasets.loader import count_workers
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.results_folder import hold_results, is_chosen
from evaluation.classifier.classify import Predictions
from evaluation.classifier.pictures import check_paths, gather_pictures
from evaluation.classifier.predictions import (
    NamedPredictions,
    accuracy,
    draw_predictions,
    pick_evenly,
    write_predictions_csv,
    write_predictions_json,
)
from evaluation.classifier.result_files import INFERENCE, write_results
from evaluation.classifier.trained import Trained, need_names, open_classifier
from evaluation.metrics.classification import count_confusions
from evaluation.reports.confusion import draw_confusion
from runtime.devices import list_device_problems
from runtime.errors import DataError
from runtime.files import write_atomically, write_cells
from runtime.ranges import BATCH, COUNT, COUNT_OR_0

CSV, JSON, SHEET, WRONG = "predictions.csv", "predictions.json", "predictions.png", "mistakes.png"
CONFUSION, SKIPPED = "confusion.png", "skipped.csv"
PRINTED = 10


@dataclass(frozen=True, kw_only=True)
class InferOptions(ClassifierOptions):
    """Which pictures a classifier is shown, and what is written of its answers."""

    title: ClassVar[str | None] = "answers"

    pictures: tuple[str, ...] = word("picture files, or one folder or .csv list in any layout that --root takes "
                                     "elsewhere", "PICTURE", nargs="+")
    split: str = flag("auto", ("auto", "test", "val", "train"), "which part of a folder with parts; auto = test, or "
                      "val, or train")
    labels: str = flag("auto", ("auto", "folders", "none"), "auto = class folders are labels where the classifier "
                       "knows any of them")
    batch_size: int = flag(64, BATCH, "pictures at a time; changes no number", "-b")
    top: int = flag(5, COUNT, "classes for each picture, with their probabilities")
    shown: int = flag(64, COUNT_OR_0, "pictures on the sheet, evenly chosen; 0 = no sheet")
    out: str = flag("infer", None, "where everything goes", "--results-dir", metavar="DIR")


def parse(argv: Sequence[str] | None = None) -> InferOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.infer", description="What does a trained classifier see in these pictures?")
    add_options(parser, InferOptions)
    add_list_left_out(parser)
    args, problems = parser.gather(argv)
    options = InferOptions.read(vars(args), list_given(args))
    problems.attempt(lambda: check_paths(options.pictures))
    problems.lines += list_device_problems(options.device)
    problems.lines += list_overlaps(options, (CSV, JSON, SHEET, WRONG, CONFUSION, SKIPPED, INFERENCE))
    problems.refuse(lambda: check_evaluation_sources(options))
    return options


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    trained = need_names(open_classifier(options, options.batch_size))
    given = gather_pictures(options.pictures, trained.names, describe_sources(trained.sources), split=options.split,
                   labels=options.labels, text=trained.source)
    images = check_images(given, skip_bad=options.skip_bad, workers=count_workers(options.num_workers),
                          crop_bottom=trained.crop_bottom)
    folder = Path(options.out)
    with hold_results(folder, needed=is_chosen(options)) as kept:
        predictions = trained.classify(images)
        found, skipped = NamedPredictions(images, trained.names, predictions.probabilities), name_skipped(given, images)
        tell_predictions(found, trained, skipped)
        if kept:
            publish_predictions(options, trained, found, predictions, skipped, folder)
            print(f"  written to {folder}")


if __name__ == "__main__":
    exit_cleanly(main)
