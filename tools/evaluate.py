"""How good is a trained classifier on labelled pictures? Accuracies by branch, class and source, calibration, mistakes.

python -m tools.evaluate --pretrained my_birds --root CUB200
python -m tools.evaluate --pretrained birds_and_dogs --data-set CUB DOG --data-path CUB200 DOGS
python -m tools.evaluate --pretrained best.pt --model swin-t --root CUB200      a public checkpoint

evaluation.html opens all that is found. The classes are the network's own, and meet those of the folders by name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from evaluation.options import ClassifierOptions
from runtime.options import flag, list_given
from runtime.ranges import BATCH, COUNT_OR_0

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.class_names import relabel
from datasets.images import ImageSet, check_images, scan
from datasets.joint import describe_sources, join
from datasets.loader import count_workers
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.finetune.arguments import split_paths
from engine.flags.finetune.checks import read_data_set_names
from engine.results_folder import hold_results, is_chosen
from engine.workflows.finetune.images import name_sources
from evaluation.classifier.classify import Predictions
from evaluation.classifier.pictures import find_split
from evaluation.classifier.predictions import NamedPredictions, draw_predictions
from evaluation.classifier.report import describe_classifier_row, measure_predictions, write_report_files
from evaluation.classifier.report import detail_sources as describe_found
from evaluation.classifier.trained import Trained, open_classifier
from evaluation.features.sources import find_source, name_results_folder
from evaluation.features.subject import check_classes
from evaluation.ledger import Result, append_result, read_results
from evaluation.metrics.classification import count_confusions, score_branches, score_classes, score_sources
from evaluation.reports.classifier_page import (
    BRANCHES,
    FILES,
    MISTAKES,
    PAGE,
    SOURCES,
    list_branches,
    list_hardest,
    list_pairs,
    list_sources,
    write_classifier_page,
    write_rows,
)
from evaluation.run_record import ARGS, as_list, find_photographs, read_args
from runtime.devices import list_device_problems
from runtime.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ClassifierOptions):
    """Which labelled pictures a classifier is measured on, and what is written of it."""

    title: ClassVar[str | None] = "scores"

    root: tuple[str, ...] = flag(None, None, "train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, "
                                 "or a crop folder", metavar="DIR")
    data_set: tuple[str, ...] = flag((), None, "what the folders are called: CUB, DOG, FOOD, NABIRDS, CUB_DOG = CUB "
                                     "DOG, FOLDER", nargs="+", metavar="NAME")
    split: str = flag("auto", ("auto", "test", "val", "train"), "auto = test, or val, or everything")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    ensemble_order: str = flag("descending", ("descending", "ascending"), "which branches highest-x adds up first; "
                               "ascending = the public PIM code's")
    mistakes: int = flag(48, COUNT_OR_0, "the surest mistakes on their sheet; 0 = no sheet")
    results_dir: str | None = flag(None, None, "where everything goes; default: evaluation/ in the run's folder, else "
                                   "under checkpoints/", "--out", metavar="DIR")


def parse(argv: Sequence[str] | None = None) -> EvaluateOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.evaluate", description="How good is a trained classifier?")
    add_options(parser, EvaluateOptions)
    parser.add_argument("--data-path", "--val-root", "--eval-data-path", dest="root", nargs="+",
                        default=argparse.SUPPRESS, metavar="DIR",
                        help="as --root; several folders (or one quoted string with spaces) are one joint set")
    add_list_left_out(parser)
    args, problems = parser.gather(argv)
    known = problems.attempt(lambda: inherit_root(args))
    problems.lines += list_device_problems(args.device) + read_data_set_names(args)
    args.root = split_paths(args.root)
    options = EvaluateOptions.read(vars(args), list_given(args))
    if options.data_set and len(options.data_set) != len(options.root):
        problems.lines.append(f"--data-set names {len(options.data_set)} sets, --data-path {len(options.root)} folders")
    if not options.root and known is not None:  # else why there is none is said
        problems.lines.append("--root is missing: the labelled pictures; no args.json of a run tells them")
    problems.lines += list_overlaps(options, (*FILES, PAGE, "results.jsonl"))
    problems.refuse(lambda: check_evaluation_sources(options))
    return options


def inherit_root(args: argparse.Namespace) -> list[str]:
    """The run's own test pictures, with a word, where no others are named: they become --root.

    Raises ConfigError for no such weights, and for pictures that are not where the run had them.
    """
    if args.root:
        return args.root
    folder = find_source(args.pretrained)[1]
    trained = read_args(folder)
    told = as_list(trained.get("test_root")) or as_list(trained.get("root"))
    args.root = find_photographs(told, folder / ARGS) if folder is not None else []
    names = as_list(trained.get("data_set"))
    if not args.data_set and len(names) == len(args.root):
        args.data_set = names
    if args.root:
        print(f"note: --root is that of the run, {', '.join(args.root)}", file=sys.stderr)
    return args.root


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    trained, images = load_pictures(options, open_classifier(options, options.batch_size))
    home = trained.folder or Path("checkpoints") / name_results_folder(options)
    folder = Path(options.results_dir) if options.results_dir else home / "evaluation"
    with hold_results(folder, needed=is_chosen(options)) as kept:
        predictions = trained.classify(images, options.ensemble_order)
        row = make_evaluation_row(trained, images, predictions)
        print(f"{trained.describe()}\n  {describe_classifier_row(row)}")
        if kept:
            publish_evaluation(options, trained, images, predictions, row, folder)
            print(f"  written to {folder}: {PAGE} opens all of it")


if __name__ == "__main__":
    exit_cleanly(main)
