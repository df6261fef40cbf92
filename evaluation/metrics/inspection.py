"""Whether what a network says of pictures can be used: numbers and not NaN, not the same of all, all of one width."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from runtime.errors import BrokenNetwork, DataError

SHOWN = 3
# Outputs that tell pictures apart, of encoders and of classifiers; maps need not.
TELLING = ("backbone", "masked", "head", "joint", "logits", "cls", "dist", "average", "combiner")
ANGULAR = ("backbone", "masked", "head", "joint")  # those that are compared by their direction
SAME = 1e-6  # differences below this share of the length are rounding


def need_finite(tensors: Mapping[str, Tensor], keys: Sequence[str]) -> None:
    """Raise BrokenNetwork when an output [N, ...] is NaN or infinite, with the pictures (by their keys) it says it of.

    One message for all outputs that are so.
    """
    found = []
    for name, values in tensors.items():
        bad = (~torch.isfinite(values.flatten(1)).all(dim=1)).nonzero().flatten().tolist()
        if bad:
            shown = ", ".join(keys[index] for index in bad[:SHOWN]) + ", ..." * (len(bad) > SHOWN)
            found.append(f"{name} of {len(bad)} of {len(values)} pictures ({shown})")
    if found:
        raise BrokenNetwork(f"the network returns NaN or infinity: {'; '.join(found)}. Nothing measured of it would "
                            "mean anything: take weights of an earlier epoch, or --precision fp32 where it was another")


def describe_sameness(tensors: Mapping[str, Tensor], keys: Sequence[str]) -> list[str]:
    """A line for every output [N, D] that is the same of all pictures, or a row of zeros of some."""
    lines = []
    for name, values in tensors.items():
        if name not in TELLING or values.ndim != 2 or len(values) < 2:
            continue
        length = float(values.norm(dim=1).max())
        if float((values - values[0]).norm(dim=1).max()) <= SAME * length:
            lines.append(f"{name} is the same of all {len(values)} pictures: no number here tells them apart (equal "
                         "scores rank by position)")
        zero = (values == 0).all(dim=1).nonzero().flatten().tolist() if name in ANGULAR else []
        if zero and length > 0:
            shown = ", ".join(keys[index] for index in zero[:SHOWN]) + ", ..." * (len(zero) > SHOWN)
            lines.append(f"{name} of {len(zero)} of {len(values)} pictures is zero ({shown}): nothing is near or far")
    return lines


def tell_sameness(tensors: Mapping[str, Tensor], keys: Sequence[str]) -> None:
    """Say what `describe_sameness` finds."""
    for line in describe_sameness(tensors, keys):
        print(f"warning: {line}", file=sys.stderr)


def need_one_width(queries: Tensor, gallery: Tensor) -> None:
    """Raise DataError when embeddings [N, D] cannot be compared with embeddings [M, E]."""
    if queries.shape[1:] != gallery.shape[1:]:
        raise DataError(f"embeddings of {queries.shape[-1]} numbers cannot be compared with embeddings of "
                        f"{gallery.shape[-1]}: "
                        "they are of different networks or features; take both from one")
