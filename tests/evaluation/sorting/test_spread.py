"""Labels from a few names: what the walk meets, what names say of each other, and kinds that nobody has named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.metrics.similarity import normalise_embeddings
from evaluation.sorting.choice import choose_to_name
from evaluation.sorting.cloud import Cloud, build_graph, find_nearest_others, survey
from evaluation.sorting.rehearsal import SURE, naming_accuracy, show_labels
from evaluation.sorting.spread import (
    LEAK,
    Weights,
    guess_names,
    measure_agreement,
    measure_meeting,
    spread_labels,
    weigh_evidence,
)

KINDS, EACH = 12, 40


def make_kinds(noise: float = 0.14, seed: int = 4, kinds: int = KINDS, each: int = EACH) -> tuple[Cloud, Tensor]:
    """A cloud of Gaussian kinds, shuffled, and the kind of every picture."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(kinds).repeat_interleave(each)[torch.randperm(kinds * each, generator=generator)]
    centres = normalise_embeddings(torch.randn(kinds, 48, generator=generator))
    points = centres[labels] + noise * torch.randn(len(labels), 48, generator=generator)
    return survey(normalise_embeddings(points - points.mean(dim=0))), labels


def name_some(labels: Tensor, kinds: int, each: int, seed: int = 0) -> list[int]:
    """`each` random pictures of each of the first kinds."""
    rng = np.random.default_rng(seed)
    return [int(index) for kind in range(kinds)
            for index in rng.permutation((labels == kind).nonzero().flatten().numpy())[:each]]


def test_the_walk_is_the_solution_of_its_linear_system() -> None:
    cloud, labels = make_kinds(kinds=4, each=12)
    known, marked = torch.zeros(48, dtype=torch.bool), torch.zeros(48, dtype=torch.bool)
    known[[0, 5, 9, 20]] = marked[[3, 30]] = True
    graph = torch.from_numpy(build_graph(cloud.near, cloud.cosine).toarray())
    step = (1 - LEAK) * graph / graph.sum(dim=1, keepdim=True)
    free = ~(known | marked)
    inner = torch.eye(int(free.sum()), dtype=torch.double) - step[free][:, free]
    met, other = (torch.linalg.solve(inner, step[free][:, ends].sum(dim=1)) for ends in (known, marked))
    share = met * met / (met + other)
    expected = (share / (1 - share)).log() - math.log(4 / 48)
    found = measure_meeting(cloud.near, cloud.cosine, known, marked)[free]
    assert torch.allclose(found.double(), expected, atol=0.02)  # after 50 steps 0.5 % of the walks still go on


def test_the_walk_compares_with_the_mean_share_of_known_ones() -> None:
    """Where everything is connected with everything, a walk meets known ones with the odds (1 - leak) s / leak."""
    count = 60
    near = torch.stack([torch.cat([torch.arange(index), torch.arange(index + 1, count)]) for index in range(count)])
    known = torch.arange(count) % 4 == 0
    found = measure_meeting(near, torch.ones(count, count - 1), known, torch.zeros(count, dtype=torch.bool))[~known]
    others = 15 / (count - 1)
    step = (1 - LEAK) * others / (1 - (1 - LEAK) * (1 - others))
    assert torch.allclose(found, torch.tensor(math.log(step / (1 - step) / 0.25)).expand_as(found), atol=0.02)


def test_agreement_is_counted_among_names_with_two_pictures() -> None:
    points = normalise_embeddings(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0], [0.2, -1]]))
    assert measure_agreement(points, torch.tensor([0, 0, 1, 1, 2, 3])) == pytest.approx(math.log(4.5 / 0.5))
    assert measure_agreement(points, torch.tensor([0, 1, 0, 1, 2, 3])) == pytest.approx(math.log(0.5 / 4.5))
    assert measure_agreement(points[:3], torch.tensor([0, 1, 2])) == 0
    assert measure_agreement(points[:1], torch.tensor([7])) == 0


def test_evidence_is_weighed_as_written() -> None:
    weights = Weights(base=-1, met=0.5, clear=0.25, agreement=0.125)
    found = weigh_evidence(weights, torch.tensor([2.0, -2, 9]), torch.tensor([3.0, 3, -9]), 4.0)
    logits = [-1 + 0.5 * 2 + 2 * (0.25 * 3 + 0.5), -1 - 1, -1 + 0.5 * 2.5 + 2.5 * (0.25 * -2 + 0.5)]
    assert torch.allclose(found, torch.tensor(logits).sigmoid())


