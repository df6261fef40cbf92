"""The plug-in module's three parts (PIM, arXiv 2202.03822): pyramid, selector, combiner; all of them on tokens.

A level is [B, S, C] here, whether it was a map or a sequence: a 1x1 convolution over a map is a linear layer over its
positions, and a channels-last map is a sequence without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.plug_in.levels import LevelShape

Upsample = Literal["bilinear", "conv"]
SLOTS_PER_NODE = 32  # kept positions that share one node of the combiner's graph
_AT_ONCE = 1 << 20  # logits whose softmax is in memory at a time


@dataclass
class SelectedPositions:
    """Positions of a level: `kept` LongTensor [B, n] by falling confidence, and all others as `dropped` bool [B, S]."""

    kept: Tensor
    dropped: Tensor


class Fpn(nn.Module):
    """Levels projected to one width F, each with the sum of the deeper ones brought to its positions.

    A step down is "bilinear" interpolation (identity where the grids agree), or "conv": a matrix over positions,
    learned for one image size (identity where their numbers agree).
    """

    def __init__(self, shapes: Mapping[str, LevelShape], width: int, upsample: Upsample) -> None:
        super().__init__()
        self.upsample = upsample
        self.project = nn.ModuleDict({name: make_mlp(shape.channels, width) for name, shape in shapes.items()})
        self.rise = nn.ModuleDict()
        names = list(shapes)
        for shallow, deep in zip(names, names[1:]):
            given, wanted = shapes[deep].positions, shapes[shallow].positions
            if upsample == "conv" and given != wanted:
                self.rise[deep] = nn.Linear(given, wanted)

    def forward(self, levels: Mapping[str, Tensor], shapes: Mapping[str, LevelShape]) -> dict[str, Tensor]:
        """Tokens [B, S_l, C_l] of grids `shapes` -> [B, S_l, F], in the same order."""
        merged = {name: self.project[name](tokens) for name, tokens in levels.items()}
        names = list(levels)
        for shallow, deep in reversed(list(zip(names, names[1:]))):
            merged[shallow] = merged[shallow] + self._raise(deep, merged[deep], shapes[deep], shapes[shallow])
        return merged

    def _raise(self, name: str, tokens: Tensor, given: LevelShape, wanted: LevelShape) -> Tensor:
        if name in self.rise:
            rise = self.rise[name]
            assert isinstance(rise, nn.Linear)
            return _apply_to_positions(rise, tokens)
        if self.upsample == "conv" or (given.rows, given.columns) == (wanted.rows, wanted.columns):
            return tokens
        maps = tokens.transpose(1, 2).unflatten(2, (given.rows, given.columns))
        grown = F.interpolate(maps, size=(wanted.rows, wanted.columns), mode="bilinear", align_corners=False)
        return grown.flatten(2).transpose(1, 2)


class PositionClassifier(nn.Module):
    """Class logits at every position: [B, S, F] -> [B, S, K]; the batch norm sees B S rows."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.norm = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.logits = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of tokens."""
        rows = self.norm(self.hidden(tokens.flatten(0, 1)))
        return self.logits(F.relu(rows, inplace=True)).unflatten(0, (-1, tokens.shape[1]))


