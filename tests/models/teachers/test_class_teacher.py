"""A classifier as a teacher: the same answers, faster, and nothing of it learns or is saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.classifiers.classifier import Classifier
from models.plug_in.module import PlugInOptions, build_plug_in
from models.teachers.class_teacher import build_class_teacher
from models.weights.read import fingerprint


def make_classifier() -> Classifier:
    """Two heads and running statistics that are not their initial ones."""
    network = Classifier("test_efficientnet", 4, second_head=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.train()


def test_it_answers_as_the_classifier_without_batch_norms() -> None:
    network = make_classifier()
    before = fingerprint(network)
    teacher = build_class_teacher(network, size=64)
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    assert network.training and fingerprint(network) == before == teacher.fingerprint()
    torch.testing.assert_close(teacher.encode(images), network.eval().outputs(images)["average"], rtol=1e-3, atol=1e-3)
    norms = [sum(type(m).__name__.startswith("BatchNorm") for m in one.modules()) for one in (network, teacher.network)]
    assert norms[0] > norms[1] == 0
    assert (teacher.size, teacher.dim, teacher.precision) == (64, 4, "fp32")


def test_nothing_of_it_learns_or_is_saved_and_it_stays_in_eval_mode() -> None:
    teacher = build_class_teacher(make_classifier(), size=32).train()
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    assert not teacher.encode(images).requires_grad
    assert not list(teacher.parameters()) and not teacher.state_dict() and not teacher.network.training


@pytest.mark.parametrize("asked, found", [("bf16", {"bf16"}), ("auto", {"fp32", "bf16"})])
def test_precision_reaches_both_heads_and_answers_are_float32(asked: str, found: set[str]) -> None:
    network = make_classifier()
    teacher = build_class_teacher(network, size=32, precision=asked)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    answers = teacher.encode(images)
    assert teacher.precision in found and answers.dtype == torch.float32
    torch.testing.assert_close(answers, network.eval().outputs(images)["average"], rtol=0.05, atol=0.05)


def test_images_of_another_size_are_resized_to_its_own() -> None:
    teacher, seen = build_class_teacher(make_classifier(), size=48), []
    teacher.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    teacher.encode(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert seen == [(48, 48)]


def test_a_plug_in_module_may_teach_too() -> None:
    options = PlugInOptions(use_fpn=False, combiner_size=16, selects=2)
    plug_in = build_plug_in("test_resnet", 3, size=64, options=options).eval()
    teacher = build_class_teacher(plug_in, size=64, precision="auto")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert teacher.precision == "fp32" and teacher.dim == 3
    torch.testing.assert_close(teacher.encode(images), plug_in.outputs(images)["combiner"], rtol=1e-3, atol=1e-3)
