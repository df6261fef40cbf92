"""The two sides of benchmarks/pretrain_step.py, and what is timed of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.formats import choose_number, time_formats
from benchmarks.pretrain_step import LeadStepOptions
from benchmarks.reference.lead import ReferenceLead
from benchmarks.steps import make_step
from benchmarks.timing import Report, on_device, start_benchmark, time_both
from methods.lead import Lead, LeadOptions
from models.backbones import build_backbone
from models.teachers.build import build_teacher
from models.teachers.frozen import WORTHWHILE
from models.teachers.guide import BankGuide, Guide, LiveGuide, Prototypes
from models.teachers.prototypes import Space

VIEWS = ("v1", "v2", "v3", "v4")


def make_plain_teacher(options: LeadStepOptions) -> nn.Module:
    """A timm network whose classifier stands for CLIP's projection; it learns nothing but keeps its graph."""
    return timm.create_model(options.teacher, num_classes=options.dim, img_size=options.size)


def make_lead_trunk(options: LeadStepOptions) -> nn.Sequential:
    """torchvision's ResNet up to its last map, as the public code uses it."""
    return nn.Sequential(*list(torchvision.models.get_model(options.student).children())[:-2])


def make_reference(options: LeadStepOptions, views: Sequence[Tensor]) -> tuple[ReferenceLead, Callable[[], None]]:
    """The plain system and one optimiser step of it."""
    trunk = make_lead_trunk(options)
    channels = trunk(views[0][:1]).shape[1]
    prototypes = F.normalize(torch.randn(options.classes, options.dim), dim=1)
    system = ReferenceLead(trunk, channels, make_plain_teacher(options), prototypes, recipe="seed",
                           queue_size=options.queue)
    learning = [*system.encoder_q.parameters(), *system.conv16.parameters(), *system.bn16.parameters()]
    optimizer = torch.optim.SGD(learning, lr=0.02, momentum=0.9, weight_decay=5e-4)
    ids = torch.arange(options.batch)

    def step() -> None:
        system(*views, ids).total.backward()
        optimizer.step()
        system.zero_grad()
        system.finish()

    return system, step


def make_guide(options: LeadStepOptions, teacher_format: str) -> Guide:
    """Ours: asked in every step, or remembered."""
    prototypes = {"text": Prototypes(torch.randn(options.classes, options.dim), 0.02)}
    if options.teacher_view == "clean":
        return BankGuide(torch.randn(options.batch, options.dim), prototypes)
    teacher = build_teacher(options.teacher, weights="none", precision=teacher_format, size=options.size,
                            device=options.device)
    return LiveGuide(teacher, prototypes, Space(torch.zeros(teacher.dim), torch.randn(options.dim, teacher.dim)))


def make_ours(options: LeadStepOptions, number_format: str, teacher_format: str) -> Callable[[], None]:
    """One step as the trainer takes it."""
    lead = LeadOptions.default(queue_size=options.queue, size=options.size)
    method = Lead(build_backbone(options.student), make_guide(options, teacher_format), lead)
    method = method.train().to(options.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(method.encoder().parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, foreach=True)
    return make_step(method, optimizer, options.batch, options.size, number_format)


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


def time_lead(options: LeadStepOptions) -> int:
    """Time the single passes in every format, then both systems in turns."""
    report = start_benchmark(options, "pretrain_step")
    warnings.filterwarnings("ignore", message=".*random weights.*")
    views = [torch.randn(options.batch, 3, options.size, options.size).to(options.device) for _ in VIEWS]
    system, step = on_device(lambda: make_reference(options, views), options.device)()
    reference = on_device(step, options.device)
    student, bare = make_student(system), copy.deepcopy(system.teacher)
    live, few = options.teacher_view == "live", views[0][: max(1, options.batch // 8)]
    guard(report, system, student, bare, few if options.quick else views[0])
    small = F.avg_pool2d(views[0][: max(2, len(few))], 2)  # convolutions take any size, batch norms two images
    query = time_formats(student, views[0], backward=True, rounds=options.rounds, sample=small)
    key = time_formats(student, views[0], backward=False, rounds=options.rounds, sample=small)
    teacher = time_formats(bare.eval(), views[0], backward=False, rounds=options.rounds) if live else {}
    ours = make_ours(options, choose_number(query, "autocast"), choose_number(teacher, "bf16", WORTHWHILE))
    theirs, own = time_both(reference, ours, options.rounds, warm=not options.quick)
    passes = 2 * min(query.values()) + 2 * min(key.values())
    passes += min(teacher.values()) if live else 0
    report.add("OURS images/s", options.batch / own)
    report.add("BOUND", passes / own)
    report.name += "" if live else "-clean"
    return report.finish(theirs / own)
