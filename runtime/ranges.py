"""What numbers a flag takes: each has a kind, ends, and words such as "auto"; the parser gathers what is refused.

Every numeric flag of every command has one of these as its `type`, so that a value out of range is answered before
anything is computed. NaN and infinity lie in no range. Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

LONG = 40  # characters of a refused value that a message shows
LARGEST = 10**9  # whole numbers beyond it are slips of the keyboard


@dataclass(frozen=True)
class Range:
    """A whole or real number from `least` to `most`; `above`, `below`: that end itself is refused. Or one of `words`.

    Called with the text of a flag it returns the number or the word; raises argparse.ArgumentTypeError otherwise.
    """

    kind: type[int] | type[float]
    least: float
    most: float
    above: bool = False
    below: bool = False
    words: tuple[str, ...] = ()

    def __call__(self, text: str) -> int | float | str:
        if (word := text.strip().lower()) in self.words:
            return word
        try:
            value = self.kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"is {text[:LONG]!r}, but it must be {self}") from None
        if self.kind is float and not _fits_float32(value):
            raise argparse.ArgumentTypeError(f"is {value}, beyond what 32-bit floats hold, but it must be {self}")
        if not self.holds(value):
            raise argparse.ArgumentTypeError(f"is {str(value)[:LONG]}, but it must be {self}")
        return value

    def holds(self, value: float) -> bool:
        """True when the number lies in the range; never for NaN or infinity."""
        from_below = self.least < value if self.above else self.least <= value
        to_above = value < self.most if self.below else value <= self.most
        return from_below and to_above and not (self.kind is float and math.isinf(value))

    def __str__(self) -> str:
        kind = "a whole number, " if self.kind is int else ""
        return " or ".join([*self.words, f"{kind}{self._describe_ends()}"])

    def _describe_ends(self) -> str:
        if self.most == math.inf and self.least == -math.inf:
            return "a finite number"
        low = f"{'above' if self.above else 'at least'} {self.least:g}"
        if self.most in (math.inf, LARGEST):
            return low
        high = f"{'below' if self.below else 'at most'} {self.most:.10g}"
        inclusive = not (self.above or self.below)
        return f"within {self.least:g}..{self.most:.10g}" if inclusive else f"{low} and {high}"


def _fits_float32(value: float) -> bool:
    """False for what would be 0 or infinite where it is computed with; NaN and infinity are told by the range."""
    return value == 0 or not math.isfinite(value) or 1.2e-38 <= abs(value) <= 3.4e38


def whole_number(least: int, most: int = LARGEST, *words: str) -> Range:
    """A whole number from `least` to `most`, or one of the words."""
    return Range(int, least, most, words=words)


def real(least: float = -math.inf, most: float = math.inf, *, above: bool = False, below: bool = False) -> Range:
    """A finite real number from `least` to `most`."""
    return Range(float, least, most, above, below)


COUNT = whole_number(1)  # images, neighbours, draws
COUNT_OR_0 = whole_number(0)  # where 0 means none, all, or automatic
EPOCHS = whole_number(1, 10**6)
BATCH = whole_number(1, 65536)  # images of one step; more are never held at once
PARTS = whole_number(1, 65536)  # micro-batches of a step
SIDE = whole_number(1, 8192)  # pixels
SIDE_OR_0 = whole_number(0, 8192)  # 0: what the network or its file says
ROWS = whole_number(0, 8192, "auto")  # pixels at the bottom
WIDTH = whole_number(1, 65536)  # numbers in a row
WORKERS = whole_number(0, 256, "auto")
THREADS = whole_number(0, 1024)
SEED = whole_number(0, 2**32 - 1)  # NumPy takes no other
QUEUE = whole_number(1, 2**24, "auto")
FINITE = real()
POSITIVE = real(0, above=True)
WEIGHT = real(0)  # of a term, a decay, or where 0 switches something off
RATE = real(0, 10**4, above=True)  # learning rates
TEMPERATURE = real(0, 10**6, above=True)
SHARE = real(0, 1)
SHARE_ABOVE_0 = real(0, 1, above=True)
SHARE_BELOW_1 = real(0, 1, below=True)  # momenta, dropout
BETWEEN = real(0, 1, above=True, below=True)
