"""Indices brought up to date: what a search finds is what it would find in one that was built of all."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from evaluation.features.store import Embeddings
from evaluation.options import INDEX_KINDS
from evaluation.retrieval.index import IndexPlan, add_rows, count_rows, measure_index, search_index
from evaluation.retrieval.renewal import Renewal, find_shift, renew_index
from evaluation.retrieval.stored import encode_contents, load_index, read_index, save_index

META = {"weights_sha256": "w", "images": 0, "rows_sha256": "r"}


def make_embeddings(numbers: list[int]) -> Embeddings:
    """Unit embeddings [N, 16] around 30 centres, each a function of its number."""
    centres = np.random.default_rng(0).normal(size=(30, 16))
    rows = [centres[number % 30] + 0.5 * np.random.default_rng(number + 1).normal(size=16) for number in numbers]
    vectors = (np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    contents = [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]
    return Embeddings(vectors, [str(number) for number in numbers], [""] * len(numbers), contents,
                      {**META, "images": len(numbers)})


def keep(made: Renewal, embeddings: Embeddings, folder: Path) -> None:
    save_index(made.index, folder, made.plan, embeddings.meta, embeddings.contents, made.taught_by)


BEFORE = list(range(0, 1200, 2))
GROWN = sorted([*BEFORE, *range(1, 400, 2)])  # new ones stand between the others
OTHER = sorted(set(GROWN) - set(range(0, 100)))[::-1]  # and some are gone, and all stand elsewhere


@pytest.mark.parametrize("numbers", [GROWN, OTHER], ids=["grown", "other"])
@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_it_finds_what_an_index_of_all_finds(kind: str, numbers: list[int], tmp_path: Path) -> None:
    plan = IndexPlan(kind, lists=12, probes=12)
    first, after = make_embeddings(BEFORE), make_embeddings(numbers)
    keep(renew_index(first, tmp_path, plan), first, tmp_path)
    taught = read_index(tmp_path / f"index-{kind}.faiss").index
    made = renew_index(after, tmp_path, plan)
    keep(made, after, tmp_path)
    assert count_rows(made.index) == len(numbers)
    index = load_index(tmp_path / f"index-{kind}.faiss", after.meta)
    found = search_index(index, after.vectors, 10)
    exact = np.argsort(-(after.vectors @ after.vectors.T), axis=1, kind="stable")[:, :10]
    if kind in ("flat", "ivf"):
        assert np.array_equal(found.ids, exact)
    if kind.startswith("ivf"):
        taught.reset()
        add_rows(taught, after.vectors, np.arange(len(numbers)))
        same = search_index(taught, after.vectors, 10)
        assert np.array_equal(found.scores, same.scores) and (found.ids == same.ids).mean() > 0.999  # but for ties
    if kind == "hnsw":
        assert np.array_equal(found.ids[:, 0], np.arange(len(numbers)))
    assert measure_index(index, after.vectors, queries=200).recall[10] > 0.8
    gone = len(set(BEFORE) - set(numbers))
    told = {"flat": "written as a whole"}
    assert told.get(kind, f"{len(numbers) - 600 + gone} added, {gone} removed, {600 - gone} kept") in made.said


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivfpq"])
def test_step_by_step_rows_keep_the_numbers_of_the_table(kind: str, tmp_path: Path) -> None:
    plan, numbers = IndexPlan(kind, lists=8, probes=8), list(range(0, 600, 2))
    for step in range(4):
        embeddings = make_embeddings(numbers)
        made = renew_index(embeddings, tmp_path, plan)
        keep(made, embeddings, tmp_path)
        assert made.said == "built" if step == 0 else "10 added, 0 removed" in made.said
        index = load_index(tmp_path / f"index-{kind}.faiss", embeddings.meta)
        ids = search_index(index, embeddings.vectors, 10).ids
        assert (ids == np.arange(len(numbers))[:, None]).any(axis=1).mean() > 0.99
        numbers = sorted([*numbers, *range(1 + step * 100, 21 + step * 100, 2)])
    assert made.taught_by == 300


def test_what_cannot_be_brought_up_to_date_is_built_anew_and_said(tmp_path: Path) -> None:
    plan, first = IndexPlan("ivf", lists=12), make_embeddings(BEFORE)
    keep(renew_index(first, tmp_path, plan), first, tmp_path)
    other = replace(first, meta={**first.meta, "weights_sha256": "v"})
    many = make_embeddings(list(range(1500)))
    few = make_embeddings(BEFORE[:9])
    for embeddings, asked, reason in (
            (other, plan, "of other embeddings: weights_sha256 differ"), (many, plan, "made for 600 embeddings, and there are 1500"),
            (first, IndexPlan("ivf", lists=13), "has other lists"), (first, IndexPlan("ivf", lists=12, seed=1), "other seed"),
            (few, IndexPlan("ivf"), "12 lists, and there are 9 embeddings")):
        made = renew_index(embeddings, tmp_path, asked)
        assert f"built anew (the former one {'is ' if 'weights' in reason else ''}" in made.said and reason in made.said
        assert made.index.ntotal == len(embeddings.keys) == made.taught_by
    assert renew_index(first, tmp_path, plan, anew=True).said == "built"
    assert renew_index(first, tmp_path, IndexPlan("ivf")).said == "0 added, 0 removed, 600 kept"
    assert renew_index(first, tmp_path, IndexPlan("ivf", probes=7)).index.nprobe == 7
    rows = tmp_path / "index-ivf.rows.npy"
    rows.write_bytes(rows.read_bytes()[:-1] + b"\1")
    assert "nothing tells what the rows" in renew_index(first, tmp_path, plan).said
    assert load_index(tmp_path / "index-ivf.faiss", first.meta).ntotal == 600  # a search needs no more
    unknown = replace(first, contents=[""] * 600)
    keep(renew_index(unknown, tmp_path, plan), unknown, tmp_path)  # embeddings of an earlier release
    assert "nothing tells what the rows" in renew_index(first, tmp_path, plan).said
    (tmp_path / "index-ivf.faiss").write_bytes(b"torn")
    assert "no readable index" in renew_index(first, tmp_path, plan).said


def test_a_graph_of_an_earlier_release_is_searched_and_built_anew(tmp_path: Path) -> None:
    first = make_embeddings(BEFORE)
    graph = faiss.IndexHNSWFlat(16, 32, faiss.METRIC_INNER_PRODUCT)
    graph.add(first.vectors)
    save_index(graph, tmp_path, IndexPlan("hnsw", reach=77), first.meta)
    index = load_index(tmp_path / "index-hnsw.faiss", first.meta)
    assert index.hnsw.efSearch == 77 and search_index(index, first.vectors[:5], 1).ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    made = renew_index(first, tmp_path, IndexPlan("hnsw", reach=99))
    assert "built anew" in made.said and faiss.downcast_index(made.index.index).hnsw.efSearch == 99


def test_rows_of_one_content_are_matched_one_by_one_and_unknown_ones_never() -> None:
    shift = find_shift(encode_contents(["aa" * 32, "bb" * 32, "aa" * 32, "", "cc" * 32]),
                       encode_contents(["cc" * 32, "", "aa" * 32, "dd" * 32, "aa" * 32, "aa" * 32]))
    assert shift.rows.tolist() == [2, -1, 4, -1, 0] and shift.added.tolist() == [1, 3, 5]
    assert shift.gone.tolist() == [1, 3]


@pytest.mark.parametrize(("kind", "others"), [
    ("ivf", {"links": 48, "bytes": 8}), ("hnsw", {"lists": 5, "bytes": 8, "seed": 7}), ("ivfpq", {"links": 48})])
def test_flags_of_other_kinds_build_nothing_anew(kind: str, others: dict[str, int], tmp_path: Path) -> None:
    """They are given once for all the kinds of a command line."""
    first = make_embeddings(BEFORE)
    keep(renew_index(first, tmp_path, replace(IndexPlan(kind, lists=12), **others)), first, tmp_path)
    assert "kept" in renew_index(make_embeddings(GROWN), tmp_path, IndexPlan(kind, lists=12)).said


def test_a_graph_finds_no_row_that_is_gone_until_too_many_are(tmp_path: Path) -> None:
    plan, numbers, rng = IndexPlan("hnsw"), list(range(1000)), np.random.default_rng(0)
    keep(renew_index(make_embeddings(numbers), tmp_path, plan), make_embeddings(numbers), tmp_path)
    for step in range(4):
        leaving = set(rng.permutation(numbers)[:60].tolist())
        numbers = [number for number in numbers if number not in leaving]
        embeddings = make_embeddings(numbers)
        made = renew_index(embeddings, tmp_path, plan)
        keep(made, embeddings, tmp_path)
        index = load_index(tmp_path / "index-hnsw.faiss", embeddings.meta)
        found = search_index(index, embeddings.vectors, 10)
        assert (found.ids >= 0).all() and (found.ids < len(numbers)).all()
        assert np.array_equal(found.ids[:, 0], np.arange(len(numbers)))
        np.testing.assert_allclose(found.scores[:, 9], (embeddings.vectors * embeddings.vectors[found.ids[:, 9]]).sum(axis=1), atol=1e-5)
        assert measure_index(index, embeddings.vectors, queries=300).recall[10] > 0.95
        if step < 3:
            assert made.said == f"0 added, 60 removed, {len(numbers)} kept" and index.ntotal == 1000
    assert "240 of the 1000 nodes of its graph would be of embeddings that are gone" in made.said
    assert index.ntotal == count_rows(index) == 760
