"""A small plug-in module, and one rank of its run that a test starts twice: RANK and WORLD_SIZE are in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn

from datasets.loader import Batch
from datasets.views.recipes import View
from methods.method import Clock
from methods.pim import Pim, PimOptions
from methods.supervised import Supervision
from models.plug_in.levels import Levels
from models.plug_in.module import PlugIn, PlugInOptions
from runtime import distributed

CLASSES, STEPS = 5, 3
CASES = {"all": {}, "no pyramid": {"use_fpn": False}, "no combiner": {"use_combiner": False},
         "pyramid": {"use_selection": False, "use_combiner": False}, "matrices": {"upsample": "conv"}}


class Trunk(nn.Module):
    """Three maps of 16, 8 and 4 positions a side, and a layer that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(given, wide, 3, 2, 1) for given, wide in ((3, 4), (4, 6), (6, 8)))
        self.unread = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps by name."""
        maps = {}
        for place, step in enumerate(self.steps):
            images = maps[f"stage{place}"] = step(images).relu()
        return maps


def make_method(terms: PimOptions = PimOptions(), *, supervision: dict | None = None, **options: object) -> Pim:
    """The same method everywhere."""
    torch.manual_seed(1)
    chosen = PlugInOptions(**({"fpn_size": 8, "combiner_size": 8, "selects": (48, 24, 8)} | options))
    network = PlugIn(Levels(Trunk(), None, image_size=32), CLASSES, chosen)
    given = {"classes": CLASSES, "view": View("full", "probe", 32), "smoothing": 0.0} | (supervision or {})
    return Pim(network, Supervision(**given), terms).train()


def make_batch(size: int = 6, side: int = 32, seed: int = 0) -> Batch:
    """Images [B, 3, H, H] with labels 0, 1, ..."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=generator)
    return Batch({"v": images}, torch.arange(size), torch.arange(size) % CLASSES)


def train(options: dict) -> dict[str, object]:
    """A few steps on a batch of this rank's own: the mean losses and the weights, on which ranks must agree."""
    method = make_method(**options)
    module = distributed.wrap(method, torch.device("cpu"))
    optimizer = torch.optim.SGD([{"params": group.params} for group in method.param_groups()], lr=1e-3)
    losses = []
    for step in range(STEPS):
        loss = module(make_batch(seed=distributed.rank()), Clock(step, STEPS, 0, 1))
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(distributed.mean(loss.total.detach())))
    return {"losses": losses, "weights": {name: value.detach() for name, value in method.named_parameters()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.join_group("cpu")
    torch.save({name: train(options) for name, options in CASES.items()}, f"{sys.argv[1]}.{distributed.rank()}")
    distributed.stop()
