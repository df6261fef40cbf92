"""What does a trained classifier see in these pictures? A table, a JSON file and a sheet of them.

python -m tools.infer photo.jpg other.jpg --pretrained my_birds
python -m tools.infer photos/ --pretrained my_birds --top 3 --out answers

Where class folders name the pictures, accuracy and confusion matrix come too. The class names are the network's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.options import InferOptions
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from runtime.options import list_given


def parse(argv: Sequence[str] | None = None) -> InferOptions:
    """The options; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.infer", description="What does a trained classifier see in these pictures?")
    add_options(parser, InferOptions)
    add_list_left_out(parser)
    args, problems = parser.gather(argv)  # ends here for --help, before torch is imported
    from engine.flags.evaluate.sources import check_evaluation_sources
    from engine.workflows.infer import CONFUSION, CSV, JSON, SHEET, SKIPPED, WRONG
    from evaluation.classifier.pictures import check_paths
    from evaluation.classifier.result_files import INFERENCE
    from runtime.devices import list_device_problems

    options = InferOptions.read(vars(args), list_given(args))
    problems.attempt(lambda: check_paths(options.pictures))
    problems.lines += list_device_problems(options.device)
    problems.lines += list_overlaps(options, (CSV, JSON, SHEET, WRONG, CONFUSION, SKIPPED, INFERENCE))
    problems.refuse(lambda: check_evaluation_sources(options))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    from datasets.images import check_images
    from datasets.joint import describe_sources
    from datasets.loader import count_workers
    from engine.results_folder import hold_results, is_chosen
    from engine.workflows.infer import name_skipped, publish_predictions, tell_predictions
    from evaluation.classifier.pictures import gather_pictures
    from evaluation.classifier.predictions import NamedPredictions
    from evaluation.classifier.trained import need_names, open_classifier

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
