"""The plug-in module: sizes of the published one, every configuration, what it refuses, how it is rebuilt."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from models.plug_in.levels import Levels
from models.plug_in.module import PlugIn, PlugInOptions, build_plug_in
from models.plug_in.presets import PRESETS, find_preset
from runtime.errors import WeightsError

SMALL = PlugInOptions(fpn_size=16, selects=(16, 8, 4, 2))


class Stages(nn.Module):
    """`count` maps, each of half the side of the one before."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(3 if place == 0 else 4 * place, 4 * place + 4, 3, 2, 1)
                                   for place in range(count))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = {}
        for place, step in enumerate(self.steps):
            images = maps[f"stage{place}"] = step(images).relu()
        return maps


def plug_into(count: int, **options: object) -> PlugIn:
    levels = Levels(Stages(count), None, image_size=64)
    settings = {"fpn_size": 8, "selects": [32, 16, 8, 4][:count], "combiner_size": 8} | options
    return PlugIn(levels, 5, PlugInOptions(**settings))


def test_published_swin_has_the_published_sizes() -> None:
    options = PlugInOptions(fpn_size=1536, selects=(2048, 512, 128, 32))
    with torch.device("meta"):
        network = build_plug_in("swin-t", 200, options=options).eval()
        answer = network(torch.zeros(2, 3, 384, 384))
    parts = (network.fpn, network.classify, network.combiner)
    assert sum(p.numel() for part in parts for p in part.parameters()) == 28_142_765
    shapes = [(shape.positions, shape.channels) for shape in network.levels.shapes.values()]
    assert shapes == [(2304, 384), (576, 768), (144, 1536), (144, 1536)]
    assert [tuple(level.shape) for level in answer.levels.values()] == [(2, count, 200) for count, _ in shapes]
    assert network.combiner.adjacency.shape == (85, 85) and answer.combiner.shape == (2, 200)
    assert [chosen.kept.shape[1] for chosen in answer.selections.values()] == [2048, 512, 128, 32]


@pytest.mark.parametrize("name, shapes", [
    ("resnet50", [(256, 112), (512, 56), (1024, 28), (2048, 14)]),
    ("vit", [(768, 28)] * 4),
    ("lite0", [(24, 56), (40, 28), (112, 14), (320, 7)]),
])
def test_presets_are_tapped_where_they_say(name: str, shapes: list[tuple[int, int]]) -> None:
    with torch.device("meta"):
        network = build_plug_in(name, 10)
    assert network.size == PRESETS[name].size
    assert [(shape.channels, shape.rows) for shape in network.levels.shapes.values()] == shapes
    assert find_preset(PRESETS[name].arch) is PRESETS[name] and find_preset("unheard-of") is None


@pytest.mark.slow
def test_the_large_presets_are_tapped_where_they_say() -> None:
    with torch.device("meta"):
        network = build_plug_in("efficient", 10)
        swin = build_plug_in("swin-t", 10)
    shapes = [(shape.channels, shape.rows) for shape in network.levels.shapes.values()]
    assert shapes == [(160, 28), (224, 28), (384, 14), (640, 14)]
    assert swin.options.upsample == "conv" and network.options.upsample == "bilinear"


