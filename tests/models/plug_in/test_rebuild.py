"""A public plug-in checkpoint rebuilt from what its tensors tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.classifiers.file import load_classifier
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.rebuild import PUBLISHED, build_public_pim
from runtime.errors import ConfigError

PARTS = {"fpn.project.": "fpn.Proj_", "combiner.pool": "combiner.param_pool0", "combiner.merge": "combiner.param_pool1",
         "combiner.adjacency": "combiner.adj1", "combiner.alpha": "combiner.alpha1", "combiner.mix": "combiner.conv1",
         "combiner.norm": "combiner.batch_norm1", "combiner.query": "combiner.conv_q1", "combiner.key": "combiner.conv_k1"}


def rename(name: str) -> str:
    """The public code's name of one of ours."""
    if name.startswith("levels.net."):
        return name.replace("levels.net.", "backbone.")
    if name.startswith("classify."):
        _, level, part, kind = name.split(".")
        place = {"hidden": 0, "norm": 1, "logits": 3}[part]
        return f"fpn_classifier_{level}.{place}.{kind}"
    return next((theirs + name[len(ours):] for ours, theirs in PARTS.items() if name.startswith(ours)), name)


def publish(network: PlugIn) -> dict[str, dict[str, Tensor]]:
    """Its file as the public code would write it."""
    return {"model": {rename(name): value for name, value in network.state_dict().items()}, "epoch": 3}


def build(selects: tuple[int, ...], width: int = 24) -> PlugIn:
    return build_plug_in("test_resnet", 5, size=64, options=PlugInOptions(fpn_size=width, selects=selects)).eval()


def test_widths_and_classes_come_from_the_file(tmp_path: Path) -> None:
    network, images = build((40, 20, 8, 2)), torch.rand(2, 3, 64, 64)
    torch.save(publish(network), tmp_path / "best.pt")
    content = torch.load(tmp_path / "best.pt")
    fresh = build_public_pim(content, "best.pt", name="test_resnet", size=64, selects=[40, 20, 8, 2])
    saved = load_classifier(tmp_path / "best.pt", network=fresh)
    with torch.no_grad():
        torch.testing.assert_close(saved.network.outputs(images), network.outputs(images))
    assert saved.view == {"recipe": "pim-eval", "size": 64}


def test_kept_positions_are_known_by_their_sum_or_asked_for() -> None:
    assert PUBLISHED == {2720: (2048, 512, 128, 32), 480: (256, 128, 64, 32), 128: (32, 32, 32, 32)}
    content = publish(build((40, 20, 8, 2)))
    with pytest.raises(ConfigError, match="keeps 70 positions in all.*--num-selects"):
        build_public_pim(content, "best.pt", name="test_resnet", size=64)
    with pytest.raises(ConfigError, match="name its backbone with --model: swin-t"):
        build_public_pim(content, "best.pt", name=None)
    content["model"]["combiner.param_pool0.weight"] = torch.zeros(15, 480)
    assert build_public_pim(content, "best.pt", name="test_resnet", size=224).options.selects == (256, 128, 64, 32)
