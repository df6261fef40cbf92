"""Where the processes of a run meet before they train: one message of a refusal, and nobody waits for who refused."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from runtime.errors import ConfigError
from runtime.processes.launch import Launch

if TYPE_CHECKING:
    from torch.distributed import Store

PATIENCE = 10.0  # seconds that a process which cannot go on waits for the main one's message, and the other way round
LOST = ("Connection closed by peer", "Connection reset by peer")  # what gloo says of a process that is gone
MET: dict[Launch, Store] = {}


class OthersRefused(ConfigError):
    """Another process of the run cannot go on; the message is its own to tell."""


def reach(launch: Launch, seconds: float) -> Store:
    """The store that all processes of a run share, with rank 0 or torchrun; raises where it is not there in time."""
    if launch not in MET:
        from torch.distributed import rendezvous  # not before it is needed: flags are read without it

        own = launch.starter in ("torchrun", "environment")
        url = "env://" if own else f"tcp://{launch.address}:{launch.port}"
        store, _, _ = next(rendezvous(url, launch.rank, launch.world, timeout=timedelta(seconds=seconds)))
        MET[launch] = store
    return MET[launch]


def wait_for_all(launch: Launch, seconds: float) -> Store:
    """The store once every process has come here; raises OthersRefused when one of them `refuses` meanwhile."""
    store = reach(launch, min(seconds, 600.0))
    store.add("came", 1)
    pause, end = 0.01, time.monotonic() + seconds
    while store.add("came", 0) < launch.world:
        if store.add("refused", 0):
            _answer(store, launch, "")
            raise OthersRefused("another process of this run cannot start")
        if time.monotonic() > end:
            raise TimeoutError(f"{store.add('came', 0)} of {launch.world} processes came to {launch.address or 'the'} "
                               f"meeting within {seconds:.0f} s")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return store


def is_mine_to_tell(launch: Launch, text: str) -> bool:
    """Whether this process, which cannot go on because of `text`, says so: rank 0, and who has another reason than it.

    The others are told that it refuses. It waits for them, as they for it, PATIENCE seconds at most.
    """
    if launch.world == 1:
        return True
    try:
        store = reach(launch, 3 * PATIENCE)
        store.add("refused", 1)
        return _answer(store, launch, text) != text or launch.rank == 0
    except Exception:  # whoever held the store is gone: there is nobody to agree with
        return True


def has_lost_another(launch: Launch, error: BaseException) -> bool:
    """Whether an error is nothing but that another process, which says why itself, has left this one alone."""
    if launch.rank or launch.world == 1 or not any(word in str(error) for word in LOST):
        return False
    try:
        store, end = reach(launch, 3 * PATIENCE), time.monotonic() + PATIENCE
        while not (gone := store.add("refused", 0)) and time.monotonic() < end:
            time.sleep(0.02)
        if gone:
            _answer(store, launch, "")
    except Exception:
        return False
    return bool(gone)


def _answer(store: Store, launch: Launch, text: str) -> str:
    """Rank 0's reason to end, "" of one that could have gone on; it stays until all have read, for the store is its."""
    if launch.rank == 0:
        store.set("reason", text)
        end = time.monotonic() + PATIENCE
        while store.add("read", 0) < launch.world - 1 and time.monotonic() < end:
            time.sleep(0.02)
        return text
    store.wait(["reason"], timedelta(seconds=PATIENCE))
    reason = store.get("reason").decode()
    store.add("read", 1)
    return reason
