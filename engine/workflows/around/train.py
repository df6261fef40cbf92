"""What every training command does: build a run, say its plan where asked, train, and say how it goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from engine.options import TrainingOptions
from engine.workflows.around.plan import tell_plan
from engine.workflows.around.words import ask_to_resume, list_next_commands
from engine.workflows.build import Read, System, Told, build
from evaluation.run_record import is_resumable
from runtime import distributed


def train_as_told(system: System[Told, Read], options: Told, device: torch.device) -> None:
    """The run that the options ask for; with --plan what it would be first, with --plan stop nothing more.

    An interrupt, also the system's request to end (SIGTERM), is answered with the command that continues the run.
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
    """Answer Ctrl-C and SIGTERM meanwhile: where the run stands and the command that goes on; exits with 130 or 143."""
    asked: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if distributed.is_main():
            going_on = options.plan != "stop" or options.resume is not None  # else what lies there is not this run's
            resumable = is_resumable(Path(options.results_dir)) and going_on
            stands = "the last checkpoint stands; go on with" if resumable else "there is no checkpoint yet; begin with"
            print(f"interrupted; {stands}\n  {ask_to_resume(sys.argv, resume=resumable)}", file=sys.stderr)
        sys.exit(128 + (asked[0] if asked else signal.SIGINT))
    finally:
        signal.signal(signal.SIGTERM, before)
