"""One query against all embeddings: the nearest few are those of the whole ranking."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from evaluation.retrieval.query import Gallery, Query


def make_gallery(count: int, width: int = 24) -> Gallery:
    rows = F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(0)), dim=1)
    rows[count // 2] = rows[3]  # a copy: a tie
    samples = tuple(Sample(Path(f"{number}.jpg"), f"{number}.jpg", None) for number in range(count))
    return Gallery(ImageSet(Path("."), "test", samples, ()), rows)


@pytest.mark.parametrize("most", [1, 10, 299, 300, 1000])
@pytest.mark.parametrize("own", [False, True])
def test_the_nearest_are_the_first_of_all(most: int, own: bool) -> None:
    gallery = make_gallery(300)
    assert gallery.embeddings is not None
    query = Query("like 3", 5 * gallery.embeddings[3], "backbone", gallery.images.samples[3] if own else None)
    whole, few = gallery.rank(query), gallery.rank(query, most)
    assert len(whole.order) == 300 - own and (3 in whole.order.tolist()) != own
    assert few.order.tolist() == whole.order[:most].tolist() and torch.equal(few.scores, whole.scores[:most])
    naive = sorted(((float(F.cosine_similarity(query.vector, row, dim=0)), -place) for place, row in enumerate(gallery.embeddings)), reverse=True)
    if not own:
        assert whole.order[:2].tolist() == [3, 150]  # equal, in their order
        assert whole.scores.tolist() == pytest.approx([score for score, _ in naive], abs=1e-6)
