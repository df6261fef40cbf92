"""Looking at all photographs of a desk: a bar in the terminal and on the page, and an end whenever the server ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from datasets.images import find_undecodable
from desk.desk import Desk, Stage
from engine.workflows.sort import Sight, check_image_count, extract_features
from evaluation.features.subject import Subject
from runtime.errors import DataError


class Ended(Exception):
    """The server ends: what is being looked at need not be finished."""


class EndingBar(tqdm):
    """A bar that ends the work which it counts once `ended` is set."""

    def __init__(self, ended: threading.Event, **settings: Any) -> None:
        self.ended = ended
        super().__init__(**settings)

    def update(self, n: float | None = 1) -> bool | None:
        """Count; raises Ended."""
        if self.ended.is_set():
            raise Ended
        return super().update(n)


def look_over(desk: Desk, subject: Subject) -> Sight:
    """What a network sees of the photographs; those that cannot be read are left out, and said."""
    try:
        return look_at_all(desk, subject)
    except DataError:
        images = desk.album.images
        desk.tell_stage(Stage("looking for files that cannot be read", 0, len(images)))
        bad = find_undecodable(images, subject.workers, subject.crop_bottom)
        if not bad:
            raise
        desk.leave_out(bad)
        check_image_count(desk.album.images, "auto")
        return look_at_all(desk, subject)


def look_at_all(desk: Desk, subject: Subject) -> Sight:
    """The same of photographs that can be read."""
    images = desk.album.images
    bar = EndingBar(desk.ended, total=len(images), unit="img", desc="looking", file=sys.stderr, mininterval=0.5)
    with bar, watch(bar, desk):
        return extract_features(subject, images, bar)


@contextmanager
def watch(bar: tqdm, desk: Desk) -> Iterator[None]:
    """Let the page follow a bar while the block runs."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(0.3):
            told = bar.format_dict
            whole = told["n"] >= told["total"]
            text = "comparing the photographs" if whole else "looking at the photographs"
            desk.tell_stage(Stage(text, told["n"], told["total"], told["rate"] or 0.0))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def until_ended(desk: Desk, places: Iterable[int]) -> Iterator[int]:
    """The places, one by one; raises Ended once the server ends."""
    for place in places:
        if desk.ended.is_set():
            raise Ended
        yield place
