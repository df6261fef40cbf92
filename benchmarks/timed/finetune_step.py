"""The two sides of benchmarks/finetune_step.py, and what is timed of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.finetune_step import PimStepOptions
from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.pim import ReferencePim, find_plain_confidence, pick_plainly, rank_plainly
from benchmarks.steps import make_step
from benchmarks.timing import Report, on_device, start_benchmark, time_both
from datasets.views.recipes import View
from engine.optimizer import describe_group
from losses.pim import average_positions
from methods.pim import Pim
from methods.supervised import Supervision
from models.plug_in.module import PimAnswer, PlugInOptions, build_plug_in
from models.plug_in.parts import find_confidence, rank_positions, take_positions

STAGES = (4, 5, 6, 7)  # of the children of torchvision's ResNets


class Stages(nn.Module):
    """torchvision's ResNet as the maps of its four stages."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.parts = nn.ModuleList(list(torchvision.models.get_model(arch).children())[:-2])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps, shallow to deep."""
        maps = []
        for place, part in enumerate(self.parts):
            images = part(images)
            maps += [images] * (place in STAGES)
        return maps


class Product(nn.Module):
    """A network's maps, or its logits of positions, as one tensor: what a bare pass has to compute."""

    def __init__(self, network: Callable[[Tensor], list[Tensor] | PimAnswer]) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Means over positions, side by side."""
        found = self.network(images)
        if isinstance(found, list):
            return torch.cat([level.mean(dim=(2, 3)) for level in found], dim=1)
        return torch.cat([average_positions(logits) for logits in found.levels.values()], dim=1)


def make_reference(options: PimStepOptions, images: Tensor) -> tuple[ReferencePim, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = Stages(options.backbone)
    channels = [level.shape[1] for level in trunk(images[:1])]
    system = ReferencePim(trunk, channels, options.classes, width=options.fpn_size, selects=list(options.selects))
    optimizer = torch.optim.SGD(system.parameters(), lr=5e-4, momentum=0.9, weight_decay=5e-4, nesterov=True)
    labels = torch.arange(len(images)) % options.classes

    def step() -> None:
        terms = system(images, labels)
        terms["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        for value in terms.values():
            value.item()

    return system, step


def make_ours(options: PimStepOptions, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    parts = PlugInOptions(fpn_size=options.fpn_size, selects=options.selects)
    network = build_plug_in(options.backbone, options.classes, size=options.size, options=parts)
    supervision = Supervision(classes=options.classes, view=View("full", "pim", options.size), smoothing=0.0)
    method = Pim(network, supervision).train().to(options.device).to(memory_format=torch.channels_last)
    groups = [describe_group(group, 5e-4) for group in method.param_groups()]
    optimizer = torch.optim.SGD(groups, lr=5e-4, momentum=0.9, nesterov=True, foreach=True)
    return make_step(method, optimizer, options.batch, options.size, number_format, labels=torch.arange(options.batch))


def time_passes(options: PimStepOptions, report: Report) -> int:
    """Time the bare passes in every format, then both systems in turns.

    The bound is a pass through backbone, pyramid and classifiers of positions in the fastest format that was found.
    """
    images = torch.randn(options.batch, 3, options.size, options.size).to(options.device)
    system, step = on_device(lambda: make_reference(options, images), options.device)()
    reference = on_device(step, options.device)
    few, bare = images[: max(2, options.batch // 4)], copy.deepcopy(system.backbone)

    def learn(network: nn.Module) -> None:
        Product(network)(few if options.quick else images).square().mean().backward()
        network.zero_grad()

    report.check_reference("backbone", len(few if options.quick else images),
                           lambda: learn(system.backbone), lambda: learn(bare))
    products = PlugInOptions(fpn_size=options.fpn_size, use_selection=False, use_combiner=False)
    whole = Product(build_plug_in(options.backbone, options.classes, size=options.size, options=products))
    whole = whole.to(options.device)
    passes = time_formats(whole, images, backward=True, rounds=options.rounds, sample=few)
    ours = make_ours(options, choose_number(passes, "autocast", 0.9))
    theirs, own = time_both(reference, ours, options.rounds, warm=not options.quick)
    report.add("OURS images/s", options.batch / own)
    report.add("BOUND", min(passes.values()) / own)
    return report.finish(theirs / own)


def time_selector(options: PimStepOptions, report: Report) -> int:
    """Time the ranking of all levels from confidences on, or ("gather") with the copying of what is kept."""
    logits = [torch.randn(options.batch, count, options.classes).to(options.device) for count in options.positions]
    features = [torch.randn(options.batch, count, options.fpn_size).to(options.device) for count in options.positions]
    confidences = [find_confidence(level) for level in logits]
    rows = [list(level) for level in confidences]
    gathers, turns = options.part == "gather", range(options.repeats)

    def plain() -> None:
        for _ in turns:
            for values, level, count in zip(rows, features, options.selects, strict=True):
                ranks = rank_plainly(values, count)
                if gathers:
                    pick_plainly(level, ranks.kept)

    def ours() -> None:
        for _ in turns:
            for values, level, count in zip(confidences, features, options.selects, strict=True):
                kept = rank_positions(values, count)
                torch.ones_like(values, dtype=torch.bool).scatter_(1, kept, False)
                if gathers:
                    take_positions(level, kept)

    theirs, own = time_both(on_device(plain, options.device), ours, max(options.rounds, 5))
    report.add("OURS milliseconds", 1000 * own / options.repeats)
    plain_softmax, own_softmax = time_both(
        lambda: [find_plain_confidence(level) for level in logits],
        lambda: [find_confidence(level) for level in logits], options.rounds)
    report.add("RATIO-OF-CONFIDENCES", plain_softmax / own_softmax)
    return report.finish(theirs / own)


def time_pim(options: PimStepOptions) -> int:
    """Time the part that was asked for."""
    report = start_benchmark(options, "finetune_step-pim")
    if options.part == "step":
        return time_passes(options, report)
    report.name += f"-{options.part}"
    return time_selector(options, report)
