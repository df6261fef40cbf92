"""Words of the plug-in module's flags: where a backbone is tapped, and how many positions are kept."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def read_tap(word: str) -> int | str:
    """An index of timm's `forward_intermediates`, or a module's name."""
    return int(word) if word.removeprefix("-").isdigit() else word


def read_selects(words: Sequence[str | int] | None) -> dict[str, int]:
    """`layer1=2048,layer2=512` or `2048 512 128 32` as level -> positions; {} for None.

    Raises argparse.ArgumentTypeError for anything else.
    """
    pieces = [piece for word in words or () for piece in str(word).split(",") if piece]
    named: dict[str, str] = {}
    for place, piece in enumerate(pieces, start=1):
        name, equals, count = piece.partition("=")
        named |= {name: count} if equals else {f"layer{place}": piece}
    if len(named) != len(pieces) or not all(value.isdigit() and int(value) > 0 for value in named.values()):
        raise argparse.ArgumentTypeError(
            f"--num-selects {' '.join(map(str, words or ()))}: give layer1=2048,layer2=512,layer3=128,layer4=32 or one "
            "number above 0 for each level")
    return {name: int(value) for name, value in named.items()}
