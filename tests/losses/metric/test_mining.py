"""What each miner may take, what it must take, and how often."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losses.metric.mining import TRIPLET_MINERS, MinerOptions, Triplets, euclid, inverse_density, mine, pick_weighted

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])  # the sixth has no positive


def rows(seed: int = 0, dim: int = 3) -> Tensor:
    return F.normalize(torch.randn(len(LABELS), dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def draw(name: str, seed: int, embeddings: Tensor | None = None, **options: float) -> Triplets:
    found = rows() if embeddings is None else embeddings
    return mine(name, found, LABELS, torch.Generator().manual_seed(seed), MinerOptions(**options))


def triplets(mined: Triplets) -> list[tuple[int, int, int]]:
    return list(zip(mined.anchor.tolist(), mined.positive.tolist(), mined.negative.tolist(), strict=True))


@pytest.mark.parametrize("name", [name for name in TRIPLET_MINERS if name != "rho_distance"])
def test_triplets_are_valid_and_follow_the_generator(name: str) -> None:
    found = [triplets(draw(name, seed)) for seed in range(20)]
    for a, p, n in sum(found, []):
        assert a != p and LABELS[a] == LABELS[p] != LABELS[n]
    assert found[0] == triplets(draw(name, 0)) and any(other != found[0] for other in found[1:])
    if name != "random":
        assert [a for a, *_ in found[0]] == [0, 1, 2, 3, 4, 6, 7]


def test_random_takes_each_triplet_equally_often_and_none_twice() -> None:
    counts: dict[tuple[int, int, int], int] = {}
    for seed in range(400):
        found = triplets(draw("random", seed))
        assert len(found) == len(set(found)) == len(LABELS)
        for triplet in found:
            counts[triplet] = counts.get(triplet, 0) + 1
    assert len(counts) == 3 * 2 * 5 + 2 * 6 + 2 * 6  # every valid one
    expected = 400 * 8 / 54
    assert max(counts.values()) < 1.6 * expected and min(counts.values()) > 0.5 * expected


def test_semihard_takes_the_band_where_there_is_one() -> None:
    distance = euclid(rows())
    banded = 0
    for seed in range(30):
        for a, p, n in triplets(draw("semihard", seed, margin=0.4)):
            band = [k for k in range(8) if LABELS[k] != LABELS[a] and 0 < distance[a, k] - distance[a, p] < 0.4]
            assert not band or n in band
            banded += bool(band)
    assert banded > 30


def test_softhard_takes_hard_pairs_where_there_are() -> None:
    distance = euclid(rows())
    hard = 0
    for seed in range(30):
        for a, p, n in triplets(draw("softhard", seed)):
            own = [k for k in range(8) if LABELS[k] == LABELS[a] and k != a]
            other = [k for k in range(8) if LABELS[k] != LABELS[a]]
            near = [k for k in other if distance[a, k] < distance[a, own].max()]
            far = [k for k in own if distance[a, k] > distance[a, other].min()]
            assert (not near or n in near) and (not far or p in far)
            hard += bool(near)
    assert hard > 30


def test_distances_are_drawn_by_their_inverse_density() -> None:
    distance, dim = torch.tensor([[0.2, 0.5, 0.8, 1.2, 1.4]], dtype=torch.float64), 6
    clamped = distance.clamp_min(0.5)
    weights = 1 / (clamped ** (dim - 2) * (1 - clamped**2 / 4) ** ((dim - 3) / 2))
    torch.testing.assert_close(inverse_density(distance, dim, 0.5).exp(), weights)
    assert inverse_density(torch.tensor([[2.0, 2.1]]), 128, 0.5).isfinite().all()
    drawn = pick_weighted(weights.log().expand(20000, 5), torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=5) / 20000
    torch.testing.assert_close(shares.double(), (weights / weights.sum())[0], atol=0.015, rtol=0)


def test_a_share_of_rho_triplets_is_of_one_class() -> None:
    found = [triplet for seed in range(200) for triplet in triplets(draw("rho_distance", seed, swap=0.3))]
    swapped = [(a, p, n) for a, p, n in found if a == p]
    assert len(swapped) / len(found) == pytest.approx(0.3, abs=0.04)
    assert all(LABELS[a] == LABELS[n] and a != n for a, _, n in swapped)
    assert all(LABELS[a] == LABELS[p] != LABELS[n] for a, p, n in found if a != p)


def test_tuples_of_npair_and_lifted() -> None:
    single = mine("npair", rows(), LABELS, torch.Generator().manual_seed(0))
    whole = mine("lifted", rows(), LABELS, torch.Generator().manual_seed(0))
    assert single.anchor.tolist() == whole.anchor.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert single.positive.sum(dim=1).tolist() == [1] * 7
    assert whole.positive.sum(dim=1).tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert not (single.positive & ~whole.positive).any() and torch.equal(single.negative, whole.negative)
    assert single.negative.sum(dim=1).tolist() == [5, 5, 5, 6, 6, 6, 6]


def test_unknown_and_refused_miners() -> None:
    with pytest.raises(ValueError, match="control experiment"):
        draw("intra_random", 0)
    with pytest.raises(ValueError, match="no miner 'hard'; there are random"):
        draw("hard", 0)
