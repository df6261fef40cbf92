"""One of two processes that a test starts as srun would: what it says, where it ends, and how it fails."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from engine.flags.command import exit_cleanly
from runtime.errors import DataError
from runtime.processes.launch import find_launch
from runtime.processes.voice import say_here

STEPS, AT = 30, 7


def refuse_before() -> None:
    """Both have the same complaint before they have met."""
    raise DataError("the data set is empty")


def refuse_alone() -> None:
    """Rank 1 alone has a complaint before they have met; rank 0 must not wait for it."""
    if find_launch().rank:
        raise DataError("this machine does not have the data set")
    from runtime import distributed

    distributed.join_group("cpu")


def refuse_after() -> None:
    """Both have the same complaint once they have met, and rank 1 has something to say of its own."""
    from runtime import distributed

    distributed.join_group("cpu")
    try:
        print(f"{distributed.world()} are here")
        print("a note", file=sys.stderr)
        warnings.warn("a warning", stacklevel=1)
        if distributed.rank():
            say_here("note: a file of this machine is damaged")
        distributed.barrier()
        raise DataError("the data set is broken")
    finally:
        distributed.stop()


def fail_alone() -> None:
    """Rank 1 alone has a bug."""
    from runtime import distributed

    distributed.join_group("cpu")
    try:
        if distributed.rank():
            raise ZeroDivisionError("of rank 1")
        distributed.barrier()
    finally:
        distributed.stop()


def end() -> None:
    """Rank 1 alone is signalled in a step: both print where they end."""
    from runtime import distributed
    from runtime.processes.ending import EndAsked, Ending, listen_for_end

    distributed.join_group("cpu")
    with listen_for_end():
        try:
            with Ending() as ending:
                for step in range(1, STEPS + 1):
                    if step == AT and distributed.rank():
                        os.kill(os.getpid(), signal.SIGUSR1)
                    ending.is_asked(step)
                    ending.obey()
        except EndAsked as asked:
            say_here(f"ended {asked}")
    distributed.stop()


if __name__ == "__main__":
    exit_cleanly(globals()[sys.argv[1]], shared=True)
