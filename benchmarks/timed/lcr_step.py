"""The two sides of benchmarks/lcr_step.py, and what is timed of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.lcr_step import LcrStepOptions
from benchmarks.reference.lcr import PlainLars, ReferenceLcrByol, ReferenceLcrMoco
from benchmarks.steps import make_step
from benchmarks.timing import Report, on_device, start_benchmark, time_both
from engine.lars import Lars
from engine.optimizer import adapted_groups
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.method import Method
from methods.moco import MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import build_backbone

Reference = ReferenceLcrMoco | ReferenceLcrByol


def make_lcr_trunk(options: LcrStepOptions) -> nn.Sequential:
    """torchvision's ResNet up to its last map, without the max-pool if asked."""
    layers = list(torchvision.models.get_model(options.student).children())[:-2]
    return nn.Sequential(*(layer for layer in layers if options.max_pool or not isinstance(layer, nn.MaxPool2d)))


def make_reference(options: LcrStepOptions, views: Sequence[Tensor]) -> tuple[Reference, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = make_lcr_trunk(options)
    channels = trunk(views[0][:1]).shape[1]
    system: Reference
    optimizer: torch.optim.SGD | PlainLars
    if options.method == "lcr-moco":
        system = ReferenceLcrMoco(trunk, channels, queue_size=options.queue)
        learning = [p for p in system.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.03, momentum=0.9, weight_decay=1e-4)
    else:
        system = ReferenceLcrByol(trunk, channels, rationale=options.method == "lcr-byol")
        optimizer = PlainLars(system)

    def step() -> None:
        system(*views).total.backward()
        optimizer.step()
        system.zero_grad()

    return system, step


def make_lcr(options: LcrStepOptions) -> Method:
    """Ours, with its defaults."""
    backbone = build_backbone(options.student)
    if not options.max_pool:
        backbone.skip_max_pool()
    if options.method == "lcr-moco":
        return LcrMoco(backbone, MocoOptions(dim=256, queue_size=options.queue), RationaleOptions())
    if options.method == "byol":
        return Byol(backbone, ByolOptions())
    return LcrByol(backbone, ByolOptions(), RationaleOptions())


def make_optimizer(options: LcrStepOptions, method: Method) -> torch.optim.Optimizer:
    """The method's own."""
    if options.method == "lcr-moco":
        learning = [p for group in method.param_groups() for p in group.params]
        return torch.optim.SGD(learning, lr=0.03, momentum=0.9, weight_decay=1e-4, foreach=True)
    return Lars(adapted_groups(method, 1.5e-6), lr=0.15, momentum=0.9)


def make_ours(options: LcrStepOptions, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    method = make_lcr(options).train().to(options.device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(options, method)
    return make_step(method, optimizer, options.batch, options.size, number_format)


def guard(report: Report, system: Reference, trunk: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare network."""

    def learn(network: nn.Module) -> None:
        network(images).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    slow = system.trunk_k if isinstance(system, ReferenceLcrMoco) else system.trunk_t
    report.check_reference("query", len(images), lambda: learn(system.trunk), lambda: learn(trunk))
    report.check_reference("key", len(images), lambda: look(slow), lambda: look(trunk))


def time_lcr(options: LcrStepOptions) -> int:
    """Time the single passes in every format, then both systems in turns."""
    report = start_benchmark(options, "pretrain_step")
    report.name += f"-{options.method}" + ("" if options.max_pool else "-no-max-pool")
    views = [torch.randn(options.batch, 3, options.size, options.size).to(options.device) for _ in range(2)]
    system, step = on_device(lambda: make_reference(options, views), options.device)()
    reference = on_device(step, options.device)
    trunk = copy.deepcopy(system.trunk)
    guard(report, system, trunk, views[0][:1] if options.quick else views[0])
    query = time_formats(trunk, views[0], backward=True, rounds=options.rounds)
    key = time_formats(trunk, views[0], backward=False, rounds=options.rounds)
    ours = make_ours(options, choose_number(query, "autocast"))
    theirs, own = time_both(reference, ours, options.rounds, warm=not options.quick)
    passes = 1 if options.method == "lcr-moco" else 2
    report.add("OURS images/s", options.batch / own)
    report.add("BOUND", passes * (min(query.values()) + min(key.values())) / own)
    return report.finish(theirs / own)
