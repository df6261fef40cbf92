"""A whole step of LEAD (ResNet-50, live or remembered ViT-B/16, two queues of 65,536) against its plain transcription.

    python -m benchmarks.pretrain_step --quick
    python -m benchmarks.pretrain_step --quick --teacher-view clean
    python -m benchmarks.pretrain_step --quick --method lcr-moco        # also lcr-byol, byol
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks import lcr_step
from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.lead import ReferenceLead
from benchmarks.steps import make_step
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from methods.lead import Lead, LeadOptions
from models.backbones import build_backbone
from models.teachers.build import build_teacher
from models.teachers.frozen import WORTHWHILE
from models.teachers.guide import BankGuide, Guide, LiveGuide, Prototypes
from models.teachers.prototypes import Space
from runtime.ranges import BATCH, SIDE, WIDTH, whole_number

VIEWS = ("v1", "v2", "v3", "v4")


def make_plain_teacher(args: argparse.Namespace) -> nn.Module:
    """A timm network whose classifier stands for CLIP's projection; it learns nothing but keeps its graph."""
    return timm.create_model(args.teacher, num_classes=args.dim, img_size=args.size)


def make_lead_trunk(args: argparse.Namespace) -> nn.Sequential:
    """torchvision's ResNet up to its last map, as the public code uses it."""
    return nn.Sequential(*list(torchvision.models.get_model(args.student).children())[:-2])


def make_reference(args: argparse.Namespace, views: Sequence[Tensor]) -> tuple[ReferenceLead, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = make_lead_trunk(args)
    channels = trunk(views[0][:1]).shape[1]
    prototypes = F.normalize(torch.randn(args.classes, args.dim), dim=1)
    system = ReferenceLead(trunk, channels, make_plain_teacher(args), prototypes, recipe="seed", queue_size=args.queue)
    learning = [*system.encoder_q.parameters(), *system.conv16.parameters(), *system.bn16.parameters()]
    optimizer = torch.optim.SGD(learning, lr=0.02, momentum=0.9, weight_decay=5e-4)
    ids = torch.arange(args.batch)

    def step() -> None:
        system(*views, ids).total.backward()
        optimizer.step()
        system.zero_grad()
        system.finish()

    return system, step


def make_guide(args: argparse.Namespace, teacher_format: str) -> Guide:
    """Ours: asked in every step, or remembered."""
    prototypes = {"text": Prototypes(torch.randn(args.classes, args.dim), 0.02)}
    if args.teacher_view == "clean":
        return BankGuide(torch.randn(args.batch, args.dim), prototypes)
    teacher = build_teacher(args.teacher, weights="none", precision=teacher_format, size=args.size)
    return LiveGuide(teacher, prototypes, Space(torch.zeros(teacher.dim), torch.randn(args.dim, teacher.dim)))


def make_ours(args: argparse.Namespace, number_format: str, teacher_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    options = LeadOptions.default(queue_size=args.queue, size=args.size)
    method = Lead(build_backbone(args.student), make_guide(args, teacher_format), options)
    method = method.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(method.encoder().parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, foreach=True)
    return make_step(method, optimizer, args.batch, args.size, number_format)


def make_student(system: ReferenceLead) -> nn.Sequential:
    """The bare network of a pass: trunk, global average and head, nothing else."""
    own = copy.deepcopy(system.encoder_q)
    return nn.Sequential(own.trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), own.fc)


def guard(report: Report, system: ReferenceLead, student: nn.Module, teacher: nn.Module, images: Tensor) -> None:
    """The reference's three kinds of passes against the bare networks."""

    def learn(network: nn.Module) -> None:
        answer = network(images)
        (answer[1] if isinstance(answer, tuple) else answer).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    count = len(images)
    report.check_reference("query", count, lambda: learn(system.encoder_q), lambda: learn(student))
    report.check_reference("key", count, lambda: look(system.encoder_k), lambda: look(student))
    report.check_reference("teacher", count, lambda: learn(system.teacher), lambda: learn(teacher))


def is_of_lcr(words: Sequence[str]) -> bool:
    """Whether another method than LEAD is asked for."""
    peek = argparse.ArgumentParser(add_help=False)
    peek.add_argument("--method", default="lead")
    return peek.parse_known_args(words)[0].method in lcr_step.METHODS


def main(argv: Sequence[str] | None = None) -> int:
    """Time the single passes in every format, then both systems in turns."""
    words = sys.argv[1:] if argv is None else list(argv)
    if is_of_lcr(words):
        return lcr_step.main(words)
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--method", choices=("lead", *lcr_step.METHODS), default="lead", help="lcr-* and byol have flags of their own")
    add("--teacher-view", choices=("live", "clean"), default="live", help="clean: ours remembers the teacher's answers")
    add("--batch", type=BATCH, help="images per step (default 16, 2 with --quick)")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--queue", type=whole_number(1, 2**24), default=65536, help="keys in each queue")
    add("--student", default="resnet50", help="a ResNet that torchvision and timm know")
    add("--teacher", default="vit_base_patch16_clip_224", help="timm name")
    add("--dim", type=WIDTH, default=512, help="width of head and prototypes")
    add("--classes", type=WIDTH, default=200, help="prototypes")
    args, report = start_benchmark(parser, argv, "pretrain_step")
    args.batch = args.batch or (2 if args.quick else 16)
    warnings.filterwarnings("ignore", message=".*random weights.*")
    views = [torch.randn(args.batch, 3, args.size, args.size) for _ in VIEWS]
    system, reference = make_reference(args, views)
    student, bare = make_student(system), copy.deepcopy(system.teacher)
    live, few = args.teacher_view == "live", views[0][: max(1, args.batch // 8)]
    guard(report, system, student, bare, few if args.quick else views[0])
    small = F.avg_pool2d(views[0][: max(2, len(few))], 2)  # convolutions take any size, batch norms two images
    query = time_formats(student, views[0], backward=True, rounds=args.rounds, sample=small)
    key = time_formats(student, views[0], backward=False, rounds=args.rounds, sample=small)
    teacher = time_formats(bare.eval(), views[0], backward=False, rounds=args.rounds) if live else {}
    ours = make_ours(args, choose_number(query, "autocast"), choose_number(teacher, "bf16", WORTHWHILE))
    theirs, own = time_both(reference, ours, args.rounds, warm=not args.quick)
    passes = 2 * min(query.values()) + 2 * min(key.values())
    passes += min(teacher.values()) if live else 0
    report.add("OURS images/s", args.batch / own)
    report.add("BOUND", passes / own)
    report.name += "" if live else "-clean"
    return report.finish(theirs / own)


if __name__ == "__main__":
    sys.exit(main())
