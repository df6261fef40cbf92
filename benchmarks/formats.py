"""How fast one network's pass can be on this machine: every number format in both memory layouts, tried alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks.timing import interleave, time_once

HOPELESS = 1.15  # times slower than the best on a sample: not worth a longer look


@dataclass(frozen=True)
class Format:
    """`number` "fp32", "autocast" (bfloat16 where torch thinks it safe) or "bf16" (weights too), and the layout."""

    number: str
    channels_last: bool


FORMATS = tuple(Format(*pair) for pair in product(("fp32", "autocast", "bf16"), (True, False)))


def make_pass(network: nn.Module, images: Tensor, form: Format, *, backward: bool) -> Callable[[int], None]:
    """A forward pass (and a backward one) of a copy of `network` over the first of the images [B, 3, H, W]."""
    layout = torch.channels_last if form.channels_last else torch.contiguous_format
    dtype = torch.bfloat16 if form.number == "bf16" else torch.float32
    clone = copy.deepcopy(network).to(dtype).to(memory_format=layout)
    pixels = images.to(dtype).contiguous(memory_format=layout)

    def run(count: int) -> None:
        autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=form.number == "autocast")
        with torch.set_grad_enabled(backward), autocast:
            answer = clone(pixels[:count])
        if backward:
            answer.float().square().mean().backward()
            clone.zero_grad(set_to_none=True)

    return run


def time_formats(
    network: nn.Module, images: Tensor, *, backward: bool, rounds: int, sample: Tensor | None = None
) -> dict[Format, float]:
    """Fewest seconds of a pass over `images` by format; those that are hopeless on a smaller `sample` are left out."""
    sample = images[: max(1, len(images) // 8)] if sample is None else sample
    looks = {form: time_faster_pass(make_pass(network, sample, form, backward=backward), len(sample))
             for form in FORMATS}
    passes = {form: make_pass(network, images, form, backward=backward)
              for form, spent in looks.items() if spent < HOPELESS * min(looks.values())}
    works = {str(form): partial(run, len(images)) for form, run in passes.items()}
    seconds = interleave(works, rounds, warm=False)
    return {form: min(seconds[str(form)]) for form in passes}


def time_faster_pass(run: Callable[[int], None], images: int) -> float:
    """Seconds of the faster of two passes: the first one may only warm up."""
    return min(time_once(lambda: run(images)) for _ in range(2))


def choose_number(seconds: dict[Format, float], number: str, margin: float = 1.0) -> str:
    """"bf16" where that kind of bfloat16 takes less than `margin` of float32's time in channels-last, else "fp32".

    This is what `--precision auto` decides from its own measurement.
    """
    bf16, fp32 = (seconds.get(Format(name, True), float("inf")) for name in (number, "fp32"))
    return "bf16" if bf16 < margin * fp32 else "fp32"
