"""The options of the studies, and the rows that their words name: networks, and how each is looked at."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.layouts.collections import FOLDERS
from datasets.options import DataOptions
from evaluation.metrics.bootstrap import DRAWS
from evaluation.options import FEATURES, RERANKINGS, EncoderOptions
from runtime.names.safe import safe_name
from runtime.options import MachineOptions, Options, again, flag, repeated
from runtime.ranges import BATCH, COUNT, SEED, SHARE, SIDE_OR_0

FOLDS = 5
SHAPE = re.compile(r"(?P<size>\d+)(?::(?P<feature>\w+))?(?P<options>(?:,[^,]+)*)")
OPTION = r"centred|pca=[1-9]\d*|whiten=(0?\.\d+|1)"
ROW_HELP = """a network and how to look at it; once for each row.
SOURCE: a folder under checkpoints/, a weights file, package:efficientnet-lite0|1|2, hub, none; {seed} in it stands for
each of --seeds (without it the network is frozen: measured once, the same for every seed); A+B is an ensemble: each
member's features are centred by the training mean and divided by their mean norm, then laid side by side.
SIZE: pixels. FEATURE: backbone (= gap, the default), masked, head, joint. centred: minus the training mean.
pca=D: centred and reduced to D directions of the training split. whiten=P: those directions, 512 without pca, evened
out by the power P, 0 to 1"""


@dataclass(frozen=True)
class StudyRow:
    """A network and how it is looked at.

    `source` may hold `{seed}` and join the members of an ensemble by "+"; `pca` 0 = all directions as they are;
    `whiten` evens them out. Ensembles, PCA and whitening are centred by nature.
    """

    label: str
    source: str
    size: int
    feature: str = "backbone"
    centred: bool = False
    pca: int = 0
    whiten: float = 0.0

    def members(self, seed: int) -> tuple[str, ...]:
        """The weight sources of a seed; a file whose name has a "+" in it is one network."""
        source = self.source.replace("{seed}", str(seed))
        return (source,) if Path(source).exists() else tuple(source.split("+"))

    def seeds(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the seeds that make a difference: the first alone for a frozen network."""
        return seeds if "{seed}" in self.source else seeds[:1]

    def describe(self) -> str:
        """What was done to the features, for tables."""
        words = [self.feature, *["centred"] * self.centred, *[f"PCA {self.pca}"] * bool(self.pca),
                 *[f"whitened {self.whiten:g}"] * bool(self.whiten)]
        return f"{', '.join(words)}, {self.size} px"


def parse_study_row(text: str) -> StudyRow:
    """"LABEL=SOURCE@SIZE[:FEATURE][,centred][,pca=D][,whiten=P]"."""
    label, _, rest = text.partition("=")
    source, _, shape = rest.rpartition("@")
    found = SHAPE.fullmatch(shape)
    options = found["options"].split(",")[1:] if found else []
    feature = FEATURES.get(found["feature"] or "backbone", "auto") if found else "auto"
    unknown = [option for option in options if not re.fullmatch(OPTION, option)]
    if found is None or not label or not source or feature == "auto" or unknown or int(found["size"]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE@SIZE[:backbone|masked|head|joint][,centred]"
                                         "[,pca=D][,whiten=P]")
    numbers = dict(option.split("=") for option in options if "=" in option)
    pca, whiten = int(numbers.get("pca", 0)), float(numbers.get("whiten", 0))
    centred = bool("centred" in options or numbers or len(StudyRow(label, source, 1).members(0)) > 1)
    return StudyRow(label, source, int(found["size"]), feature, centred, pca, whiten)


@dataclass(frozen=True)
class StudyNetwork:
    """A row of the study: `{partition}` and `{seed}` in `source` stand for each of both."""

    label: str
    source: str

    def file(self, partition: int, seed: int) -> str:
        """Where its weights are."""
        return self.source.format(partition=partition, seed=seed)

    def runs(self, partitions: Sequence[int], seeds: Sequence[int]) -> list[str]:
        """All its weights, each once."""
        return list(dict.fromkeys(self.file(partition, seed) for partition in partitions for seed in seeds))


