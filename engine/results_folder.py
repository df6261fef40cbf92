"""The folder that a command writes its results to: held by one command at a time, and not needed to print numbers."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from datasets.places import RUN_FILES, list_overlaps
from evaluation.ledger import append_result
from runtime import distributed
from runtime.errors import ConfigError, StopTraining
from runtime.folders.locks import hold_folder
from runtime.options import Options, list_given

CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Refusal:
    """Why the main process could not hold a folder; `closed` when it cannot be written to."""

    reason: str
    closed: bool


def hold_run(options: Options, *, needed: bool = True) -> AbstractContextManager[bool]:
    """`hold_results` of --results-dir; a folder that lies in the data is not touched, building the run refuses it.

    Nor is that of a run which is only planned.
    """
    settings = options.settings()
    if settings.get("plan") == "stop" or list_overlaps(options, RUN_FILES):
        return nullcontext(True)
    return hold_results(settings["results_dir"], needed=needed)


@contextmanager
def hold_results(folder: str | Path, *, needed: bool = True) -> Iterator[bool]:
    """Hold a folder until the end; every rank calls it, the main process holds. Yields whether results can be kept.

    Raises ConfigError on all ranks while another command is at work in it, and for a folder that cannot be written to
    where that is `needed`. Where it is not, a note after the printed numbers says that they were not kept.
    """
    folder = Path(folder)
    with ExitStack() as stack:
        refusal = try_to_hold(folder, stack) if distributed.is_main() else None
        refusal = distributed.broadcast_object(refusal)
        if refusal is not None and (needed or not refusal.closed):
            fix = "fix its permissions, or " if folder.is_dir() or not os.path.lexists(folder) else ""
            remedy = f"; {fix}choose another place with --results-dir or --out" if refusal.closed else ""
            raise ConfigError(refusal.reason + remedy)
        yield refusal is None
        if refusal is not None and distributed.is_main():
            tell_not_kept(refusal.reason)


def try_to_hold(folder: Path, stack: ExitStack) -> Refusal | None:
    """Hold a folder as long as the stack lives; the reason where that cannot be."""
    try:
        stack.enter_context(hold_folder(folder))
    except ConfigError as error:
        return Refusal(str(error), closed=False)
    except OSError as error:
        if error.errno not in CLOSED:
            raise StopTraining(f"{folder} cannot be written to ({error.strerror or error}); make room there") from error
        if os.path.lexists(folder) and not folder.is_dir():
            return Refusal(f"{folder} is no folder", closed=True)
        return Refusal(f"{folder} cannot be written to ({error.strerror})", closed=True)
    return None


def is_chosen(options: Options) -> bool:
    """Whether the user said where results go: they are wanted there, or not at all."""
    return bool({"results_dir", "out"} & list_given(options).keys())


def append_to(folders: Sequence[Path], *rows: dict[str, object]) -> None:
    """Add rows to the results.jsonl of each folder; one that cannot be written to is a note, since others keep them."""
    for folder in folders:
        try:
            for row in rows:
                append_result(folder / "results.jsonl", row)
        except (OSError, StopTraining) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in CLOSED:
                raise
            tell_not_kept(f"{folder} cannot be written to ({cause.strerror})")


def tell_not_kept(reason: str) -> None:
    """One note, on the stream for messages."""
    print(f"note: {reason}, so this was not kept there; --results-dir says where rows and files go", file=sys.stderr)
