"""A whole step of BYOL or of LCR on either path against its plain transcription; run it through pretrain_step.

python -m benchmarks.pretrain_step --method lcr-moco --quick
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.lcr import PlainLars, ReferenceLcrByol, ReferenceLcrMoco
from benchmarks.steps import make_step
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from engine.flags.parser import boolean
from engine.lars import Lars
from engine.optimizer import adapted_groups
from methods.byol import Byol, ByolOptions
from methods.lcr import LcrByol, LcrMoco
from methods.method import Method
from methods.moco import MocoOptions
from methods.rationale import RationaleOptions
from models.backbones import build_backbone
from runtime.ranges import BATCH, SIDE, whole_number

Reference = ReferenceLcrMoco | ReferenceLcrByol
METHODS = ("lcr-moco", "lcr-byol", "byol")


def make_lcr_trunk(args: argparse.Namespace) -> nn.Sequential:
    """torchvision's ResNet up to its last map, without the max-pool if asked."""
    layers = list(torchvision.models.get_model(args.student).children())[:-2]
    return nn.Sequential(*(layer for layer in layers if args.max_pool or not isinstance(layer, nn.MaxPool2d)))


def make_reference(args: argparse.Namespace, views: Sequence[Tensor]) -> tuple[Reference, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = make_lcr_trunk(args)
    channels = trunk(views[0][:1]).shape[1]
    system: Reference
    optimizer: torch.optim.SGD | PlainLars
    if args.method == "lcr-moco":
        system = ReferenceLcrMoco(trunk, channels, queue_size=args.queue)
        learning = [p for p in system.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.03, momentum=0.9, weight_decay=1e-4)
    else:
        system = ReferenceLcrByol(trunk, channels, rationale=args.method == "lcr-byol")
        optimizer = PlainLars(system)

    def step() -> None:
        system(*views).total.backward()
        optimizer.step()
        system.zero_grad()

    return system, step


def make_lcr(args: argparse.Namespace) -> Method:
    """Ours, with its defaults."""
    backbone = build_backbone(args.student)
    if not args.max_pool:
        backbone.skip_max_pool()
    if args.method == "lcr-moco":
        return LcrMoco(backbone, MocoOptions(dim=256, queue_size=args.queue), RationaleOptions())
    if args.method == "byol":
        return Byol(backbone, ByolOptions())
    return LcrByol(backbone, ByolOptions(), RationaleOptions())


def make_optimizer(args: argparse.Namespace, method: Method) -> torch.optim.Optimizer:
    """The method's own."""
    if args.method == "lcr-moco":
        learning = [p for group in method.param_groups() for p in group.params]
        return torch.optim.SGD(learning, lr=0.03, momentum=0.9, weight_decay=1e-4, foreach=True)
    return Lars(adapted_groups(method, 1.5e-6), lr=0.15, momentum=0.9)


def make_ours(args: argparse.Namespace, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    method = make_lcr(args).train().to(memory_format=torch.channels_last)
    optimizer = make_optimizer(args, method)
    return make_step(method, optimizer, args.batch, args.size, number_format)


def guard(report: Report, system: Reference, trunk: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare network."""

    def learn(network: nn.Module) -> None:
        network(images).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    slow = system.trunk_k if isinstance(system, ReferenceLcrMoco) else system.trunk_t
    report.check_reference("query", len(images), lambda: learn(system.trunk), lambda: learn(trunk))
    report.check_reference("key", len(images), lambda: look(slow), lambda: look(trunk))


def main(argv: Sequence[str] | None = None) -> int:
    """Time the single passes in every format, then both systems in turns."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--method", choices=METHODS, required=True, help="which system's step")
    add("--batch", type=BATCH, help="images per step (default 16, 4 with --quick)")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--queue", type=whole_number(1, 2**24), default=65536, help="keys in each queue of lcr-moco")
    add("--student", default="resnet50", help="a ResNet that torchvision and timm know")
    add("--max-pool", type=boolean, default=True, help="false: both sides leave it out, as the public BYOL path does")
    args, report = start_benchmark(parser, argv, "pretrain_step")
    report.name += f"-{args.method}" + ("" if args.max_pool else "-no-max-pool")
    args.batch = args.batch or (4 if args.quick else 16)
    views = [torch.randn(args.batch, 3, args.size, args.size) for _ in range(2)]
    system, reference = make_reference(args, views)
    trunk = copy.deepcopy(system.trunk)
    guard(report, system, trunk, views[0][:1] if args.quick else views[0])
    query = time_formats(trunk, views[0], backward=True, rounds=args.rounds)
    key = time_formats(trunk, views[0], backward=False, rounds=args.rounds)
    ours = make_ours(args, choose_number(query, "autocast"))
    theirs, own = time_both(reference, ours, args.rounds, warm=not args.quick)
    passes = 1 if args.method == "lcr-moco" else 2
    report.add("OURS images/s", args.batch / own)
    report.add("BOUND", passes * (min(query.values()) + min(key.values())) / own)
    return report.finish(theirs / own)