class Combiner(nn.Module):
    """A graph over what the selector kept: one prediction from N = sum of n_l features.

    Slot r of level l is "the position of rank r"; a learned matrix pools the slots into J = max(1, N // 32) nodes.
    Their adjacency is a learned matrix A0 plus `alpha` (0 at first) times tanh of differences between scores of nodes.
    `widths` projects each level to `width` first, where there is no pyramid that did.
    """

    def __init__(self, slots: int, width: int, classes: int, *, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()
        nodes = max(1, slots // SLOTS_PER_NODE)
        self.project = nn.ModuleDict({name: make_mlp(given, width, width) for name, given in (widths or {}).items()})
        self.pool = nn.Linear(slots, nodes)
        self.adjacency = nn.Parameter((torch.eye(nodes) + 1) / 100)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.query, self.key = nn.Linear(width, width // 4), nn.Linear(width, width // 4)
        self.mix, self.norm = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.merge = nn.Linear(nodes, 1)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, kept: Mapping[str, Tensor]) -> Tensor:
        """Kept features [B, n_l, C_l] by level, shallow to deep -> logits [B, K]."""
        features = [self.project[name](rows) if name in self.project else rows for name, rows in kept.items()]
        nodes = _apply_to_positions(self.pool, torch.cat(features, dim=1))
        mixed = self.connect(nodes).transpose(1, 2) @ self.mix(nodes)
        mixed = self.norm(mixed.flatten(0, 1)).unflatten(0, (-1, nodes.shape[1]))
        return self.classifier(self.dropout(_apply_to_positions(self.merge, mixed).squeeze(1)))

    def connect(self, nodes: Tensor) -> Tensor:
        """The adjacency of nodes [B, J, F]: [B, J, J]; row i, column j holds what node i gives to node j."""
        query, key = _mean_of_outputs(self.query, nodes), _mean_of_outputs(self.key, nodes)
        return self.adjacency + self.alpha * torch.tanh(query[:, :, None] - key[:, None, :])


@torch.no_grad()
def select_top(logits: Tensor, count: int) -> SelectedPositions:
    """The `count` positions with the largest softmax maximum, for every image at once: logits [B, S, K].

    By falling confidence; of equally confident positions the earlier one comes first. No label is looked at.
    """
    kept = rank_positions(find_confidence(logits), count)
    return SelectedPositions(kept, torch.ones_like(logits[..., 0], dtype=torch.bool).scatter_(1, kept, 0))


def find_confidence(logits: Tensor) -> Tensor:
    """max_k softmax(z)_k of every position, float32: [B, S, K] -> [B, S]; few images at a time, as caches are small."""
    if torch.jit.is_tracing():  # a graph for batches of any length knows no number of pieces
        return logits.float().softmax(-1).amax(-1)
    images = max(1, _AT_ONCE // logits[0].numel())
    return torch.cat([some.float().softmax(-1).amax(-1) for some in logits.detach().split(images)])


def rank_positions(confidence: Tensor, count: int) -> Tensor:
    """Positions of the `count` largest numbers, falling, ties by position: float32 [B, S] >= 0 -> LongTensor [B, n].

    The bits of floats from 0 up grow as the floats do: with the position behind them no two keys are equal, so that one
    top-k, whose order of ties torch leaves open, has only one answer. ONNX's own top-k takes the earlier of equals.
    """
    if torch.onnx.is_in_onnx_export():
        return confidence.topk(count, dim=1).indices
    if torch.jit.is_tracing():  # no graph can look at the bits of a float
        return confidence.sort(dim=1, descending=True, stable=True).indices[:, :count]
    positions = confidence.shape[1]
    keys = confidence.view(torch.int32).long().mul_(positions)
    return keys.add_(torch.arange(positions - 1, -1, -1, device=keys.device)).topk(count, dim=1).indices


def take_positions(tokens: Tensor, kept: Tensor) -> Tensor:
    """tokens [B, S, C] at positions [B, n] -> [B, n, C]; whole rows are copied, which a gather by element is not."""
    first = torch.arange(tokens.shape[0], device=kept.device)[:, None] * tokens.shape[1]
    return tokens.flatten(0, 1).index_select(0, (kept + first).flatten()).unflatten(0, (-1, kept.shape[1]))


def make_mlp(given: int, width: int, hidden: int | None = None) -> nn.Sequential:
    """Linear, ReLU, Linear; as wide inside as outside unless `hidden` is given."""
    hidden = hidden or given
    return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))


def _apply_to_positions(layer: nn.Linear, tokens: Tensor) -> Tensor:
    """A linear layer across positions: [B, S, C] -> [B, S', C]."""
    if torch.jit.is_tracing():  # a graph would keep this batch's length in what is expanded
        return layer.weight @ tokens + layer.bias[:, None]
    weight = layer.weight.expand(len(tokens), -1, -1)
    return torch.baddbmm(layer.bias[None, :, None], weight, tokens)


def _mean_of_outputs(layer: nn.Linear, tokens: Tensor) -> Tensor:
    """The mean over a linear layer's outputs, which is linear too: [B, J, F] -> [B, J], one product for each row."""
    return tokens @ layer.weight.mean(dim=0) + layer.bias.mean()
