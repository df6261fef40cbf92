"""The settings that a name stands for, as data: of a method, a data set, a recipe."""

from __future__ import annotations

from engine.flags.presets import Presets, Settings

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
    "lr": 2e-5, "backbone_lr_scale": 0.5, "view_recipe": "mild", "teacher_view": "clean", "teacher_dim": 64,
    "teacher_size": 224, "neighbours": "auto", "head_start": "least-squares", "cosine_weight": 1.0}

LEAD_SEED: Settings = {
    **EXACT, "moco_k": 65536, "schedule_kind": "cosine-epoch", "queue_mask": "none", "teacher_norm": "student",
    "teacher_view": "augmented", "teacher_precision": "fp32", "six_passes": True, "early_enqueue": True,
    "log_of_softmax": True, "entropy_by": "num-classes", "distill_sum": True, "cam": "rows",
    "attention_normalise": "batch", "shuffle_keys": True, "rows_as_stored": True}

# LCR's data sets; the yaml of CUB spreads the cosine over 800 epochs, stops after 100, and asks for the kNN monitor in
# every one.
OF_MOCO: Settings = {**MOCO_OF_LCR, "crop_root": "none"}
CUB_OF_BYOL: Settings = {"schedule_epochs": 800, "monitor_every": 1}
OTHER_OF_BYOL: Settings = {"monitor_every": 0}
ON_CUB: dict[str, Settings] = {"moco": OF_MOCO, "lcr-moco": OF_MOCO, "byol": CUB_OF_BYOL, "lcr-byol": CUB_OF_BYOL}
ON_OTHERS: dict[str, Settings] = {"moco": OF_MOCO, "lcr-moco": OF_MOCO, "byol": OTHER_OF_BYOL,
                                  "lcr-byol": OTHER_OF_BYOL}

PRESETS = Presets(
    methods={
        "lead": {"schedule": [60, 80]}, "moco": {"moco_t": 0.2, "moco_dim": 128}, "byol": BYOL,
        "lcr-moco": {**MOCO_OF_LCR, **LCR}, "lcr-byol": {**BYOL, **LCR}},
    named={
        **{name: {"lead": PUBLISHED, **ON_CUB} for name in ("bird", "cub")},
        **{name: {"lead": PUBLISHED, **ON_OTHERS} for name in ("car", "cars")},
        "aircraft": {"lead": {**PUBLISHED, "crop_bottom": 20}, **ON_OTHERS},
        "dog": {"lead": PUBLISHED},
        "small": {"lead": {**SMALL, **SMALL_LEAD}, "moco": SMALL, "byol": SMALL, "lcr-moco": SMALL, "lcr-byol": SMALL},
        "seed": {"lead": LEAD_SEED, "moco": MOCO_SEED, "byol": BYOL_SEED,
                 "lcr-moco": {**MOCO_SEED, "cam": "rows", "attention_normalise": "batch"},
                 "lcr-byol": {**BYOL_SEED, "cam": "positions", "attention_normalise": "batch"}}})
