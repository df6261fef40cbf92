"""The methods of main_pretrain.py, a row each: the settings that a name stands for, and the flags that it reads.

`engine.workflows.pretrain.methods` has the builder of each row; this file does without torch, so that --help is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.flags.presets import Settings

# Flags that only some methods read, by what they belong to; what every method reads stands in no group.
GROUPS: dict[str, tuple[str, ...]] = {
    "queue": ("moco_k", "moco_t", "queue_mask", "shuffle_keys", "view_recipe"),
    "moco": ("mlp", "aug_plus"),
    "byol": ("tau_schedule", "projector_hidden"),
    "source": ("moco_source",),
    "guidance": ("text_load", "text_rows", "teacher", "teacher_weights", "teacher_arch", "teacher_size", "teacher_view",
                 "teacher_norm", "teacher_precision", "prototypes", "target_entropy", "alpha", "beta", "cross_weight",
                 "temperature", "cosine_weight", "teacher_dim", "teacher_whiten", "neighbours",
                 "neighbour_steps", "head_start", "trust", "rows_as_stored"),
    "sides": ("balance",),
    "facts": ("six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "entropy_by"),
    "rationale": ("cam_weight", "cam", "cam_temperature", "branch_width", "attention_normalise"),
    "sign": ("cam_sign",),
}


@dataclass(frozen=True)
class MethodRow:
    """What a command line knows of a method.

    `reads` are the GROUPS of flags that it reads ("guidance": it gets a teacher and prototypes), `settings` its own
    defaults, `named` those that a word of --preset or --recipe stands for; `first_epoch` is the number of the first
    epoch in --schedule, as its public code counts.
    """

    reads: tuple[str, ...]
    settings: Settings = field(default_factory=dict)
    named: Mapping[str, Settings] = field(default_factory=dict)
    first_epoch: int = 0


# LEAD on its four data sets.
PUBLISHED: Settings = {
    "arch": "resnet50", "size": 224, "epochs": 100, "batch_size": 64, "optimizer": "sgd", "lr": 0.02,
    "wd": 5e-4, "moco_t": 0.27, "alpha": 0.5, "beta": 20.0, "seed": 123}

# LCR on CUB, Cars and Aircraft: MoCo v2 and BYOL, each also the baseline without the rationale branch.
MOCO_OF_LCR: Settings = {
    "arch": "resnet50", "size": 224, "epochs": 100, "batch_size": 128, "optimizer": "sgd", "lr": 0.03, "momentum": 0.9,
    "wd": 1e-4, "moco_t": 0.2, "moco_m": 0.999, "moco_dim": 256}
BYOL: Settings = {
    "arch": "resnet50", "size": 224, "epochs": 100, "batch_size": 128, "optimizer": "lars", "lr": 0.3, "scale_lr": True,
    "momentum": 0.9, "wd": 1.5e-6, "warmup_epochs": 10, "warmup_lr": 0.0, "final_lr": 0.0, "moco_dim": 256,
    "moco_m": 0.996, "tau_schedule": "constant", "knn_k": 200, "knn_t": 0.1, "crop_root": "none"}
LCR: Settings = {"cam_weight": 0.01, "crop_root": "none"}

# What every public code computes in its own way, whichever the method.
EXACT: Settings = {"precision": "fp32", "sync_bn": False, "crop_bottom": 0}
MOCO_SEED: Settings = {**EXACT, "moco_k": 65536, "queue_mask": "none", "shuffle_keys": True,
                       "schedule_kind": "cosine-moco"}
BYOL_SEED: Settings = {**EXACT, "momentum": 0.0, "lars_norm": "joint", "schedule_kind": "cosine-late",
                       "max_pool": False}

# Some hundreds of images and one CPU; chosen on held-out fifths of training splits, see docs/results.md.
SMALL: Settings = {
    "optimizer": "adamw", "lr": 1e-3, "wd": 0.05, "backbone_lr_scale": 0.02, "frozen_bn": True, "epochs": 3,
    "batch_size": 16, "scale_lr": False, "warmup_epochs": 0.0}
SMALL_LEAD: Settings = {
    "lr": 3e-4, "backbone_lr_scale": 0.5, "epochs": 8, "warmup_epochs": 0.5, "alpha": 0.0, "view_recipe": "mild",
    "teacher_view": "clean", "teacher_dim": 64, "teacher_size": 224, "neighbours": "auto",
    "head_start": "least-squares", "cosine_weight": 1.0, "trust": "auto", "select": "labelfree"}
# What takes their place where the teacher's networks do not agree on neighbours: engine/workflows/pretrain/trust.py.
UNTRUSTED: Settings = {
    "teacher_dim": 512, "teacher_whiten": 0.5, "neighbours": 0, "lr": 7e-4, "joint_share": 0.25}

LEAD_SEED: Settings = {
    **EXACT, "moco_k": 65536, "schedule_kind": "cosine-epoch", "queue_mask": "none", "teacher_norm": "student",
    "teacher_view": "augmented", "teacher_precision": "fp32", "six_passes": True, "early_enqueue": True,
    "log_of_softmax": True, "entropy_by": "num-classes", "distill_sum": True, "cam": "rows",
    "attention_normalise": "batch", "shuffle_keys": True, "rows_as_stored": True}

# LCR's data sets; the yaml of CUB spreads the cosine over 800 epochs, stops after 100, and asks for the kNN monitor in
# every one.
CUB, OTHERS = ("bird", "cub"), ("car", "cars", "aircraft")
OF_MOCO: dict[str, Settings] = dict.fromkeys((*CUB, *OTHERS), {**MOCO_OF_LCR, "crop_root": "none"})
OF_BYOL: dict[str, Settings] = {**dict.fromkeys(CUB, {"schedule_epochs": 800, "monitor_every": 1}),
                                **dict.fromkeys(OTHERS, {"monitor_every": 0})}

METHODS: dict[str, MethodRow] = {
    "lead": MethodRow(
        reads=("queue", "guidance", "sides", "facts", "rationale"), settings={"schedule": [60, 80]}, first_epoch=1,
        named={**dict.fromkeys((*CUB, "car", "cars"), PUBLISHED), "aircraft": {**PUBLISHED, "crop_bottom": 20},
               "dog": PUBLISHED, "small": {**SMALL, **SMALL_LEAD}, "seed": LEAD_SEED}),
    "moco": MethodRow(
        reads=("queue", "moco", "source"), settings={"moco_t": 0.2, "moco_dim": 128},
        named={**OF_MOCO, "small": SMALL, "seed": MOCO_SEED}),
    "byol": MethodRow(
        reads=("byol", "source"), settings=BYOL, named={**OF_BYOL, "small": SMALL, "seed": BYOL_SEED}),
    "lcr-moco": MethodRow(
        reads=("queue", "moco", "source", "rationale", "sign"), settings={**MOCO_OF_LCR, **LCR},
        named={**OF_MOCO, "small": SMALL, "seed": {**MOCO_SEED, "cam": "rows", "attention_normalise": "batch"}}),
    "lcr-byol": MethodRow(
        reads=("byol", "source", "rationale", "sign"), settings={**BYOL, **LCR},
        named={**OF_BYOL, "small": SMALL, "seed": {**BYOL_SEED, "cam": "positions", "attention_normalise": "batch"}}),
}


def list_methods(group: str) -> tuple[str, ...]:
    """The methods that read a group of flags."""
    return tuple(name for name, row in METHODS.items() if group in row.reads)
