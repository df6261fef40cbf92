"""The options of main_finetune.py, by what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from datasets.options import DataOptions
from engine.flags.finetune.recipe import AugmentationOptions, FinetuneSteps, FinetuneWatching
from engine.flags.finetune.words import read_tap
from engine.options import TrainingOptions
from runtime.names.hub import strip_hub
from runtime.options import Options, again, flag, switch
from runtime.ranges import COUNT_OR_0, SHARE, SHARE_BELOW_1, SIDE, TEMPERATURE, WEIGHT, WIDTH
from runtime.words import switch_or_run


@dataclass(frozen=True, kw_only=True)
class LabelledOptions(DataOptions):
    """One data set or several, their names, and how they are read."""

    title: ClassVar[str | None] = "data"

    crop_bottom: int = again(DataOptions, "crop_bottom", "auto")  # a number before anyone reads it
    root: tuple[str, ...] = flag(None, None, "train/test folders, a raw CUB or FGVC tree, a flat folder, a CSV list, "
                                 "or a crop folder", metavar="DIR")
    data_set: tuple[str, ...] = flag((), None, "what the folders are, for names and checks: CUB, DOG, FOOD, NABIRDS, "
                                     "CUB_DOG = CUB DOG, FOLDER; layouts are recognised by themselves", nargs="+",
                                     metavar="NAME")
    test_root: tuple[str, ...] = flag(None, None, "class folders to evaluate, where --root has training images "
                                      "only", "--val-root", "--eval-data-path", nargs="+", metavar="DIR")
    nb_classes: int = flag(0, COUNT_OR_0, "checked against the data; 0 = any", "--num-classes")
    val_share: float = flag(0.0, SHARE_BELOW_1, "share of each class's training images kept for validation")
    pin_mem: bool = switch(True, "page-locked batches, on CUDA", negation=True)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(Options):
    """The network that learns."""

    title: ClassVar[str | None] = "network"

    model: str = flag("deit_base_distilled_patch16_384", strip_hub, "any timm classifier; for --method pim also "
                      "swin-t, resnet50, vit, efficient with the published taps", "-a", "--arch", "--model-name")
    size: int = flag(None, SIDE, "pixels of a view's side; default 384, or what a published plug-in module has",
                     "--input-size", "--data-size")
    pretrained: str = flag("auto", None, "start weights: a file or a run's folder (ImageNet's, our pre-trained "
                           "encoder, a classifier of ours or of the public codes), "
                           "package:efficientnet-lite0|1|2, hub, or none", "--finetune", metavar="WEIGHTS")
    second_head: bool = flag("auto", ("auto", "true", "false"), "a head for the teacher's answers; auto = with "
                             "--method distill and for distilled models")
    drop: float = flag(0.0, SHARE_BELOW_1, "dropout before the head")
    drop_path: float | None = flag(0.8, SHARE_BELOW_1, "stochastic depth")
    head_init_scale: float = flag(1.0, WEIGHT, "new heads begin with weights times this")
    layer_scale_init_value: float | None = flag(None, WEIGHT, "of ConvNeXt; timm's by default")
    frozen_bn: bool = switch(False, "keep the batch statistics of the start weights")
    sync_bn: bool = switch(True, "batch statistics over all ranks, where there are several on CUDA")
    channels_last: bool = switch(True, "memory format of images and weights")


@dataclass(frozen=True, kw_only=True)
class TeacherOptions(Options):
    """Who is imitated, and how."""

    title: ClassVar[str | None] = "distillation (--method distill)"

    teacher_model: str | None = flag(None, strip_hub, "timm's name of a public file's network; a file of ours knows "
                                     "its own", metavar="NAME")
    teacher_path: str | None = flag(None, None, "the trained teacher: model_last.pth of --method teacher, or the "
                                    "public code's file", "--teacher-weights", metavar="FILE")
    distillation_type: Literal["none", "hard", "soft"] = flag(
        None, ("none", "hard", "soft"), "hard = the teacher's class, soft = its probabilities; hard unless given")
    distillation_alpha: float = flag(0.5, SHARE, "weight of the teacher, within 0..1")
    distillation_tau: float = flag(1.0, TEMPERATURE, "temperature of soft")
    distillation_reduction: Literal["batchmean", "legacy"] = flag(
        "batchmean", ("batchmean", "legacy"), "legacy = also divided by the number of classes, as the public code "
        "does")
    teacher_cache: bool = switch(False, "ask the teacher once an image, in the evaluation view, not every step")


@dataclass(frozen=True, kw_only=True)
class PlugInFlags(Options):
    """The plug-in module."""

    title: ClassVar[str | None] = "plug-in module (--method pim)"

    taps: tuple[int | str, ...] | None = flag(None, read_tap, "where the backbone is tapped, shallow to deep: indices "
                                              "of timm's forward_intermediates or names of modules; default: those of "
                                              "the model's name, else its last four levels", nargs="*", metavar="NODE")
    use_fpn: bool = switch(True, "project levels to one width and add deep ones to shallow ones")
    fpn_size: int = flag(512, WIDTH, "that width")
    use_selection: bool = switch(True, "keep a level's most certain positions, push the others to no class")
    num_selects: Mapping[str, int] = flag(None, None, "positions kept by level: layer1=2048,layer2=512,... or a "
                                          "number for each; default 32 each", nargs="*", metavar="N")
    use_combiner: bool = switch(True, "one prediction from a graph over the kept positions")
    comb_proj_size: int = flag(512, WIDTH, "width before it, without --use-fpn")
    class_token: bool = switch(False, "a transformer's class token is a position, as in the public code")
    lambda_b: float = flag(0.5, WEIGHT, "weight of each level's mean prediction")
    lambda_s: float = flag(0.0, WEIGHT, "weight of kept positions")
    lambda_n: float = flag(5.0, WEIGHT, "weight of dropped positions")
    lambda_c: float = flag(1.0, WEIGHT, "weight of the combiner")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(
    LabelledOptions, NetworkOptions, TeacherOptions, PlugInFlags, AugmentationOptions, FinetuneSteps,
    FinetuneWatching, TrainingOptions,
):
    """All that main_finetune.py is told. `peak_lr` is the highest learning rate.

    `run` is the network that `eval` evaluates, None in training.
    """

    title: ClassVar[str | None] = None
    called: ClassVar[Mapping[str, str]] = {"pretrained": "finetune"}

    run: str | None = None
    peak_lr: float = 0.0
    method: str = flag(None, ("plain", "teacher", "distill", "pim"), "it brings its own defaults; plain unless "
                       "--distillation-type says otherwise")
    preset: str = flag("none", ("none", "deit", "convnext", "folder", "cub", "dogs", "cub_dogs", "foodx", "nabirds",
                                "aicup", "small"), "published settings, or small for one CPU")
    recipe: str = flag("default", ("default", "seed"), "seed = some of the public codes' own arithmetic; "
                       "docs/finetune.md says which")
    results_dir: str = flag("checkpoints/finetune", None, "everything the run writes", "--output-dir", metavar="DIR")
    resume: str | None = flag(None, None, "continue a killed run exactly (from --results-dir unless a folder or file "
                              "is given); with --eval the network to evaluate", nargs="?", const="auto",
                              metavar="PATH")
    auto_resume: bool = switch(False, "continue when --results-dir holds a run, else begin")
    config: str | None = None
    eval: bool = flag(False, switch_or_run, "no training: evaluate the network of RUN, else of --resume, else of "
                      "--results-dir, as its args.json says; flags that contradict the run are refused", nargs="?",
                      const=True, metavar="RUN")

    @property
    def network_name(self) -> str:
        """What learns, for people."""
        return self.model
