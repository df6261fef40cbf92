"""What evaluations are told: which network, through which view, by which protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from datasets.options import CropOptions, DataOptions
from runtime.options import MachineOptions, Options, again, flag, switch, word
from runtime.ranges import (
    BATCH,
    COUNT,
    COUNT_OR_0,
    EPOCHS,
    POSITIVE,
    RATE,
    SHARE,
    SHARE_BELOW_1,
    SIDE_OR_0,
    TEMPERATURE,
    WEIGHT,
)
from runtime.words import architecture

EVAL_VIEWS = ("eval", "squash", "squash-exact", "short", "short-exact", "deit-eval", "warp", "pim-eval")
USUAL = "masked-or-gap"
LABELFREE = "labelfree"  # --select of a run whose best epoch is the one to be used
FEATURES = {"gap": "backbone", "backbone": "backbone", "masked": "masked", "head": "head", "joint": "joint",
            USUAL: USUAL, "auto": "auto"}  # by word
RERANKINGS = ("none", "aqe", "alpha-qe", "k-reciprocal", "diffusion")
INDEX_KINDS = ("flat", "ivf", "hnsw", "ivfpq")  # see evaluation/retrieval/index.py
DATABASES = {"lancedb": "lancedb", "qdrant": "qdrant-client", "pgvector": "psycopg[binary]"}  # and their clients


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(CropOptions, MachineOptions):
    """An encoder, one of its features, and the view through which it looks at a data set."""

    title: ClassVar[str | None] = "encoder"
    usual_feature: ClassVar[str] = USUAL  # what --feature auto is where the run has chosen nothing

    arch: str | None = flag(None, architecture, "timm name, where the weights do not tell", "-a")
    pretrained: str = flag(None, None, "a folder under checkpoints/, or weights: a file, package:efficientnet-lite0, "
                           "hub, none", metavar="NAME", required=True)
    feature: str = flag("auto", tuple(FEATURES), "gap = backbone = plain average, masked = attention-weighted, head = "
                        "projection, joint = gap and head side by side; masked-or-gap = masked where the encoder has a "
                        "rationale branch, else gap; auto = what the run chose without labels, else masked-or-gap, "
                        "but gap for retrieval and wherever whole photographs are embedded, sorted or searched")
    input: Literal["full", "crop"] = flag("crop", ("full", "crop"), "whole images or the object's crops")
    size: int = flag(0, SIDE_OR_0, "pixels of a side; 0 = as trained (args.json), else 224")
    eval_view: str = flag("auto", ("auto", *EVAL_VIEWS), "how a picture becomes a square; auto = as the run was "
                          "trained, else eval; squash = the public LEAD view: a square whatever the aspect")
    label: str = flag("", None, "what tables call this network; default: its method or weights")
    centre: bool = switch(False, "subtract the training split's mean feature before normalising")
    recipe: str = flag("default", ("default", "seed"), "seed = the public LEAD code's protocol and view")
    preset: str = flag("none", ("none", "bird", "car", "aircraft", "dog", "cub", "cars"), "which data set it is, as "
                       "--task; the public settings are --recipe seed")
    num_classes: int = flag(0, COUNT_OR_0, "checked against the data set; 0 = take its number", "--class-num")
    cache: str = flag("cache", None, "where features are kept between runs, or none", metavar="DIR")
    results_dir: str = flag(None, None, "where the outputs go", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(EncoderOptions):
    """An encoder, and the folder or list of photographs that it looks at, whole."""

    title: ClassVar[str | None] = None
    usual_feature: ClassVar[str] = "backbone"

    folder: str = word("the photographs: any layout that --root takes elsewhere", "IMAGES")
    input: Literal["full", "crop"] = again(EncoderOptions, "input", "full")
    split: str = flag("auto", ("auto", "train", "val", "test"), "which part of the photographs; auto = test where "
                      "there is one")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")


@dataclass(frozen=True, kw_only=True)
class RerankOptions(Options):
    """What follows a search."""

    title: ClassVar[str | None] = "re-ranking"

    rerank: str = flag("none", RERANKINGS, "what to do with neighbours "
                       "after the search")
    qe_n: int = flag(10, COUNT, "aqe, alpha-qe: neighbours averaged with the query")
    qe_alpha: float = flag(3.0, POSITIVE, "alpha-qe: power of the cosine that weighs them")
    k1: int = flag(20, COUNT, "k-reciprocal: neighbours that must be mutual")
    k2: int = flag(6, COUNT, "k-reciprocal: neighbours whose sets are averaged")
    jaccard_lambda: float = flag(0.3, SHARE, "k-reciprocal: share of the first distance")
    diffusion_mode: str = flag("auto", ("auto", "dense", "truncated"), "auto = dense up to 20,000 images")
    diffusion_k: int = flag(50, COUNT, "neighbours in the graph, an image itself included")
    diffusion_gamma: float = flag(3.0, POSITIVE, "power of the cosine on an edge")
    diffusion_alpha: float = flag(0.99, SHARE_BELOW_1, "how far to walk, from 0 to below 1")
    diffusion_n: int = flag(1000, COUNT, "truncated: images around one that it may reach")


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(EncoderOptions):
    """A linear probe of an encoder."""

    title: ClassVar[str | None] = "classifier"

    protocol: str = flag("cached", ("cached", "seed"), "cached = features of one clean view; seed = the public LEAD "
                         "code's augmented training")
    lr: tuple[float, ...] | None = flag(None, RATE, "learning rates to choose among on held-out training images; "
                                        "seed's protocol: one, 30", "--learning-rate", nargs="+")
    epochs: int = flag(100, EPOCHS, "passes over the training images")
    batch_size: int = flag(256, BATCH, "images of one step of the classifier", "-b")
    schedule: tuple[int, ...] | None = flag(None, COUNT, "epochs, counted from 0, at which the rate falls to a tenth; "
                                            "default 60 %% and 80 %% of them. --protocol seed: 60 80, counted from 1",
                                            nargs="*")
    cos: bool = switch(False, "fall along a cosine instead")
    hold_out: float = flag(0.2, SHARE_BELOW_1, "share of train that chooses rate and best epoch")
    extract_batch_size: int = flag(64, BATCH, "images at a time through the encoder")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(EncoderOptions, RerankOptions):
    """A retrieval with an encoder."""

    title: ClassVar[str | None] = "retrieval"
    usual_feature: ClassVar[str] = "backbone"

    input: Literal["full", "crop"] = again(EncoderOptions, "input", "full")
    batch_size: int = flag(64, BATCH, "images at a time; changes no number", "-b")
    split: str = flag("auto", ("auto", "test", "val", "train"), "auto = test, or where there is none train, or val")
    protocol: str = flag("leave-one-out", ("leave-one-out", "query-gallery", "class-disjoint"), "query-gallery = the "
                         "split queries --gallery; class-disjoint = leave-one-out on classes that are not in the "
                         "training split")
    gallery: str = flag("train", ("train", "val", "test"), "the split that is searched with --protocol query-gallery")
    clusters: bool = switch(True, "k-means for NMI, AMI and F1")
    neighbours: int = flag(6, COUNT, "neighbours of a query in the picture", "-k", "--k")
    queries: int = flag(10, COUNT, "queries in the picture: a third typical, a third random, a third the worst")
    before: bool = switch(True, "search with the weights that the run started from too, whose neighbours report.html "
                          "shows beside those of the run; they change no number")
    knn: bool = switch(False, "kNN accuracy from the training split, not only within the split")
    knn_k: int = flag(20, COUNT, "neighbours that vote")
    knn_t: float = flag(0.07, TEMPERATURE, "temperature of the votes")


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(DataOptions, MachineOptions):
    """A trained classifier, and how pictures are shown to it."""

    title: ClassVar[str | None] = "classifier"

    pretrained: str = flag(None, None, "a folder under checkpoints/, or a file: model_last.pth of main_finetune.py, or "
                           "of the public code of DeiT, ConvNeXt or PIM", metavar="NAME", required=True)
    arch: str | None = flag(None, architecture, "for a public file: timm's name, or swin-t, resnet50, vit for PIM's",
                            "-a", "--model", metavar="NAME")
    num_selects: tuple[int, ...] | None = flag(None, COUNT, "for PIM's: positions that each level keeps; the published "
                                               "numbers are known", nargs="+", metavar="N")
    class_names: str | None = flag(None, None, "for a public file: its classes in their order, one a line",
                                   metavar="FILE")
    size: int = flag(0, SIDE_OR_0, "pixels of a side; 0 = what the file says")
    eval_view: str = flag("auto", ("auto", *EVAL_VIEWS), "how a picture becomes a square; auto = what the file says")


@dataclass(frozen=True, kw_only=True)
class HeatmapOptions(EncoderOptions):
    """Where a network looks: which pictures, which maps, scored against which boxes."""

    title: ClassVar[str | None] = "pictures"

    input: Literal["full"] = flag("full", ("full",), "maps are drawn over whole images")
    split: str = flag("auto", ("auto", "test", "val", "train"), "auto = test, or what there is in its place")
    boxes: str = flag("auto", None, "path,x1,y1,x2,y2 in pixels; auto = boxes.csv in the data set, if there; or none",
                      metavar="FILE")
    cam_sign: str = flag("auto", ("auto", "loss", "similarity"), "G is where activation raises the loss, or lowers it; "
                         "auto = as the run was trained")
    images: int = flag(500, COUNT, "at most so many pictures are measured, evenly chosen")
    shown: int = flag(16, COUNT, "pictures on the sheet")
    batch_size: int = flag(32, BATCH, "images at a time; changes no number", "-b")
    out: str = flag("heatmap", None, "where heatmap.png and heatmap.csv go", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class ClassMapOptions(HeatmapOptions):
    """The same, and what serves classifiers alone."""

    title: ClassVar[str | None] = "classifiers"

    image: tuple[str, ...] | None = flag(None, None, "these pictures, in place of --root", nargs="+", metavar="FILE")
    wanted: str = flag("predicted", None, "the class of class maps: predicted, true, a class name, or its number",
                       "--class", metavar="CLASS")
    level_weights: tuple[float, ...] | None = flag(None, WEIGHT, "weights that fuse a plug-in module's levels, shallow "
                                                   "to deep; default 8 4 2 1 for four", nargs="+", metavar="W")
    threshold: float = flag(0.0, SHARE, "what lies below this share of a map's range counts as 0, drawn and scored",
                            metavar="SHARE")
    model: str | None = flag(None, architecture, "for a public file: timm's name, or swin-t, resnet50, vit for PIM's",
                             metavar="NAME")
    num_selects: tuple[int, ...] | None = again(ClassifierOptions, "num_selects", None)
    class_names: str | None = again(ClassifierOptions, "class_names", None)
