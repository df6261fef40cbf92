"""Rank metrics against naive loops and other libraries, and a case in which all the "mAP"s differ."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import average_precision_score
from torch import Tensor

from evaluation.metrics.ranks import ABSENT, DEPTHS, measure_ranks
from evaluation.retrieval.score import retrieve, retrieve_across
from runtime.errors import DataError


def make_set(count: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    return torch.randn(classes, 6, generator=generator)[labels] + torch.randn(count, 6, generator=generator), labels


def naive(hits: list[int], gallery: int) -> dict[str, float]:
    """Every metric from a query's list of hits (1 or 0 by rank), as its formula is read aloud."""
    relevant = sum(hits)

    def precisions(depth: int) -> list[float]:
        return [sum(hits[: place + 1]) / (place + 1) for place in range(min(depth, gallery)) if hits[place]]

    found = {f"recall_at_{depth}": float(any(hits[:depth])) for depth in DEPTHS}
    return found | {
        "map": sum(precisions(gallery)) / relevant,
        "map_at_r": sum(precisions(relevant)) / relevant,
        "map_at_100": sum(precisions(100)) / relevant,
        "map_at_1000": sum(precisions(1000)) / relevant,
        "map_at_100_hits": sum(precisions(100)) / max(len(precisions(100)), 1),
        "map_c_legacy": sum(precisions(relevant + 1)) / (relevant + 1),
        "map_1000_legacy": sum(precisions(1000)) / (relevant + 1),
        "map_lim_legacy": sum(precisions(1023)) / (relevant + 1),
        "r_precision": sum(hits[:relevant]) / relevant,
        "mrr": 1 / (hits.index(1) + 1),
    }


@pytest.mark.parametrize("count, classes, seed", [(30, 12, 0), (180, 4, 6)])
def test_leave_one_out_equals_naive_loops(count: int, classes: int, seed: int) -> None:
    features, labels = make_set(count, classes, seed)  # no hit is nearer to a miss than 4e-6: rounding moves none
    scores = retrieve(features, labels)
    unit = torch.nn.functional.normalize(features, dim=1)
    for query in range(count):
        order = (unit @ unit[query]).argsort(descending=True, stable=True).tolist()
        order.remove(query)
        hits = [int(labels[other] == labels[query]) for other in order]
        if not any(hits):
            assert all(math.isnan(values[query]) for values in scores.per_query.values())
            continue
        assert {name: float(values[query]) for name, values in scores.per_query.items()} == pytest.approx(
            naive(hits, len(hits)), abs=1e-12)
    assert scores.metrics()["map"] == scores.map and scores.metrics()["recall_at_5"] == scores.rank5


def test_query_gallery_equals_naive_loops_and_sklearn() -> None:
    (queries, query_labels), (gallery, gallery_labels) = make_set(25, 5), make_set(140, 4, seed=1)
    scores = retrieve_across(queries, query_labels, gallery, gallery_labels)
    assert scores.skipped == int((query_labels == 4).sum()) > 0  # class 4 is not in the gallery
    left, right = (torch.nn.functional.normalize(rows, dim=1) for rows in (queries, gallery))
    for query in (query_labels < 4).nonzero().flatten().tolist():
        similarity = right @ left[query]
        hits = (gallery_labels == query_labels[query])[similarity.argsort(descending=True)].int().tolist()
        assert {name: float(values[query]) for name, values in scores.per_query.items()} == pytest.approx(
            naive(hits, 140), abs=1e-12)
        plain = average_precision_score((gallery_labels == query_labels[query]).numpy(), similarity.numpy())
        assert float(scores.average_precision[query]) == pytest.approx(plain, abs=1e-9)
    with pytest.raises(DataError, match="at least two images"):
        retrieve_across(queries, query_labels + 10, gallery, gallery_labels)


def nearest_by_product(query: Tensor, k: int, reference: Tensor, ref_includes_query: bool) -> tuple[Tensor, Tensor]:
    """The nearest neighbours that the calculator asks for, without faiss."""
    scores = query @ reference.T
    if ref_includes_query:
        scores.fill_diagonal_(-torch.inf)
    found = scores.topk(k, dim=1)
    return found.values, found.indices


@pytest.mark.parametrize("across", [False, True])
def test_equals_pytorch_metric_learning(across: bool) -> None:
    # "max_bin_count": the depth is the largest class; classes of one size make that R of every query.
    labels, queries = torch.arange(120) % 8, torch.arange(40) % 8
    rows = torch.nn.functional.normalize(torch.randn(120, 5), dim=1)
    embeddings = torch.nn.functional.normalize(torch.randn(40, 5), dim=1)
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")
    plain = AccuracyCalculator(include=names, k="max_bin_count", knn_func=nearest_by_product)
    full = AccuracyCalculator(include=("mean_average_precision", "mean_reciprocal_rank"),
                              k=120 if across else 119, knn_func=nearest_by_product)
    if across:
        ours = retrieve_across(embeddings, queries, rows, labels).metrics()
        theirs, deep = (tool.get_accuracy(embeddings, queries, rows, labels) for tool in (plain, full))
    else:
        ours = retrieve(rows, labels).metrics()
        theirs, deep = (tool.get_accuracy(rows, labels) for tool in (plain, full))
    assert ours["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    assert ours["map"] == pytest.approx(deep["mean_average_precision"], abs=1e-6)
    assert ours["mrr"] == pytest.approx(deep["mean_reciprocal_rank"], abs=1e-6)


def test_one_ranking_separates_every_map() -> None:
    ranks = torch.tensor([[1, 4, 5, 50, 700, 1010, 2000]])
    found = {name: float(value) for name, value in measure_ranks(ranks).items() if name.startswith("map")}
    terms = [1 / 1, 2 / 4, 3 / 5, 4 / 50, 5 / 700, 6 / 1010, 7 / 2000]
    expected = {
        "map": sum(terms) / 7,  # LEAD, LCR: the whole ranking, divided by all relevant
        "map_at_r": sum(terms[:3]) / 7,  # Musgrave: the first 7, divided by 7
        "map_at_100": sum(terms[:4]) / 7,  # pytorch-metric-learning at k = 100
        "map_at_1000": sum(terms[:5]) / 7,
        "map_at_100_hits": sum(terms[:4]) / 4,  # divided by the hits found
        "map_c_legacy": sum(terms[:3]) / 8,  # the query counts as one of its class
        "map_1000_legacy": sum(terms[:5]) / 8,
        "map_lim_legacy": sum(terms[:6]) / 8,
    }
    assert found == pytest.approx(expected, abs=1e-15)
    assert len({round(value, 9) for value in found.values()}) == len(found)


def test_a_perfect_ranking_is_one_except_where_the_query_is_counted() -> None:
    found = measure_ranks(torch.tensor([[1, 2, 3, ABSENT]]))
    legacy = {name for name in found if name.endswith("legacy")}
    assert all(float(found[name]) == (0.75 if name in legacy else 1.0) for name in found)


def test_no_hit_within_the_depth_is_zero_and_no_relevant_image_is_nan() -> None:
    found = measure_ranks(torch.tensor([[101, 1001], [ABSENT, ABSENT]]))
    assert float(found["map_at_100"][0]) == float(found["map_at_100_hits"][0]) == float(found["recall_at_100"][0]) == 0
    assert all(math.isnan(values[1]) for values in found.values())
