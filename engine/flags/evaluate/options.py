"""The options of tools that look at pictures through a finished network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from evaluation.options import ClassifierOptions, EncoderOptions, ImagesOptions
from runtime.options import again, flag, repeated, switch, word
from runtime.ranges import BATCH, COUNT, COUNT_OR_0, LARGEST, whole_number
from text.options import ClipOptions, EncodingOptions

FIRST_WEIGHTS = "package:efficientnet-lite0"


@dataclass(frozen=True, kw_only=True)
class SortOptions(ImagesOptions):
    """Which photographs are sorted, how finely, and what is written. `place` is where everything goes."""

    title: ClassVar[str | None] = "sorting"

    pretrained: str = again(ImagesOptions, "pretrained", FIRST_WEIGHTS)
    centre: bool = again(ImagesOptions, "centre", True)
    groups: int | Literal["auto"] = flag("auto", whole_number(1, LARGEST, "auto"), "how many; auto = by silhouette")
    labels: str | None = flag(None, None, "columns path,label; blank labels are not read", metavar="FILE.csv")
    name_first: int = flag(20, COUNT_OR_0, "pictures to propose for naming", metavar="N")
    apply: str = flag("none", ("none", "link", "copy"), "fill OUT/sorted/ with a folder for each label (else group): "
                      "hard links where possible, else symbolic ones; or copies")
    out: str = flag(None, None, "where everything goes; default --results-dir, or sort, or sorting/NAME with --serve",
                    metavar="DIR")
    score: bool = switch(False, "hide the folders' labels, sort, and measure against them")
    serve: bool = switch(False, "name pictures on a page that this machine serves to itself alone")
    port: int = flag(0, whole_number(0, 65535), "of the page; 0 = any that is free")
    open: bool = switch(True, "open the page in this machine's browser, if it has one")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class AuditOptions(ImagesOptions):
    """Which photographs are audited, and what is written. `place` is where everything goes."""

    title: ClassVar[str | None] = "audit"

    pretrained: str = again(ImagesOptions, "pretrained", FIRST_WEIGHTS)
    centre: bool = again(ImagesOptions, "centre", True)
    split: str = flag("all", ("all", "train", "val", "test"), "which part of the photographs; all = every part, and "
                      "the pictures that several share")
    out: str = flag(None, None, "where everything goes; default --results-dir or audit", metavar="DIR")
    score: bool = switch(False, "measure how well wrong labels would be found here: plant some, in memory only")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class AtlasOptions(EncoderOptions):
    """Which run's training images are laid out, and what is told of them."""

    title: ClassVar[str | None] = "atlas"

    pretrained: str = word("a finished run of LEAD with a teacher: a folder under checkpoints/, or its path", "RUN")
    input: Literal["full", "crop"] = again(EncoderOptions, "input", "full")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    before: str | None = flag(None, None, "weights that the run began with: their neighbours are shown, too",
                              metavar="WEIGHTS")
    neighbours: int = flag(8, COUNT, "nearest images of each")
    side: int = flag(120, whole_number(32, 512), "pixels of a thumbnail's longer side")
    judge_labels: bool = switch(True, "where there are labels, tell those that the other images speak against")
    score: bool = switch(False, "measure how well wrong labels would be found here: plant some, in memory only")
    out: str | None = flag(None, None, "where atlas.html goes; default: atlas/ in the run's folder", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(ImagesOptions):
    """Which photographs are embedded, by which encoder, and where to."""

    out: str = flag(None, None, "where embeddings.npy, ids.csv, meta.json go", metavar="DIR", required=True)
    to: str = flag("array", ("array", "npy", "parquet"), "array = the rows in one file; npy, parquet = in shards, of "
                   "which one at a time is in memory")
    shard_size: int = flag(65536, COUNT, "npy, parquet: rows of a shard")
    piece: int = flag(4096, COUNT, "images whose features are in memory at a time")


@dataclass(frozen=True, kw_only=True)
class QueryOptions(EncodingOptions, ClipOptions, ImagesOptions):
    """What is looked for among which photographs; `teacher_arch` None is that of the run."""

    title: ClassVar[str | None] = "queries"

    text: tuple[str, ...] = repeated("what to look for; may be repeated", "WORDS")
    image: tuple[str, ...] = repeated("a picture to find the like of", "FILE")
    zero_shot: str | None = flag(None, None, "class rows (.csv or .pt) to measure by", metavar="FILE")
    text_tensor: str | None = flag(None, None, "look --text up among these rows by class name, instead of asking CLIP",
                                   metavar="FILE.pt")
    index: str | None = flag(None, None, "an index that tools.index built of the same images: nothing is computed but "
                             "the query", metavar="FILE.faiss")
    top: int = flag(24, COUNT, "pictures on a sheet; the table has all")
    serve: bool = switch(False, "search on a page that this machine serves to itself alone")
    port: int = again(SortOptions, "port", 0)
    open: bool = again(SortOptions, "open", True)
    teacher_weights: str | None = flag(None, None, "CLIP's file (OpenAI's or open_clip's), hub (OpenAI's weights) or "
                                       "hub:TAG (open_clip's tag); default: that of the run, if it is here",
                                       metavar="WEIGHTS")
    teacher_arch: str = flag(None, None, "open_clip's name of the model; default: that of the run", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class InferOptions(ClassifierOptions):
    """Which pictures a classifier is shown, and what is written of its answers."""

    title: ClassVar[str | None] = "answers"

    pictures: tuple[str, ...] = word("picture files, or one folder or .csv list in any layout that --root takes "
                                     "elsewhere", "PICTURE", nargs="+")
    split: str = flag("auto", ("auto", "test", "val", "train"), "which part of a folder with parts; auto = test, or "
                      "val, or train")
    labels: str = flag("auto", ("auto", "folders", "none"), "auto = class folders are labels where the classifier "
                       "knows any of them")
    batch_size: int = flag(64, BATCH, "pictures at a time; changes no number", "-b")
    top: int = flag(5, COUNT, "classes for each picture, with their probabilities")
    shown: int = flag(64, COUNT_OR_0, "pictures on the sheet, evenly chosen; 0 = no sheet")
    out: str = flag("infer", None, "where everything goes", "--results-dir", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ClassifierOptions):
    """Which labelled pictures a classifier is measured on, and what is written of it."""

    title: ClassVar[str | None] = "scores"

    root: tuple[str, ...] = flag(None, None, "train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, "
                                 "or a crop folder", metavar="DIR")
    data_set: tuple[str, ...] = flag((), None, "what the folders are called: CUB, DOG, FOOD, NABIRDS, CUB_DOG = CUB "
                                     "DOG, FOLDER", nargs="+", metavar="NAME")
    split: str = flag("auto", ("auto", "test", "val", "train"), "auto = test, or val, or everything")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    ensemble_order: Literal["descending", "ascending"] = flag(
        "descending", ("descending", "ascending"),
        "which branches highest-x adds up first; ascending = the public PIM code's")
    mistakes: int = flag(48, COUNT_OR_0, "the surest mistakes on their sheet; 0 = no sheet")
    results_dir: str | None = flag(None, None, "where everything goes; default: evaluation/ in the run's folder, else "
                                   "under checkpoints/", "--out", metavar="DIR")
