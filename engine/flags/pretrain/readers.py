"""Which choices read which flags of main_pretrain.py; engine.flags.unread says what becomes of the others."""

from __future__ import annotations

from engine.flags.pretrain.options import PretrainOptions
from engine.flags.unread import COSINES, Readers, always, describe_unread, method


def falls(options: PretrainOptions) -> str:
    """How the rate of main_pretrain.py falls."""
    return options.schedule_kind if options.cos else "step"


def clusters(options: PretrainOptions) -> bool:
    """Whether LEAD makes prototypes of images, which need a temperature."""
    return options.method == "lead" and (options.teacher != "clip" or options.prototypes == "both")


QUEUES, BRANCHES, BYOLS = ("lead", "moco", "lcr-moco"), ("lead", "lcr-moco", "lcr-byol"), ("byol", "lcr-byol")
READERS = (
    Readers(("moco_k", "moco_t", "queue_mask", "shuffle_keys", "view_recipe"), describe_unread(*QUEUES),
            method(*QUEUES)),
    Readers(("mlp", "aug_plus"), describe_unread("moco", "lcr-moco"), method("moco", "lcr-moco")),
    Readers(("view_recipe",), "--aug-plus true", lambda told: told.method == "lead" or told.aug_plus),
    Readers(("tau_schedule", "projector_hidden"), describe_unread(*BYOLS), method(*BYOLS)),
    Readers(("moco_source",), "another method than lead", lambda told: told.method != "lead"),
    # Noted, not refused: a baseline is trained with LEAD's own command line and another --method.
    Readers(("text_load", "text_rows", "teacher", "teacher_weights", "teacher_arch", "teacher_size", "teacher_view",
             "teacher_norm", "teacher_precision", "prototypes", "target_entropy", "alpha", "beta", "cross_weight",
             "temperature", "cosine_weight", "teacher_dim", "neighbours", "neighbour_steps", "head_start",
             "rows_as_stored"), describe_unread("lead"), method("lead"), always),
    Readers(("six_passes", "early_enqueue", "log_of_softmax", "distill_sum", "entropy_by"), describe_unread("lead"),
            method("lead")),
    Readers(("num_classes",), "a text tensor, whose rows are counted, or --entropy-by num-classes",
            lambda told: not told.num_classes or told.method == "lead"
            and (told.teacher == "clip" or told.entropy_by == "num-classes"), always),
    Readers(("text_rows", "teacher_arch", "rows_as_stored"), "--teacher clip",
            lambda told: told.method != "lead" or told.teacher == "clip"),
    Readers(("teacher_dim",), "an image teacher", lambda told: told.method != "lead" or told.teacher != "clip"),
    Readers(("target_entropy",), "prototypes of images, and without --temperature",
            lambda told: told.method != "lead" or clusters(told) and told.temperature is None),
    Readers(("teacher_precision",), "--teacher-view augmented, or --teacher clip",
            lambda told: told.method != "lead" or told.teacher == "clip" or told.teacher_view == "augmented", always),
    Readers(("neighbour_steps",), "--neighbours", lambda told: told.method != "lead" or told.neighbours != 0),
    Readers(("cam_weight", "cam", "cam_temperature", "branch_width", "attention_normalise"), describe_unread(*BRANCHES),
            method(*BRANCHES)),
    Readers(("cam_sign",), describe_unread("lcr-moco", "lcr-byol"), method("lcr-moco", "lcr-byol")),
    Readers(("cam_temperature",), "--cam peak", lambda told: told.method not in BRANCHES or told.cam == "peak"),
    Readers(("crop_from",), "crops", lambda told: told.crop_root != "none"),
    Readers(("momentum",), "--optimizer sgd or lars", lambda told: told.optimizer != "adamw"),
    Readers(("lars_norm",), "--optimizer lars", lambda told: told.optimizer == "lars"),
    Readers(("schedule_kind",), "--cos true", lambda told: told.cos),
    Readers(("schedule",), "--cos false or --schedule-kind step", lambda told: falls(told) == "step", always),
    Readers(("schedule_epochs", "final_lr"), "a cosine", lambda told: falls(told) in COSINES),
    Readers(("warmup_lr",), "--warmup-epochs above 0", lambda told: told.warmup_epochs > 0, always),
    Readers(("knn_k", "knn_t"), "--monitor-every above 0", lambda told: told.monitor_every > 0, always),
    Readers(("monitor_images", "monitor_retrieval"), "--monitor-every above 0", lambda told: told.monitor_every > 0),
)
