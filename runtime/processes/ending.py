"""The end that a scheduler asks for (SIGUSR1, SIGTERM): after a whole step, at the same one on all processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor

from runtime import distributed

POLITE = (signal.SIGTERM, signal.SIGUSR1)


class EndAsked(KeyboardInterrupt):
    """A scheduler wants this process to end; the message says what is saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass
class _Ear:
    """What this process has heard; during `steps` it waits for the end of one."""

    heard: int = 0
    steps: bool = False


EAR = _Ear()


@contextmanager
def listen_for_end() -> Iterator[None]:
    """Meanwhile SIGUSR1 and SIGTERM raise EndAsked, at once or, while an `Ending` is open, when it is told to obey."""
    owner = os.getpid()

    def hear(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker that was forked just now
            return
        EAR.heard = number
        if not EAR.steps:
            raise EndAsked(f"by {signal.Signals(number).name}", number)

    EAR.heard = 0
    before = {number: signal.signal(number, hear) for number in POLITE}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


class Ending:
    """with Ending() as ending: after every step `is_asked` agrees with all ranks, and `obey` raises where it was.

    The answer to each question is read after the next step, so that no step waits for it: several ranks end up to two
    steps after a signal, one alone at the end of its step.
    """

    def __init__(self) -> None:
        self.number, self.step = 0, 0
        self._group: dist.ProcessGroup | None = None
        self._question: tuple[dist.Work, Tensor] | None = None

    def __enter__(self) -> Ending:
        """Every rank enters."""
        EAR.steps = True
        if distributed.is_on() and dist.get_backend() != "gloo":  # a device would have to be waited for
            self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=distributed.PATIENCE))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What was heard after the last step is obeyed too."""
        try:
            if kind is None:  # all ranks ask once more, and a signal meanwhile keeps none of them from it
                self.is_asked(self.step)
                self._read()
        finally:
            EAR.steps = False
        if kind is None:
            self.obey()

    def is_asked(self, step: int) -> bool:
        """Whether to end after this step, the same on every rank; called once a step by all of them."""
        self.step = step
        if not distributed.is_on():
            self.number = EAR.heard
            return self.number > 0
        self._read()
        flag = torch.tensor(EAR.heard)
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._question = (work, flag) if work is not None else None
        return self.number > 0

    def obey(self) -> None:
        """Raise EndAsked where an end was asked for; what was trained is saved by now."""
        if self.number:
            self._read()
            name = signal.Signals(self.number).name
            raise EndAsked(f"by {name} after step {self.step}, which is saved", self.number)

    def _read(self) -> None:
        if self._question is not None:
            work, flag = self._question
            work.wait()
            self.number, self._question = max(self.number, int(flag)), None


def outlive_signals(_worker: int) -> None:
    """For loader workers: a scheduler signals every process of a job, and the step still needs its batches.

    SIGTERM of the parent, which ends them by it, is told apart and obeyed.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none, and no SLURM
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != (parent.pid if parent else os.getppid()):
        pass
    os._exit(0)
