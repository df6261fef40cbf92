"""One rank of a distributed run that a test starts twice: RANK and WORLD_SIZE are in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from datasets.loader import Batch
from methods.byol import ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.lead import Lead, LeadOptions
from methods.method import Method
from methods.moco import MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import freeze_batch_norm
from runtime import distributed
from stand_ins import TinyBackbone, clock, make_batch, make_guide

GLOBAL_BATCH, STEPS, MICRO = 8, 2, 2


def build(*, norm: bool, recipe: str) -> Method:
    """The same method on every rank; batch statistics are frozen where there are any."""
    torch.manual_seed(3)
    if recipe.startswith("lcr"):
        return build_lcr(recipe)
    choose = LeadOptions.seed if recipe == "seed" else LeadOptions.default
    options = choose(queue_size=24, momentum=0.9, attention_normalise="image", cam="peak", distill_sum=False)
    lead = Lead(TinyBackbone(norm=norm), make_guide(), options, seed=5)
    freeze_batch_norm(lead)
    return lead


def build_lcr(recipe: str) -> LcrMoco | LcrByol:
    """LCR on either path, with statistics frozen."""
    rationale = RationaleOptions()
    if recipe == "lcr-moco":
        options = MocoOptions(queue_size=24, momentum=0.9, dim=6)
        method = LcrMoco(TinyBackbone(norm=False), options, rationale, seed=5)
    else:
        method = LcrByol(TinyBackbone(norm=False), ByolOptions(dim=6, hidden=12, momentum=0.9), rationale)
    freeze_batch_norm(method)
    return method


def copy_state(method: Method) -> dict[str, Tensor]:
    """The buffers of queues and the parameters of momentum encoders."""
    queues = {name: value for name, value in method.state_dict().items() if name.startswith("queue")}
    moving = {name: value for name, value in method.named_parameters() if name.startswith(("key", "target"))}
    return {name: value.detach().clone() for name, value in (queues | moving).items()}


def share(batch: Batch) -> Batch:
    """This rank's contiguous part of a global batch."""
    count = len(batch) // distributed.world()
    mine = slice(distributed.rank() * count, (distributed.rank() + 1) * count)
    return Batch({name: view[mine] for name, view in batch.views.items()}, batch.index[mine], batch.label[mine])


def train(*, norm: bool, recipe: str) -> dict[str, Tensor]:
    """Two steps of two micro-batches: what every rank must agree on."""
    lead = build(norm=norm, recipe=recipe)
    module = DistributedDataParallel(lead, broadcast_buffers=False) if distributed.is_on() else lead
    optimizer = torch.optim.SGD([p for p in lead.parameters() if p.requires_grad], lr=1e-3)
    seen: dict[str, Tensor] = {}
    for step in range(STEPS):
        for micro in range(MICRO):
            number = step * MICRO + micro
            loss = module(share(make_batch(GLOBAL_BATCH, first=GLOBAL_BATCH * number, seed=number)), clock(step))
            (loss.total / MICRO).backward()
            seen |= {f"{name}/{number}": distributed.mean(term) for name, term in loss.parts.items()}
        for name, parameter in lead.named_parameters():
            if parameter.grad is not None:
                seen[f"gradient/{step}/{name}"] = parameter.grad.clone()
        optimizer.step()
        optimizer.zero_grad()
        lead.after_step(clock(step))
        seen |= {f"{name}/{step}": value for name, value in copy_state(lead).items()}
    return seen


def train_all() -> dict[str, dict[str, Tensor]]:
    """Every case that is compared."""
    return {
        "no norm, default": train(norm=False, recipe="default"),
        "frozen norm, default": train(norm=True, recipe="default"),
        "frozen norm, seed": train(norm=True, recipe="seed"),
        "lcr-moco": train(norm=False, recipe="lcr-moco"),
        "lcr-byol": train(norm=False, recipe="lcr-byol"),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.join_group("cpu")
    results = train_all()
    torch.save(results, f"{sys.argv[1]}.{distributed.rank()}")
    distributed.stop()
