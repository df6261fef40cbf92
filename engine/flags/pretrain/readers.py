"""Which choices read which flags of main_pretrain.py; engine.flags.unread says what becomes of the others."""

from __future__ import annotations

from engine.flags.pretrain.methods import GROUPS, METHODS, list_methods
from engine.flags.pretrain.options import PretrainOptions
from engine.flags.unread import COSINES, Readers, always, describe_unread, method, never
from evaluation.options import LABELFREE


def reads(options: PretrainOptions, group: str) -> bool:
    """Whether the chosen method reads this group of flags."""
    return group in METHODS[options.method].reads


def falls(options: PretrainOptions) -> str:
    """How the rate of main_pretrain.py falls."""
    return options.schedule_kind if options.cos else "step"


def contrasts(options: PretrainOptions) -> bool:
    """Whether images are contrasted: LEAD's may have a weight of 0, and only its public arithmetic contrasts then."""
    return options.method != "lead" or options.alpha > 0 or options.six_passes


def clusters(options: PretrainOptions) -> bool:
    """Whether prototypes are made of images, which needs a temperature."""
    return reads(options, "guidance") and (options.teacher != "clip" or options.prototypes == "both")


# Noted, not refused, beside another method: a baseline is trained with LEAD's own command line and another --method.
NOTED = ("guidance",)
READERS = (
    *(Readers(flags, describe_unread(*list_methods(group)), method(*list_methods(group)),
              always if group in NOTED else never) for group, flags in GROUPS.items()),
    Readers(("view_recipe",), "--aug-plus true", lambda told: not reads(told, "moco") or told.aug_plus),
    Readers(("num_classes",), "a text tensor, whose rows are counted, or --entropy-by num-classes",
            lambda told: not told.num_classes or reads(told, "guidance")
            and (told.teacher == "clip" or told.entropy_by == "num-classes"), always),
    Readers(("text_rows", "teacher_arch", "rows_as_stored"), "--teacher clip",
            lambda told: not reads(told, "guidance") or told.teacher == "clip"),
    Readers(("teacher_dim", "teacher_whiten"), "an image teacher",
            lambda told: not reads(told, "guidance") or told.teacher != "clip"),
    Readers(("target_entropy",), "prototypes of images, and without --temperature",
            lambda told: not reads(told, "guidance") or clusters(told) and told.temperature is None),
    Readers(("teacher_precision",), "--teacher-view augmented, or --teacher clip",
            lambda told: not reads(told, "guidance") or told.teacher == "clip" or told.teacher_view == "augmented",
            always),
    Readers(("moco_k", "moco_m", "moco_t", "queue_mask", "cross_weight", "cam_weight", "cam", "cam_temperature",
             "branch_width", "attention_normalise"), "--alpha above 0", contrasts, always),
    Readers(("joint_share",), "--select labelfree", lambda told: told.select == LABELFREE),
    Readers(("neighbour_steps",), "--neighbours", lambda told: not reads(told, "guidance") or told.neighbours != 0),
    Readers(("cam_temperature",), "--cam peak", lambda told: not reads(told, "rationale") or told.cam == "peak"),
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
