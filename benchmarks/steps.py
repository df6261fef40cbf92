"""One optimiser step of ours, exactly as the trainer takes it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from datasets.loader import Batch
from engine import precision
from engine.trainer import read_numbers
from methods.method import Clock, Method


def make_step(
    method: Method, optimizer: torch.optim.Optimizer, images: int, size: int, number: str
) -> Callable[[], None]:
    """A step over random uint8 views of `images` images with a side of `size` pixels, in the format `number`."""
    pixels = {name: torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8) for name in method.views()}
    batch, clock = Batch(pixels, torch.arange(images), torch.arange(images)), Clock(0, 100, 0, 1)

    def step() -> None:
        with precision.autocast(torch.device("cpu"), number):
            loss = method(batch, clock)
        read_numbers(loss)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step(clock)

    return step
