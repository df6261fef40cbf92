"""A whole step of OBD-SD (ResNet-50, 112 images, PSD + OBDP), or its loss alone, against the plain transcription.

    python -m benchmarks.metric_step --quick
    python -m benchmarks.metric_step --quick --part loss
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.obdsd import ReferenceObdSd, make_plain_step, plain_loss
from benchmarks.steps import make_step
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from engine.optimizer import describe_group
from losses.metric.criteria import apply_criterion
from methods.method import Clock, LossParts
from methods.obdsd import ObdSd, ObdSdOptions
from models.backbones import build_backbone
from runtime.ranges import BATCH, COUNT, SIDE

IMAGES, DIM = 112, 128
SECOND_OF_TWO = Clock(50, 100, 1, 2)  # epochs: there is a teacher from the second on
CUB = ObdSdOptions(dim=DIM, distil=True, diffusion="softmax", kd_lambda=1000.0, diffusion_w=0.3)


def make_timed_method(arch: str) -> ObdSd:
    """Ours, with the published settings of CUB-200."""
    return ObdSd(build_backbone(arch), CUB, classes=100).train()


def make_ours(args: argparse.Namespace, number_format: str, labels: Tensor) -> Callable[[], None]:
    """One step as the trainer takes it."""
    method = make_timed_method(args.student).to(memory_format=torch.channels_last)
    groups = [describe_group(group, 4e-4) for group in method.param_groups()]
    return make_step(method, torch.optim.Adam(groups, lr=1e-5, foreach=True), len(labels), args.size, number_format,
                     labels=labels, clock=SECOND_OF_TWO)


def guard(report: Report, system: ReferenceObdSd, bare: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare network."""

    def learn(network: nn.Module) -> None:
        network(images).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    report.check_reference("student", len(images), lambda: learn(system.trunk), lambda: learn(bare))
    report.check_reference("teacher", len(images), lambda: look(system.trunk_t), lambda: look(bare))


def time_network(args: argparse.Namespace, report: Report, labels: Tensor) -> int:
    """Time the single passes in every format, then both systems in turns."""
    images = torch.randn(len(labels), 3, args.size, args.size)
    trunk = nn.Sequential(*list(torchvision.models.get_model(args.student).children())[:-2])
    system = ReferenceObdSd(trunk, trunk(images[:1]).shape[1], DIM)
    bare, few = copy.deepcopy(system.trunk), images[: max(2, len(images) // 8)]
    guard(report, system, bare, few if args.quick else images)
    student = time_formats(bare, images, backward=True, rounds=args.rounds, sample=few)
    teacher = time_formats(bare, images, backward=False, rounds=args.rounds, sample=few)
    ours = make_ours(args, choose_number(student, "autocast"), labels)
    theirs, own = time_both(make_plain_step(system, images, labels), ours, args.rounds, warm=not args.quick)
    report.add("OURS images/s", len(labels) / own)
    report.add("BOUND", (min(student.values()) + min(teacher.values())) / own)
    return report.finish(theirs / own)


def time_loss(args: argparse.Namespace, report: Report, labels: Tensor) -> int:
    """Time forward and backward from embeddings [B, D] on, `--repeats` times in a round."""
    method, generator = make_timed_method("test_resnet"), torch.Generator()
    rows = F.normalize(torch.randn(len(labels), DIM), dim=1).requires_grad_()
    taught = F.normalize(rows.detach() + 0.05 * torch.randn(len(labels), DIM), dim=1)

    def ours() -> None:
        for _ in range(args.repeats):
            rank = apply_criterion(method.criterion, method.miner, rows, labels, generator)
            loss = method.distil(LossParts(rank, {}), rows, taught, SECOND_OF_TWO)
            torch.autograd.grad(loss.total, rows)

    def plain() -> None:
        for _ in range(args.repeats):
            loss = plain_loss(rows, taught, labels, epoch=1, epochs=2, scale=1000.0, weight=0.3)
            torch.autograd.grad(loss, rows)

    theirs, own = time_both(plain, ours, args.rounds)
    report.add("OURS milliseconds", 1000 * own / args.repeats)
    return report.finish(theirs / own)


def main(argv: Sequence[str] | None = None) -> int:
    """Time the part that was asked for."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--part", choices=("step", "loss"), default="step", help="the whole step, or the loss from embeddings on")
    add("--batch", type=BATCH, help="images per step, two of a class (default 112; 8 for the step with --quick)")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--student", default="resnet50", help="a ResNet that torchvision and timm know")
    add("--repeats", type=COUNT, default=20, help="losses in a round of --part loss")
    args, report = start_benchmark(parser, argv, "metric_step")
    labels = torch.arange(args.batch or (8 if args.quick and args.part == "step" else IMAGES)) // 2
    if args.part == "step":
        return time_network(args, report, labels)
    report.name += "-loss"
    return time_loss(args, report, labels)


if __name__ == "__main__":
    sys.exit(main())
