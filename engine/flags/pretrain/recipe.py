"""Options of main_pretrain.py that say how a network learns: steps and rates, and what is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evaluation.options import LABELFREE
from runtime.options import Options, flag, switch
from runtime.ranges import (
    BATCH,
    COUNT,
    COUNT_OR_0,
    EPOCHS,
    PARTS,
    RATE,
    SHARE,
    SHARE_BELOW_1,
    TEMPERATURE,
    WEIGHT,
    real,
)
from runtime.words import sinks


@dataclass(frozen=True, kw_only=True)
class PretrainSteps(Options):
    """Steps and rates."""

    title: ClassVar[str | None] = "optimisation"

    epochs: int = flag(100, EPOCHS, "passes over the training images")
    batch_size: int = flag(64, BATCH, "images of one step, over all ranks", "-b")
    accum_steps: int = flag(1, PARTS, "micro-batches a step is cut into")
    optimizer: str = flag("sgd", ("sgd", "adamw", "lars"), "lars leaves biases and norms to plain SGD")
    lars_norm: str = flag("apart", ("apart", "joint"), "what LARS's trust ratio divides by: |g| + wd |w|, or |g + wd "
                          "w| as LCR's code does")
    momentum: float = flag(0.9, SHARE_BELOW_1, "of sgd and lars")
    lr: float = flag(0.02, RATE, "peak learning rate", "--learning-rate")
    scale_lr: bool = switch(False, "the rates are for 256 images: times batch size / 256")
    wd: float = flag(0.0005, WEIGHT, "weight decay", "--weight-decay")
    cos: bool = switch(True, "fall along a cosine; false = fall at --schedule")
    schedule_kind: str = flag("cosine", ("cosine", "cosine-epoch", "cosine-moco", "cosine-late", "step", "constant"),
                              "how the rate falls when --cos is true: every step, or as in LEAD's, MoCo's or LCR's "
                              "code")
    schedule_epochs: int = flag(0, COUNT_OR_0, "epochs the cosine is made for; 0 = --epochs")
    final_lr: float = flag(0.0, WEIGHT, "where a cosine ends")
    schedule: tuple[int, ...] = flag((120, 160), COUNT, "epochs at which the rate falls to a tenth, with --cos false; "
                                     "LEAD's 60 80 count from 1 (the 60th epoch runs at the lower rate), MoCo's and "
                                     "LCR's 120 160 from 0", nargs="*")
    warmup_epochs: float = flag(0.0, real(0, 10**6), "linear rise of the rate")
    warmup_lr: float = flag(0.0, WEIGHT, "where it begins")
    backbone_lr_scale: float = flag(1.0, WEIGHT, "the backbone's share of the rate")
    head_warmup_epochs: int = flag(0, COUNT_OR_0, "epochs in which only head and branch learn")
    clip_grad: float = flag(0.0, WEIGHT, "largest gradient norm; 0 = any")


@dataclass(frozen=True, kw_only=True)
class PretrainWatching(Options):
    """Monitors, logs, and what follows training."""

    title: ClassVar[str | None] = "watching"

    monitor_every: int = flag(5, COUNT_OR_0, "epochs between monitors; 0 = never")
    monitor_images: int = flag(2000, COUNT, "at most so many training images are monitored")
    knn_k: int = flag(20, COUNT, "neighbours of the kNN monitor")
    knn_t: float = flag(0.07, TEMPERATURE, "temperature of the kNN monitor")
    monitor_retrieval: bool = switch(False, "rank-1 and mAP of the val split among the monitors; test never is")
    save_every: int = flag(0, COUNT_OR_0, "also save within an epoch; 0 = at its end only", metavar="STEPS")
    logger: str = flag("", sinks, "tensorboard, wandb, or both with a comma", metavar="NAMES")
    centre: bool = switch(True, "store the training split's mean features with the encoder")
    select: str = flag("last", ("last", LABELFREE), "which epoch's network other commands take: labelfree = the start "
                       "or the monitored epoch whose neighbours are most those that the teacher names, as "
                       "model_best.pth with its joint feature")
    joint_share: float = flag(0.5, SHARE, "the head's share of that joint feature's cosines", metavar="S")
    test: bool = switch(False, "after training, run retrieval on the test split once")
