"""Where does a network look? Maps laid over pictures, and their scores against boxes.

python -m tools.heatmap --pretrained my_lcr --root bird --out heat
python -m tools.heatmap --pretrained my_birds --root bird --class true
python -m tools.heatmap --pretrained my_birds --image photo.jpg --class "Blue Jay"

Of an encoder: its rationale M, the CAM G of its loss, the norm of its map. Of a classifier: attention roll-out of a
vision transformer's tokens, a plug-in module's levels and what they selected, else the class's activation map.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from evaluation.options import ClassMapOptions


def parse(argv: Sequence[str] | None = None) -> ClassMapOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.heatmap", "Where does a network look?", ClassMapOptions)
    options, problems, _ = read_evaluation(parser, ClassMapOptions, argv)
    problems.lines += list_overlaps(options, ("heatmap.csv", "heatmap.png"))
    refuse_or_note(options, problems)
    return options


def main() -> None:
    """The command."""
    options = parse()
    from engine.results_folder import hold_results, is_chosen
    from engine.workflows.heatmaps import draw_encoder
    from engine.workflows.report.page import refresh_pages
    from evaluation.classifier.trained import holds_classifier
    from evaluation.heatmaps.classifier_maps import draw_classifier

    with hold_results(options.out, needed=is_chosen(options)) as kept:
        if options.model or holds_classifier(options.pretrained):
            draw_classifier(replace(options, arch=options.model or options.arch), keep=kept)
        else:
            draw_encoder(options, keep=kept)
        refresh_pages([Path(options.out).parent])  # of the run, where the maps lie in its folder


if __name__ == "__main__":
    exit_cleanly(main)
