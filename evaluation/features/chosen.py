"""The feature that a run chooses for itself, without labels; its file says it, and `--feature auto` follows.

The head was taught by a teacher. Where the student meets the teacher's answers, the head holds the kinds that the
teacher sees; where it does not, the head holds little, and the backbone, which started from ImageNet, is the better
half. Shares after three epochs of LEAD++ at a low rate: birds .93, flowers .88, solar cells .68, whose heads have the
higher mAP; car models .42, whose head has the lower one. Runs that select an epoch without labels choose otherwise, see
`evaluation.labelfree.joining`.
"""

from __future__ import annotations

from pathlib import Path

from evaluation.run_record import read_meta

AGREES = 0.55  # midway between the runs above whose heads gained and the one whose head lost


def choose_feature(agreement: float) -> str:
    """"head" or "backbone", from the share of images whose nearest prototype is the same for student and teacher."""
    return "head" if agreement >= AGREES else "backbone"


def read_chosen(source: Path) -> str | None:
    """What the file of a network says that its run chose, None where it chose nothing."""
    return str(read_meta(source).get("feature") or "") or None if source.is_file() else None
