"""Number formats: which one is fast here, and the autocast that goes with it."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TimedNetwork(Protocol):
    """A network that can be timed: what it answers to images [B, 3, H, W] are named tensors."""

    def train(self) -> object:
        """As of torch.nn.Module."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As of torch.nn.Module."""

    def outputs(self, images: Tensor, /) -> dict[str, Tensor]:
        """Everything whose mean square is taken as the loss."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which networks run; "fp32" needs none."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """A gradient scaler that only does something in fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def candidates(device: torch.device) -> list[str]:
    """Formats worth timing on this device; fp16 is only taken when asked for."""
    bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    return ["fp32", "bf16"] if bf16 else ["fp32"]


def choose_fastest_format(
    network: TimedNetwork, size: int, device: torch.device, batch: int = 8
) -> tuple[str, dict[str, float]]:
    """The fastest format for a training step of `network`, and the seconds that each took.

    A copy is timed, so neither weights nor batch statistics move. Depth-wise networks often win in fp32 on a CPU.
    """
    images = torch.zeros(batch, 3, size, size, dtype=torch.uint8, device=device)
    clone = copy.deepcopy(network)
    clone.train()
    seconds = {name: time_step(clone, images, device, name) for name in candidates(device)}
    fastest = min(seconds, key=lambda name: seconds[name])
    # Float32 unless another format clearly wins: a near tie would be decided by the machine's load.
    return fastest if seconds[fastest] < 0.9 * seconds["fp32"] else "fp32", seconds


def time_step(network: TimedNetwork, images: Tensor, device: torch.device, precision: str, rounds: int = 3) -> float:
    """Median seconds of a forward and backward pass, after one that is not counted."""

    def step() -> None:
        with autocast(device, precision):
            outputs = network.outputs(images)
        torch.stack([value.float().square().mean() for value in outputs.values()]).sum().backward()
        network.zero_grad(set_to_none=True)

    step()
    return statistics.median(clock(step, device) for _ in range(rounds))


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes, waiting for the device."""
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start
