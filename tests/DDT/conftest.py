"""A tiny network, its command line, and its table, for tests of whole runs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.backbones import build_backbone

SMALL = ("--arch", "resnet10t", "--size", "64", "--num_workers", "0", "--device", "cpu", "--batch_size", "4")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with fixed random weights of resnet10t, timm's smallest ResNet."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.pth"
    torch.save(build_backbone("resnet10t").net.state_dict(), path)
    return path


@pytest.fixture
def words(photo_tree: Path, tiny_weights: Path) -> Callable[..., list[str]]:
    """`words(out, *more)`: the command line of a run over `photo_tree`; `more` overrides."""

    def spell(out: Path, *more: object) -> list[str]:
        given = ["--task", "bird", "--root", photo_tree, "--pretrained", tiny_weights, "--out", out, *SMALL, *more]
        return [str(word) for word in given]

    return spell


@pytest.fixture
def read_table() -> Callable[[Path], list[dict[str, str]]]:
    """`read_table(folder)`: the rows of its boxes.csv."""

    def read(folder: Path) -> list[dict[str, str]]:
        with open(folder / "boxes.csv", newline="") as file:
            return list(csv.DictReader(file))

    return read
