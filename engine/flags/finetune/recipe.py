"""Options of main_finetune.py that say how a network learns: augmentation, steps and rates, what is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from runtime.options import Options, flag, switch
from runtime.ranges import (
    BATCH,
    COUNT,
    COUNT_OR_0,
    EPOCHS,
    PARTS,
    POSITIVE,
    RATE,
    SHARE,
    SHARE_ABOVE_0,
    SHARE_BELOW_1,
    WEIGHT,
    real,
    whole_number,
)
from runtime.words import sinks


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions(Options):
    """What a network sees in training, and in evaluation."""

    title: ClassVar[str | None] = "views"

    train_view: str = flag("auto", ("auto", "timm", "pim", "mild", "probe"), "timm = the flags below; pim = PIM's "
                           "own; auto = pim for --method pim, else timm")
    eval_view: str = flag("auto", None, "crop = short side 256/224 x size, centre; warp = the whole image, aspect "
                          "ignored; pim; or a recipe of docs/data.md; auto = warp for --method teacher from 384 "
                          "pixels on, pim for --method pim, else crop", metavar="VIEW")
    crop_pct: float | None = flag(None, POSITIVE, "0.875 = --eval-view crop, 1 = short-exact")
    aa: str = flag("rand-m9-mstd0.5-inc1", None, "timm's words for RandAugment and its kin; none = colours by "
                   "--color-jitter", metavar="POLICY")
    color_jitter: float = flag(0.4, real(0, 100), "acts with --aa none only, as in timm")
    train_interpolation: str = flag("bicubic", ("bicubic", "bilinear", "random"), "how training views are resized",
                                    "--interpolation")
    scale: tuple[float, float] = flag((0.08, 1.0), SHARE_ABOVE_0, "area of a training crop, least, most", nargs=2)
    hflip: float = flag(0.5, SHARE, "how often a training view is mirrored")
    reprob: float = flag(0.25, SHARE, "how often a rectangle is erased")
    remode: str = flag("pixel", ("const", "rand", "pixel"), "with what")
    recount: int = flag(1, whole_number(1, 1000), "how many rectangles")
    repeated_aug: bool = switch(False, "every image --repeats times an epoch's pass, in different views", negation=True)
    repeats: int = flag(3, whole_number(1, 1000), "of --repeated-aug")
    mixup: float = flag(0.0, WEIGHT, "alpha of mixup; 0 = off")
    cutmix: float = flag(0.0, WEIGHT, "alpha of CutMix; 0 = off")
    cutmix_minmax: tuple[float, float] | None = flag(None, SHARE, "side of CutMix's rectangle as shares, in place of "
                                                     "its alpha", nargs=2, metavar=("LEAST", "MOST"))
    mixup_prob: float = flag(1.0, SHARE, "how often a batch is mixed")
    mixup_switch_prob: float = flag(0.5, SHARE, "CutMix's share when both are on")
    mixup_mode: Literal["batch", "pair", "elem"] = flag("batch", ("batch", "pair", "elem"), "who shares a lambda")
    smoothing: float = flag(0.1, SHARE_BELOW_1, "label smoothing")


@dataclass(frozen=True, kw_only=True)
class FinetuneSteps(Options):
    """Steps and rates."""

    title: ClassVar[str | None] = "optimisation"

    epochs: int = flag(60, EPOCHS, "passes over the training images", "--max-epochs")
    batch_size: int = flag(16, BATCH, "images at once, over all ranks", "-b")
    accum_steps: int = flag(1, PARTS, "batches of one step: it has --batch-size x N images", "--update-freq",
                            metavar="N")
    opt: str = flag("adamw", str.lower, "adamw, sgd (Nesterov), or momentum (without)", "--optimizer", metavar="NAME")
    opt_eps: float = flag(1e-08, POSITIVE, "AdamW's epsilon")
    opt_betas: tuple[float, ...] = flag((0.9, 0.999), SHARE_BELOW_1, "AdamW's betas", nargs=2)
    momentum: float = flag(0.9, SHARE_BELOW_1, "SGD's")
    wd: float = flag(1e-08, WEIGHT, "weight decay", "--weight-decay", "--wdecay")
    weight_decay_end: float | None = flag(None, WEIGHT, "where a cosine leads it; none = constant")
    vector_decay: bool = switch(False, "also decay biases, norms, tokens and position embeddings (PIM's code)")
    clip_grad: float = flag(0.0, WEIGHT, "largest gradient norm; 0 = any")
    lr: float = flag(5e-05, RATE, "learning rate, as it is", "--max-lr")
    lr_scale_ref: int = flag(0, COUNT_OR_0, "multiply --lr with a step's images / this (DeiT: 512); 0 = never",
                             metavar="IMAGES")
    sched: str = flag("cosine", ("cosine", "cosine-epoch", "cosine-pim", "step", "constant"), "cosine falls with "
                      "every step, cosine-epoch with every epoch, cosine-pim as PIM's code has it, step at every "
                      "--decay-epochs")
    min_lr: float | None = flag(None, WEIGHT, "where a cosine ends, as a rate")
    min_lr_ratio: float = flag(None, SHARE, "where it ends, as a share of --lr; 0.02")
    warmup_epochs: float = flag(0.0, real(0, 10**6), "linear rise of the rate")
    warmup_steps: int = flag(-1, whole_number(-1), "the same in steps")
    warmup_batchs: int = flag(0, COUNT_OR_0, "the same in batches, as PIM has it", metavar="N")
    warmup_lr: float = flag(1e-06, WEIGHT, "where it begins")
    decay_epochs: float = flag(30, real(0.1), "of --sched step: epochs between falls")
    decay_rate: float = flag(0.1, SHARE, "to this share", "--dr")
    layer_decay: float = flag(1.0, SHARE, "the rate falls by this from layer to layer")
    backbone_lr_scale: float = flag(1.0, WEIGHT, "the rate of all but the heads, as a share")
    model_ema: bool = switch(False, "also keep, evaluate and write a moving average of the network", negation=True)
    model_ema_decay: float = flag(0.99996, SHARE_BELOW_1, "its momentum")


@dataclass(frozen=True, kw_only=True)
class FinetuneWatching(Options):
    """Monitors, logs, checkpoints, and which network is reported."""

    title: ClassVar[str | None] = "watching"

    select: str = flag("last", ("last", "best-val"), "which epoch is reported and written; best-val needs a "
                       "validation part")
    monitor_every: int = flag(5, COUNT_OR_0, "epochs between looks at validation (or training) images; 0 = never",
                              "--eval-freq", metavar="EPOCHS")
    monitor_images: int = flag(500, COUNT, "at most so many training images are looked at")
    disable_eval: bool = switch(False, "look at no images but those that train")
    ensemble_order: Literal["descending", "ascending"] = flag(
        "descending", ("descending", "ascending"), "highest-x adds the x most certain branches; ascending = the "
        "least certain, as PIM's code")
    cache: str = flag("cache", None, "where a teacher's answers are kept", metavar="DIR")
    save_every: int = flag(0, COUNT_OR_0, "also save within an epoch", metavar="STEPS")
    logger: str = flag("", sinks, "tensorboard, wandb, or both with a comma", metavar="NAMES")
    enable_wandb: bool = switch(False, "the same as --logger wandb", "--use-wandb")
    use_amp: bool | None = switch(None, "true = fp16 on CUDA, false = --precision fp32")
