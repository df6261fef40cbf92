"""Is the text any good? What can be said of class rows, and of images against them, before a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.metrics.geometry import effective_rank
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.metrics.zero_shot import ZeroShot, nearest_rows, zero_shot
from losses.entropy import adaptive_gate, normalised_entropy
from models.teachers.prototypes import temperature_for_entropy

DUPLICATE = 0.95  # cosine above which two rows count as one
CLOSED, OPEN = 0.1, 0.9  # distillation weights (1 - h^2) at which the gate counts as closed, and as open
CHUNK = 4096


@dataclass(frozen=True)
class TextReading:
    """How CLIP reads a class's text: its tokens uncut, and the words at its end that are not read ("" for none)."""

    name: str
    text: str
    tokens: int
    lost: str


@dataclass(frozen=True)
class TextPair:
    """Two rows and their cosine."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class Gating:
    """What a temperature does to N images: entropies of p_t over log C, float32 [N] in [0, 1]."""

    temperature: float
    entropy: Tensor

    @property
    def mean(self) -> float:
        """The mean normalised entropy."""
        return float(self.entropy.mean())

    @property
    def closed(self) -> float:
        """Share of images that are hardly distilled: their weight 1 - h^2 is below 0.1."""
        return float((adaptive_gate(self.entropy).distill < CLOSED).double().mean())

    @property
    def open(self) -> float:
        """Share of images that are hardly contrasted: their weight 1 - h^2 is above 0.9."""
        return float((adaptive_gate(self.entropy).distill > OPEN).double().mean())


@dataclass(frozen=True)
class Audit:
    """All findings on C rows and N images. `readings` is () where the texts are not known.

    `matched` is the gating at the temperature that meets the target entropy, None where none does; `sweep` goes over
    temperatures; `uses` int64 [C] counts images by nearest row; `accuracy` is None without labels.
    """

    names: tuple[str, ...]
    readings: tuple[TextReading, ...]
    context: int
    near_duplicates: list[TextPair]
    neighbours: list[TextPair]
    rank: float
    images: int
    uses: Tensor
    gating: Gating
    target: float
    matched: Gating | None
    sweep: list[Gating]
    accuracy: ZeroShot | None

    @property
    def truncated(self) -> list[TextReading]:
        """Texts that CLIP does not read to their end."""
        return [reading for reading in self.readings if reading.tokens > self.context]

    @property
    def unused(self) -> list[int]:
        """Rows that are nearest to no image."""
        return (self.uses == 0).nonzero().flatten().tolist()


def audit(
    rows: Tensor, features: Tensor, *, temperature: float, target: float = 0.5, labels: Tensor | None = None,
    names: Sequence[str] = (), readings: Sequence[TextReading] = (), context: int = 77,
) -> Audit:
    """Everything above for unit rows [C, D] and unit teacher features [N, D]; `labels` [N] number the rows."""
    names = tuple(names) or tuple(f"row {index}" for index in range(len(rows)))
    uses = nearest_rows(features, rows).flatten().bincount(minlength=len(rows))
    taus = torch.logspace(-3, 0, 31).tolist()
    return Audit(
        names, tuple(readings), context, find_near_duplicates(rows), nearest_others(rows), effective_rank(rows),
        len(features), uses, gate_at(features, rows, temperature), target, match_entropy(features, rows, target),
        [gate_at(features, rows, tau) for tau in taus],
        None if labels is None else zero_shot(features, rows, labels))


def find_near_duplicates(rows: Tensor, threshold: float = DUPLICATE) -> list[TextPair]:
    """Pairs of rows [C, D] with a cosine above the threshold, the closest first."""
    cosines = _cosines(rows).triu(diagonal=1)
    found = (cosines > threshold).nonzero().tolist()
    pairs = [TextPair(first, second, float(cosines[first, second])) for first, second in found]
    return sorted(pairs, key=lambda pair: -pair.cosine)


def nearest_others(rows: Tensor) -> list[TextPair]:
    """For every row [C, D] the other row that is most like it; [] for a single row."""
    if len(rows) < 2:
        return []
    best = _cosines(rows).fill_diagonal_(-2).max(dim=1)
    found = zip(best.indices.tolist(), best.values.tolist())
    return [TextPair(index, other, value) for index, (other, value) in enumerate(found)]


def gate_at(features: Tensor, rows: Tensor, temperature: float) -> Gating:
    """Entropies of softmax(features rows^T / temperature) for unit features [N, D] and rows [C, D]."""
    parts = [normalised_entropy((chunk.double() @ rows.double().T / temperature).log_softmax(dim=1))
             for chunk in features.split(CHUNK)]
    return Gating(temperature, torch.cat(parts).clamp(0, 1))


def match_entropy(features: Tensor, rows: Tensor, target: float) -> Gating | None:
    """The gating at the temperature whose mean entropy is the target; None when no temperature reaches it."""
    try:
        return gate_at(features, rows, temperature_for_entropy(features, rows, target))
    except ValueError:
        return None


def _cosines(rows: Tensor) -> Tensor:
    unit = normalise_embeddings(rows).double()
    return (unit @ unit.T).clamp(-1, 1)
