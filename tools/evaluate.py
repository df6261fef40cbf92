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
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.class_names import relabel
from datasets.images import ImageSet, check_images, scan
from datasets.joint import describe_sources, join
from datasets.loader import count_workers
from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.classifier import add_classifier
from engine.flags.evaluate.sources import check_evaluation_sources
from engine.flags.finetune.arguments import split_paths
from engine.flags.finetune.checks import read_data_set_names
from engine.flags.groups import add_data
from engine.flags.parser import Parser
from engine.flags.ranges import BATCH, COUNT_OR_0
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


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.evaluate", description="How good is a trained classifier?")
    group = add_data(parser, crops=False, root_required=False)
    group.add_argument("--data-path", "--val-root", "--eval-data-path", dest="root", nargs="+",
                       default=argparse.SUPPRESS, metavar="DIR",
                       help="as --root; several folders (or one quoted string with spaces) are one joint set")
    group.add_argument("--data-set", nargs="+", default=[], metavar="NAME",
                       help="what the folders are called: CUB, DOG, FOOD, NABIRDS, CUB_DOG = CUB DOG, FOLDER")
    group.add_argument("--split", choices=("auto", "test", "val", "train"), default="auto",
                       help="auto = test, or val, or everything")
    add_classifier(parser)
    group = parser.add_argument_group("scores")
    group.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images at a time; changes no number")
    group.add_argument("--ensemble-order", choices=("descending", "ascending"), default="descending",
                       help="which branches highest-x adds up first; ascending = the public PIM code's")
    group.add_argument("--mistakes", type=COUNT_OR_0, default=48,
                       help="the surest mistakes on their sheet; 0 = no sheet")
    group.add_argument("--results-dir", "--out", default=None, metavar="DIR",
                       help="where everything goes; default: evaluation/ in the run's folder, else under checkpoints/")
    args, problems = parser.gather(argv)
    known = problems.attempt(lambda: inherit_root(args))
    problems.lines += list_device_problems(args.device) + read_data_set_names(args)
    args.root = split_paths(args.root)
    if args.data_set and len(args.data_set) != len(args.root):
        problems.lines.append(f"--data-set names {len(args.data_set)} sets, --data-path {len(args.root)} folders")
    if not args.root and known is not None:  # else why there is none is said
        problems.lines.append("--root is missing: the labelled pictures; no args.json of a run tells them")
    problems.lines += list_overlaps(args, (*FILES, PAGE, "results.jsonl"))
    problems.refuse(lambda: check_evaluation_sources(args))
    return args


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


def load_pictures(args: argparse.Namespace, trained: Trained) -> tuple[Trained, ImageSet]:
    """The pictures under the classifier's numbers, all of which decode; and the classifier, which may get names."""
    splits = [find_split(Path(root), labelled=True) if args.split == "auto" else args.split for root in args.root]
    shown = "+".join(dict.fromkeys(splits))
    joint = join([replace(scan(root, split), split=shown) for root, split in zip(args.root, splits)],
                 name_sources(args.root, args.data_set))
    if not trained.names:
        print(f"note: {trained.source} does not name its classes; they are taken in the order of the data set's names")
        trained = replace(trained.named(joint.images.classes, str(joint.images.root)), sources=joint.sources)
    sources = describe_sources(trained.sources)
    images = relabel(joint.images, trained.names, sources, text=trained.source)
    check_classes(images, 0)
    return trained, check_images(images, skip_bad=args.skip_bad, workers=count_workers(args.num_workers),
                                 crop_bottom=trained.crop_bottom)


def make_evaluation_row(
    args: argparse.Namespace, trained: Trained, images: ImageSet, predictions: Predictions
) -> Result:
    """The line of the ledger."""
    details = describe_found(predictions) | {"classes": len(images.classes)}
    return trained.result(images, predictions.images_per_second, measure_predictions(predictions, images.classes),
                          details=details)


def publish_evaluation(
    args: argparse.Namespace, trained: Trained, images: ImageSet, predictions: Predictions, row: Result, folder: Path
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
    wrong = found.wrong()[: args.mistakes]
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
    args = parse(argv)
    trained, images = load_pictures(args, open_classifier(args, args.batch_size))
    own = trained.folder or Path("checkpoints") / name_results_folder(args)
    folder = Path(args.results_dir) if args.results_dir else own / "evaluation"
    with hold_results(folder, needed=is_chosen(args)) as kept:
        predictions = trained.classify(images, args.ensemble_order)
        row = make_evaluation_row(args, trained, images, predictions)
        print(f"{trained.describe()}\n  {describe_classifier_row(row)}")
        if kept:
            publish_evaluation(args, trained, images, predictions, row, folder)
            print(f"  written to {folder}: {PAGE} opens all of it")


if __name__ == "__main__":
    exit_cleanly(main)
