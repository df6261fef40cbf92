"""Flags of main_pretrain.py that say how a network learns: steps and rates, and what is watched."""


from __future__ import annotations

from engine.flags.parser import Parser, toggle
from engine.flags.ranges import BATCH, COUNT, COUNT_OR_0, EPOCHS, PARTS, RATE, SHARE_BELOW_1, TEMPERATURE, WEIGHT, real
from engine.flags.words import sinks


def add_pretrain_optimisation(parser: Parser) -> None:
    """Steps and rates."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--epochs", type=EPOCHS, default=100, help="passes over the training images")
    group.add_argument("-b", "--batch-size", type=BATCH, default=64, help="images of one step, over all ranks")
    group.add_argument("--accum-steps", type=PARTS, default=1, help="micro-batches a step is cut into")
    group.add_argument("--optimizer", choices=("sgd", "adamw", "lars"), default="sgd",
                       help="lars leaves biases and norms to plain SGD")
    group.add_argument("--lars-norm", choices=("apart", "joint"), default="apart",
                       help="what LARS's trust ratio divides by: |g| + wd |w|, or |g + wd w| as LCR's code does")
    group.add_argument("--momentum", type=SHARE_BELOW_1, default=0.9, help="of sgd and lars")
    group.add_argument("--lr", "--learning-rate", type=RATE, default=0.02, help="peak learning rate")
    toggle(group, "--scale-lr", False, "the rates are for 256 images: times batch size / 256")
    group.add_argument("--wd", "--weight-decay", type=WEIGHT, default=5e-4, help="weight decay")
    toggle(group, "--cos", True, "fall along a cosine; false = fall at --schedule")
    group.add_argument("--schedule-kind", default="cosine",
                       choices=("cosine", "cosine-epoch", "cosine-moco", "cosine-late", "step", "constant"),
                       help="how the rate falls when --cos is true: every step, or as in LEAD's, MoCo's or LCR's code")
    group.add_argument("--schedule-epochs", type=COUNT_OR_0, default=0,
                       help="epochs the cosine is made for; 0 = --epochs")
    group.add_argument("--final-lr", type=WEIGHT, default=0.0, help="where a cosine ends")
    group.add_argument("--schedule", type=COUNT, nargs="*", default=[120, 160],
                       help="epochs at which the rate falls to a tenth, with --cos false; LEAD's 60 80 count from 1 "
                            "(the 60th epoch runs at the lower rate), MoCo's and LCR's 120 160 from 0")
    group.add_argument("--warmup-epochs", type=real(0, 10**6), default=0.0, help="linear rise of the rate")
    group.add_argument("--warmup-lr", type=WEIGHT, default=0.0, help="where it begins")
    group.add_argument("--backbone-lr-scale", type=WEIGHT, default=1.0, help="the backbone's share of the rate")
    group.add_argument("--head-warmup-epochs", type=COUNT_OR_0, default=0,
                       help="epochs in which only head and branch learn")
    group.add_argument("--clip-grad", type=WEIGHT, default=0.0, help="largest gradient norm; 0 = any")


def add_pretrain_monitors(parser: Parser) -> None:
    """Monitors, logs, checkpoints."""
    group = parser.add_argument_group("watching")
    group.add_argument("--monitor-every", type=COUNT_OR_0, default=5, help="epochs between monitors; 0 = never")
    group.add_argument("--monitor-images", type=COUNT, default=2000,
                       help="at most so many training images are monitored")
    group.add_argument("--knn-k", type=COUNT, default=20, help="neighbours of the kNN monitor")
    group.add_argument("--knn-t", type=TEMPERATURE, default=0.07, help="temperature of the kNN monitor")
    toggle(group, "--monitor-retrieval", False, "rank-1 and mAP of the val split among the monitors; test never is")
    group.add_argument("--save-every", type=COUNT_OR_0, default=0, metavar="STEPS",
                       help="also save within an epoch; 0 = at its end only")
    group.add_argument("--logger", type=sinks, default="", metavar="NAMES",
                       help="tensorboard, wandb, or both with a comma")
    toggle(group, "--centre", True, "store the training split's mean features with the encoder")
    toggle(group, "--test", False, "after training, run retrieval on the test split once")
