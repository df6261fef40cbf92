"""Which sides a network can look at, found by a dry run without numbers, before any image is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn
from torch.func import functional_call

from runtime.errors import WeightsError

OWN = "WeightsError: "
REACH, PATIENCE = 64, 2.0  # pixels and seconds in which a side that fits is looked for
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Network = TypeVar("Network", bound=nn.Module)
DryRun = Callable[[int], None]  # raises what the network raises for images of that side


def check_size(
    network: nn.Module, size: int, *, flag: str = "--size", look: str | None = None, layer: int | None = None
) -> None:
    """Raise WeightsError, with the nearest sides that fit, when `network` cannot look at squares of `size` pixels.

    The network is asked without numbers and left as it is; `look` names the method that sees the images (forward
    unless given) and `layer` what it is given besides. Parameters may lie on any device.
    """
    asked = network if look is None else _Looking(network, look, layer)
    name = getattr(network, "arch", type(network).__name__)
    own = getattr(network, "input_size", None) or getattr(network, "size", None)
    _refuse(lambda side: _run(asked, side), str(name), size, own, flag)


def check_arch_size(build: Callable[[int], nn.Module], name: str, size: int, *, flag: str = "--size") -> None:
    """The same for a network that is made for its side: `build(side)` makes it, here without memory for weights."""

    def dry_run(side: int) -> None:
        _run(build_without_memory(lambda: build(side)), side)

    _refuse(dry_run, name, size, None, flag)


def build_without_memory(build: Callable[[], Network]) -> Network:
    """What `build()` makes, on the meta device; with memory where its construction reads numbers.

    torch 2.6 has no `unique` without numbers, which timm's regnets ask for. The state of the random numbers is kept.
    """
    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:
        with torch.random.fork_rng(devices=[]):
            return build()


@contextmanager
def empty_maps_refused() -> Iterator[None]:
    """Raise RuntimeError where a convolution leaves nothing of a map: torch 2.6 lets it pass on the meta device."""

    def refuse(module: nn.Module, images: tuple[torch.Tensor, ...], left: torch.Tensor) -> None:
        if isinstance(module, CONVOLUTIONS) and not left.numel() and images[0].numel():
            kernel = " x ".join(map(str, module.kernel_size))
            raise RuntimeError(f"a convolution over {kernel} pixels leaves nothing of its map")

    hook = nn.modules.module.register_module_forward_hook(refuse)
    try:
        yield
    finally:
        hook.remove()


def _refuse(dry_run: DryRun, name: str, size: int, own: int | None, flag: str) -> None:
    reason = _find_fault(dry_run, size)
    if reason is None:
        return
    at_own = _find_fault(dry_run, own) if own else None
    for fault in () if at_own is None else (reason, at_own):
        if fault.startswith(OWN):  # no side is better: the network itself is no good
            raise WeightsError(fault.removeprefix(OWN))
    near = {*_list_near(dry_run, size), *([own] if own and at_own is None else [])}
    if near:
        sides = " or ".join(map(str, sorted(near)))
        short = reason.removeprefix(OWN)
        raise WeightsError(f"{flag} {size}: {name} cannot look at squares of that side ({short}); take {sides}")


def _list_near(dry_run: DryRun, size: int) -> Iterator[int]:
    """The nearest side below and the nearest above that fit, of the even ones within reach."""
    start = time.monotonic()
    for direction in (-1, 1):
        for distance in range(1, REACH + 1):
            side = size + direction * distance
            if time.monotonic() - start > PATIENCE * (1 if direction < 0 else 2):
                break
            if side > 0 and side % 2 == 0 and _find_fault(dry_run, side) is None:
                yield side
                break


def _find_fault(dry_run: DryRun, size: int) -> str | None:
    try:
        dry_run(size)
    except WeightsError as error:
        return f"{OWN}{error}"
    except (AssertionError, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError) as error:
        return str(error).split("\n")[0].strip(" .")[:100] or type(error).__name__
    return None


def _run(network: nn.Module, size: int) -> None:
    for part in network.modules():
        patch = getattr(part, "patch_size", None) if type(part).__name__.startswith("PatchEmbed") else None
        side = patch[0] if isinstance(patch, (tuple, list)) else patch
        if isinstance(side, int) and size % side and not getattr(part, "dynamic_img_pad", False):
            raise ValueError(f"its patches of {side} pixels do not fill it")
        if patch is not None:
            break
    state = {name: value.to("meta") for values in (network.named_parameters(), network.named_buffers())
             for name, value in values}
    with _in_eval(network), torch.no_grad(), empty_maps_refused():
        functional_call(network, state, (torch.empty(1, 3, size, size, device="meta"),))


@contextmanager
def _in_eval(network: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


class _Looking(nn.Module):
    """A network whose forward is another of its methods."""

    def __init__(self, network: nn.Module, look: str, layer: int | None) -> None:
        super().__init__()
        self.network, self.look, self.rest = network, look, () if layer is None else (layer,)

    def forward(self, images: torch.Tensor) -> object:
        return getattr(self.network, self.look)(images, *self.rest)
