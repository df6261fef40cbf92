"""What does a trained classifier see in these pictures? A table, a JSON file and a sheet of them.

python -m tools.infer photo.jpg other.jpg --pretrained my_birds
python -m tools.infer photos/ --pretrained my_birds --top 3 --out answers

Where class folders name the pictures, accuracy and confusion matrix come too. The class names are the network's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.files import decode
from datasets.images import ImageSet, check_images
from datasets.joint import describe_sources
from datasets.loader import count_workers
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.classifier import add_classifier
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, toggle
from engine.flags.ranges import BATCH, COUNT, COUNT_OR_0, ROWS, WORKERS
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

CSV, JSON, SHEET, WRONG = "predictions.csv", "predictions.json", "predictions.png", "mistakes.png"
CONFUSION, SKIPPED = "confusion.png", "skipped.csv"
PRINTED = 10


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.infer", description="What does a trained classifier see in these pictures?")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE",
                        help="picture files, or one folder or .csv list in any layout that --root takes elsewhere")
    parser.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                        help="which part of a folder with parts; auto = test, or val, or train")
    parser.add_argument("--labels", choices=("auto", "folders", "none"), default="auto",
                        help="auto = class folders are labels where the classifier knows any of them")
    add_classifier(parser)
    group = parser.add_argument_group("pictures")
    group.add_argument("-t", "--task", default="custom", help="name of the data set; aircraft has a banner to drop")
    group.add_argument("--crop-bottom", type=ROWS, default="auto", metavar="PIXELS",
                       help="rows to drop at the bottom; auto = as the network was trained")
    group.add_argument("-j", "--num-workers", "--workers", type=WORKERS, default="auto",
                       help="loader processes; auto = one per core, at most 8")
    toggle(group, "--skip-bad", False, "leave pictures out that do not decode instead of refusing to start")
    add_list_left_out(group)
    group.add_argument("-b", "--batch-size", type=BATCH, default=64, help="pictures at a time; changes no number")
    group = parser.add_argument_group("answers")
    group.add_argument("--top", type=COUNT, default=5, help="classes for each picture, with their probabilities")
    group.add_argument("--shown", type=COUNT_OR_0, default=64,
                       help="pictures on the sheet, evenly chosen; 0 = no sheet")
    group.add_argument("--out", "--results-dir", default="infer", metavar="DIR", help="where everything goes")
    args, problems = parser.gather(argv)
    problems.attempt(lambda: check_paths(args.pictures))
    problems.lines += list_device_problems(args.device)
    problems.lines += list_overlaps(args, (CSV, JSON, SHEET, WRONG, CONFUSION, SKIPPED, INFERENCE))
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


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
    args: argparse.Namespace, trained: Trained, found: NamedPredictions, predictions: Predictions,
    skipped: dict[str, str], folder: Path,
) -> None:
    """All files; those of an earlier run that this one does not have are removed."""
    if is_earlier_answer(folder / JSON):
        for name in (SHEET, WRONG, CONFUSION, INFERENCE, SKIPPED):
            (folder / name).unlink(missing_ok=True)
    write_predictions_csv(folder / CSV, found, args.top)
    about = {"classifier": trained.source, "arch": trained.arch, "sha256": trained.sha256, "view": trained.view.recipe,
             "size": trained.view.size, "skipped": [{"path": key, "reason": why} for key, why in skipped.items()]}
    write_predictions_json(folder / JSON, found, args.top, about=about)
    if skipped:
        write_cells(folder / SKIPPED, [("path", "reason"), *skipped.items()])
    if args.shown:
        chosen = pick_evenly(len(found.images), args.shown)
        title = f"{len(chosen)} of {len(found.images)} pictures, as {trained.source} sees them"
        write_atomically(folder / SHEET, draw_predictions(found, chosen, title, trained.crop_bottom).save)
    if accuracy(found) is not None:
        publish_labelled(args, trained, found, predictions, folder)


def is_earlier_answer(path: Path) -> bool:
    """Whether a file is this command's own, which shows that those beside it are too."""
    try:
        return {"classifier", "sha256", "predictions"} <= set(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False


def publish_labelled(
    args: argparse.Namespace, trained: Trained, found: NamedPredictions, predictions: Predictions, folder: Path
) -> None:
    """infer_results.txt, the confusion matrix, and the surest mistakes."""
    facts = {"weights": trained.source, "data": f"{found.images.root} ({found.images.split})"}
    write_results(folder / INFERENCE, predictions, facts, trained.describe())
    counts = count_confusions(predictions.predicted, predictions.labels, len(found.names))
    draw_confusion(counts, found.names, folder / CONFUSION, title=trained.describe(),
                   borders=[source.first for source in trained.sources[1:]])
    wrong = found.wrong()
    if wrong and args.shown:
        title = f"the surest {min(len(wrong), args.shown)} of {len(wrong)} mistakes: predicted, and what it is"
        sheet = draw_predictions(found, wrong[: args.shown], title, trained.crop_bottom)
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
    args = parse(argv)
    trained = need_names(open_classifier(args, args.batch_size))
    given = gather_pictures(args.pictures, trained.names, describe_sources(trained.sources), split=args.split,
                   labels=args.labels, text=trained.source)
    images = check_images(given, skip_bad=args.skip_bad, workers=count_workers(args.num_workers),
                          crop_bottom=trained.crop_bottom)
    folder = Path(args.out)
    with hold_results(folder, needed=is_chosen(args)) as kept:
        predictions = trained.classify(images)
        found, skipped = NamedPredictions(images, trained.names, predictions.probabilities), name_skipped(given, images)
        tell_predictions(found, trained, skipped)
        if kept:
            publish_predictions(args, trained, found, predictions, skipped, folder)
            print(f"  written to {folder}")


if __name__ == "__main__":
    exit_cleanly(main)
