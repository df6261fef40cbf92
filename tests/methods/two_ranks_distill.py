"""One rank of a distillation run that a test starts twice: RANK and WORLD_SIZE are in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor
from two_ranks import share

from datasets.loader import Batch
from datasets.views.recipes import View
from methods.distill import Distill, DistillOptions
from methods.method import Clock
from methods.supervised import Supervision
from models.classifiers.classifier import Classifier
from models.teachers.class_teacher import ClassTeacher, build_class_teacher
from runtime import distributed

BATCH, STEPS, MICRO, CLASSES = 8, 2, 2, 4
VIT = {"image_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "head_init_scale": 20}
STUDENTS = {"token": "deit_tiny_distilled_patch16_224", "second head": "deit_tiny_patch16_224"}
CASES = {
    "hard": ("token", DistillOptions(kind="hard", alpha=0.3)),
    "soft": ("second head", DistillOptions(kind="soft", tau=2.0)),
    "all teacher": ("second head", DistillOptions(kind="hard", alpha=1.0)),
    "none": ("token", DistillOptions()),
}


def build_teacher() -> ClassTeacher:
    """The same teacher everywhere."""
    torch.manual_seed(4)
    return build_class_teacher(Classifier("deit_tiny_patch16_224", CLASSES, **VIT), size=16)


def build(student: str, distillation: DistillOptions) -> Distill:
    """The same method everywhere, with a moving average."""
    torch.manual_seed(3)
    network = Classifier(STUDENTS[student], CLASSES, second_head=True, **VIT)
    options = Supervision(classes=CLASSES, view=View("full", "probe", 16), ema_decay=0.5, layer_decay=0.8)
    teacher = build_teacher() if distillation.kind != "none" else None
    return Distill(network, options, distillation, teacher=teacher).train()


def make_labelled(number: int) -> Batch:
    """Images [B, 3, 16, 16] with labels of their own."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (BATCH, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Batch({"v": images}, torch.arange(BATCH), torch.randint(0, CLASSES, (BATCH,), generator=generator))


def train(student: str, distillation: DistillOptions) -> dict[str, Tensor]:
    """Two steps of two micro-batches: what every rank must agree on."""
    method = build(student, distillation)
    module = distributed.wrap(method, torch.device("cpu"))
    groups = [{"params": group.params, "lr": 0.05 * group.lr_scale} for group in method.param_groups()]
    optimizer = torch.optim.SGD(groups, lr=0.05)
    seen: dict[str, Tensor] = {}
    for step in range(STEPS):
        now = Clock(step, STEPS, 0, 1)
        for micro in range(MICRO):
            number = step * MICRO + micro
            loss = module(share(make_labelled(number)), now)
            (loss.total / MICRO).backward()
            seen |= {f"{name}/{number}": distributed.mean(value) for name, value in (loss.parts | loss.stats).items()}
        seen |= {f"gradient/{step}/{name}": parameter.grad.clone() for name, parameter in method.named_parameters()
                 if parameter.requires_grad}
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(now)
        seen |= {f"{name}/{step}": value.clone() for name, value in method.state_dict().items()}
    return seen


def train_all() -> dict[str, dict[str, Tensor]]:
    """Every case that is compared."""
    return {name: train(*case) for name, case in CASES.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.join_group("cpu")
    torch.save(train_all(), f"{sys.argv[1]}.{distributed.rank()}")
    distributed.stop()
