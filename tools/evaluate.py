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
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.options import EvaluateOptions
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from runtime.options import list_given


def parse(argv: Sequence[str] | None = None) -> EvaluateOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.evaluate", description="How good is a trained classifier?")
    add_options(parser, EvaluateOptions)
    parser.add_argument("--data-path", "--val-root", "--eval-data-path", dest="root", nargs="+",
                        default=argparse.SUPPRESS, metavar="DIR",
                        help="as --root; several folders (or one quoted string with spaces) are one joint set")
    add_list_left_out(parser)
    args, problems = parser.gather(argv)  # ends here for --help, before torch is imported
    from engine.flags.evaluate.sources import check_evaluation_sources
    from engine.flags.finetune.checks import read_data_set_names
    from engine.flags.finetune.command import split_paths
    from evaluation.reports.classifier_page import FILES, PAGE
    from runtime.devices import list_device_problems

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
    """The run's own test pictures, with a note, where no others are named: they become --root.

    Raises ConfigError for no such weights, and for pictures that are not where the run had them.
    """
    from evaluation.features.sources import find_source
    from evaluation.run_record import ARGS, as_list, find_photographs, read_args

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


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from engine.results_folder import hold_results, is_chosen
    from engine.workflows.evaluate import load_pictures, make_evaluation_row, publish_evaluation
    from evaluation.classifier.report import describe_classifier_row
    from evaluation.classifier.trained import open_classifier
    from evaluation.features.sources import name_results_folder
    from evaluation.reports.classifier_page import PAGE

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
