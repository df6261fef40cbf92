"""How well boxes meet ground truth: CorLoc and mean IoU of the mask's, the cut's and the policy's boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import torch
from torchvision.ops import box_iou

from datasets.crops import Box
from DDT.boxes import BoxRow
from runtime.errors import DataError

KINDS = {"mask": "tight", "cut": "cut", "policy": "crop"}
ENOUGH = 0.5


@dataclass(frozen=True)
class Score:
    """corloc: share of images with IoU >= 0.5; mean_iou; both over `images` images of `split`, for one kind of box."""

    split: str
    box: str
    images: int
    corloc: float
    mean_iou: float


def measure_overlaps(row: BoxRow, truth: Box) -> list[float]:
    """Intersection over union with the truth, in [0, 1], of the mask's, the cut's and the policy's box."""
    boxes = torch.tensor([astuple(getattr(row, field)) for field in KINDS.values()], dtype=torch.float64)
    overlaps = box_iou(boxes, torch.tensor([astuple(truth)], dtype=torch.float64))[:, 0]
    return overlaps.nan_to_num(0.0).tolist()  # two boxes without area share nothing


def score_rows(rows: Sequence[BoxRow], truth: Mapping[str, Box], split: str) -> list[Score]:
    """One score for each kind of box over the rows that `truth` lists; none when it lists none of them."""
    listed = [row for row in rows if row.path in truth]
    scores = []
    for kind, overlaps in zip(KINDS, zip(*(measure_overlaps(row, truth[row.path]) for row in listed))):
        right = sum(overlap >= ENOUGH for overlap in overlaps)
        scores.append(Score(split, kind, len(listed), right / len(listed), sum(overlaps) / len(listed)))
    return scores


def score_splits(
    rows: Sequence[BoxRow], truth: Mapping[str, Box], splits: Mapping[str, Sequence[str]]
) -> list[Score]:
    """Scores of every split (name -> keys) and of all images; DataError when the truth lists no image of the set."""
    scores = []
    for split, keys in splits.items():
        members = set(keys)
        scores += score_rows([row for row in rows if row.path in members], truth, split)
    if not scores:
        raise DataError(
            f"--gt lists {len(truth)} images and none of this data set's {len(rows)}; "
            f"its paths must look like {rows[0].path if rows else 'train/class/name.jpg'}"
        )
    return scores + score_rows(rows, truth, "all")


def format_table(scores: Sequence[Score]) -> str:
    """The scores as a small table for people."""
    lines = [f"{'split':8}{'box':8}{'images':>8}{'CorLoc':>9}{'mean IoU':>10}"]
    lines += [f"{s.split:8}{s.box:8}{s.images:8d}{s.corloc:9.3f}{s.mean_iou:10.3f}" for s in scores]
    return "\n".join(lines)
