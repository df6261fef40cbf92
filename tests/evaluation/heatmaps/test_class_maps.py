"""Maps of classifiers: CAM against its sum, a plug-in module's against its probabilities, the class that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.images import scan
from datasets.views.recipes import View
from evaluation.heatmaps.class_maps import (
    cam_looker,
    fuse,
    level_looker,
    level_weights,
    look_at,
    looker,
    square,
    stretch_each,
)
from models.classifiers.classifier import Classifier
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in

VIEW = View("full", "warp", 64)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def plug_in() -> PlugIn:
    torch.manual_seed(0)
    options = PlugInOptions(fpn_size=16, selects=(40, 20, 8, 2))
    return build_plug_in("test_resnet", 3, size=64, options=options).eval()


@pytest.mark.parametrize("second_head", [False, True])
def test_cam_is_the_weighted_sum_of_the_last_map(images: Tensor, second_head: bool) -> None:
    torch.manual_seed(0)
    network = Classifier("test_resnet", 5, second_head=second_head).eval()
    found = torch.no_grad()(cam_looker(network, 3))(images)
    with torch.no_grad():
        weight = torch.stack([head.weight[3] for head in network.heads.values()]).sum(dim=0)
        expected = torch.einsum("bchw,c->bhw", network.features(images), weight).relu()
        torch.testing.assert_close(found["logits"], network.outputs(images)[network.answer])
    torch.testing.assert_close(stretch_each(square(found["cam"])), stretch_each(expected), atol=1e-5, rtol=1e-4)


NHWC = {"embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}


@pytest.mark.parametrize(("arch", "options", "positions"), [
    ("swin_tiny_patch4_window7_224", {"image_size": 64, **NHWC}, 64), ("test_convnext", {}, 4),
    ("test_vit", {"image_size": 64, "global_pool": "avg"}, 16)])
def test_other_shapes_of_features(arch: str, options: dict[str, object], positions: int) -> None:
    """NHWC, a norm before the head, and a transformer that averages its patches."""
    torch.manual_seed(0)
    network = Classifier(arch, 4, **options).eval()
    found = torch.no_grad()(looker(network, None))(torch.rand(1, 3, 64, 64))
    assert found["cam"].shape == (1, positions) and float(found["cam"].max()) > 0


def test_class_tokens_roll_out_and_the_class_changes_nothing() -> None:
    network = Classifier("deit_tiny_distilled_patch16_224", 4, image_size=64, embed_dim=16, depth=2, num_heads=2).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, other = looker(network, None)(images), looker(network, 2)(images)
        torch.testing.assert_close(found["logits"], network.outputs(images)["average"], atol=1e-4, rtol=1e-3)
    assert set(found) == {"logits", "rollout_cls", "rollout_dist"} and found["rollout_cls"].shape == (1, 16)
    torch.testing.assert_close(found, other)


@torch.no_grad()
def test_levels_are_the_module_s_probabilities(images: Tensor, plug_in: PlugIn) -> None:
    found, maps = level_looker(plug_in, 1)(images), plug_in.class_maps(images)
    torch.testing.assert_close(found["logits"], plug_in.outputs(images)["combiner"])
    for name, kept in zip(maps, (40, 20, 8, 2), strict=True):
        torch.testing.assert_close(square(found[name]), maps[name].amax(dim=1))
        torch.testing.assert_close(square(found[f"class_{name}"]), maps[name][:, 1])
        assert found[f"selected_{name}"].sum(dim=1).tolist() == [kept] * 3
        inside = found[f"selected_{name}"] > 0
        assert all(row[keep].min() >= row[~keep].max() for row, keep in zip(found[name], inside))


def test_without_combiner_and_selector_the_deepest_level_answers(images: Tensor) -> None:
    options = PlugInOptions(fpn_size=8, use_selection=False, use_combiner=False)
    network = build_plug_in("test_resnet", 3, size=64, options=options).eval()
    with torch.no_grad():
        found = level_looker(network, None)(images)
        torch.testing.assert_close(found["logits"], network.outputs(images)["layer4"])
    assert not any(name.startswith("selected_") for name in found)


def test_fused_is_the_weighted_mean_at_the_finest_grid() -> None:
    fine, coarse = stretch_each(torch.rand(2, 6, 6)), stretch_each(torch.rand(2, 3, 3))
    expected = (2 * fine + F.interpolate(coarse[:, None], size=(6, 6), mode="bilinear")[:, 0]) / 3
    torch.testing.assert_close(fuse([fine, coarse], level_weights(2)), stretch_each(expected))
    assert level_weights(4) == [8, 4, 2, 1] and float(stretch_each(torch.ones(1, 2, 2)).abs().max()) == 0


def test_true_asks_every_picture_for_its_own_label(photo_tree: Path, plug_in: PlugIn) -> None:
    images = scan(photo_tree, "test")
    asked = {wanted: look_at(plug_in, images, VIEW, wanted=wanted, batch_size=5) for wanted in (0, 1, 2, "true")}
    for index, label in enumerate(images.labels.tolist()):
        for name, maps in asked["true"].maps.items():
            torch.testing.assert_close(maps[index], asked[label].maps[name][index], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(asked["true"].logits, asked[0].logits, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(asked[0].maps["class_fused"], asked[1].maps["class_fused"])
    assert asked[0].maps["selected_fused"].shape == asked[0].maps["fused"].shape == (12, 16, 16)


def test_predicted_is_the_class_of_the_answer(photo_tree: Path, plug_in: PlugIn) -> None:
    images = scan(photo_tree, "test")
    found = look_at(plug_in, images, VIEW)
    answers = found.logits.argmax(dim=1).tolist()
    for index, answer in enumerate(answers[:3]):
        own = look_at(plug_in, images, VIEW, wanted=answer).maps["class_layer2"]
        torch.testing.assert_close(found.maps["class_layer2"][index], own[index], atol=1e-4, rtol=1e-3)
