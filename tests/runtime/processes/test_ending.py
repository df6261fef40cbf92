"""Whom a loader's worker obeys, and what an `Ending` does for one process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from multiprocessing.connection import Connection

import pytest

from runtime.processes.ending import EndAsked, Ending, listen_for_end, outlive_signals


def work(pipe: Connection) -> None:
    outlive_signals(0)
    while True:
        pipe.send("at work")
        pipe.recv()


def test_workers_outlive_a_scheduler_and_end_with_their_parent() -> None:
    here, there = multiprocessing.Pipe()
    # A fresh process: those forked of this one may have threads of libraries (Arrow's), which a signal finds first.
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(there,), daemon=True)
    worker.start()
    assert here.recv() == "at work"
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):  # of another process, not of its parent
        subprocess.run(["kill", f"-{int(number)}", str(worker.pid)], check=True)
        here.send("")
        assert here.poll(20) and here.recv() == "at work"
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_one_process_ends_after_its_step() -> None:
    usual = signal.getsignal(signal.SIGUSR1)
    done = []
    with pytest.raises(EndAsked, match="by SIGUSR1 after step 2, which is saved"), listen_for_end(), Ending() as ending:
        for step in (1, 2, 3):
            if step == 2:
                os.kill(os.getpid(), signal.SIGUSR1)
            done.append(step)
            ending.is_asked(step)
            ending.obey()
    assert done == [1, 2] and signal.getsignal(signal.SIGUSR1) is usual


def test_what_is_heard_after_the_last_step_is_obeyed_too_and_outside_of_steps_at_once() -> None:
    with pytest.raises(EndAsked, match="by SIGTERM after step 1, which is saved"), listen_for_end(), Ending() as ending:
        ending.is_asked(1)
        ending.obey()
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(EndAsked, match="^by SIGTERM$"), listen_for_end():
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("this is too late")
    with listen_for_end(), Ending() as ending:  # what was heard before is over
        assert not ending.is_asked(1)
