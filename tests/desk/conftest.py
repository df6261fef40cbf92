"""A flat folder of photographs whose kinds show in their colours, and desks over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.images import scan
from desk.album import Album
from evaluation.features.contents import hash_images
from tests.desk.served import Hosted, Served

KINDS = {"red": 0, "green": 1, "blue": 2}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twelve JPEGs each of something red, green and blue, named KIND_NN.jpg."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for kind, channel in KINDS.items():
        for number in range(12):
            pixels = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            pixels[8:40, 12:52, channel] += 150
            Image.fromarray(pixels).save(folder / f"{kind}_{number:02d}.jpg", quality=92)
    return folder


@pytest.fixture
def album(photographs: Path) -> Album:
    images = scan(photographs)
    return Album(images, tuple(hash_images(images, None)))


@pytest.fixture
def serve(tmp_path: Path, photographs: Path) -> Iterator[Callable[..., Served]]:
    """serve(*words): the command on tmp_path/photographs, in a process that can be killed."""
    running: list[Served] = []

    def start(*words: object) -> Served:
        running.append(Served(tmp_path, "photographs", "--serve", "--out", "state", *words))
        return running[-1]

    yield start
    for served in running:
        served.kill()


@pytest.fixture
def host(tmp_path: Path, photographs: Path) -> Iterator[Callable[..., Hosted]]:
    """host(*words, here=...): the same without a process of its own, which starts at once."""
    running: list[Hosted] = []

    def start(*words: object, here: Path = tmp_path) -> Hosted:
        running.append(Hosted(here, "photographs", "--serve", *words))
        return running[-1]

    yield start
    for hosted in running:
        with suppress(AssertionError):  # stopped by the test itself
            hosted.stop()
