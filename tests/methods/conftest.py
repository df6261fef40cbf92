"""Makes the stand-in networks importable, and comparisons exact."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stand_ins import in_float64


@pytest.fixture
def float64() -> Iterator[None]:
    """The test in float64, our float32 islands included."""
    with in_float64():
        yield
