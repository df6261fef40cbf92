"""Which network of a run is the best, and how much of its head a joint feature takes, told without labels.

A network is the better, the more of its neighbours are those that the teacher names: of what can be measured without
labels, this follows kNN, mAP and linear probe best (docs/results.md has the table). Of a trained network it is asked
with the head's share and without; of the start without, for its head has learnt nothing. Both are flattered a little:
the head was taught the teacher's answers about these very images, and the start may be one of the teacher's networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from evaluation.labelfree.numbers import name_neighbours, share_neighbours, spectral_decay, uniformity
from models.joint import JointFeature
from models.teachers.prototypes import fit_space

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def fit_joint(backbone: Tensor, head: Tensor | None, whiten: float, share: float) -> JointFeature:
    """The joint feature of images whose averages [N, C] and head embeddings [N, H] these are; see `fit_space`."""
    space = fit_space(backbone, whiten=whiten)
    head_mean = backbone.new_zeros(0) if head is None else head.float().mean(dim=0)
    joint = JointFeature(backbone.shape[1], space.dim, len(head_mean)).to(backbone.device)
    joint.fill(space.mean, space.components, head_mean, share)
    return joint


@dataclass(frozen=True)
class Judge:
    """A teacher's rows [N, F] of some images: what a student's features of the same images are held against.

    `whiten` evens out the directions of the student's average in a joint feature, `share` is the head's share of it.
    """

    rows: Tensor
    whiten: float
    share: float

    def measure(self, features: Mapping[str, Tensor]) -> dict[str, float]:
        """Numbers by name: `agree_S` for every share S of the head; alpha and uniformity of average and head.

        A collapsed network, whose averages do not vary, has no agreement.
        """
        backbone, head = features["backbone"], features.get("head")
        told = {f"{number}_{name}": measure(features[name]) for name in ("backbone", "head") if name in features
                for number, measure in (("alpha", spectral_decay), ("uniformity", uniformity))}
        named = name_neighbours(self.rows)
        try:
            joint = fit_joint(backbone, head, self.whiten, 0.0)
        except ValueError:
            return told
        for share in sorted({*SHARES, self.share}) if head is not None else (0.0,):
            joint.share.fill_(share)
            told[f"agree_{share:g}"] = float(share_neighbours(name_neighbours(joint(backbone, head)), named).mean())
        return told


def judge_trained(numbers: Mapping[str, float | list[float]], wanted: float) -> float:
    """A trained network's agreement, with the head's share or without, whichever is better; -inf where it has none."""
    found = [value for share in (0.0, wanted) if isinstance(value := numbers.get(f"agree_{share:g}"), float)]
    return max(found, default=float("-inf"))


def choose_share(numbers: Mapping[str, float | list[float]], wanted: float) -> float:
    """The head's share: as wanted, where it does not lower the agreement; else none."""
    alone, joined = numbers.get("agree_0"), numbers.get(f"agree_{wanted:g}")
    return wanted if isinstance(alone, float) and isinstance(joined, float) and joined >= alone else 0.0