@pytest.mark.parametrize("options", [
    {}, {"use_fpn": False}, {"use_combiner": False}, {"use_fpn": False, "use_combiner": False},
    {"use_selection": False, "use_combiner": False}, {"upsample": "conv"}])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_configuration_answers_and_leaves_no_parameter_without_gradient(count: int, options: dict) -> None:
    network = plug_into(count, **options)
    answer = network(torch.rand(3, 3, 64, 64))
    assert list(answer.levels) == [f"layer{place + 1}" for place in range(count)]
    assert (answer.combiner is None) == (not options.get("use_combiner", True))
    assert bool(answer.selections) == options.get("use_selection", True)
    assert network.answer == ("combiner" if answer.combiner is not None else f"layer{count}")
    total = sum(level.square().mean() for level in answer.levels.values())
    (total + (0 if answer.combiner is None else answer.combiner.square().mean())).backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_outputs_are_means_over_positions_and_maps_are_probabilities() -> None:
    network, images = plug_into(3).eval(), torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        answer, outputs, maps = network(images), network.outputs(images), network.class_maps(images)
    assert list(outputs) == ["layer1", "layer2", "layer3", "combiner"]
    torch.testing.assert_close(outputs["layer2"], answer.levels["layer2"].mean(1))
    assert maps["layer1"].shape == (2, 5, 32, 32)
    torch.testing.assert_close(maps["layer2"].sum(1), torch.ones(2, 16, 16))
    place = answer.levels["layer2"][1, 3 * 16 + 5].softmax(-1)
    torch.testing.assert_close(maps["layer2"][1, :, 3, 5], place)


@pytest.mark.parametrize("options, words", [
    ({"selects": (1024, 16)}, "layer1 keeps 1024 of 1024"),
    ({"selects": (32, 0)}, "layer2 keeps 0 of 256"),
    ({"selects": (32,)}, "1 numbers of kept positions"),
    ({"selects": {"layer7": 3}}, "layer7"),
    ({"use_selection": False}, "needs use_selection"),
    ({"use_selection": False, "use_combiner": False, "use_fpn": False}, "plain classifier")])
def test_what_cannot_work_is_refused_when_it_is_built(options: dict, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        plug_into(2, **options)


def test_numbers_of_kept_positions_by_name_in_order_or_one_for_all() -> None:
    assert plug_into(2, selects=[7, 5]).selects == {"layer1": 7, "layer2": 5}
    assert plug_into(2, selects={"layer2": 5}).selects == {"layer1": 32, "layer2": 5}
    assert plug_into(2, selects=9).selects == {"layer1": 9, "layer2": 9}


def test_another_image_size_is_for_bilinear_pyramids_only() -> None:
    images = torch.rand(2, 3, 96, 96)
    assert plug_into(2)(images).levels["layer1"].shape == (2, 48 * 48, 5)
    with pytest.raises(WeightsError, match="64 pixels.*bilinear"):
        plug_into(2, upsample="conv")(images)
    with pytest.raises(WeightsError, match="layer2 keeps 16 of 16"):
        plug_into(2)(torch.rand(2, 3, 16, 16))


def test_tokens_of_a_vit_may_be_brought_up_bilinearly() -> None:
    options = PlugInOptions(fpn_size=8, selects=4)
    network = build_plug_in("vit_tiny_patch16_224", 3, size=64, taps=("blocks.2", "blocks.3"), options=options)
    assert network.options.upsample == "bilinear"
    assert network(torch.rand(2, 3, 64, 64)).combiner.shape == (2, 3)


def test_description_rebuilds_the_network() -> None:
    network = build_plug_in("resnet18", 4, size=64, options=SMALL).eval()
    twin = PlugIn.rebuild(json.loads(json.dumps(network.describe()))).eval()
    twin.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(twin.outputs(images)["combiner"], network.outputs(images)["combiner"])
    with pytest.raises(WeightsError, match="of your own"):
        plug_into(2).describe()


def test_any_network_is_tapped_at_its_last_four_levels() -> None:
    with torch.device("meta"):
        network = build_plug_in("convnext_atto", 4, size=64, options=SMALL)
    assert [shape.rows for shape in network.levels.shapes.values()] == [16, 8, 4, 2]
    assert network.describe()["taps"] == [-4, -3, -2, -1]


def test_autocast_leaves_choices_to_float32() -> None:
    network = plug_into(2)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(torch.rand(2, 3, 64, 64))
        outputs = network.outputs(torch.rand(2, 3, 64, 64))
    assert answer.levels["layer1"].dtype == torch.bfloat16 and outputs["layer1"].dtype == torch.float32
    answer.combiner.float().sum().backward()
    assert torch.isfinite(network.combiner.pool.weight.grad).all()
