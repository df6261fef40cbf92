"""The two sides of benchmarks/metric_step.py, and what is timed of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.metric_step import MetricStepOptions
from benchmarks.reference.obdsd import ReferenceObdSd, make_plain_step, plain_loss
from benchmarks.steps import make_step
from benchmarks.timing import Report, on_device, start_benchmark, time_both
from engine.optimizer import describe_group
from losses.metric.criteria import apply_criterion
from methods.method import Clock, LossParts
from methods.obdsd import ObdSd, ObdSdOptions
from models.backbones import build_backbone

DIM = 128
SECOND_OF_TWO = Clock(50, 100, 1, 2)  # epochs: there is a teacher from the second on
CUB = ObdSdOptions(dim=DIM, distil=True, diffusion="softmax", kd_lambda=1000.0, diffusion_w=0.3)


def make_timed_method(arch: str) -> ObdSd:
    """Ours, with the published settings of CUB-200."""
    return ObdSd(build_backbone(arch), CUB, classes=100).train()


def make_ours(options: MetricStepOptions, number_format: str, labels: Tensor) -> Callable[[], None]:
    """One step as the trainer takes it."""
    method = make_timed_method(options.student).to(options.device).to(memory_format=torch.channels_last)
    groups = [describe_group(group, 4e-4) for group in method.param_groups()]
    return make_step(method, torch.optim.Adam(groups, lr=1e-5, foreach=True), len(labels), options.size, number_format,
                     labels=labels, clock=SECOND_OF_TWO)


def guard(report: Report, system: ReferenceObdSd, bare: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare network."""

    def learn(network: nn.Module) -> None:
        network(images).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    report.check_reference("student", len(images), lambda: learn(system.trunk), lambda: learn(bare))
    report.check_reference("teacher", len(images), lambda: look(system.trunk_t), lambda: look(bare))


def time_network(options: MetricStepOptions, report: Report, labels: Tensor) -> int:
    """Time the single passes in every format, then both systems in turns."""
    images = torch.randn(len(labels), 3, options.size, options.size).to(options.device)
    trunk = nn.Sequential(*list(torchvision.models.get_model(options.student).children())[:-2]).to(options.device)
    system = ReferenceObdSd(trunk, trunk(images[:1]).shape[1], DIM).to(options.device)
    bare, few = copy.deepcopy(system.trunk), images[: max(2, len(images) // 8)]
    guard(report, system, bare, few if options.quick else images)
    student = time_formats(bare, images, backward=True, rounds=options.rounds, sample=few)
    teacher = time_formats(bare, images, backward=False, rounds=options.rounds, sample=few)
    ours = make_ours(options, choose_number(student, "autocast"), labels)
    plain = on_device(make_plain_step(system, images, labels), options.device)
    theirs, own = time_both(plain, ours, options.rounds, warm=not options.quick)
    report.add("OURS images/s", len(labels) / own)
    report.add("BOUND", (min(student.values()) + min(teacher.values())) / own)
    return report.finish(theirs / own)


def time_loss(options: MetricStepOptions, report: Report, labels: Tensor) -> int:
    """Time forward and backward from embeddings [B, D] on, `--repeats` times in a round."""
    method, generator = make_timed_method("test_resnet").to(options.device), torch.Generator()
    draws = torch.randn(2, len(labels), DIM).to(options.device)
    rows = F.normalize(draws[0], dim=1).requires_grad_()
    taught = F.normalize(rows.detach() + 0.05 * draws[1], dim=1)

    def ours() -> None:
        for _ in range(options.repeats):
            rank = apply_criterion(method.criterion, method.miner, rows, labels, generator)
            loss = method.distil(LossParts(rank, {}), rows, taught, SECOND_OF_TWO)
            torch.autograd.grad(loss.total, rows)

    def plain() -> None:
        for _ in range(options.repeats):
            loss = plain_loss(rows, taught, labels, epoch=1, epochs=2, scale=1000.0, weight=0.3)
            torch.autograd.grad(loss, rows)

    theirs, own = time_both(on_device(plain, options.device), ours, options.rounds)
    report.add("OURS milliseconds", 1000 * own / options.repeats)
    return report.finish(theirs / own)


def time_obdsd(options: MetricStepOptions) -> int:
    """Time the part that was asked for."""
    report = start_benchmark(options, "metric_step")
    labels = torch.arange(options.batch).to(options.device) // 2
    if options.part == "step":
        return time_network(options, report, labels)
    report.name += "-loss"
    return time_loss(options, report, labels)
