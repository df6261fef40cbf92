"""Every row of the methods has its builder, and the method that it makes declares what it logs."""

from __future__ import annotations

import pytest
import torch

from datasets.loader import Batch
from engine.flags.pretrain.arguments import parse
from engine.flags.pretrain.methods import GROUPS, METHODS
from engine.workflows.pretrain.methods import BUILDERS, build_pretrain_method
from methods.method import Clock
from models.backbones import build_backbone
from models.teachers.guide import BankGuide, Prototypes


def test_rows_and_builders_have_the_same_names() -> None:
    assert list(METHODS) == list(BUILDERS)
    assert {group for row in METHODS.values() for group in row.reads} == set(GROUPS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_declares_the_terms_that_it_returns(name: str) -> None:
    options = parse(["--root", "x", "--pretrained", "none", "--device", "cpu", "-a", "test_resnet", "--method", name],
                    size=64, batch_size=2, teacher_weights="none")
    sets = {kind: Prototypes(torch.randn(3, 8), 0.1) for kind in ("text", "image")}
    guide = BankGuide(torch.randn(9, 8), sets) if name == "lead" else None
    method = build_pretrain_method(options, 9, build_backbone("test_resnet"), guide)
    views = {view: torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8) for view in method.views()}
    loss = method(Batch(views, torch.arange(4), torch.zeros(4, dtype=torch.long)), Clock(0, 10, 0, 1))
    assert loss.parts and set(loss.parts) <= set(method.loss_terms)
    assert set(method.shares) <= set(loss.stats)
