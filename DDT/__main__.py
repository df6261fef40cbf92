"""`python -m DDT`: fit the direction on the training split, then localise and crop every image of every split."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datasets.places import list_overlaps
from DDT.options import DdtOptions
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options, gather_options
from runtime.errors import StopTraining
from runtime.refusals import tell_os_error


def parse(argv: Sequence[str] | None = None) -> DdtOptions:
    """The options; raises ConfigError with every problem before anything slow happens."""
    parser = Parser(prog="python -m DDT", description=__doc__)
    add_options(parser, DdtOptions)
    add_list_left_out(parser)
    options, problems = gather_options(parser, DdtOptions, argv)
    from DDT.prepare import list_ddt_problems  # after the flags: --help does without torch
    from DDT.state import REPLACED
    from engine.flags.absent import check_present

    problems.lines += list_ddt_problems(options)
    problems.lines += list_overlaps(options, (*REPLACED, "fit.npz", "ddt.json"), out=options.place)
    problems.refuse(lambda: check_present(options))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check, run; a full disk or a lost folder becomes a message, since everything finished is kept."""
    options = parse(argv)
    from DDT.job import run_job
    from DDT.prepare import fix_precision, open_backbone, prepare_job
    from engine.results_folder import hold_results

    job = prepare_job(options)
    backbone = open_backbone(options, job.device)
    job = fix_precision(job, backbone)
    try:
        with hold_results(job.folder):
            run_job(job, backbone)
    except OSError as error:
        raise StopTraining(tell_os_error(error)) from error


if __name__ == "__main__":
    exit_cleanly(main)
