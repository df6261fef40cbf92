"""One optimiser step of ours, exactly as the trainer takes it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from datasets.loader import Batch
from engine.readings import CUDA_STEPS, stack_numbers
from methods.method import Clock, Method
from runtime import precision


def make_step(
    method: Method, optimizer: torch.optim.Optimizer, images: int, size: int, number: str, *,
    labels: Tensor | None = None, clock: Clock = Clock(0, 100, 0, 1),
) -> Callable[[], None]:
    """A step over random uint8 views of `images` images with a side of `size` pixels, in the format `number`.

    `labels` [B] are all different unless given; `clock` says where in training the step is.
    """
    pixels = {name: torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8) for name in method.views()}
    device = next(method.parameters()).device
    batch = Batch(pixels, torch.arange(images), torch.arange(images) if labels is None else labels.cpu()).to(device)
    waiting: list[Tensor] = []

    def step() -> None:
        with precision.autocast(device, number):
            loss = method(batch, clock)
        waiting.append(stack_numbers({"total": loss.total, **loss.parts, **loss.stats}))
        if len(waiting) == (CUDA_STEPS if device.type == "cuda" else 1):
            torch.cat(waiting).tolist()
            waiting.clear()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), math.inf)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step(clock)

    return step
