"""What a student is told of its images: a teacher's unit features, and prototypes that both are compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.teachers.frozen import FrozenTeacher
from models.teachers.prototypes import Space


class Prototypes(nn.Module):
    """`rows` [M, D] (class descriptions or centroids) and the `temperature` of their softmax, saved with a run.

    Rows are brought to length 1; with `unit` False they stay as they are.
    """

    rows: Tensor
    temperature: Tensor

    def __init__(self, rows: Tensor, temperature: float, *, unit: bool = True) -> None:
        super().__init__()
        rows = rows.detach().float()
        self.register_buffer("rows", F.normalize(rows, dim=1) if unit else rows)
        self.register_buffer("temperature", torch.tensor(float(temperature)))


class Guide(nn.Module, ABC):
    """A teacher's answer for each image, and prototypes by name ("text", "image"), all in one space of `dim` numbers.

    Raises ValueError when the sets of prototypes differ in width.
    """

    def __init__(self, prototypes: Mapping[str, Prototypes]) -> None:
        super().__init__()
        widths = {name: some.rows.shape[1] for name, some in prototypes.items()}
        if len(set(widths.values())) != 1:
            raise ValueError(f"all prototypes must share one width, these have {widths}")
        self.prototypes = nn.ModuleDict(prototypes)
        self.dim: int = next(iter(widths.values()))

    def sets(self) -> dict[str, Prototypes]:
        """The sets of prototypes by name; a ModuleDict does not say what it holds."""
        return cast("dict[str, Prototypes]", dict(self.prototypes.items()))

    @abstractmethod
    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """The teacher's unit embeddings [B, D], without gradient, for a view [B, 3, H, W] of the images `ids` [B]."""


class LiveGuide(Guide):
    """Asks a frozen teacher about the very view that the student sees; `space` brings an image teacher to `dim`.

    `teacher` needs `encode(images) -> [B, F]`. It stays out of checkpoints; the space is kept in them.
    """

    mean: Tensor | None
    components: Tensor | None

    def __init__(
        self, teacher: FrozenTeacher, prototypes: Mapping[str, Prototypes], space: Space | None = None
    ) -> None:
        super().__init__(prototypes)
        self.teacher = teacher
        self.register_buffer("mean", None if space is None else space.mean)
        self.register_buffer("components", None if space is None else space.components)

    @torch.no_grad()
    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Ask the teacher, and bring its answer into the space; `ids` are not looked at."""
        with torch.autocast(images.device.type, enabled=False):
            features = self.teacher.encode(images).float()
            if self.mean is None or self.components is None:
                return F.normalize(features, dim=1)
            return Space(self.mean, self.components).project(features)


class BankGuide(Guide):
    """Remembers one answer per image, taken from a clean view before training: `bank` [N, D], row = image id."""

    bank: Tensor

    def __init__(self, bank: Tensor, prototypes: Mapping[str, Prototypes]) -> None:
        super().__init__(prototypes)
        if bank.shape[1] != self.dim:
            raise ValueError(f"the bank's rows have {bank.shape[1]} numbers, the prototypes {self.dim}")
        self.register_buffer("bank", F.normalize(bank.detach().float(), dim=1))

    @torch.no_grad()
    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Look the answers up; `images` are not looked at."""
        return self.bank[ids]
