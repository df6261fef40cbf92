"""One rank of a metric learning run that a test starts twice: RANK and WORLD_SIZE are in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor
from two_ranks import share

from datasets.loader import Batch
from methods.method import Clock
from methods.obdsd import ObdSd, ObdSdOptions
from runtime import distributed
from stand_ins import TinyBackbone, in_float64

BATCH, EPOCHS, STEPS, CLASSES = 8, 3, 2, 4
CASES = {
    "obd-sd": ObdSdOptions(dim=5, distil=True, diffusion="softmax", kd_lambda=20, diffusion_w=0.5, pool="avg+max"),
    "margin": ObdSdOptions(dim=5, distil=True, criterion="margin", kd_lambda=20),
    "proxynca": ObdSdOptions(dim=5, criterion="proxynca", normalise=False),
    "random": ObdSdOptions(dim=5, criterion="triplet", miner="random"),
}


def build(options: ObdSdOptions) -> ObdSd:
    """The same method everywhere."""
    torch.manual_seed(3)
    return ObdSd(TinyBackbone(), options, classes=CLASSES, seed=5).train()


def make_labelled(number: int) -> Batch:
    """Images [B, 3, 16, 16] of four classes whose brightness differs, so that there is something to learn."""
    generator = torch.Generator().manual_seed(number)
    labels = torch.randint(0, CLASSES, (BATCH // 2,), generator=generator).repeat_interleave(2)
    noise = torch.randint(0, 120, (BATCH, 3, 16, 16), generator=generator)
    images = (noise + 30 * labels[:, None, None, None]).to(torch.uint8)
    return Batch({"image": images}, torch.arange(BATCH), labels)


def train(options: ObdSdOptions) -> dict[str, Tensor]:
    """Three epochs of two steps: what every rank must agree on."""
    method = build(options)
    module = distributed.wrap(method, torch.device("cpu"))
    optimizer = torch.optim.SGD([{"params": group.params} for group in method.param_groups()], lr=0.05)
    seen: dict[str, Tensor] = {}
    for step in range(EPOCHS * STEPS):
        now = Clock(step, EPOCHS * STEPS, step // STEPS, EPOCHS)
        loss = module(share(make_labelled(step)), now)
        loss.total.backward()
        seen |= {f"{name}/{step}": distributed.mean(term) for name, term in loss.parts.items()}
        seen |= {f"gradient/{step}/{name}": parameter.grad.clone() for name, parameter in method.named_parameters()
                 if parameter.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % STEPS == 0:
            method.after_epoch(now)
            seen |= {f"{name}/{step}": value.clone() for name, value in method.state_dict().items()}
    return seen


def train_all() -> dict[str, dict[str, Tensor]]:
    """Every case that is compared."""
    with in_float64():
        return {name: train(options) for name, options in CASES.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.join_group("cpu")
    torch.save(train_all(), f"{sys.argv[1]}.{distributed.rank()}")
    distributed.stop()
