"""What stands before the first step of a small run: a head that fits, answers that agree with their neighbours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from datasets.images import scan
from engine.workflows.pretrain.guidance import choose_dim, smooth_answers
from engine.workflows.pretrain.head import initialise_head, look_around
from losses.distillation import cosine_distance
from methods.lead import Lead, LeadOptions
from models.backbones import build_backbone
from models.teachers.guide import BankGuide, Prototypes
from models.teachers.neighbours import smooth_by_neighbours

ARGS = SimpleNamespace(num_workers=0, seed=0, crop_bottom=0)
CPU = torch.device("cpu")


def test_the_head_of_both_encoders_meets_the_answers(photo_tree: Path) -> None:
    images = scan(photo_tree, "train")
    answers = F.normalize(torch.eye(3)[images.labels] + 0.1, dim=1)
    guide = BankGuide(answers, {"image": Prototypes(torch.eye(3), 0.1)})
    torch.manual_seed(0)
    method = Lead(build_backbone("test_efficientnet"), guide, LeadOptions.default(size=32, view_recipe="mild")).train()
    looks = torch.cat(look_around(method, ARGS, images, None, CPU))
    targets = answers.repeat(len(looks) // len(images), 1)
    before = cosine_distance(method.query.head(looks), targets).mean()
    initialise_head(method, ARGS, images, None, CPU)
    after = cosine_distance(method.query.head(looks), targets).mean()
    assert after < 0.5 * before and after < 0.4
    theirs = method.key.head.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in method.query.head.state_dict().items())
    assert method.query.backbone.training  # as it was


@pytest.mark.parametrize("asked, count, taken", [("auto", 300, 10), ("auto", 100, 5), ("auto", 12, 1), (3, 12, 3)])
def test_answers_are_drawn_towards_so_many_neighbours(asked: int | str, count: int, taken: int) -> None:
    rows = F.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    drawn = smooth_answers(SimpleNamespace(neighbours=asked, neighbour_steps=2), rows)
    assert torch.equal(drawn, smooth_by_neighbours(rows, taken, 2)) and not torch.allclose(drawn, rows)
    assert smooth_answers(SimpleNamespace(neighbours=0), rows) is rows


def test_directions_of_a_teacher_are_at_most_one_less_than_images() -> None:
    assert choose_dim(SimpleNamespace(moco_dim=None, teacher_dim=64), 40) == 39
    assert choose_dim(SimpleNamespace(moco_dim=32, teacher_dim=64), 40) == 32
    assert choose_dim(SimpleNamespace(moco_dim=None, teacher_dim=None), 40) is None
