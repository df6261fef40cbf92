"""What a network says must be numbers, of one width; what is the same of all pictures is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.images import scan
from datasets.views.recipes import View
from evaluation.features import extract as module
from evaluation.features.extract import extract
from evaluation.features.store import check_stored_embeddings
from evaluation.metrics.calibration import calibrate
from evaluation.metrics.clustering import kmeans_clusters
from evaluation.metrics.geometry import effective_rank, measure_geometry
from evaluation.metrics.inspection import describe_sameness
from evaluation.metrics.knn import knn_accuracy
from evaluation.metrics.zero_shot import zero_shot
from evaluation.retrieval.index import IndexPlan, build_index, measure_index
from evaluation.retrieval.score import retrieve, retrieve_across
from runtime.errors import BrokenNetwork, DataError

VIEW = View("full", "eval", 16)


def answer(images: Tensor) -> dict[str, Tensor]:
    rows = images.float().mean(dim=(2, 3)) / 255
    return {"backbone": rows, "head": torch.cat([rows, rows], dim=1)}


def test_a_network_that_answers_nan_is_named_with_its_pictures(photo_tree: Path, tmp_path: Path) -> None:
    images = scan(photo_tree, "test")
    for value, name in ((float("nan"), "head"), (float("inf"), "backbone")):
        def spoilt(pixels: Tensor, value: float = value, name: str = name) -> dict[str, Tensor]:
            rows = answer(pixels)
            rows[name][pixels.float().mean(dim=(1, 2, 3)) > 0, 0] = value
            return rows

        with pytest.raises(BrokenNetwork, match=f"NaN or infinity: {name} of 12 of 12 pictures .*Red_bird_00.jpg.*earlier"):
            extract(spoilt, images, VIEW, caches=[tmp_path])
    assert not list(tmp_path.rglob("*.safetensors"))  # nothing of it is kept


def test_answers_that_tell_nothing_apart_are_said(photo_tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = scan(photo_tree, "test")
    extract(answer, images, VIEW)
    assert "warning" not in capsys.readouterr().err
    extract(lambda pixels: {"backbone": torch.ones(len(pixels), 3), "head": answer(pixels)["head"]}, images, VIEW)
    told = capsys.readouterr().err
    assert "backbone is the same of all 12 pictures" in told and "head" not in told
    rows = torch.tensor([[1.0, 0], [0, 0], [0, 2]])
    (line,) = describe_sameness({"head": rows}, ["a", "b", "c"])
    assert line.startswith("head of 1 of 3 pictures is zero (b)")
    assert not describe_sameness({"selected_layer1": torch.ones(3, 4)}, ["a", "b", "c"])  # a map may be so


def test_rows_of_different_widths_are_refused_by_every_comparison() -> None:
    few, many, labels = torch.randn(4, 3), torch.randn(6, 5), torch.tensor([0, 0, 1, 1])
    for compare in (lambda: retrieve_across(few, labels, many, torch.tensor([0, 1] * 3)),
                    lambda: knn_accuracy(many, torch.tensor([0, 1] * 3), few, labels),
                    lambda: zero_shot(few, many, labels)):
        with pytest.raises(DataError, match="embeddings of 3 numbers cannot be compared with embeddings of 5"):
            compare()


def test_every_measure_of_rows_refuses_nan(tmp_path: Path) -> None:
    rows, labels = torch.randn(6, 4), torch.arange(6) // 2
    rows[3, 1] = float("nan")
    for measure in (lambda: retrieve(rows, labels), lambda: retrieve(rows, labels, distance="euclid"),
                    lambda: measure_geometry(rows, labels), lambda: kmeans_clusters(rows.numpy(), 2),
                    lambda: calibrate(rows.softmax(dim=1), labels), lambda: check_stored_embeddings(rows.numpy(), tmp_path)):
        with pytest.raises(DataError, match="NaN|float32"):
            measure()
    with pytest.raises(DataError, match="not float32"):
        check_stored_embeddings(np.zeros(3, dtype=np.float64), tmp_path)


def test_collapsed_rows_have_no_ratio_of_rounding() -> None:
    rows = torch.nn.functional.normalize(torch.randn(1, 64), dim=1).repeat(12, 1)
    found = measure_geometry(rows, torch.arange(12) // 3)
    assert 0 <= found["dist_intra"] < 1e-6 and 0 <= found["dist_inter"] < 1e-6 and np.isnan(found["dist_ratio"])
    assert not any(np.isfinite(value) and value < 0 for value in found.values())
    assert effective_rank(rows) == 1 and effective_rank(torch.randn(50, 4)) > 3


def test_an_index_of_one_row_has_nothing_to_find() -> None:
    rows = np.ones((1, 4), dtype=np.float32) / 2
    for kind in ("flat", "ivf", "hnsw"):
        report = measure_index(build_index(rows, IndexPlan(kind)), rows)
        assert report.recall == {} and report.queries == 1


def test_a_cache_knows_what_decoded_and_when_a_file_was_replaced(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = scan(photo_tree, "test")

    def ask(**more: object) -> bool:
        return extract(answer, images, VIEW, caches=[tmp_path], cache_key="x", **more).cached

    assert not ask() and ask() and not ask(crop_bottom=1)
    monkeypatch.setattr(module, "VERSIONS", {**module.VERSIONS, "Pillow": "0"})
    assert not ask() and ask()
    (first, *_) = images.samples
    status = first.path.stat()
    content = bytearray(first.path.read_bytes())
    first.path.write_bytes(bytes(content))  # replaced by itself
    assert ask()
    content[-40:-2] = bytes(38)
    first.path.write_bytes(bytes(content))  # of the same size, under its old date
    os.utime(first.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not ask() and ask() and "damaged" not in capsys.readouterr().err
    for file in tmp_path.rglob("*.safetensors"):
        torn = bytearray(file.read_bytes())
        torn[-3] ^= 0x40  # one bit of a row
        file.write_bytes(bytes(torn))
    assert not ask() and "is damaged (its content is not what was written)" in capsys.readouterr().err
    assert ask()
