"""A whole step of PIM (ResNet-50, four levels, K = 200) or of distillation against its plain transcription, or parts.

    python -m benchmarks.finetune_step --quick                                  # the step of PIM
    python -m benchmarks.finetune_step --quick --part ranking                   # its selector's ranking, or gather
    python -m benchmarks.finetune_step --quick --method distill
    python -m benchmarks.finetune_step --quick --method distill --teacher-view clean
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
import torchvision
from torch import Tensor, nn

from benchmarks import distill_step
from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.pim import ReferencePim, find_plain_confidence, pick_plainly, rank_plainly
from benchmarks.steps import make_step
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from datasets.views.recipes import View
from engine.optimizer import describe_group
from losses.pim import average_positions
from methods.pim import Pim
from methods.supervised import Supervision
from models.plug_in.module import PimAnswer, PlugInOptions, build_plug_in
from models.plug_in.parts import find_confidence, rank_positions, take_positions
from runtime.ranges import BATCH, COUNT, SIDE, WIDTH

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


def make_reference(args: argparse.Namespace, images: Tensor) -> tuple[ReferencePim, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = Stages(args.backbone)
    channels = [level.shape[1] for level in trunk(images[:1])]
    system = ReferencePim(trunk, channels, args.classes, width=args.fpn_size, selects=args.selects)
    optimizer = torch.optim.SGD(system.parameters(), lr=5e-4, momentum=0.9, weight_decay=5e-4, nesterov=True)
    labels = torch.arange(len(images)) % args.classes

    def step() -> None:
        terms = system(images, labels)
        terms["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        for value in terms.values():
            value.item()

    return system, step


def make_ours(args: argparse.Namespace, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    options = PlugInOptions(fpn_size=args.fpn_size, selects=args.selects)
    network = build_plug_in(args.backbone, args.classes, size=args.size, options=options)
    supervision = Supervision(classes=args.classes, view=View("full", "pim", args.size), smoothing=0.0)
    method = Pim(network, supervision).train().to(memory_format=torch.channels_last)
    groups = [describe_group(group, 5e-4) for group in method.param_groups()]
    optimizer = torch.optim.SGD(groups, lr=5e-4, momentum=0.9, nesterov=True, foreach=True)
    return make_step(method, optimizer, args.batch, args.size, number_format, labels=torch.arange(args.batch))


def time_passes(args: argparse.Namespace, report: Report) -> int:
    """Time the bare passes in every format, then both systems in turns.

    The bound is a pass through backbone, pyramid and classifiers of positions in the fastest format that was found.
    """
    images = torch.randn(args.batch, 3, args.size, args.size)
    system, reference = make_reference(args, images)
    few, bare = images[: max(2, args.batch // 4)], copy.deepcopy(system.backbone)

    def learn(network: nn.Module) -> None:
        Product(network)(few if args.quick else images).square().mean().backward()
        network.zero_grad()

    report.check_reference("backbone", len(few if args.quick else images),
                           lambda: learn(system.backbone), lambda: learn(bare))
    products = PlugInOptions(fpn_size=args.fpn_size, use_selection=False, use_combiner=False)
    whole = Product(build_plug_in(args.backbone, args.classes, size=args.size, options=products))
    passes = time_formats(whole, images, backward=True, rounds=args.rounds, sample=few)
    ours = make_ours(args, choose_number(passes, "autocast", 0.9))
    theirs, own = time_both(reference, ours, args.rounds, warm=not args.quick)
    report.add("OURS images/s", args.batch / own)
    report.add("BOUND", min(passes.values()) / own)
    return report.finish(theirs / own)


def time_selector(args: argparse.Namespace, report: Report) -> int:
    """Time the ranking of all levels from confidences on, or ("gather") with the copying of what is kept."""
    logits = [torch.randn(args.batch, count, args.classes) for count in args.positions]
    features = [torch.randn(args.batch, count, args.fpn_size) for count in args.positions]
    confidences = [find_confidence(level) for level in logits]
    rows = [list(level) for level in confidences]
    gathers, turns = args.part == "gather", range(args.repeats)

    def plain() -> None:
        for _ in turns:
            for values, level, count in zip(rows, features, args.selects, strict=True):
                ranks = rank_plainly(values, count)
                if gathers:
                    pick_plainly(level, ranks.kept)

    def ours() -> None:
        for _ in turns:
            for values, level, count in zip(confidences, features, args.selects, strict=True):
                kept = rank_positions(values, count)
                torch.ones_like(values, dtype=torch.bool).scatter_(1, kept, False)
                if gathers:
                    take_positions(level, kept)

    theirs, own = time_both(plain, ours, max(args.rounds, 5))
    report.add("OURS milliseconds", 1000 * own / args.repeats)
    plain_softmax, own_softmax = time_both(
        lambda: [find_plain_confidence(level) for level in logits],
        lambda: [find_confidence(level) for level in logits], args.rounds)
    report.add("RATIO-OF-CONFIDENCES", plain_softmax / own_softmax)
    return report.finish(theirs / own)


def is_of_distill(words: Sequence[str]) -> bool:
    """Whether the step of distillation is asked for."""
    peek = argparse.ArgumentParser(add_help=False)
    peek.add_argument("--method", default="pim")
    return peek.parse_known_args(words)[0].method == "distill"


def main(argv: Sequence[str] | None = None) -> int:
    """Time the part that was asked for."""
    words = sys.argv[1:] if argv is None else list(argv)
    if is_of_distill(words):
        return distill_step.main(words)
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--method", choices=("pim", "distill"), default="pim", help="distill has flags of its own")
    add("--part", choices=("step", "ranking", "gather"), default="step", help="the step, or a part of the selector")
    add("--batch", type=BATCH, help="images (default 16; 4 for the step with --quick)")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--backbone", default="resnet50", help="a ResNet that torchvision and timm know")
    add("--fpn-size", type=WIDTH, default=512, help="width of the pyramid")
    add("--classes", type=WIDTH, default=200, help="numbers at a position")
    add("--selects", type=COUNT, nargs="*", default=[32] * 4, help="positions kept by level")
    add("--positions", type=COUNT, nargs="*", default=[3136, 784, 196, 49], help="of the levels, for a part alone")
    add("--repeats", type=COUNT, default=20, help="times that a part is done in a round")
    args, report = start_benchmark(parser, words, "finetune_step-pim")
    args.batch = args.batch or (4 if args.quick and args.part == "step" else 16)
    if args.part == "step":
        return time_passes(args, report)
    report.name += f"-{args.part}"
    return time_selector(args, report)


if __name__ == "__main__":
    sys.exit(main())
