"""The plain transcriptions give the values that ours give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.photos import make_photo, save_photos
from benchmarks.reference.ddt import crop_plain, fit_plain
from benchmarks.reference.evaluate import evaluate_one_by_one, score_clusters_plainly
from benchmarks.reference.linear import PlainPhotos, PlainProbe
from benchmarks.reference.loader import IMAGENET_MEAN, IMAGENET_STD, plain_recipe
from benchmarks.reference.obdsd import ReferenceObdSd, make_plain_step, plain_multi_similarity
from benchmarks.timed.ddt import PlainMaps
from benchmarks.timed.evaluate import make_embeddings
from benchmarks.timed.metric_step import CUB, SECOND_OF_TWO, make_timed_method
from datasets.images import scan
from datasets.loader import Batch
from datasets.views.recipes import View, make_transform
from DDT.descriptors import MapReading, slice_batches, stream_maps
from DDT.directions.grouped import GroupedDirections
from DDT.policy import Policy
from DDT.stages import Rule, find_boxes, fit_direction
from evaluation.metrics.clustering import score_clusters
from evaluation.retrieval.score import retrieve
from models.backbones import build_backbone, standardise

CPU = torch.device("cpu")


def test_plain_ddt_finds_the_same_boxes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18").eval()
    save_photos(tmp_path, 6, width=200, height=150)
    images, reading = scan(tmp_path), MapReading(size=128, batch_size=4)
    batches = slice_batches([images.samples], reading.batch_size)
    maps = list(stream_maps(backbone, reading, CPU, batches))
    direction = fit_direction(maps, len(images))
    paths = [sample.path for sample in images.samples]
    plain = fit_plain(PlainMaps(backbone.net), paths, reading.size)
    assert float(torch.from_numpy(plain.vector) @ direction.vector) == pytest.approx(1, abs=1e-3)
    found = find_boxes(maps, GroupedDirections.of_one(direction, len(images)), Rule(Policy("none"), any_mask=True), reading)
    rows = [row for batch in found for row in batch]
    for path, row in zip(paths, rows, strict=True):
        box = crop_plain(PlainMaps(backbone.net), path, reading.size, plain)
        assert box == pytest.approx((row.cut.x1, row.cut.y1, row.cut.x2, row.cut.y2), abs=0.5)


def test_plain_views_are_within_two_grey_levels_of_ours() -> None:
    photo: Image.Image = make_photo(500, 375, 1)
    plain, ours = plain_recipe(96), make_transform(View("full", "mocov2", 96))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    gaps = []
    for seed in range(40):
        torch.manual_seed(seed)
        expected = plain(photo)
        torch.manual_seed(seed)
        found = standardise(ours(photo)[None], mean, std)[0]
        gaps.append(float(((found - expected) * std * 255).abs().mean()))
    assert sum(gaps) / len(gaps) < 2
    assert max(gaps) < 6  # a view drawn otherwise would be tens of levels away


def test_plain_probe_learns_colours(photo_tree: Path) -> None:
    def sets(split: str, train: bool) -> PlainPhotos:
        images = scan(photo_tree, split)
        return PlainPhotos([sample.path for sample in images.samples], images.labels.tolist(), 32, train=train)

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    probe = PlainProbe(network, 3, 3, batch=8)
    accuracies = [probe.run_epoch(sets("train", True), sets("test", False)) for _ in range(12)]
    assert max(accuracies) == 1.0


def test_plain_evaluation_gives_the_same_numbers() -> None:
    rows, labels = make_embeddings(240, 44)
    plain, ours = evaluate_one_by_one(rows, labels, range(240)), retrieve(rows, labels).metrics()
    assert plain.map_at_r == pytest.approx(ours["map_at_r"], abs=1e-9)
    assert plain.recall == pytest.approx({depth: ours[f"recall_at_{depth}"] for depth in plain.recall}, abs=1e-9)
    assert score_clusters_plainly(rows, labels) == pytest.approx(score_clusters(rows, labels).nmi, abs=1e-9)


def test_a_plain_step_of_obdsd_has_our_loss_and_moves_the_student_alone() -> None:
    network, method = torchvision.models.resnet18(), make_timed_method("resnet18")
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    method.student.backbone.load(state)
    plain = ReferenceObdSd(torch.nn.Sequential(*list(network.children())[:-2]), 512, CUB.dim)
    for head in (plain.embedding, plain.embedding_t):
        head.load_state_dict(method.student.head.state_dict())
    method.teacher.load_state_dict(method.student.state_dict())
    for head in (plain.embedding_t, method.teacher.head):
        head.weight[:, ::2] = 0  # the teacher is another network
    images, labels = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8), torch.arange(6) // 2
    pixels = method.student.backbone.normalise(images)
    expected = plain(pixels, labels).item()
    found = method(Batch({"image": images}, torch.arange(6), labels), SECOND_OF_TWO)
    assert found.total.item() == pytest.approx(expected, rel=1e-4) and found.parts["psd"] > 1e-6
    before = [weight.clone() for weight in plain.parameters()]
    make_plain_step(plain, pixels, labels)()
    moved = [not torch.equal(old, new) for old, new in zip(before, plain.parameters())]
    assert moved == [weight.requires_grad for weight in plain.parameters()]


def test_the_plain_loop_asks_torch_for_no_more_than_its_equations_need() -> None:
    class Count(TorchDispatchMode):
        operations = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.operations += 1
            return function(*args, **(kwargs or {}))

    rows, labels = torch.nn.functional.normalize(torch.randn(40, 8), dim=1), torch.arange(40) // 2
    with Count() as count:
        plain_multi_similarity(rows, labels)
    assert count.operations <= 40 * 35
