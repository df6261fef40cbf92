"""Networks that are built for somebody's own program, whose random numbers and screen are not ours."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.weights.read import LISTENER

_TURN = threading.Lock()


@contextmanager
def load_quietly() -> Iterator[None]:
    """Within it networks are built one at a time, and what their files have to say becomes a warning.

    torch's global generator, from which a new network is filled before its weights are read, comes out as it went in.
    """
    token = LISTENER.set(lambda line: warnings.warn(line, stacklevel=2))
    try:
        with _TURN, torch.random.fork_rng(devices=[]):
            yield
    finally:
        LISTENER.reset(token)