def test_a_kind_that_nobody_named_is_unlike_and_never_sure() -> None:
    cloud, labels = make_kinds()
    named = name_some(labels, kinds=9, each=4)
    spread = spread_labels(cloud, show_labels(labels, named))
    rest = show_labels(labels, named) < 0
    withheld = labels >= 9
    assert float(spread.unlike[withheld].mean()) > 0.8 > 0.3 > float(spread.unlike[rest & ~withheld].mean())
    assert float(spread.confidence[withheld].max()) < SURE
    assert (spread.confidence + spread.unlike <= 1 + 1e-6).all()
    sure = rest & (spread.confidence >= SURE)
    assert float(sure[~withheld].float().mean()) > 0.3
    assert float((spread.labels == labels)[sure].double().mean()) > 0.9


@pytest.mark.parametrize("noise", [0.14, 0.3, 0.5])
def test_the_sure_ones_are_right_however_hard_the_kinds_are_to_tell(noise: float) -> None:
    asked = right = 0
    for seed in range(4):
        cloud, labels = make_kinds(noise, seed)
        named = name_some(labels, kinds=9, each=4, seed=seed)
        spread = spread_labels(cloud, show_labels(labels, named))
        sure = (spread.confidence >= SURE) & (show_labels(labels, named) < 0)
        asked, right = asked + int(sure.sum()), right + int((spread.labels == labels)[sure].sum())
    assert right >= 0.9 * asked


def test_marked_pictures_and_their_likes_are_unlike() -> None:
    cloud, labels = make_kinds()
    shown = show_labels(labels, name_some(labels, kinds=9, each=4))
    marks = (labels == 10).nonzero().flatten()[:3].tolist()
    before, after = spread_labels(cloud, shown), spread_labels(cloud, shown, marks)
    kind = (labels == 10) & ~torch.isin(torch.arange(len(labels)), torch.tensor(marks))
    assert (after.unlike[kind] >= before.unlike[kind]).all() and float(after.unlike[kind].mean()) > 0.9
    assert (after.confidence[marks] == 0).all() and (after.unlike[marks] == 1).all()
    assert (after.confidence[shown >= 0] == 1).all() and (after.unlike[shown >= 0] == 0).all()
    named = int((shown >= 0).nonzero()[0])
    assert spread_labels(cloud, shown, [named]).confidence[named] == 1  # a name says more than a mark


def test_one_name_alone_is_an_answer_that_nobody_trusts() -> None:
    cloud, labels = make_kinds()
    spread = spread_labels(cloud, show_labels(labels, [7]))
    assert (spread.labels == labels[7]).all() and spread.confidence[7] == 1
    rest = torch.arange(len(labels)) != 7
    assert float(spread.confidence[rest].max()) < 0.5
    same, others = rest & (labels == labels[7]), labels != labels[7]
    assert float(spread.unlike[same].mean()) + 0.3 < float(spread.unlike[others].mean())


def test_smoothed_rows_alone_are_enough() -> None:
    cloud, labels = make_kinds(kinds=5)
    named = name_some(labels, kinds=4, each=3)
    spread = spread_labels(cloud.smooth, show_labels(labels, named))
    assert float(spread.unlike[labels == 4].mean()) > 0.7
    assert torch.equal(spread.labels[named], labels[named])
    assert find_nearest_others(cloud.smooth, 10)[0].shape == cloud.near.shape


def test_guesses_are_those_of_the_regression_and_certain_ones_stay_finite() -> None:
    cloud, labels = make_kinds(noise=0.05, kinds=3)
    best, clear = guess_names(cloud.smooth, show_labels(labels, name_some(labels, kinds=3, each=2)))
    assert torch.equal(best, labels) and torch.isfinite(clear).all() and (clear > 0).all()


def test_a_few_labels_name_the_rest() -> None:
    cloud, labels = make_kinds(noise=0.08, kinds=5)
    chosen = choose_to_name(cloud.reduced, 5)
    spread = spread_labels(cloud, show_labels(labels, chosen))
    assert torch.equal(spread.labels, labels)
    assert (spread.confidence[chosen] == 1).all() and ((spread.confidence >= 0) & (spread.confidence <= 1)).all()
    assert naming_accuracy(cloud.smooth, labels, chosen) == 1


def test_given_labels_stay_whatever_the_features_say() -> None:
    cloud, _ = make_kinds(kinds=4)
    wild = torch.randint(0, 3, (160,))
    spread = spread_labels(cloud, wild)
    assert torch.equal(spread.labels, wild) and (spread.confidence == 1).all() and (spread.unlike == 0).all()
    with pytest.raises(ValueError, match="no label"):
        spread_labels(cloud, torch.full_like(wild, -1))