def parse_study_network(text: str) -> StudyNetwork:
    """"LABEL=SOURCE"."""
    label, equals, source = text.partition("=")
    if not (label.strip() and equals and source.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE")
    return StudyNetwork(label.strip(), source.strip())


@dataclass(frozen=True)
class Recipe:
    """A row: weights in which `{seed}` stands for each seed, and the branch that answers ("" = the network's own)."""

    label: str
    source: str
    branch: str

    def file(self, seed: int) -> str:
        """Where a seed's weights are."""
        return self.source.format(seed=seed)


def parse_recipe(text: str) -> Recipe:
    """"LABEL=SOURCE[:BRANCH]"."""
    label, equals, rest = text.partition("=")
    source, _, branch = rest.partition(":")
    if not (label.strip() and equals and source.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE[:BRANCH]")
    return Recipe(label.strip(), source.strip(), branch.strip())


def find_label_faults(labels: Sequence[str], against: Sequence[str]) -> list[str]:
    """What is wrong with the names of a study's rows: given twice, or compared with and not there."""
    twice = [f"--row {label} is given {labels.count(label)} times" for label in sorted(set(labels))
             if labels.count(label) > 1]
    return twice + [f"--against {label}: no row is called so; there are {', '.join(labels)}" for label in against
                    if label not in labels]


@dataclass(frozen=True, kw_only=True)
class SeriesOptions(Options):
    """What studies have in common: the data set, what `{seed}` stands for, and the bootstrap."""

    root: str = flag(None, None, "the data set, with labels", metavar="DIR", required=True)
    task: str = flag("custom", None, "name of the data set, and of the files written", "-t")
    out: str = flag("study", None, "where results are written", metavar="DIR")
    seeds: tuple[int, ...] = flag((0, 1, 2), SEED, "what {seed} stands for", nargs="+")
    draws: int = flag(DRAWS, COUNT, "resamples of the bootstrap")
    device: str = again(MachineOptions, "device", "auto")
    num_workers: int | str = again(DataOptions, "num_workers", "auto")
    threads: int = again(MachineOptions, "threads", 0)


@dataclass(frozen=True, kw_only=True)
class StudyOptions(SeriesOptions):
    """Networks in one view of whole images."""

    row: tuple[StudyRow, ...] = repeated(ROW_HELP, "LABEL=SOURCE@SIZE[:FEATURE][,centred][,pca=D][,whiten=P]",
                                         parse_study_row, required=True)
    out: str = flag("study", None, "where results are written; rows are added", metavar="DIR")
    against: tuple[str, ...] = flag((), None, "rows that every other row is compared with, image by image and seed by "
                                    "seed", nargs="+", metavar="LABEL")
    seed: int = flag(123, SEED, "of the linear probe and the bootstrap")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    cache: str = again(EncoderOptions, "cache", "cache")


@dataclass(frozen=True, kw_only=True)
class PartitionsOptions(SeriesOptions):
    """Networks of main_metric.py over class-disjoint splits."""

    row: tuple[StudyNetwork, ...] = repeated(
        "a network: weights in which {partition} and {seed} stand for each of both; once a row", "LABEL=SOURCE",
        parse_study_network, required=True)
    against: str = flag(None, None, "the row that the others are compared with", metavar="LABEL", required=True)
    dataset: str | None = flag(None, tuple(FOLDERS), "as for main_metric.py")
    partitions: tuple[int, ...] = flag((0, 1, 2, 3, 4), SEED, "--partition of the runs", nargs="+")
    rerank: tuple[str, ...] = flag((), RERANKINGS[1:], "re-rankings to try on every row", nargs="*")
    augmentation: str | None = flag(None, ("base", "adv", "big", "red"), "its test view is used; default: as each run "
                                    "was trained, else base")
    size: int = flag(0, SIDE_OR_0, "pixels of the view's side; 0 = as each run was trained, else as the others, else "
                     "224")

    @property
    def table(self) -> str:
        """What the table's files are called."""
        return f"{safe_name(self.task, room=20)}_partitions"


@dataclass(frozen=True, kw_only=True)
class TrialsOptions(SeriesOptions):
    """Recipes of fine-tuning over several seeds."""

    row: tuple[Recipe, ...] = repeated(
        "model_last.pth of main_finetune.py, {seed} in it stands for each of --seeds; BRANCH: cls, dist, layer1, "
        "combiner, highest-2 and so on; once a row", "LABEL=SOURCE[:BRANCH]", parse_recipe, required=True)
    against: tuple[str, ...] = flag((), None, "rows that all are compared with", nargs="+", metavar="LABEL")
    split: str = flag("test", ("test", "val", "train"), "which of its images")

    @property
    def table(self) -> str:
        """What the table's files are called."""
        return f"{safe_name(self.task, room=16)}_trials"


@dataclass(frozen=True)
class Looker:
    """A network and the feature of it that sorts: `feature` a key of FEATURES."""

    source: str
    feature: str = "gap"


def parse_looker(text: str) -> Looker:
    """"NAME" or "NAME:FEATURE"; a colon that no feature follows belongs to the name."""
    source, _, feature = text.rpartition(":")
    return Looker(source, feature) if source and feature in FEATURES else Looker(text)


@dataclass(frozen=True, kw_only=True)
class NamingOptions(SeriesOptions):
    """Someone who names pictures of one folder, and what is measured of it."""

    pretrained: tuple[str, ...] = flag(
        ("package:efficientnet-lite0",), None, "networks that look: runs, files, package:..., each with its :FEATURE "
        "where it is not the plain average (gap)", nargs="+", metavar="NAME[:FEATURE]")
    out: str = flag("study", None, "where results are written; rows are added", metavar="DIR")
    seeds: tuple[int, ...] = flag((0, 1, 2, 3, 4), SEED, "of the pictures left out, of random choices and of the kinds "
                                  "withheld", nargs="+")
    split: str = flag("train", ("train", "test", "val"), "which of its images")
    budgets: tuple[int, ...] = flag((20, 50, 100), COUNT, "how many pictures get named", nargs="+")
    kept: float = flag(0.9, SHARE, "share of the pictures that a seed keeps")
    withheld: float = flag(0.25, SHARE, "share of the kinds that nobody names, for the calibration")
    size: int = flag(0, SIDE_OR_0, "pixels of the view's side; 0 = as each run was trained, else 224")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    cache: str = again(EncoderOptions, "cache", "cache")

    @property
    def lookers(self) -> list[Looker]:
        """The networks."""
        return [parse_looker(text) for text in self.pretrained]

    @property
    def table(self) -> str:
        """What the table's files are called."""
        return f"{safe_name(self.task, room=20)}_naming"
