"""Downloads of published weights: only where the user said `hub`; a missing network is reported at once."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from runtime.errors import WeightsError

ANSWER_WITHIN = 5.0  # seconds; the hub's own client would ask again for a minute
Network = TypeVar("Network")


def download(make: Callable[[], Network], what: str, remedy: str) -> Network:
    """What `make` builds with published weights, out of the hub's cache where the network is not to be reached.

    Raises WeightsError that says what could not be had and `remedy`.
    """
    reachable = is_reachable()
    try:
        if reachable:
            return make()
        with no_network():
            return make()
    except WeightsError:
        raise
    except Exception as error:  # every hub client raises its own kind
        first = str(error).strip().split("\n")[0][:200]
        alone = f"{_host()[0]} cannot be reached, and they are not in the hub's cache"
        cause = f"{type(error).__name__}: {first}" if reachable else alone
        raise WeightsError(f"could not get {what} ({cause}). {remedy}") from error


def is_reachable() -> bool:
    """Whether the hub answers within seconds; a proxy is believed to. False where HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies():
        return True
    try:
        socket.create_connection(_host(), timeout=ANSWER_WITHIN).close()
    except OSError:
        return False
    return True


@contextmanager
def no_network() -> Iterator[None]:
    """Within it the hub's client reads its cache only, and says at once what is not there."""
    from huggingface_hub import constants

    kept = constants.HF_HUB_OFFLINE, {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    constants.HF_HUB_OFFLINE = True
    os.environ |= dict.fromkeys(kept[1], "1")
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = kept[0]
        for name, value in kept[1].items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _host() -> tuple[str, int]:
    from huggingface_hub import constants

    place = urlsplit(constants.ENDPOINT)
    return place.hostname or "", place.port or (80 if place.scheme == "http" else 443)
