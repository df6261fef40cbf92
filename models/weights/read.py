"""What a weight file holds of a network, brought to plain parts; and the fingerprint of a network's tensors.

What a user may name as a source, and how its file is opened, is in `models.weights.files`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path

import torch
from torch import Tensor, nn

from models.weights.files import read_checkpoint
from models.weights.styles import EncoderState, split_encoder_state
from runtime.errors import WeightsError

# Who is told what was found in a file: the command's user, unless a program of somebody's asks.
LISTENER: ContextVar[Callable[[str], None]] = ContextVar("LISTENER", default=print)


def describe_max_pool(parts: EncoderState, target: nn.Module) -> list[str]:
    """A note where weights were trained without the max-pool that `target` has."""
    if parts.meta.get("skips_max_pool") and isinstance(getattr(target, "maxpool", None), nn.MaxPool2d):
        return ["was trained without the max-pool, which this network has: its map is smaller here"]
    return []


def read_parts(source: str | Path) -> EncoderState:
    """A file's backbone, head and attention; one line says which network was taken where it holds several."""
    return take_apart(read_checkpoint(source), source)


def take_apart(content: Mapping, source: str | Path) -> EncoderState:
    """`read_parts` of what is already read."""
    try:
        parts = split_encoder_state(content)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    if parts.choice:
        say_once(f"note: {source} {parts.choice}")
    return parts


def say_once(line: str) -> None:
    """Print a line once, not from every process; a program that loads weights may hear it instead (`LISTENER`)."""
    if os.environ.get("RANK", "0") == "0":
        LISTENER.get()(line)


def fingerprint(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of all tensors: equal exactly when the weights are."""
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
