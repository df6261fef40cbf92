"""Every training image of a run on one page: how sure its teacher was, what it is near to, and what looks wrong.

python -m tools.atlas my_lead                                              checkpoints/my_lead/atlas/atlas.html
python -m tools.atlas my_lead --before package:efficientnet-lite0          and the neighbours before training
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from engine.flags.evaluate.options import AtlasOptions


def parse(argv: Sequence[str] | None = None) -> AtlasOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.atlas", "Every training image of a run, with what its epochs say of it.",
                         AtlasOptions)
    options, problems, _ = read_evaluation(parser, AtlasOptions, argv)
    problems.lines += list_overlaps(options, ("atlas.html",))
    refuse_or_note(options, problems)
    return options


def main() -> None:
    """The command."""
    options = parse()
    import torch

    from engine.results_folder import hold_results
    from engine.workflows.atlas import choose_place, make_atlas
    from evaluation.features.subject import open_subject

    subject = open_subject(options, torch.device(options.device), options.batch_size)
    out = choose_place(options, subject)
    with hold_results(out):
        make_atlas(options, subject, out)


if __name__ == "__main__":
    exit_cleanly(main)
