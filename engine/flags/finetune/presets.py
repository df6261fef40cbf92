"""The settings of main_finetune.py as data: what a method, a data set or `small` stands for."""

from __future__ import annotations

from engine.flags.presets import Presets, Settings
from models.plug_in.presets import SELECTS

# DeiT on fine-grained sets, as its README's commands have it; both stages. Also what every flag begins with.
DEIT: Settings = {
    "model": "deit_base_distilled_patch16_384", "drop_path": 0.8, "batch_size": 16, "lr": 5e-5,
    "warmup_epochs": 0.0, "epochs": 60, "wd": 1e-8, "mixup": 0.0, "cutmix": 0.0, "smoothing": 0.1}
# ConvNeXt, the teacher: layer-wise rates, a small head, steps of 32 images.
CONVNEXT: Settings = {
    "model": "convnext_base", "drop_path": 0.8, "batch_size": 16, "accum_steps": 2, "lr": 5e-5,
    "layer_decay": 0.7, "warmup_epochs": 0.0, "epochs": 60, "wd": 1e-8, "head_init_scale": 1e-3, "mixup": 0.0,
    "cutmix": 0.0, "smoothing": 0.1}
# PIM's command line; a backbone's taps and side come with its name (swin-t, resnet50, vit, efficient).
PIM: Settings = {
    "model": "swin-t", "opt": "sgd", "lr": 5e-4, "wd": 5e-4, "batch_size": 16, "epochs": 50, "min_lr_ratio": 0.0,
    "smoothing": 0.0, "drop_path": None, "vector_decay": True, "aa": "none", "color_jitter": 0.0, "reprob": 0.0}
CUB_PIM: Settings = {"fpn_size": 1536, "num_selects": list(SELECTS["cub"]), "warmup_batchs": 800, "accum_steps": 2,
                     "monitor_every": 10}
NABIRDS_PIM: Settings = {**CUB_PIM, "num_selects": list(SELECTS["nabirds"])}
AICUP_PIM: Settings = {"task": "aicup", "fpn_size": 512, "num_selects": list(SELECTS["aicup"]), "batch_size": 64}

# Which sets the words of run_finetune.sh and --preset name.
CUB: Settings = {"task": "cub", "data_set": ["CUB"]}
DOGS: Settings = {"task": "dogs", "data_set": ["DOG"]}
CUB_DOGS: Settings = {"task": "cub_dogs", "data_set": ["CUB", "DOG"]}
FOODX: Settings = {"task": "foodx", "data_set": ["FOOD"], "epochs": 30}
NABIRDS: Settings = {"task": "nabirds", "data_set": ["NABIRDS"]}

# Some hundreds of images and one CPU.
SMALL: Settings = {
    "model": "tf_efficientnet_lite0", "size": 128, "opt": "adamw", "lr": 1e-3, "backbone_lr_scale": 0.2, "wd": 0.05,
    "frozen_bn": True, "drop_path": 0.0, "batch_size": 16, "accum_steps": 1, "epochs": 8, "warmup_epochs": 1.0,
    "layer_decay": 1.0, "head_init_scale": 0.01, "smoothing": 0.1, "mixup": 0.0, "cutmix": 0.0, "aa": "none",
    "color_jitter": 0.2, "reprob": 0.0, "scale": [0.4, 1.0], "min_lr_ratio": 0.0, "monitor_every": 4}
SMALL_TEACHER: Settings = {**SMALL, "model": "tf_efficientnet_lite2"}
SMALL_PIM: Settings = {**SMALL, "lr": 3e-3, "backbone_lr_scale": 0.07, "smoothing": 0.0, "fpn_size": 128,
                       "num_selects": [64, 32, 16, 8], "train_view": "timm", "eval_view": "crop"}

CLASSIFIERS = ("plain", "teacher", "distill")


def for_all(settings: Settings, pim: Settings | None = None) -> dict[str, Settings]:
    """The same settings for every method, but for the plug-in module where it has its own."""
    return {**dict.fromkeys(CLASSIFIERS, settings), "pim": settings if pim is None else pim}


PRESETS = Presets(
    methods={"plain": DEIT, "distill": DEIT, "teacher": CONVNEXT, "pim": PIM},
    named={
        "deit": dict.fromkeys(CLASSIFIERS, DEIT), "convnext": dict.fromkeys(CLASSIFIERS, CONVNEXT),
        "folder": for_all({}),
        "cub": for_all(CUB, {**CUB, **CUB_PIM}), "dogs": for_all(DOGS), "cub_dogs": for_all(CUB_DOGS),
        "foodx": for_all(FOODX, {"task": "foodx", "data_set": ["FOOD"]}),
        "nabirds": for_all(NABIRDS, {**NABIRDS, **NABIRDS_PIM}),
        "aicup": for_all({"task": "aicup"}, AICUP_PIM),
        "small": {**for_all(SMALL, SMALL_PIM), "teacher": SMALL_TEACHER},
        # What the public codes compute in their own way; plain fine-tuning is DeiT's code too.
        "seed": {"plain": {"lr_scale_ref": 512, "min_lr_ratio": 0.0},
                 "distill": {"distillation_reduction": "legacy", "lr_scale_ref": 512, "min_lr_ratio": 0.0},
                 "pim": {"sched": "cosine-pim", "warmup_lr": 1e-9, "ensemble_order": "ascending",
                         "class_token": True}}})
NAMES = ("none", "deit", "convnext", "folder", "cub", "dogs", "cub_dogs", "foodx", "nabirds", "aicup", "small")
