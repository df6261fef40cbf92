"""The options of the study of label-free numbers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.studies.options import SeriesOptions, StudyNetwork, parse_study_network
from evaluation.options import EncoderOptions
from runtime.names.safe import safe_name
from runtime.options import again, flag, repeated
from runtime.ranges import BATCH, SHARE, SIDE


@dataclass(frozen=True, kw_only=True)
class LabelfreeOptions(SeriesOptions):
    """Networks of one data set, and the teacher that judges them."""

    row: tuple[StudyNetwork, ...] = repeated(
        "a network: weights in which {seed} stands for each of --seeds; once a row", "LABEL=SOURCE",
        parse_study_network, required=True)
    out: str = flag("study", None, "where results are written", metavar="DIR")
    seeds: tuple[int, ...] = again(SeriesOptions, "seeds", (0,))
    teacher: tuple[str, ...] = flag(("package:efficientnet-lite0", "package:efficientnet-lite2"), None,
                                    "networks that judge, side by side, at 224 px", nargs="+", metavar="SOURCE")
    whiten: float = flag(0.0, SHARE, "how far the directions of teacher and student are evened out")
    crop_root: str = flag("none", None, "crops of the objects, for the agreement of whole image and crop",
                          metavar="DIR")
    size: int = flag(128, SIDE, "pixels of the view's side")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    cache: str = again(EncoderOptions, "cache", "cache")

    @property
    def table(self) -> str:
        """What the table's files are called."""
        return f"{safe_name(self.task, room=16)}_labelfree"
