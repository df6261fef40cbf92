"""The joint feature: what it computes, what its judge says, and that files keep it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from evaluation.features.subject import find_feature
from evaluation.labelfree.joining import SHARES, Judge, choose_share, fit_joint, judge_trained
from evaluation.labelfree.numbers import neighbour_agreement
from models.backbones import build_backbone
from models.encoder import Encoder, load_encoder, save_encoder
from models.heads import build_head
from models.teachers.prototypes import fit_space


def rows(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("whiten", [0.0, 0.5])
def test_its_cosines_are_the_weighted_means_of_both(whiten: float) -> None:
    backbone, head = rows(30, 12), rows(30, 4, seed=1)
    joint = fit_joint(backbone, head, whiten, 0.25)(backbone, head)
    detail, kind = fit_space(backbone, whiten=whiten).project(backbone), F.normalize(head - head.mean(dim=0), dim=1)
    torch.testing.assert_close(joint @ joint.T, 0.75 * detail @ detail.T + 0.25 * kind @ kind.T, atol=1e-5, rtol=0)


def test_without_a_head_it_is_the_centred_average() -> None:
    backbone = rows(30, 12)
    joint = fit_joint(backbone, None, 0.0, 0.0)(backbone, None)
    centred = F.normalize(backbone - backbone.mean(dim=0), dim=1)
    torch.testing.assert_close(joint @ joint.T, centred @ centred.T, atol=1e-5, rtol=0)


def test_the_judge_holds_every_share_against_the_teacher() -> None:
    backbone, head, teacher = rows(60, 8), rows(60, 4, seed=1), rows(60, 6, seed=2)
    told = Judge(teacher, 0.5, 0.3).measure({"backbone": backbone, "head": head})
    for share in {*SHARES, 0.3}:
        joint = fit_joint(backbone, head, 0.5, share)(backbone, head)
        assert told[f"agree_{share:g}"] == pytest.approx(neighbour_agreement(joint, teacher))
    assert "agree_0.5" not in Judge(teacher, 0.5, 0.3).measure({"backbone": backbone})


def test_a_head_that_leads_away_from_the_teacher_is_left_out() -> None:
    backbone = rows(80, 8)
    told = Judge(backbone, 0.0, 0.5).measure({"backbone": backbone, "head": rows(80, 4, seed=1)})
    assert told["agree_0"] > 0.95 and choose_share(told, 0.5) == 0.0
    told = Judge(backbone[:, :4], 0.0, 0.5).measure({"backbone": backbone, "head": backbone[:, :4]})
    assert choose_share(told, 0.5) == 0.5
    assert choose_share({}, 0.5) == 0.0  # a network that could not be looked at


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_file_keeps_it(tmp_path: Path, share: float) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet")
    encoder = Encoder(backbone, build_head([backbone.num_features, 8])).eval()
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        seen = encoder.outputs(images)
    encoder.joint = fit_joint(seen["backbone"], seen["head"] if share else None, 0.5, share)
    save_encoder(encoder, tmp_path / "encoder.pth", {"feature": "joint"})
    again = load_encoder(tmp_path / "encoder.pth")
    with torch.inference_mode():
        found, known = again.outputs(images)["joint"], encoder.outputs(images)["joint"]
    torch.testing.assert_close(found, known, atol=1e-6, rtol=0)
    assert again.features == ("backbone", "head", "joint") and again.width("joint") == found.shape[1]
    torch.testing.assert_close(found.norm(dim=1), torch.ones(20))
    assert find_feature("auto", again, tmp_path / "encoder.pth") == "joint"


def test_few_images_and_a_collapsed_network_are_no_trouble() -> None:
    told = Judge(rows(5, 6), 0.0, 0.5).measure({"backbone": rows(5, 8), "head": rows(5, 4, seed=1)})
    assert told["agree_0"] == told["agree_0.5"] == 1.0  # all four others are everyone's nearest
    assert "agree_0" not in Judge(rows(5, 6), 0.0, 0.5).measure({"backbone": torch.ones(5, 8), "head": rows(5, 4)})


def test_a_trained_network_is_heard_with_its_head_and_without() -> None:
    assert judge_trained({"agree_0": 0.4, "agree_0.25": 0.5}, 0.25) == 0.5
    assert judge_trained({"agree_0": 0.4, "agree_0.25": 0.3}, 0.25) == 0.4
    assert judge_trained({"agree_0": 0.4, "agree_0.25": 0.5}, 0.0) == 0.4  # as the start is heard
    assert judge_trained({}, 0.5) == float("-inf")
