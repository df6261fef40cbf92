"""Labels that the other pictures speak against: how much, which label they speak for, and how well that works here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import Tensor
from tqdm import tqdm

from runtime.errors import DataError

FOLDS = 5
INVERSE_PENALTY = 3.0  # scikit-learn's C
LEAST = 1e-6  # probabilities below this are taken for it


@dataclass(frozen=True)
class LabelDoubts:
    """What out-of-fold predictions say of N labels.

    `doubt` float32 [N] in [0, 1] is p / (p + q), with p the probability of the best other class and q that of the
    given one: above 0.5 another class is likelier. 0 where there is no label, or no other picture of it. `suggested`
    int64 [N] is that other class (-1 = none), `confidence` float32 [N] its probability. `flagged` bool [N]: it is
    likelier than all others together, the given one among them.
    """

    doubt: Tensor
    suggested: Tensor
    confidence: Tensor
    flagged: Tensor

    def agreement(self) -> float | None:
        """Share of the judged labels that are likelier than any other; None where none was judged."""
        judged = self.suggested >= 0
        return float((self.doubt[judged] < 0.5).double().mean()) if judged.any() else None


def rate_disagreement(near: Tensor, cosine: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Share of the nearest others' votes that are for another label: float32 [N], in [0, 1].

    `near` int64 [N, k] are the neighbours, whose votes weigh exp(cosine / temperature); `labels` int64 [N], -1 = none:
    such pictures neither vote nor are judged (0), nor are those without a labelled neighbour.
    """
    votes = ((cosine - cosine[:, :1]) / temperature).exp() * (labels[near] >= 0)
    against = votes * (labels[near] != labels[:, None])
    share = against.sum(dim=1) / votes.sum(dim=1).clamp_min(1e-12)
    return torch.where(labels >= 0, share, 0.0)


def rate_labels(points: Tensor, labels: Tensor, together: Tensor | None = None, *, show: bool = False) -> LabelDoubts:
    """Judge labels int64 [N] (-1 = none) by a logistic regression on points [N, d] that has not seen the picture.

    The pictures are dealt into five folds, class by class; those of one group of `together` int64 [N] (-1 = alone),
    such as copies, share a fold, so that none vouches for another. This is the out-of-fold step of confident learning
    (Northcutt et al., JAIR 2021) with another rank and threshold, see docs/audit.md. `show` draws a progress bar.
    """
    known = (labels >= 0).nonzero().flatten()
    probability = torch.zeros(len(labels), int(labels.max()) + 1 if len(known) else 0)
    folds = deal_folds(labels, together)
    for fold in tqdm(range(FOLDS), desc="judging labels", unit="fold", disable=not show):
        learned, judged = known[folds[known] != fold], known[folds[known] == fold]
        if len(labels[learned].unique()) > 1 and len(judged):
            model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
            model.fit(points[learned].numpy(), labels[learned].numpy())
            chances = torch.from_numpy(model.predict_proba(points[judged].numpy())).float()
            probability[judged[:, None], torch.from_numpy(model.classes_)] = chances
    return judge_labels(probability, labels)


def deal_folds(labels: Tensor, together: Tensor | None = None) -> Tensor:
    """A fold for each picture, int64 [N]: in each class one after another, groups as one; repeatable."""
    order = np.random.default_rng(0).permutation(len(labels))
    folds = torch.zeros(len(labels), dtype=torch.long)
    dealt: dict[int, int] = {}
    of_group: dict[int, int] = {}
    for index in order.tolist():
        group = -1 if together is None else int(together[index])
        if group not in of_group:
            label = int(labels[index])
            dealt[label] = dealt.get(label, label) + 1  # small classes do not all begin with the same fold
            folds[index] = dealt[label] % FOLDS
        else:
            folds[index] = of_group[group]
        if group >= 0:
            of_group[group] = int(folds[index])
    return folds


def judge_labels(probability: Tensor, labels: Tensor) -> LabelDoubts:
    """What out-of-fold probabilities [N, C] say of labels [N]; a class of which nothing was learned has 0."""
    rows = ((labels >= 0) & (probability.sum(dim=1) > 0)).nonzero().flatten()
    given, own = labels[rows], probability[rows, labels[rows]]
    learned = own > 0
    rows, given, own = rows[learned], given[learned], own[learned]
    doubt, confidence = torch.zeros(len(labels)), torch.zeros(len(labels))
    suggested, flagged = torch.full_like(labels, -1), torch.zeros(len(labels), dtype=torch.bool)
    if len(rows) == 0 or probability.shape[1] < 2:
        return LabelDoubts(doubt, suggested, confidence, flagged)
    others = probability[rows].scatter(1, given[:, None], -1.0)
    best, which = others.max(dim=1)
    doubt[rows] = best.clamp_min(LEAST) / (best.clamp_min(LEAST) + own.clamp_min(LEAST))
    suggested[rows], confidence[rows] = which, best
    flagged[rows] = best > 0.5
    return LabelDoubts(doubt, suggested, confidence, flagged)


def plant_errors(labels: Tensor, share: float, seed: int) -> Tensor:
    """Labels of which a share of the given ones, one at least, was exchanged for another class, evenly drawn.

    Raises DataError with fewer than two classes.
    """
    known = (labels >= 0).nonzero().flatten().numpy()
    classes = np.unique(labels[labels >= 0].numpy())
    if len(classes) < 2:
        raise DataError("the pictures that can be compared have fewer than two labels, so there is nothing to score")
    draw = np.random.default_rng(seed)
    changed = labels.clone()
    for index in draw.permutation(known)[: max(1, round(share * len(known)))].tolist():
        changed[index] = int(draw.choice(classes[classes != int(labels[index])]))
    return changed


def measure_doubts(doubts: LabelDoubts, wrong: Tensor, first: int = 20) -> dict[str, float]:
    """How well doubts find the labels that are known to be `wrong`, bool [N].

    `precision20`: wrong ones among the first 20 by doubt; `found20`: as a share of the most that could be; `ap`:
    average precision; `flagged_precision` and `flagged_recall` of those that are flagged.
    """
    ranked = wrong[doubts.doubt.argsort(descending=True, stable=True)][:first]
    count = int(wrong.sum())
    hits = int((wrong & doubts.flagged).sum())
    return {f"precision{first}": float(ranked.double().mean()),
            f"found{first}": int(ranked.sum()) / max(min(first, count), 1),
            "ap": float(average_precision_score(wrong.numpy(), doubts.doubt.numpy())),
            "flagged_precision": hits / max(int(doubts.flagged.sum()), 1), "flagged_recall": hits / max(count, 1)}
