"""A rank's half of a batch, or the whole of it alone: norms, cosines and the balance after a step of LEAD."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.gradients.balance import Balance
from engine.gradients.budget import GradientBudget
from methods.lead import Lead, LeadOptions
from models.backbones import freeze_batch_norm
from runtime import distributed
from stand_ins import TinyBackbone, clock, make_batch, make_guide


def take_step(rank: int, world: int) -> dict[str, object]:
    """What a process measures; without batch statistics and copies in the queue, the halves are the whole."""
    torch.manual_seed(1)
    lead = Lead(TinyBackbone(norm=False), make_guide(), LeadOptions.default(queue_size=16, cosine_weight=0.3), seed=2)
    freeze_batch_norm(lead)
    whole = make_batch(4)
    rows = slice(rank * 4 // world, (rank + 1) * 4 // world)
    batch = replace(whole, views={name: view[rows] for name, view in whole.views.items()}, index=whole.index[rows],
                    label=whole.label[rows])
    budget = GradientBudget(lead, every=1, balance=Balance(0.5))
    with budget.watch(0):
        loss = lead(batch, clock())
    budget.weigh(loss)
    return {"numbers": budget.finish(), "balance": dict(budget.state_dict())}


if __name__ == "__main__":
    distributed.join_group("cpu")
    torch.save(take_step(distributed.rank(), distributed.world()), f"{sys.argv[1]}.{distributed.rank()}")
    distributed.stop()
