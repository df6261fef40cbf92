"""Flags of main_finetune.py that say how a network learns: augmentation, steps and rates, what is watched."""

from __future__ import annotations

import argparse

from engine.flags.parser import Parser, boolean, toggle
from engine.flags.ranges import (
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
from engine.flags.words import sinks

SCHEDULES = ("cosine", "cosine-epoch", "cosine-pim", "step", "constant")


def switch(group: argparse._ArgumentGroup, name: str, default: bool | None, text: str) -> None:
    """A boolean flag both ways: `--name`, `--name false`, `--no-name`."""
    toggle(group, name, default, text)
    group.add_argument(f"--no-{name[2:]}", dest=name[2:].replace("-", "_"), action="store_false",
                       default=argparse.SUPPRESS, help=f"the same as {name} false")


def add_augmentation(parser: Parser) -> None:
    """What a network sees in training, and in evaluation."""
    group = parser.add_argument_group("views")
    group.add_argument("--train-view", choices=("auto", "timm", "pim", "mild", "probe"), default="auto",
                       help="timm = the flags below; pim = PIM's own; auto = pim for --method pim, else timm")
    group.add_argument("--eval-view", default="auto", metavar="VIEW",
                       help="crop = short side 256/224 x size, centre; warp = the whole image, aspect ignored; pim; or "
                            "a recipe of docs/data.md; auto = warp for --method teacher from 384 pixels on, pim for "
                            "--method pim, else crop")
    group.add_argument("--crop-pct", type=POSITIVE, default=None, help="0.875 = --eval-view crop, 1 = short-exact")
    group.add_argument("--aa", default="rand-m9-mstd0.5-inc1", metavar="POLICY",
                       help="timm's words for RandAugment and its kin; none = colours by --color-jitter")
    group.add_argument("--color-jitter", type=real(0, 100), default=0.4, help="acts with --aa none only, as in timm")
    group.add_argument("--train-interpolation", "--interpolation", choices=("bicubic", "bilinear", "random"),
                       default="bicubic", help="how training views are resized")
    group.add_argument("--scale", type=SHARE_ABOVE_0, nargs=2, default=[0.08, 1.0],
                       help="area of a training crop, least, most")
    group.add_argument("--hflip", type=SHARE, default=0.5, help="how often a training view is mirrored")
    group.add_argument("--reprob", type=SHARE, default=0.25, help="how often a rectangle is erased")
    group.add_argument("--remode", choices=("const", "rand", "pixel"), default="pixel", help="with what")
    group.add_argument("--recount", type=whole_number(1, 1000), default=1, help="how many rectangles")
    switch(group, "--repeated-aug", False, "every image --repeats times an epoch's pass, in different views")
    group.add_argument("--repeats", type=whole_number(1, 1000), default=3, help="of --repeated-aug")
    group.add_argument("--mixup", type=WEIGHT, help="alpha of mixup; 0 = off")
    group.add_argument("--cutmix", type=WEIGHT, help="alpha of CutMix; 0 = off")
    group.add_argument("--cutmix-minmax", type=SHARE, nargs=2, default=None, metavar=("LEAST", "MOST"),
                       help="side of CutMix's rectangle as shares, in place of its alpha")
    group.add_argument("--mixup-prob", type=SHARE, default=1.0, help="how often a batch is mixed")
    group.add_argument("--mixup-switch-prob", type=SHARE, default=0.5, help="CutMix's share when both are on")
    group.add_argument("--mixup-mode", choices=("batch", "pair", "elem"), default="batch", help="who shares a lambda")
    group.add_argument("--smoothing", type=SHARE_BELOW_1, help="label smoothing")


def add_finetune_optimisation(parser: Parser) -> None:
    """Steps and rates."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--epochs", "--max-epochs", type=EPOCHS, help="passes over the training images")
    group.add_argument("-b", "--batch-size", type=BATCH, help="images at once, over all ranks")
    group.add_argument("--update-freq", "--accum-steps", type=PARTS, default=1, metavar="N",
                       help="batches of one step: it has --batch-size x N images")
    group.add_argument("--opt", "--optimizer", type=str.lower, default="adamw", metavar="NAME",
                       help="adamw, sgd (Nesterov), or momentum (without)")
    group.add_argument("--opt-eps", type=POSITIVE, default=1e-8, help="AdamW's epsilon")
    group.add_argument("--opt-betas", type=SHARE_BELOW_1, nargs=2, default=[0.9, 0.999], help="AdamW's betas")
    group.add_argument("--momentum", type=SHARE_BELOW_1, default=0.9, help="SGD's")
    group.add_argument("--wd", "--weight-decay", "--wdecay", type=WEIGHT, help="weight decay")
    group.add_argument("--weight-decay-end", type=WEIGHT, default=None, help="where a cosine leads it; none = constant")
    toggle(group, "--vector-decay", False, "also decay biases, norms, tokens and position embeddings (PIM's code)")
    group.add_argument("--clip-grad", type=WEIGHT, default=0.0, help="largest gradient norm; 0 = any")
    group.add_argument("--lr", "--max-lr", type=RATE, help="learning rate, as it is")
    group.add_argument("--lr-scale-ref", type=COUNT_OR_0, default=0, metavar="IMAGES",
                       help="multiply --lr with a step's images / this (DeiT: 512); 0 = never")
    group.add_argument("--sched", choices=SCHEDULES, default="cosine",
                       help="cosine falls with every step, cosine-epoch with every epoch, cosine-pim as PIM's code has "
                            "it, step at every --decay-epochs")
    group.add_argument("--min-lr", type=WEIGHT, default=None, help="where a cosine ends, as a rate")
    group.add_argument("--min-lr-ratio", type=SHARE, default=None, help="where it ends, as a share of --lr; 0.02")
    group.add_argument("--warmup-epochs", type=real(0, 10**6), help="linear rise of the rate")
    group.add_argument("--warmup-steps", type=whole_number(-1), default=-1, help="the same in steps")
    group.add_argument("--warmup-batchs", type=COUNT_OR_0, default=0, metavar="N",
                       help="the same in batches, as PIM has it")
    group.add_argument("--warmup-lr", type=WEIGHT, default=1e-6, help="where it begins")
    group.add_argument("--decay-epochs", type=real(0.1), default=30, help="of --sched step: epochs between falls")
    group.add_argument("--decay-rate", "--dr", type=SHARE, default=0.1, help="to this share")
    group.add_argument("--layer-decay", type=SHARE, default=1.0, help="the rate falls by this from layer to layer")
    group.add_argument("--backbone-lr-scale", type=WEIGHT, default=1.0,
                       help="the rate of all but the heads, as a share")
    switch(group, "--model-ema", False, "also keep, evaluate and write a moving average of the network")
    group.add_argument("--model-ema-decay", type=SHARE_BELOW_1, default=0.99996, help="its momentum")


def add_finetune_monitors(parser: Parser) -> None:
    """Monitors, logs, checkpoints, and which network is reported."""
    group = parser.add_argument_group("watching")
    group.add_argument("--select", choices=("last", "best-val"), default="last",
                       help="which epoch is reported and written; best-val needs a validation part")
    group.add_argument("--eval-freq", "--monitor-every", dest="eval_freq", type=COUNT_OR_0, default=5, metavar="EPOCHS",
                       help="epochs between looks at validation (or training) images; 0 = never")
    group.add_argument("--monitor-images", type=COUNT, default=500,
                       help="at most so many training images are looked at")
    toggle(group, "--disable-eval", False, "look at no images but those that train")
    group.add_argument("--ensemble-order", choices=("descending", "ascending"), default="descending",
                       help="highest-x adds the x most certain branches; ascending = the least certain, as PIM's code")
    group.add_argument("--cache", default="cache", metavar="DIR", help="where a teacher's answers are kept")
    group.add_argument("--save-every", type=COUNT_OR_0, default=0, metavar="STEPS", help="also save within an epoch")
    group.add_argument("--logger", type=sinks, default="", metavar="NAMES",
                       help="tensorboard, wandb, or both with a comma")
    group.add_argument("--enable-wandb", "--use-wandb", type=boolean, nargs="?", const=True, default=False,
                       metavar="BOOL", help="the same as --logger wandb")
    toggle(group, "--use-amp", None, "true = fp16 on CUDA, false = --precision fp32")
