"""What every training command does: build a run, say its plan where asked, train, and say how it goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.options import TrainingOptions
from engine.workflows.around.plan import tell_plan
from engine.workflows.around.words import ask_to_resume, list_next_commands
from engine.workflows.build import Read, System, Told, build
from evaluation.run_record import is_resumable
from runtime import distributed
from runtime.processes.ending import EndAsked, listen_for_end


def train_as_told(system: System[Told, Read], options: Told, device: torch.device) -> None:
    """The run that the options ask for; with --plan what it would be first, with --plan stop nothing more.

    An interrupt, also a scheduler's request to end (SIGTERM, SIGUSR1), is answered with the command that goes on.
    """
    with tell_how_to_resume(options):
        run = build(system, options, device)
        if options.plan is not None:
            tell_plan(run, system.command)
        if options.plan == "stop":
            return
        run.train()
    if distributed.is_main():
        print("next:\n" + "\n".join(f"  {line}" for line in list_next_commands(options, name_root(options))),
              file=sys.stderr)


def name_root(options: TrainingOptions) -> str:
    """The data set that is asked for in what comes next: of several, which no other command joins, the first."""
    root = options.settings()["root"]
    return str(root if isinstance(root, str) else root[0])


@contextmanager
def tell_how_to_resume(options: TrainingOptions) -> Iterator[None]:
    """Answer Ctrl-C, SIGTERM and SIGUSR1 meanwhile: where the run stands and the command that goes on.

    Exits with 0 where a scheduler asked for the end and the run can go on, else with 128 and the signal's number.
    """
    try:
        with listen_for_end():
            yield
    except KeyboardInterrupt as end:
        going_on = options.plan != "stop" or options.resume is not None  # else what lies there is not this run's
        resumable = is_resumable(Path(options.results_dir)) and going_on
        stands = "the last checkpoint stands; go on with" if resumable else "there is no checkpoint yet; begin with"
        cause = f" {end}" if isinstance(end, EndAsked) else ""
        if distributed.is_main():
            print(f"interrupted{cause}; {stands}\n  {ask_to_resume(sys.argv, resume=resumable)}", file=sys.stderr)
        if isinstance(end, EndAsked):
            sys.exit(0 if resumable else 128 + end.number)
        sys.exit(128 + signal.SIGINT)
