"""A network whose maps are no numbers is named before anything is fitted or cropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from DDT.__main__ import main
from models.weights.files import read_checkpoint
from runtime.errors import BrokenNetwork


def test_maps_of_nan_are_named(tmp_path: Path, words: Callable[..., list[str]], tiny_weights: Path) -> None:
    state = {name: value * float("nan") if value.is_floating_point() else value
             for name, value in read_checkpoint(tiny_weights).items()}
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(BrokenNetwork, match="returns NaN or infinity to .* pictures.*take other weights"):
        main(words(tmp_path / "out", "--pretrained", tmp_path / "nan.pth"))
    assert not list((tmp_path / "out").rglob("*.npz")) and not list((tmp_path / "out").rglob("boxes.csv"))
