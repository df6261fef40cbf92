"""Pyramid, selector and combiner against naive versions of themselves."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.plug_in.levels import LevelShape
from models.plug_in.parts import (
    Combiner,
    Fpn,
    PositionClassifier,
    find_confidence,
    rank_positions,
    select_top,
    take_positions,
)

SQUARES = {"layer1": LevelShape(6, 8, 8), "layer2": LevelShape(10, 4, 4), "layer3": LevelShape(12, 4, 4)}


def sort_every_image(logits: Tensor, count: int) -> tuple[Tensor, list[set[int]]]:
    """The naive selector: one full, stable sort for each image."""
    orders = [torch.sort(level.softmax(-1).max(-1).values, descending=True, stable=True).indices for level in logits]
    return torch.stack([order[:count] for order in orders]), [set(order[count:].tolist()) for order in orders]


@pytest.mark.parametrize("positions, count", [(40, 7), (40, 39), (300, 1), (5, 3)])
def test_selector_equals_a_sort_of_every_image(positions: int, count: int) -> None:
    logits = torch.randn(6, positions, 9) * 3
    logits[:, 2:5] = logits[:, :1]  # equally confident positions, the first of which come first
    logits[3] = 0
    kept, dropped = sort_every_image(logits, count)
    found = select_top(logits, count)
    assert torch.equal(found.kept, kept)
    assert [set(row.nonzero()[:, 0].tolist()) for row in found.dropped] == dropped
    assert (found.dropped.sum(1) == positions - count).all()
    assert not found.dropped.gather(1, found.kept).any()


class Selecting(torch.nn.Module):
    """A selector as a network that can be taken as a graph."""

    def forward(self, logits: Tensor) -> Tensor:
        return select_top(logits, 7).kept


@pytest.mark.filterwarnings("ignore")  # torch says that its graphs are old
@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_a_graph_ranks_equals_as_the_selector_does(kind: str) -> None:
    """And of any number of images: it was taken of two."""
    logits = torch.randn(6, 40, 9) * 3
    logits[:, 2:9] = logits[:, :1]
    logits[3] = 0
    if kind == "onnx":
        runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install -r requirements-tests.txt")
        file = io.BytesIO()
        torch.onnx.export(Selecting(), (logits[:2],), file, input_names=["z"], dynamic_axes={"z": {0: "N"}}, dynamo=False)
        kept = torch.from_numpy(runtime.InferenceSession(file.getvalue()).run(None, {"z": logits.numpy()})[0])
    else:
        kept = torch.jit.trace(Selecting(), (logits[:2],), check_trace=False)(logits)
    assert torch.equal(kept, select_top(logits, 7).kept)


def test_ties_go_to_the_earlier_position() -> None:
    assert rank_positions(torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.0]]), 4).tolist() == [[1, 3, 0, 2]]
    assert rank_positions(torch.full((2, 100), 0.25), 100).tolist() == [list(range(100))] * 2
    just_above = torch.tensor([[0.25, 0.25000003, 0.25]])
    assert rank_positions(just_above, 2).tolist() == [[1, 0]]


def test_confidence_is_the_largest_probability_also_of_many_images() -> None:
    logits = torch.randn(5, 700, 400) * 4  # more numbers than are looked at at once
    torch.testing.assert_close(find_confidence(logits), logits.softmax(-1).amax(-1))
    assert find_confidence(logits[:1, :, :3].bfloat16()).dtype == torch.float32
    assert not find_confidence(logits.requires_grad_()).requires_grad


def test_taken_rows_are_those_of_the_image_and_gradients_find_them() -> None:
    tokens = torch.randn(3, 11, 4, requires_grad=True)
    kept = torch.stack([torch.randperm(11)[:5] for _ in range(3)])
    found = take_positions(tokens, kept)
    assert torch.equal(found, torch.stack([tokens[b][kept[b]] for b in range(3)]))
    found.sum().backward()
    expected = torch.zeros(3, 11).scatter_(1, kept, 1.0)
    assert torch.equal(tokens.grad, expected[:, :, None].expand(3, 11, 4))


def make_tokens(shapes: dict[str, LevelShape]) -> dict[str, Tensor]:
    return {name: torch.randn(2, shape.positions, shape.channels) for name, shape in shapes.items()}


def test_bilinear_pyramid_adds_deep_maps_to_shallow_ones() -> None:
    fpn, tokens = Fpn(SQUARES, 5, "bilinear"), make_tokens(SQUARES)
    found = fpn(tokens, SQUARES)
    maps = {}
    for name, shape in SQUARES.items():
        first, second = (layer for layer in fpn.project[name] if isinstance(layer, torch.nn.Linear))
        level = tokens[name].transpose(1, 2).reshape(2, shape.channels, shape.rows, shape.columns)
        level = F.conv2d(level, first.weight[:, :, None, None], first.bias).relu()
        maps[name] = F.conv2d(level, second.weight[:, :, None, None], second.bias)
    maps["layer2"] = maps["layer2"] + maps["layer3"]
    maps["layer1"] = maps["layer1"] + F.interpolate(maps["layer2"], scale_factor=2, mode="bilinear")
    for name in SQUARES:
        torch.testing.assert_close(found[name], maps[name].flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_a_matrix_over_positions_is_a_convolution_with_positions_as_channels() -> None:
    fpn, tokens = Fpn(SQUARES, 5, "conv"), make_tokens(SQUARES)
    assert list(fpn.rise) == ["layer2"]  # 16 to 64; 16 to 16 is left as it is
    found = fpn(tokens, SQUARES)
    rise = fpn.rise["layer2"]
    expected = fpn.project["layer1"](tokens["layer1"]) + F.conv1d(found["layer2"], rise.weight[:, :, None], rise.bias)
    torch.testing.assert_close(found["layer1"], expected, rtol=1e-4, atol=1e-5)


def test_position_classifier_is_a_column_of_1x1_convolutions_with_statistics_over_all_positions() -> None:
    ours, tokens = PositionClassifier(6, 4), torch.randn(3, 10, 6)
    twin = torch.nn.Sequential(torch.nn.Conv1d(6, 6, 1), torch.nn.BatchNorm1d(6), torch.nn.ReLU(),
                               torch.nn.Conv1d(6, 4, 1))
    twin[0].weight.data, twin[0].bias.data = ours.hidden.weight.data[:, :, None], ours.hidden.bias.data
    twin[3].weight.data, twin[3].bias.data = ours.logits.weight.data[:, :, None], ours.logits.bias.data
    torch.testing.assert_close(ours(tokens), twin(tokens.transpose(1, 2)).transpose(1, 2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.norm.running_var, twin[1].running_var)


def test_adjacency_is_the_learned_matrix_as_long_as_alpha_is_zero() -> None:
    combiner, nodes = Combiner(96, 8, 5), torch.randn(2, 3, 8)
    first = torch.full((3, 3), 0.01) + 0.01 * torch.eye(3)
    torch.testing.assert_close(combiner.connect(nodes), first.expand(2, 3, 3))
    combiner.alpha.data.fill_(0.5)
    query, key = combiner.query(nodes).mean(-1), combiner.key(nodes).mean(-1)
    expected = first + 0.5 * torch.tanh(query[:, :, None] - key[:, None, :])
    torch.testing.assert_close(combiner.connect(nodes), expected)


@pytest.mark.parametrize("slots, nodes", [(1, 1), (31, 1), (64, 2), (2720, 85), (480, 15)])
def test_thirty_two_slots_share_a_node_and_there_is_always_one(slots: int, nodes: int) -> None:
    assert Combiner(slots, 4, 3).adjacency.shape == (nodes, nodes)


def test_combiner_follows_the_equations_of_the_paper() -> None:
    combiner, kept = Combiner(64, 8, 5).train(), {"layer1": torch.randn(3, 40, 8), "layer2": torch.randn(3, 24, 8)}
    combiner.alpha.data.fill_(0.7)
    combiner.dropout.p = 0.0
    first = torch.cat(list(kept.values()), dim=1).transpose(1, 2)  # [B, F, N] from here on
    nodes = combiner.pool(first)
    adjacency = combiner.connect(nodes.transpose(1, 2))
    mixed = F.conv1d(nodes, combiner.mix.weight[:, :, None], combiner.mix.bias) @ adjacency
    mixed = F.batch_norm(mixed, None, None, training=True)
    expected = combiner.classifier(combiner.merge(mixed).squeeze(2))
    torch.testing.assert_close(combiner(kept), expected, rtol=1e-4, atol=1e-5)


def test_where_positions_lie_means_nothing_to_the_combiner() -> None:
    combiner, classify = Combiner(32, 6, 5).eval(), PositionClassifier(6, 5).eval()
    tokens, order = torch.randn(2, 50, 6), torch.randperm(50)

    def combine(rows: Tensor) -> Tensor:
        return combiner({"layer1": take_positions(rows, select_top(classify(rows), 32).kept)})

    torch.testing.assert_close(combine(tokens), combine(tokens[:, order]), rtol=1e-4, atol=1e-5)
