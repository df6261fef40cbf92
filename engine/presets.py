"""The settings that a name stands for, as data: of a method, a data set, a recipe."""

from __future__ import annotations

PUBLISHED = {"arch": "resnet50", "size": 224, "epochs": 100, "batch_size": 64, "optimizer": "sgd", "lr": 0.02,
             "wd": 5e-4, "moco_t": 0.27, "alpha": 0.5, "beta": 20.0, "seed": 123}

# Laid under the user's flags in the order method, preset, recipe.
PRESETS: dict[str, dict[str, object]] = {
    "moco": {"moco_t": 0.2, "moco_dim": 128},
    "seed": {"moco_k": 65536, "schedule_kind": "cosine-epoch", "queue_mask": "none", "teacher_norm": "student",
             "teacher_view": "augmented", "crop_bottom": 0, "precision": "fp32", "teacher_precision": "fp32",
             "six_passes": True, "early_enqueue": True, "log_of_softmax": True, "entropy_by": "num-classes",
             "distill_sum": True, "sync_bn": False, "cam": "rows", "attention_normalise": "batch",
             "shuffle_keys": True},
    "bird": PUBLISHED, "car": PUBLISHED, "dog": PUBLISHED, "aircraft": {**PUBLISHED, "crop_bottom": 20},
    "small": {"optimizer": "adamw", "lr": 1e-3, "wd": 0.05, "backbone_lr_scale": 0.1, "frozen_bn": True,
              "head_warmup_epochs": 2, "teacher_view": "clean", "cosine_weight": 1.0, "epochs": 20},
}
