"""Every metric loss is its formula, written here image after image."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.obdsd import plain_multi_similarity
from losses.metric.criteria import CRITERIA, apply_criterion, build_criterion, choose_miner
from losses.metric.mining import Triplets, mine
from losses.metric.options import ALIASES, LOSS_OPTIONS

CLASSES, DIM = 5, 6
LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4])


def rows(*, unit: bool = True, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(len(LABELS), DIM, generator=generator, dtype=torch.float64)
    return (F.normalize(found, dim=1) if unit else found).requires_grad_()


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(name: str, **options: float):
    torch.manual_seed(1)
    return build_criterion(name, classes=CLASSES, dim=DIM, **options).double()


def check(name: str, plain, *, unit: bool = True, **options: float) -> None:
    """Our loss on what its miner finds equals `plain(x, mined, criterion)`, value and gradient."""
    criterion, x = build(name, **options), rows(unit=unit)
    miner = choose_miner(criterion, None)
    mined = mine(miner, x.detach(), LABELS, generator()) if miner else None
    ours, expected = criterion(x, LABELS, mined, generator()), plain(x, mined, criterion)
    assert ours > 0
    torch.testing.assert_close(ours, expected, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(expected, x)[0],
                               atol=1e-6, rtol=1e-5)


def gap(x: Tensor, i: int, j: int) -> Tensor:
    return (x[i] - x[j]).norm()


def triplets(mined: Triplets) -> list[tuple[int, int, int]]:
    return list(zip(mined.anchor.tolist(), mined.positive.tolist(), mined.negative.tolist(), strict=True))


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def norms(x: Tensor) -> Tensor:
    return mean([row.norm() for row in x])


def test_contrastive_and_triplet() -> None:
    check("contrastive", lambda x, t, _: mean([gap(x, a, p).relu() for a, p, _ in triplets(t)])
          + mean([(1 - gap(x, a, n)).relu() for a, _, n in triplets(t)]))
    check("contrastive", lambda x, t, _: mean([(gap(x, a, p) - 0.2).relu() for a, p, _ in triplets(t)])
          + mean([(1.5 - gap(x, a, n)).relu() for a, _, n in triplets(t)]), pos_margin=0.2, neg_margin=1.5)
    check("triplet", lambda x, t, _: mean([(gap(x, a, p) ** 2 - gap(x, a, n) ** 2 + 0.2).relu()
                                           for a, p, n in triplets(t)]))


def test_margin_and_its_divisor() -> None:
    def plain(x: Tensor, t: Triplets, criterion) -> Tensor:
        total, active = 0, 0
        for a, p, n in triplets(t):
            beta = criterion.beta[LABELS[a]]
            pull = (((x[a] - x[p]) ** 2).sum() + 1e-8).sqrt() - beta + 0.2
            push = beta - (((x[a] - x[n]) ** 2).sum() + 1e-8).sqrt() + 0.2
            total, active = total + pull.relu() + push.relu(), active + bool(pull > 0 or push > 0)
        return total / active + 0.1 * criterion.beta.sum()
    check("margin", plain, nu=0.1)
    assert build("margin").beta.tolist() == pytest.approx([1.2] * CLASSES)
    assert not build("margin", constant=True).beta.requires_grad


def test_quadruplet() -> None:
    criterion, x = build("quadruplet"), rows()
    three = Triplets(torch.tensor([0, 2, 5]), torch.tensor([1, 3, 6]), torch.tensor([7, 9, 7]))
    near = mean([(gap(x, a, p) - gap(x, a, n) + 0.2).relu() for a, p, n in triplets(three)])
    far = mean([(gap(x, 0, 1) - gap(x, 7, 9) + 0.2).relu(), (gap(x, 2, 3) - gap(x, 9, 7) + 0.2).relu(),
                (gap(x, 5, 6) - gap(x, 7, 9) + 0.2).relu()])
    torch.testing.assert_close(criterion(x, LABELS, three, generator()), near + far, atol=1e-6, rtol=1e-6)
    alike = Triplets(torch.tensor([0]), torch.tensor([1]), torch.tensor([7]))
    expected = (gap(x, 0, 1) - gap(x, 0, 7) + 0.2).relu()
    torch.testing.assert_close(criterion(x, LABELS, alike, generator()), expected, atol=1e-6, rtol=1e-6)


def test_signal_to_noise() -> None:
    def plain(x: Tensor, t: Triplets, _: object) -> Tensor:
        above = [((x[a] - x[p]).var() / x[a].var() - (x[a] - x[n]).var() / x[a].var() + 0.2).relu()
                 for a, p, n in triplets(t)]
        return sum(above) / sum(bool(v > 0) for v in above) + 0.005 * mean([x[a].sum().abs() for a, *_ in triplets(t)])
    check("snr", plain, unit=False)


def plain_npair(x: Tensor, mined, clamp: float = math.inf) -> Tensor:
    losses = []
    for row, a in enumerate(mined.anchor.tolist()):
        p = mined.positive[row].nonzero().item()
        exponents = [(x[a] @ x[n] - x[a] @ x[p]).clamp(-clamp, clamp) for n in range(len(x)) if LABELS[n] != LABELS[a]]
        losses.append((1 + sum(e.exp() for e in exponents)).log())
    return mean(losses)


def test_npair_and_angular() -> None:
    check("npair", lambda x, t, _: plain_npair(x, t) + 0.005 * norms(x), unit=False)

    def angular(x: Tensor, mined, _: object) -> Tensor:
        slope, losses, unit = math.tan(math.radians(30)) ** 2, [], F.normalize(x, dim=1)
        for row, a in enumerate(mined.anchor.tolist()):
            p = mined.positive[row].nonzero().item()
            losses.append((1 + sum((4 * slope * (unit[a] + unit[p]) @ unit[n] - 2 * (1 + slope) * unit[a] @ unit[p])
                                   .exp() for n in range(len(x)) if LABELS[n] != LABELS[a])).log())
        return plain_npair(x, mined, 50) + 2 * mean(losses) + 0.005 * norms(x)
    check("angular", angular, unit=False, alpha=30.0)


def test_lifted() -> None:
    def plain(x: Tensor, _: object, __: object) -> Tensor:
        losses = []
        for a in range(len(x)):
            pull = sum(gap(x, a, p).exp() for p in range(len(x)) if p != a and LABELS[p] == LABELS[a]).log()
            push = sum((1 - gap(x, a, n)).exp() for n in range(len(x)) if LABELS[n] != LABELS[a]).log()
            losses.append((pull + push).relu())
        return mean(losses) + 0.005 * norms(x)
    check("lifted", plain, unit=False)


@pytest.mark.parametrize("name", ["contrastive", "triplet", "lifted"])
def test_distances_are_exact_where_rows_nearly_coincide(name: str) -> None:
    """Forty float32 rows 1e-4 apart, where |a|^2 + |b|^2 - 2ab knows nothing; the plain values are in float64."""
    generator_ = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(1, DIM, generator=generator_) + 1e-4 * torch.randn(40, DIM, generator=generator_), dim=1)
    x.requires_grad_()
    labels, criterion = torch.arange(40) // 4, build_criterion(name, classes=10, dim=DIM)
    mined = mine(choose_miner(criterion, "random" if name != "lifted" else None), x.detach(), labels, generator())
    exact = x.detach().double().requires_grad_()
    if name == "lifted":
        same = labels[:, None] == labels[None, :]
        losses = []
        for a in range(40):
            pull = sum(gap(exact, a, p).exp() for p in range(40) if p != a and same[a, p]).log()
            losses.append((pull + sum((1 - gap(exact, a, n)).exp() for n in range(40) if not same[a, n]).log()).relu())
        expected = mean(losses) + 0.005 * norms(exact)
    elif name == "contrastive":
        expected = (mean([gap(exact, a, p) for a, p, _ in triplets(mined)])
                    + mean([(1 - gap(exact, a, n)).relu() for a, _, n in triplets(mined)]))
    else:
        expected = mean([(gap(exact, a, p) ** 2 - gap(exact, a, n) ** 2 + 0.2).relu() for a, p, n in triplets(mined)])
    ours = criterion(x, labels, mined, generator())
    torch.testing.assert_close(ours.double(), expected, atol=2e-7, rtol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0].double(), torch.autograd.grad(expected, exact)[0],
                               atol=3e-4, rtol=1e-3)


def test_histogram() -> None:
    def plain(x: Tensor, _: object, __: object) -> Tensor:
        nodes = torch.linspace(-1, 1, 9, dtype=torch.float64)
        counts = {True: [], False: []}
        for i in range(len(x)):
            for j in range(i + 1, len(x)):
                kernel = (1 - (x[i] @ x[j] - nodes).abs() / 0.25).relu()
                counts[bool(LABELS[i] == LABELS[j])].append(kernel)
        alike, different = (torch.stack(counts[same]).mean(0) for same in (True, False))
        return sum(different[r] * alike[: r + 1].sum() for r in range(9))
    check("histogram", plain, nbins=9)
    twins = F.normalize(torch.ones(4, DIM), dim=1).requires_grad_()
    assert build("histogram")(twins, torch.tensor([0, 0, 1, 1])).isfinite()


def test_multisimilarity() -> None:
    check("multisimilarity", lambda x, _, __: plain_multi_similarity(x, LABELS))


def test_smooth_average_precision() -> None:
    def plain(x: Tensor, _: object, __: object) -> Tensor:
        precisions = []
        for i in range(len(x)):
            positives = [j for j in range(len(x)) if j != i and LABELS[j] == LABELS[i]]
            shares = []
            for j in positives:
                ahead = {k: ((x[i] @ x[k] - x[i] @ x[j]) / 0.1).sigmoid() for k in range(len(x)) if k not in (i, j)}
                among = 1 + sum(ahead[k] for k in positives if k != j)
                shares.append(among / (1 + sum(ahead.values())))
            precisions.append(mean(shares))
        return 1 - mean(precisions)
    check("smooth-ap", plain, temperature=0.1)


def test_proxies() -> None:
    def nca(x: Tensor, _: object, criterion) -> Tensor:
        a, p = 3 * F.normalize(x, dim=1), 3 * F.normalize(criterion.proxies, dim=1)
        away = [[((a[i] - p[c]) ** 2).sum() for c in range(CLASSES)] for i in range(len(x))]
        return mean([away[i][y] + sum((-away[i][c]).exp() for c in range(CLASSES) if c != y).log()
                     for i, y in enumerate(LABELS.tolist())])
    check("proxynca", nca, unit=False)

    def anchor(x: Tensor, _: object, criterion) -> Tensor:
        s = F.normalize(x, dim=1) @ F.normalize(criterion.loss.proxies, dim=1).T
        pull = [(1 + sum((-32 * (s[i, c] - 0.1)).exp() for i in range(len(x)) if LABELS[i] == c)).log()
                for c in range(CLASSES)]
        push = [(1 + sum((32 * (s[i, c] + 0.1)).exp() for i in range(len(x)) if LABELS[i] != c)).log()
                for c in range(CLASSES)]
        return mean(pull) + mean(push)  # every class is in the batch
    check("proxyanchor", anchor, unit=False)


def test_softmax_and_arcface() -> None:
    def entropy(logits: Tensor) -> Tensor:
        return mean([logits[i].exp().sum().log() - logits[i, y] for i, y in enumerate(LABELS.tolist())])
    check("softmax", lambda x, _, c: entropy(x @ F.normalize(c.weight, dim=1).T / 0.05), unit=False)

    def arc(x: Tensor, _: object, criterion) -> Tensor:
        cosines = (F.normalize(x, dim=1) @ F.normalize(criterion.weight, dim=1).T).clamp(1e-10, 1 - 1e-10)
        turned = (cosines.acos() + 0.5).cos()
        return entropy(16 * torch.where(F.one_hot(LABELS, CLASSES).bool(), turned, cosines))
    check("arcface", arc, unit=False)


def test_soft_triple() -> None:
    def plain(x: Tensor, _: object, criterion) -> Tensor:
        w, rows_ = F.normalize(criterion.centroids, dim=2), F.normalize(x, dim=1)
        losses, spread = [], 0
        for i, y in enumerate(LABELS.tolist()):
            s = torch.stack([sum((w[c] @ rows_[i] / 0.1).softmax(0) * (w[c] @ rows_[i])) for c in range(CLASSES)])
            logits = 8 * torch.stack([s[c] - 0.01 * (c == y) for c in range(CLASSES)])
            losses.append(logits.exp().sum().log() - logits[y])
        for c in range(CLASSES):
            for i in range(3):
                for j in range(i + 1, 3):
                    spread = spread + (2.00001 - 2 * w[c, i] @ w[c, j]).sqrt()
        return mean(losses) + 0.2 * spread / (CLASSES * 3 * 2)
    check("softtriplet", plain, unit=False, n_centroids=3)


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [2, 2, 2, 2], [0, 0, 1, 2]])
def test_every_loss_survives_any_batch_with_twins_and_under_autocast(name: str, labels: list[int]) -> None:
    torch.manual_seed(0)
    criterion = build_criterion(name, classes=CLASSES, dim=DIM)
    x = F.normalize(torch.randn(2, DIM), dim=1)[[0, 0, 0, 1]].requires_grad_()  # three times the same image
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = apply_criterion(criterion, choose_miner(criterion, None), x, torch.tensor(labels), generator())
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite() and x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in criterion.parameters())


def test_names_are_known_or_refused_with_the_reason() -> None:
    assert all(name in CRITERIA for name in ALIASES.values()) and len(CRITERIA) == 16
    assert type(build("margin_obd_sd")) is type(build("margin"))
    with pytest.raises(ValueError, match="second network"):
        build("adversarial_separation")
    with pytest.raises(ValueError, match="no loss 'center'; there are contrastive"):
        build("center")
    with pytest.raises(ValueError, match="has no beta; it has margin"):
        build("triplet", beta=1.0)
    with pytest.raises(ValueError, match="debugger"):
        choose_miner(build("multisimilarity"), "parametric")
    with pytest.raises(ValueError, match="cannot use the miner distance; it takes npair"):
        choose_miner(build("npair"), "distance")
    assert choose_miner(build("multisimilarity"), "distance") is None
    assert choose_miner(build("triplet"), None) == "distance"


def test_the_options_that_flags_know_are_those_of_the_classes() -> None:
    """Names, defaults and their order; the flags are read without torch, and so without the classes."""
    sizes = ("classes", "dim")
    for name, build in CRITERIA.items():
        takes = inspect.signature(build).parameters
        assert list(LOSS_OPTIONS[name].items()) == [(option, takes[option].default) for option in takes
                                                    if option not in sizes], name
    assert list(LOSS_OPTIONS) == list(CRITERIA)
