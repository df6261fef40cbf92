"""The student of a teacher: its loss term by term, both heads in the graph, answers live and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_distributed import run_ranks
from torch import Tensor
from two_ranks_distill import CASES, train_all

from datasets.loader import Batch
from datasets.views.recipes import View
from engine.checkpoint import trained_state
from methods.distill import Distill, DistillOptions
from methods.method import Clock
from methods.supervised import Supervised, Supervision
from models.classifiers.classifier import Classifier
from models.teachers.class_teacher import ClassTeacher, build_class_teacher

CLASSES, NOW = 5, Clock(0, 10, 0, 1)
VIT = {"image_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2}


def make_student(second_head: bool = True) -> Classifier:
    torch.manual_seed(1)
    arch = "deit_tiny_distilled_patch16_224" if second_head else "deit_tiny_patch16_224"
    return Classifier(arch, CLASSES, head_init_scale=20, **VIT)


@pytest.fixture(scope="module")
def teacher() -> ClassTeacher:
    torch.manual_seed(2)
    return build_class_teacher(Classifier("convnext_atto", CLASSES, dims=(4, 8, 8, 8), depths=(1, 1, 1, 1),
                                          head_init_scale=40), size=64)


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Batch({"v": images}, torch.arange(10, 16), torch.randint(0, CLASSES, (6,), generator=generator))


def make_options(**chosen: object) -> Supervision:
    return Supervision(**{"classes": CLASSES, "view": View("full", "probe", 32), **chosen})


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=0.1)


@pytest.mark.parametrize("kind, reduction", [("hard", "batchmean"), ("soft", "batchmean"), ("soft", "legacy")])
def test_the_loss_is_labels_for_one_head_and_the_teacher_for_the_other(teacher, kind: str, reduction: str) -> None:
    student, batch = make_student(), make_batch()
    chosen = DistillOptions(kind=kind, alpha=0.3, tau=2.0, reduction=reduction)
    loss = Distill(student, make_options(), chosen, teacher=teacher)(batch, NOW)
    logits, taught = student(batch.views["v"]), teacher.encode(batch.views["v"])
    assert taught.std() > 1e-3
    distance = F.cross_entropy(logits["dist"], taught.argmax(1))
    if kind == "soft":
        pair = [(value / 2).log_softmax(1) for value in (logits["dist"], taught)]
        distance = 4 * F.kl_div(*pair, reduction="batchmean", log_target=True)
        distance = distance / CLASSES if reduction == "legacy" else distance
    torch.testing.assert_close(loss.parts["distillation"], distance)
    torch.testing.assert_close(loss.total, 0.7 * smoothed(logits["cls"], batch.label) + 0.3 * distance)
    assert set(loss.stats) == {"accuracy", "accuracy_cls", "accuracy_dist", "accuracy_teacher", "agreement"}
    assert loss.stats["agreement"] == (logits["dist"].argmax(1) == taught.argmax(1)).float().mean()


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_every_parameter_gets_a_gradient_for_any_alpha_and_the_teacher_none(teacher, kind: str, alpha: float) -> None:
    student, batch = make_student(), make_batch()
    method = Distill(student, make_options(), DistillOptions(kind=kind, alpha=alpha), teacher=teacher).train()
    loss = method(batch, NOW)
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in teacher.network.parameters())
    if alpha == 0:
        torch.testing.assert_close(loss.total, smoothed(student(batch.views["v"])["cls"], batch.label))
    else:
        torch.testing.assert_close(loss.total, loss.parts["distillation"])


def test_without_a_teacher_both_heads_learn_from_the_labels() -> None:
    student, batch = make_student(), make_batch()
    loss = Distill(student, make_options(), DistillOptions()).train()(batch, NOW)
    logits = student(batch.views["v"])
    expected = {name: smoothed(logits[name], batch.label) for name in ("cls", "dist")}
    torch.testing.assert_close(loss.parts, expected)
    torch.testing.assert_close(loss.total, (expected["cls"] + expected["dist"]) / 2)
    loss.total.backward()
    assert student.net.head_dist.weight.grad.abs().sum() > 0 and student.net.dist_token.grad.abs().sum() > 0


def test_a_student_with_one_head_learns_from_both_with_it(teacher) -> None:
    student, batch = make_student(second_head=False), make_batch()
    loss = Distill(student, make_options(smoothing=0), DistillOptions(kind="hard"), teacher=teacher)(batch, NOW)
    logits = student(batch.views["v"])["cls"]
    choice = teacher.encode(batch.views["v"]).argmax(1)
    expected = (F.cross_entropy(logits, batch.label) + F.cross_entropy(logits, choice)) / 2
    torch.testing.assert_close(loss.total, expected)


def test_the_teacher_sees_the_mixed_images_and_stays_as_it_is(teacher) -> None:
    method = Distill(make_student(), make_options(mixup=0.8), DistillOptions(kind="soft"), teacher=teacher).train()
    batch, seen = make_batch(), []
    handle = teacher.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    method(batch, NOW)
    handle.remove()
    method.clear_pending()
    mixed = method.mix(batch, NOW).images
    torch.testing.assert_close(seen[0], F.interpolate(mixed, (64, 64), mode="bicubic", antialias=True).clamp(0, 1))
    assert not teacher.network.training
    assert not any("teacher" in name for name in method.state_dict())


def test_remembered_answers_stand_in_for_the_teacher_and_are_not_saved(teacher) -> None:
    student, batch = make_student(), make_batch()
    bank = torch.full((20, CLASSES), float("nan"))
    bank[10:16] = teacher.encode(batch.views["v"])
    chosen = DistillOptions(kind="soft")
    remembered = Distill(student, make_options(), chosen, teacher_logits=bank)
    live = Distill(student, make_options(), chosen, teacher=teacher)
    torch.testing.assert_close(remembered(batch, NOW).total, live(batch, NOW).total)
    assert set(trained_state(remembered)) == set(Supervised(student, make_options()).state_dict())


def test_what_cannot_go_together_is_refused(teacher) -> None:
    student, soft = make_student(), DistillOptions(kind="soft")
    for options, given, message in [
        (make_options(), {}, "needs a teacher"),
        (make_options(mixup=0.5), {"teacher_logits": torch.zeros(9, CLASSES)}, "leave out mixup"),
        (make_options(classes=4), {"teacher": teacher}, "knows 5 classes, the student 4"),
    ]:
        with pytest.raises(ValueError, match=message):
            Distill(student, options, soft, **given)
    for wrong in ({"kind": "medium"}, {"alpha": 1.5}, {"tau": 0}, {"reduction": "sum"}):
        with pytest.raises(ValueError):
            DistillOptions(**wrong)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], dict]:
    folder = tmp_path_factory.mktemp("ranks")
    return run_ranks(folder / "result", Path(__file__).with_name("two_ranks_distill.py")), train_all()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one(runs: tuple[list[dict], dict], case: str) -> None:
    ranks, alone = runs
    assert alone[case]["gradient/0/network.net.blocks.0.attn.qkv.weight"].any()
    assert not torch.equal(*(alone[case][f"ema.module.net.blocks.0.attn.qkv.weight/{step}"] for step in range(2)))
    for name, value in alone[case].items():
        torch.testing.assert_close(ranks[0][case][name], value, atol=2e-5, rtol=2e-5, msg=lambda m: f"{name}: {m}")
        assert torch.equal(ranks[0][case][name], ranks[1][case][name]), name
