"""Which choices read which flags of main_finetune.py; engine.flags.unread says what becomes of the others."""

from __future__ import annotations

import argparse

from engine.flags.unread import COSINES, Readers, always, describe_unread, method


def mixes(args: argparse.Namespace) -> bool:
    """Whether main_finetune.py mixes images."""
    return args.mixup > 0 or args.cutmix > 0 or args.cutmix_minmax is not None


PLAIN = ("plain", "teacher", "distill")  # methods of DeiT's and ConvNeXt's codes
of_theirs, of_deit, of_pim = method(*PLAIN), method("plain", "distill"), method("pim")
READERS = (
    Readers(("teacher_model", "teacher_path", "distillation_alpha", "distillation_tau"), describe_unread("distill"),
            method("distill"), of_deit),
    Readers(("distillation_reduction", "teacher_cache"), describe_unread("distill"), method("distill")),
    Readers(("distillation_tau",), "--distillation-type soft",
            lambda told: told.method != "distill" or told.distillation_type == "soft", always),
    Readers(("distillation_reduction",), "--distillation-type soft",
            lambda told: told.method != "distill" or told.distillation_type == "soft"),
    Readers(("cache",), "--teacher-cache", lambda told: told.teacher_cache),
    Readers(("taps", "use_fpn", "fpn_size", "use_selection", "num_selects", "use_combiner", "comb_proj_size",
             "lambda_b", "lambda_s", "lambda_n", "lambda_c", "ensemble_order"), describe_unread("pim"), of_pim),
    Readers(("fpn_size",), "--use-fpn true", lambda told: told.method != "pim" or told.use_fpn, of_pim),
    Readers(("comb_proj_size",), "--use-fpn false and --use-combiner true",
            lambda told: told.method != "pim" or told.use_combiner and not told.use_fpn, of_pim),
    Readers(("num_selects", "lambda_s", "lambda_n"), "--use-selection true",
            lambda told: told.method != "pim" or told.use_selection, of_pim),
    Readers(("lambda_c",), "--use-combiner true", lambda told: told.method != "pim" or told.use_combiner, of_pim),
    Readers(("drop", "head_init_scale", "layer_scale_init_value", "second_head"), describe_unread(*PLAIN), of_theirs),
    Readers(("aa", "color_jitter", "train_interpolation", "scale", "hflip", "reprob", "remode", "recount"),
            "--train-view timm", lambda told: told.train_view == "timm"),
    Readers(("color_jitter",), "--aa none", lambda told: told.train_view != "timm" or told.aa in ("", "none"), always),
    Readers(("remode", "recount"), "--reprob above 0", lambda told: told.train_view != "timm" or told.reprob > 0,
            always),
    Readers(("mixup_prob", "mixup_mode"), "--mixup or --cutmix", mixes, always),
    Readers(("mixup_switch_prob",), "both --mixup and --cutmix",
            lambda told: told.mixup > 0 and (told.cutmix > 0 or told.cutmix_minmax is not None), always),
    Readers(("repeats",), "--repeated-aug", lambda told: told.repeated_aug),
    Readers(("opt_eps", "opt_betas"), "--opt adamw", lambda told: told.opt == "adamw", always),
    Readers(("momentum",), "--opt sgd or momentum", lambda told: told.opt != "adamw", always),
    Readers(("min_lr", "min_lr_ratio"), "a cosine for --sched", lambda told: told.sched in COSINES),
    Readers(("decay_epochs", "decay_rate"), "--sched step", lambda told: told.sched == "step", always),
    Readers(("warmup_lr",), "a warm-up", lambda told: told.warmup_epochs > 0 or told.warmup_steps > 0
            or told.warmup_batchs > 0, always),
    Readers(("warmup_epochs",), "neither --warmup-steps nor --warmup-batchs",
            lambda told: told.warmup_epochs == 0 or told.warmup_steps <= 0 and told.warmup_batchs == 0, always),
    Readers(("warmup_batchs",), "no --warmup-steps", lambda told: told.warmup_batchs == 0 or told.warmup_steps <= 0,
            always),
    Readers(("weight_decay_end",), "--wd above 0", lambda told: told.wd > 0),
    Readers(("model_ema_decay",), "--model-ema", lambda told: told.model_ema, always),
    Readers(("monitor_every", "monitor_images"), "--disable-eval false", lambda told: not told.disable_eval),
    Readers(("monitor_images",), "--eval-freq above 0", lambda told: told.monitor_every > 0),
)
