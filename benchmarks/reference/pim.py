"""A plain transcription of the plug-in module for one process in fp32: the values to give, the time to beat.

Nothing here is shared with models/, losses/ or methods/; modules bear the public code's names. The waste is its too: a
Python loop over levels and images with a full sort each, targets of -1 built on the CPU, losses read one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Levels = dict[str, Tensor]


@dataclass
class ReferenceRanks:
    """A level's chosen positions [n] and the others [S - n], one tensor for each image, by falling confidence."""

    kept: list[Tensor]
    dropped: list[Tensor]


@dataclass
class ReferenceAnswer:
    """Logits: of positions, of kept and of dropped ones, by level; and the combiner's."""

    levels: Levels
    kept: Levels
    dropped: Levels
    combiner: Tensor


def find_plain_confidence(logits: Tensor) -> list[Tensor]:
    """The largest probability of every position, [S] for each image."""
    probabilities = torch.softmax(logits, dim=-1)
    return [torch.max(probabilities[b], dim=-1)[0] for b in range(len(logits))]


def rank_plainly(confidence: list[Tensor], count: int) -> ReferenceRanks:
    """One full sort for each image."""
    kept, dropped = [], []
    for b in range(len(confidence)):
        order = torch.sort(confidence[b], descending=True, stable=True)[1]
        kept.append(order[:count])
        dropped.append(order[count:])
    return ReferenceRanks(kept, dropped)


def pick_plainly(values: Tensor, places: list[Tensor]) -> Tensor:
    """values [B, S, C] at every image's own places: [B, n, C]."""
    return torch.stack([values[b][places[b]] for b in range(len(values))])


class PlainFpn(nn.Module):
    """Maps [B, C, h, w] -> maps [B, F, h, w]."""

    def __init__(self, channels: dict[str, int], width: int) -> None:
        super().__init__()
        for name, given in channels.items():
            self.add_module(f"Proj_{name}", nn.Sequential(nn.Conv2d(given, given, 1), nn.ReLU(),
                                                          nn.Conv2d(given, width, 1)))
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, maps: Levels) -> Levels:
        """Every level with the deeper ones added."""
        names = list(maps)
        out = {name: getattr(self, f"Proj_{name}")(maps[name]) for name in names}
        for i in range(len(names) - 1, 0, -1):
            deep, shallow = out[names[i]], out[names[i - 1]]
            out[names[i - 1]] = shallow + (self.upsample(deep) if deep.shape[2] != shallow.shape[2] else deep)
        return out


class PlainCombiner(nn.Module):
    """Kept features [B, n, F] by level -> logits [B, K]."""

    def __init__(self, slots: int, width: int, classes: int) -> None:
        super().__init__()
        nodes = slots // 32
        self.param_pool0 = nn.Linear(slots, nodes)
        self.adj1 = nn.Parameter(torch.eye(nodes) / 100 + 1 / 100)
        self.conv1 = nn.Conv1d(width, width, 1)
        self.batch_norm1 = nn.BatchNorm1d(width)
        self.conv_q1 = nn.Conv1d(width, width // 4, 1)
        self.conv_k1 = nn.Conv1d(width, width // 4, 1)
        self.alpha1 = nn.Parameter(torch.zeros(1))
        self.param_pool1 = nn.Linear(nodes, 1)
        self.dropout = nn.Dropout(p=0.1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Levels) -> Tensor:
        """Logits of an image."""
        nodes = torch.cat([features[name] for name in features], dim=1).transpose(1, 2).contiguous()
        nodes = self.param_pool0(nodes)
        query, key = self.conv_q1(nodes).mean(1), self.conv_k1(nodes).mean(1)
        adjacency = self.adj1 + self.alpha1 * torch.tanh(query.unsqueeze(-1) - key.unsqueeze(1))
        nodes = self.batch_norm1(torch.matmul(self.conv1(nodes), adjacency))
        return self.classifier(self.dropout(self.param_pool1(nodes)).flatten(1))


class ReferencePim(nn.Module):
    """`backbone`: images -> four maps, shallow to deep. Call it with images and labels, step the optimiser."""

    def __init__(
        self, backbone: nn.Module, channels: list[int], classes: int, *, width: int, selects: list[int]
    ) -> None:
        super().__init__()
        names = [f"layer{i + 1}" for i in range(len(channels))]
        self.backbone, self.classes = backbone, classes
        self.selects = dict(zip(names, selects))
        self.fpn: nn.Module = PlainFpn(dict(zip(names, channels)), width)
        for name in names:
            self.add_module(f"fpn_classifier_{name}", nn.Sequential(
                nn.Conv1d(width, width, 1), nn.BatchNorm1d(width), nn.ReLU(), nn.Conv1d(width, classes, 1)))
        self.combiner = PlainCombiner(sum(selects), width, classes)

    def answer(self, images: Tensor) -> ReferenceAnswer:
        """Everything that the losses look at."""
        maps = self.fpn(dict(zip(self.selects, self.backbone(images))))
        levels, kept, dropped, features = {}, {}, {}, {}
        for name, count in self.selects.items():
            tokens = maps[name].flatten(2)
            levels[name] = getattr(self, f"fpn_classifier_{name}")(tokens).transpose(1, 2).contiguous()
            ranks = rank_plainly(find_plain_confidence(levels[name]), count)
            features[name] = pick_plainly(tokens.transpose(1, 2).contiguous(), ranks.kept)
            kept[name] = pick_plainly(levels[name], ranks.kept)
            dropped[name] = pick_plainly(levels[name], ranks.dropped)
        return ReferenceAnswer(levels, kept, dropped, self.combiner(features))

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Terms by name, summed over levels, and their weighted "total"."""
        answer = self.answer(images)
        layer, pushed, total = torch.zeros(()), torch.zeros(()), torch.zeros(())
        for name in self.selects:
            one = nn.CrossEntropyLoss()(answer.levels[name].mean(1), labels)
            far = answer.dropped[name].reshape(-1, self.classes)
            target = torch.zeros(far.shape) - 1
            push = nn.MSELoss()(torch.tanh(far), target.to(far.device))
            layer, pushed, total = layer + one, pushed + push, total + 0.5 * one + 5.0 * push
        final = F.cross_entropy(answer.combiner, labels)
        return {"layer": layer, "dropped": pushed, "combiner": final, "total": total + final}
