"""How features are extracted, for those who hand it on by keyword."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch

from datasets.crops import Crops


class ExtractSettings(TypedDict, total=False):
    """Keywords of `evaluation.features.extract.extract` under which its results stay of one kind, see there."""

    crops: Crops | None
    batch_size: int
    workers: int
    device: torch.device | str
    precision: str
    seed: int
    epoch: int
    crop_bottom: int
    caches: Sequence[Path]
    cache_key: str
