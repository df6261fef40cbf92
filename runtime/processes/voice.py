"""One message a run: the other ranks are silent, but for what is wrong with them alone."""

from __future__ import annotations

import io
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from runtime.processes.launch import Launch, find_launch
from runtime.processes.meeting import has_lost_another, is_mine_to_tell


class _Silence(io.TextIOBase):
    """A stream that takes all and shows nothing."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def speak_once(launch: Launch) -> Iterator[None]:
    """Meanwhile notes, bars, results and Python's warnings of ranks above 0 are not shown."""
    if launch.rank == 0:
        yield
        return
    with redirect_stdout(_Silence()), redirect_stderr(_Silence()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tell_error(launch: Launch, text: str) -> None:
    """Say what ends this process, once a run; what only a rank above 0 has met bears its number."""
    if launch.rank == 0:
        print(text, file=sys.stderr, flush=True)
        is_mine_to_tell(launch, text)
    elif is_mine_to_tell(launch, text):
        print(f"{launch.describe()}: {text}", file=sys.stderr, flush=True)


def is_bug_to_tell(launch: Launch, error: BaseException) -> bool:
    """Whether this process shows the traceback of what nobody foresaw; a rank above 0 is named before its own.

    That another rank is gone is no news from this one.
    """
    if has_lost_another(launch, error):
        return False
    mine = is_mine_to_tell(launch, traceback.format_exception_only(type(error), error)[-1])
    if mine and launch.rank:
        print(f"{launch.describe()} failed:", file=sys.stderr, flush=True)
    return mine


def say_here(line: str) -> None:
    """A note on what only this process has seen; it bears the rank of one above 0, whose other words are not shown."""
    launch = find_launch()
    stream = sys.__stderr__ if launch.rank else sys.stderr
    print(f"{launch.describe()}: {line}" if launch.rank else line, file=stream)
