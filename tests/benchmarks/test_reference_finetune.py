"""The plain step of distillation gives the loss that ours gives. (PIM's is compared in tests/methods/test_pim.py.)"""

from __future__ import annotations

import pytest
import torch

from benchmarks.reference.distill import ReferenceDistill, step_plainly
from benchmarks.timed.distill_step import TwoHeadStudent
from datasets.loader import Batch
from datasets.views.recipes import View
from methods.distill import Distill, DistillOptions
from methods.method import Clock
from methods.supervised import Supervision
from models.backbones import standardise
from models.classifiers.classifier import Classifier
from models.teachers.class_teacher import build_class_teacher

CLASSES = 4


@pytest.mark.parametrize("options", [
    DistillOptions(kind="hard", alpha=0.3), DistillOptions(kind="soft", tau=2.0),
    DistillOptions(kind="soft", tau=2.0, alpha=0.9, reduction="legacy")], ids=["hard", "soft", "legacy"])
def test_a_plain_step_of_distillation_has_our_loss_and_moves_the_student_alone(options: DistillOptions) -> None:
    pair, teacher = TwoHeadStudent("resnet18", CLASSES), Classifier("resnet18", CLASSES).eval()
    student = Classifier("resnet18", CLASSES, second_head=True)
    student.net.load_state_dict(pair.net.state_dict())
    student.head_dist.load_state_dict(pair.second.state_dict())
    supervision = Supervision(classes=CLASSES, view=View("full", "probe", 32))
    ours = Distill(student, supervision, options, teacher=build_class_teacher(teacher, size=32)).train()
    images, labels = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8), torch.arange(6) % CLASSES
    found = ours(Batch({"v": images}, torch.arange(6), labels), Clock(0, 10, 0, 1))
    plain = ReferenceDistill(pair, teacher.net, kind=options.kind, alpha=options.alpha, tau=options.tau,
                             per_image=options.reduction == "batchmean").train()
    plain.teacher.eval()
    before = {name: weight.clone() for name, weight in plain.named_parameters()}
    optimizer = torch.optim.SGD(plain.student.parameters(), lr=0.1)
    loss = step_plainly(plain, optimizer, standardise(images, student.mean, student.std), labels)
    assert found.total.item() == pytest.approx(loss, rel=1e-4)
    moved = {name for name, weight in plain.named_parameters() if not torch.equal(before[name], weight)}
    assert all(name.startswith("student.") for name in moved)  # not the teacher
    assert {"student.second.weight", "student.net.fc.weight", "student.net.conv1.weight"} <= moved


def test_a_loss_that_is_no_number_stops_the_plain_step() -> None:
    system = ReferenceDistill(TwoHeadStudent("resnet18", CLASSES), Classifier("resnet18", CLASSES).net)
    optimizer = torch.optim.SGD(system.student.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="nan"):
        step_plainly(system, optimizer, torch.full((2, 3, 32, 32), float("nan")), torch.tensor([0, 1]))
