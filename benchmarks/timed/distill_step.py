"""The two sides of benchmarks/distill_step.py, and what is timed of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from benchmarks.distill_step import DistillStepOptions
from benchmarks.formats import choose_number, time_formats
from benchmarks.reference.distill import ReferenceDistill, step_plainly
from benchmarks.steps import make_step
from benchmarks.timing import Report, on_device, start_benchmark, time_both
from datasets.views.recipes import View
from engine.optimizer import describe_group
from methods.distill import Distill, DistillOptions
from methods.supervised import Supervision
from models.classifiers.classifier import Classifier
from models.network import create_network
from models.teachers.class_teacher import build_class_teacher


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


def make_ours(options: DistillStepOptions, number_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    network = Classifier(options.student, options.classes, second_head=True)
    supervision = Supervision(classes=options.classes, view=View("full", "timm", options.size))
    if options.teacher_view == "clean":
        answers, asked = torch.randn(options.batch, options.classes), None
    else:
        teacher = Classifier(options.teacher, options.classes).to(options.device).to(memory_format=torch.channels_last)
        answers, asked = None, build_class_teacher(teacher, size=options.size, precision="auto")
    hard = DistillOptions(kind="hard")
    method = Distill(network, supervision, hard, teacher=asked, teacher_logits=answers).train()
    method = method.to(options.device).to(memory_format=torch.channels_last)
    groups = [describe_group(group, 0.05) for group in method.param_groups()]
    optimizer = torch.optim.AdamW(groups, lr=5e-5, foreach=True)
    return make_step(method, optimizer, options.batch, options.size, number_format, labels=torch.arange(options.batch))


def guard(report: Report, system: ReferenceDistill, student: nn.Module, teacher: nn.Module, images: Tensor) -> None:
    """The reference's two kinds of passes against the bare networks."""

    def learn(network: nn.Module) -> None:
        torch.cat(network(images), dim=1).square().mean().backward()
        network.zero_grad()

    look = torch.no_grad()(lambda network: network(images))
    report.check_reference("student", len(images), lambda: learn(system.student), lambda: learn(student))
    report.check_reference("teacher", len(images), lambda: look(system.teacher), lambda: look(teacher))


def time_distill(options: DistillStepOptions) -> int:
    """Time the single passes in every format, then both systems in turns."""
    report = start_benchmark(options, "finetune_step-distill")
    report.name += "-clean" * (options.teacher_view == "clean")
    images = torch.randn(options.batch, 3, options.size, options.size).to(options.device)
    labels = torch.arange(options.batch).to(options.device) % options.classes
    system = ReferenceDistill(TwoHeadStudent(options.student, options.classes),
                              timm.create_model(options.teacher, num_classes=options.classes)).to(options.device)
    student, teacher = copy.deepcopy(system.student), copy.deepcopy(system.teacher)
    few = images[: max(2, options.batch // 4)]
    guard(report, system, student, teacher, few if options.quick else images)
    learning = time_formats(Whole(student), images, backward=True, rounds=options.rounds, sample=few)
    looking = time_formats(teacher, images, backward=False, rounds=options.rounds, sample=few)
    optimizer = torch.optim.AdamW(system.student.parameters(), lr=5e-5, weight_decay=0.05)
    ours = make_ours(options, choose_number(learning, "autocast", 0.9))
    plain = on_device(lambda: step_plainly(system, optimizer, images, labels), options.device)
    theirs, own = time_both(plain, ours, options.rounds, warm=not options.quick)
    needed = min(learning.values()) + (min(looking.values()) if options.teacher_view == "live" else 0)
    report.add("OURS images/s", options.batch / own)
    report.add("BOUND", needed / own)
    return report.finish(theirs / own)
