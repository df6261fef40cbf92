"""A whole step of distillation, live teacher or remembered, against its plain transcription; run through finetune_step.

python -m benchmarks.finetune_step --quick --method distill
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence

import timm
import torch
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.distill import ReferenceDistill, step_plainly
from benchmarks.steps import make_step
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from datasets.views.recipes import View
from engine.optimizer import describe_group
from methods.distill import Distill, DistillOptions
from methods.supervised import Supervision
from models.classifiers.classifier import Classifier
from models.network import create_network
from models.teachers.class_teacher import build_class_teacher
from runtime.ranges import BATCH, SIDE, WIDTH


class TwoHeadStudent(nn.Module):
    """The plain student: class and distillation logits as two answers."""

    def __init__(self, arch: str, classes: int) -> None:
        super().__init__()
        self.net = create_network(arch, num_classes=classes)
        self.split = hasattr(self.net, "set_distilled_training")
        if hasattr(self.net, "set_distilled_training"):
            self.net.set_distilled_training(True)
        else:
            self.second = nn.Linear(self.net.num_features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Both heads' logits."""
        if self.split:
            return self.net(images)
        rows = self.net.forward_head(self.net.forward_features(images), pre_logits=True)
        first = self.net.get_classifier()
        assert isinstance(first, nn.Module)  # two are split
        return first(rows), self.second(rows)


class Whole(nn.Module):
    """Both answers as one tensor."""

    def __init__(self, pair: nn.Module) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, images: Tensor) -> Tensor:
        """Logits side by side."""
        return torch.cat(self.pair(images), dim=1)


def make_ours(args: argparse.Namespace, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    network = Classifier(args.student, args.classes, second_head=True)
    supervision = Supervision(classes=args.classes, view=View("full", "timm", args.size))
    if args.teacher_view == "clean":
        answers, asked = torch.randn(args.batch, args.classes), None
    else:
        teacher = Classifier(args.teacher, args.classes).to(memory_format=torch.channels_last)
        answers, asked = None, build_class_teacher(teacher, size=args.size, precision="auto")
    hard = DistillOptions(kind="hard")
    method = Distill(network, supervision, hard, teacher=asked, teacher_logits=answers).train()
    method = method.to(memory_format=torch.channels_last)
    groups = [describe_group(group, 0.05) for group in method.param_groups()]
    optimizer = torch.optim.AdamW(groups, lr=5e-5, foreach=True)
    return make_step(method, optimizer, args.batch, args.size, number_format, labels=torch.arange(args.batch))


def guard(report: Report, system: ReferenceDistill, student: nn.Module, teacher: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare networks."""

    def learn(network: nn.Module) -> None:
        torch.cat(network(images), dim=1).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    report.check_reference("student", len(images), lambda: learn(system.student), lambda: learn(student))
    report.check_reference("teacher", len(images), lambda: look(system.teacher), lambda: look(teacher))


def main(argv: Sequence[str] | None = None) -> int:
    """Time the single passes in every format, then both systems in turns."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--method", choices=("distill",), default="distill", help="see finetune_step")
    add("--teacher-view", choices=("live", "clean"), default="live", help="clean: ours remembers the teacher's answers")
    add("--batch", type=BATCH, help="images per step (default 16, 4 with --quick)")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--student", default="deit_small_distilled_patch16_224", help="timm name")
    add("--teacher", default="convnext_tiny", help="timm name")
    add("--classes", type=WIDTH, default=200, help="classes of both")
    args, report = start_benchmark(parser, argv, "finetune_step-distill")
    args.batch = args.batch or (4 if args.quick else 16)
    report.name += "-clean" * (args.teacher_view == "clean")
    images, labels = torch.randn(args.batch, 3, args.size, args.size), torch.arange(args.batch) % args.classes
    system = ReferenceDistill(TwoHeadStudent(args.student, args.classes),
                              timm.create_model(args.teacher, num_classes=args.classes))
    student, teacher = copy.deepcopy(system.student), copy.deepcopy(system.teacher)
    few = images[: max(2, args.batch // 4)]
    guard(report, system, student, teacher, few if args.quick else images)
    learning = time_formats(Whole(student), images, backward=True, rounds=args.rounds, sample=few)
    looking = time_formats(teacher, images, backward=False, rounds=args.rounds, sample=few)
    optimizer = torch.optim.AdamW(system.student.parameters(), lr=5e-5, weight_decay=0.05)
    ours = make_ours(args, choose_number(learning, "autocast", 0.9))
    theirs, own = time_both(lambda: step_plainly(system, optimizer, images, labels), ours, args.rounds,
                          warm=not args.quick)
    needed = min(learning.values()) + (min(looking.values()) if args.teacher_view == "live" else 0)
    report.add("OURS images/s", args.batch / own)
    report.add("BOUND", needed / own)
    return report.finish(theirs / own)
