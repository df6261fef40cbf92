"""Feature levels: a backbone, and the places where it is tapped, from shallow to deep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.backbones import IMAGENET_MEAN, IMAGENET_STD, as_input
from models.network import TimmNetwork
from models.sizes import empty_maps_refused
from runtime.errors import WeightsError


@dataclass(frozen=True)
class LevelShape:
    """What a level looks like: `channels`, the grid of its positions (tokens that form no square: one column), and how

    many positions (class tokens) come before the grid.
    """

    channels: int
    rows: int
    columns: int
    prefix: int = 0

    @property
    def positions(self) -> int:
        """Rows times columns, and what comes before."""
        return self.prefix + self.rows * self.columns


class Levels(nn.Module):
    """Images -> {"layer1": ..., "layer2": ...}, shallow to deep: maps [B, C, h, w], or tokens [B, S, C].

    `taps` are indices of timm's `forward_intermediates`, or names of modules whose output is wanted, or None where the
    backbone itself returns a dictionary of levels. Outputs in NHWC (timm's Swin, or `nhwc`) come permuted, and the
    first `prefix_tokens` (timm's own number unless given) of a sequence are dropped: the class token is no position,
    unless `keep_prefix` makes it one, as PIM's public code does.
    `mean` and `std` are those of timm's configuration unless given, else ImageNet's. `shapes` holds the levels' shapes
    at `image_size` pixels, from one dry run. Parameters that no level depends on (a norm behind the last tap, a
    classifier) stop asking for a gradient: DDP waits for those that do. Raises WeightsError for a tap that is not there
    or gives no single tensor.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, net: nn.Module, taps: Sequence[int | str] | None, *, image_size: int,
        mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
        prefix_tokens: int | None = None, keep_prefix: bool = False, nhwc: bool | None = None,
    ) -> None:
        super().__init__()
        self.net, self.image_size = net, image_size
        self.taps: tuple[int | str, ...] | None = None if taps is None else tuple(taps)
        known = getattr(net, "pretrained_cfg", None) or {}
        self.register_buffer("mean", _channel_vector(mean or known.get("mean", IMAGENET_MEAN)), persistent=False)
        self.register_buffer("std", _channel_vector(std or known.get("std", IMAGENET_STD)), persistent=False)
        self.prefix_tokens = getattr(net, "num_prefix_tokens", 0) if prefix_tokens is None else prefix_tokens
        self.kept_prefix = self.prefix_tokens if keep_prefix else 0
        self.nhwc = getattr(net, "output_fmt", "NCHW") == "NHWC" if nhwc is None else nhwc
        _refuse_unknown(net, self.taps)
        if self.kept_prefix and self.taps and isinstance(self.taps[0], int):
            raise WeightsError("taps by index give maps without the class token; to keep it, name modules (blocks.8)")
        self.shapes = self._look()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 0..255 or float 0..1 [B, 3, H, W] -> levels by name."""
        pixels = as_input(images, self.net, self.mean, self.std)
        if self.taps is None:
            found = list(self.net(pixels).values())
        elif isinstance(self.taps[0], int):
            net = cast(TimmNetwork, self.net)  # what is tapped by index was refused unless it has this one
            found = net.forward_intermediates(
                pixels, indices=list(self.taps), norm=False, stop_early=True, intermediates_only=True)
            return _name(found)
        else:
            found = self._tap(pixels, [str(tap) for tap in self.taps])
        return _name([self._arrange(level) for level in found])

    def _tap(self, pixels: Tensor, names: list[str]) -> list[Tensor]:
        """What these modules return."""
        run = getattr(self.net, "forward_features", self.net)
        with _listen(self.net, names) as heard:
            run(pixels)
        found = [value for name in names if isinstance(value := heard.get(name), Tensor)]
        silent = [name for name in names if not isinstance(heard.get(name), Tensor)]
        if silent:
            raise WeightsError(f"taps {', '.join(silent)}: these modules do not run, or do not return one tensor")
        return found

    def _arrange(self, level: Tensor) -> Tensor:
        if level.dim() == 3:
            return level[:, self.prefix_tokens - self.kept_prefix :]
        if level.dim() != 4:
            raise WeightsError(f"a tap gives {list(level.shape)}; levels are maps [B, C, h, w] or tokens [B, S, C]")
        return level.permute(0, 3, 1, 2) if self.nhwc else level

    @torch.enable_grad()
    def _look(self) -> dict[str, LevelShape]:
        """The levels' shapes; parameters without an influence on them are frozen."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with empty_maps_refused():
                levels, parameters = self._run_dry()
        finally:
            for module, mode in modes.items():
                module.training = mode
        asking = {name: p for name, p in parameters.items() if p.requires_grad}
        total = torch.stack([level.float().sum() for level in levels.values()]).sum()
        slopes = torch.autograd.grad(total, list(asking.values()), allow_unused=True) if asking else ()
        idle = {name for name, slope in zip(asking, slopes, strict=True) if slope is None}
        for name, parameter in self.named_parameters():
            if name in idle:
                parameter.requires_grad_(False)
        return self.find_shapes(levels)

    def find_shapes(self, levels: Mapping[str, Tensor]) -> dict[str, LevelShape]:
        """The shapes of levels as `forward` returns them."""
        return {name: shape_of(level, self.kept_prefix) for name, level in levels.items()}

    def _run_dry(self) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
        """Levels of one image and the parameters they came from: without numbers (meta tensors) where that works."""
        own = dict(self.named_parameters())
        image = partial(torch.zeros, 1, 3, self.image_size, self.image_size)
        fakes = {name: torch.empty_like(p, device="meta").requires_grad_(p.requires_grad) for name, p in own.items()}
        buffers = {name: torch.empty_like(buffer, device="meta") for name, buffer in self.named_buffers()}
        try:
            return functional_call(self, fakes | buffers, (image(device="meta"),)), fakes
        except RuntimeError:  # a network that looks at numbers, which meta tensors lack; a real error comes again
            return self(image(device=self.mean.device)), own
        except AssertionError as error:  # timm's word for an index, or a side, that it does not take
            taps = "" if self.taps is None else f"taps {list(self.taps)} "
            raise WeightsError(f"{taps}at {self.image_size} pixels: {error}; take others, or another side") from error


def shape_of(level: Tensor, prefix: int = 0) -> LevelShape:
    """The shape of a map [B, C, h, w] or of tokens [B, S, C], the first `prefix` of which are no part of the grid."""
    if level.dim() == 4:
        return LevelShape(level.shape[1], *level.shape[2:])
    positions = level.shape[1] - prefix
    side = math.isqrt(positions)
    return LevelShape(level.shape[2], *((side, side) if side * side == positions else (positions, 1)), prefix)


def as_tokens(level: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, h w, C], a view where the map lies channels-last; tokens as they are."""
    return level.flatten(2).transpose(1, 2) if level.dim() == 4 else level


@contextmanager
def _listen(net: nn.Module, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """What modules return while the block runs. Hooks live no longer, so that copies of a network share none."""
    heard: dict[str, object] = {}

    def keep(name: str, _module: nn.Module, _inputs: tuple, output: object) -> None:
        heard[name] = output

    hooks = [net.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _name(levels: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"layer{place}": level for place, level in enumerate(levels, start=1)}


def _channel_vector(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)


def _refuse_unknown(net: nn.Module, taps: tuple[int | str, ...] | None) -> None:
    """All taps that the network lacks, in one message."""
    if taps is None:
        return
    if not taps or len({type(tap) for tap in taps}) > 1:
        raise WeightsError(f"taps {list(taps)}: give indices, or names of modules, at least one and of one kind")
    if isinstance(taps[0], int):
        if not hasattr(net, "forward_intermediates"):
            raise WeightsError(f"{type(net).__name__} has no forward_intermediates; name modules, not {list(taps)}")
        return
    names = dict(net.named_modules())
    unknown = [str(tap) for tap in taps if tap not in names]
    if unknown:
        near = sorted(name for name in names if name.count(".") <= 1 and name)[:30]
        raise WeightsError(f"{type(net).__name__} has no module {', '.join(unknown)}. It has {', '.join(near)}")
