"""One process of several that extract features: FOLDER SPLIT CACHE RESULT [KILLED_AFTER]; ranks are in the environment."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import timm
import torch
from torch import Tensor

from datasets.images import scan
from datasets.views.recipes import View
from evaluation.features import compute, shards
from evaluation.features.extract import extract
from runtime import distributed

VIEW = View("full", "eval", 32)


def make_network() -> torch.nn.Module:
    """A network whose last bits differ between a batch of one and a batch of several."""
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=0, zero_init_last=False).eval().to(memory_format=torch.channels_last)


def main(folder: str, split: str, cache: str, result: str, killed_after: str = "0") -> None:
    """Extract, four pictures at a time, and save the rows; killed before the batch after that many."""
    torch.set_num_threads(1)
    device = distributed.join_group("cpu")
    compute.SAVED_MOST, shards.MOST_SMALL = 4, 2
    network, calls = make_network(), []

    def answer(pixels: Tensor) -> dict[str, Tensor]:
        if int(killed_after) and len(calls) == int(killed_after):
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(len(pixels))
        return {"backbone": network(pixels.float() / 255)}

    caches = [Path(cache)] if cache != "none" else []
    found = extract(answer, scan(folder, split), VIEW, batch_size=4, device=device, caches=caches, cache_key="x")
    torch.save({"rows": found.tensors["backbone"], "calls": len(calls), "cached": found.cached},
               f"{result}.{distributed.rank()}")
    distributed.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
