"""The flags of main_metric.py: the public OBD-SD code's names, ours beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datasets.views.recipes import AUGMENTATIONS
from engine.flags.absent import check_present
from engine.flags.groups import add_data, add_device, add_evaluation, add_ignored
from engine.flags.layering import parse_with_presets
from engine.flags.metric.finished import settle_metric_evaluation
from engine.flags.metric.losses import add_loss_flags
from engine.flags.metric.presets import PRESETS, RUNS
from engine.flags.metric.readers import METRIC
from engine.flags.metric.words import check_select_flag, resolve_embedding_network, resolve_words
from engine.flags.parser import Parser, toggle
from engine.flags.public import OBDSD_SILENT, add_name
from engine.flags.ranges import (
    BATCH,
    BETWEEN,
    COUNT,
    COUNT_OR_0,
    EPOCHS,
    RATE,
    SEED,
    SHARE,
    SHARE_BELOW_1,
    SIDE_OR_0,
    TEMPERATURE,
    WEIGHT,
    WIDTH,
    WORKERS,
    real,
)
from engine.flags.unread import add_silent, find_unread, note_unread, take_silent
from engine.flags.words import sinks
from losses.diffusion import NORMALISATIONS
from losses.metric.criteria import ALIASES, CRITERIA
from losses.metric.mining import TRIPLET_MINERS, TUPLE_MINERS
from models.weights.usual import usual_weights
from runtime.devices import list_device_problems, resolve_device
from runtime.given import list_given
from runtime.names.hub import strip_hub

SELECTED = ("rank1", "map", "map_at_r")
METHOD = "obdsd"
# What the shared parts of the engine ask for and nobody chooses here.
FIXED = {"method": METHOD, "accum_steps": 1, "sync_bn": False, "centre": False, "test": False, "crop_root": "none"}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with presets, architecture words and automatic values resolved; raises ConfigError with every problem."""
    args, problems = parse_with_presets(make_parser, PRESETS, argv, lambda first: METHOD)
    silent = take_silent(args, OBDSD_SILENT)
    words = problems.attempt(lambda: resolve_words(args))
    if words is None:  # every further problem would follow from this one
        problems.refuse()
    contradictions = problems.attempt(lambda: settle_metric_evaluation(args))
    if contradictions is None:
        problems.refuse()
    problems.lines += words + contradictions
    resolve_embedding_network(args)
    args.device = resolve_device(args.device)
    if args.pretrained == "auto":
        args.pretrained = "none" if args.not_pretrained else usual_weights(args.arch)
    if args.pretrained is None and not args.evaluate:
        problems.lines.append(f"--pretrained: no start weights for {args.arch} are at hand; give a file, hub, or none")
    if args.root is None:
        problems.lines.append("--root is missing: the data set's folder, or its parent with --dataset")
    if args.not_pretrained and "pretrained" in list_given(args):
        problems.lines.append("--not-pretrained and --pretrained say two things of the start weights; give one")
    if args.OBDP and not args.PSD:
        problems.lines.append("--OBDP changes the target of --PSD and does nothing without it; give --OBD-SD for both")
    table = () if args.evaluate else METRIC
    problems.lines += list_device_problems(args.device) + check_select_flag(args) + find_unread(args, table)
    problems.refuse(lambda: check_present(args))
    vars(args).update(FIXED)
    # Which epochs may be chosen is part of what the run is; how often monitors look otherwise is not.
    args.monitor_every_to_select = args.monitor_every if args.select == "best-val" else 0
    note_unread(args, table, silent, "log.jsonl and results.jsonl hold every number; see docs/obdsd.md")
    return args


def make_parser() -> Parser:
    """The parser of main_metric.py, for parsing and for --help."""
    parser = Parser(prog="main_metric.py", description="Learn embeddings of some classes in which others are found.")
    parser.add_argument("--preset", default="none", choices=("none", *RUNS), help="published settings by data set")
    parser.add_argument("--recipe", choices=("default", "seed"), default="default",
                        help="seed = float32 throughout; else the losses are as docs/obdsd.md says either way")
    parser.add_argument("--results-dir", "--save-path", default="checkpoints/metric", metavar="DIR",
                        help="everything the run writes")
    parser.add_argument("--resume", nargs="?", const="auto", default=None, metavar="PATH",
                        help="continue a killed run exactly (from --results-dir unless a folder or file is given); "
                             "with --evaluate the network to measure")
    add_evaluation(parser, "--evaluate", "no training: measure the network of RUN, else of --resume, else of "
                   "--results-dir, as its args.json says, or published ones; flags that contradict the run are refused")
    parser.add_argument("--pretrained-root", default=None, metavar="DIR",
                        help="the public code's Training_Results with Recall/ and NMI/, for --evaluate")
    add_metric_data(parser)
    add_embedding_network(parser)
    add_losses(parser)
    add_metric_optimisation(parser)
    add_device(parser)
    add_ignored(parser)
    add_name(parser, "checkpoints")
    add_silent(parser, OBDSD_SILENT)
    return parser


def add_metric_data(parser: Parser) -> None:
    """Photographs, the classes that train, and how batches are drawn."""
    group = add_data(parser, crops=False, root_required=False)
    group.add_argument("--source-path", "--source", dest="root", default=argparse.SUPPRESS, metavar="DIR",
                       help="the public code's --root: the folder that holds the data set's own")
    group.add_argument("--kernels", dest="num_workers", type=WORKERS, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    group.add_argument("--dataset", choices=("cub200", "cars196", "online_products"), default=None,
                       help="whose folder to look for under --root; other trees need none")
    group.add_argument("--partition", type=SEED, default=None, metavar="SEED",
                       help="another order of the classes before they are halved")
    toggle(group, "--use-tv-split", False, "hold a part of the training classes out for validation")
    toggle(group, "--tv-split-by-samples", False, "hold out images of every class instead")
    group.add_argument("--tv-split-perc", type=BETWEEN, default=0.8, help="share that stays in training")
    toggle(group, "--noisy-label", False, "flip training labels")
    group.add_argument("--noisy-ratio", type=SHARE, default=0.0, help="share of labels to flip")
    group.add_argument("--augmentation", choices=tuple(AUGMENTATIONS), default="base", help="views; see docs/data.md")
    group.add_argument("--size", type=SIDE_OR_0, default=0, help="pixels of a view's side; 0 = the augmentation's")
    group.add_argument("--data-sampler", choices=("class_random", "without-replacement"), default="class_random",
                       help="how classes and images come into a batch")
    group.add_argument("--samples-per-class", type=COUNT, default=2, help="images of a class in a batch")


def add_embedding_network(parser: Parser) -> None:
    """Backbone and embedding layer."""
    group = parser.add_argument_group("network")
    group.add_argument("-a", "--arch", type=strip_hub, default="resnet50",
                       help="any timm backbone, also in the public code's words: resnet50_normalize_frozen_double")
    group.add_argument("--pretrained", default="auto", metavar="WEIGHTS", help="as in main_pretrain.py")
    toggle(group, "--not-pretrained", False, "start from random weights")
    group.add_argument("--embed-dim", type=WIDTH, default=128, help="width of the embedding")
    group.add_argument("--pool", choices=("avg", "avg+max"), default=None, help="what the embedding is made of; avg")
    toggle(group, "--normalize", None, "rows of length 1; true unless --arch has words")
    toggle(group, "--frozen-bn", None, "keep batch statistics; true unless --arch has words")
    toggle(group, "--max-pool", True, "false = leave a ResNet's max-pool out")
    toggle(group, "--channels-last", True, "memory format of images and weights")


def add_losses(parser: Parser) -> None:
    """Metric loss, miner, self-distillation."""
    group = parser.add_argument_group("losses")
    group.add_argument("--loss", default="multisimilarity", metavar="NAME",
                       help=f"{', '.join((*CRITERIA, *ALIASES))}")
    group.add_argument("--batch-mining", default=None, metavar="NAME",
                       help=f"{', '.join((*TRIPLET_MINERS, *TUPLE_MINERS))}; the loss's own by default")
    group.add_argument("--miner-semihard-margin", type=WEIGHT, default=None,
                       help="how much farther than the positive a negative may be; default: the loss's own margin, "
                            "else 0.2")
    group.add_argument("--miner-rho-distance-lower-cutoff", type=WEIGHT, default=0.5, help="the same of rho_distance")
    group.add_argument("--miner-distance-lower-cutoff", type=WEIGHT, default=0.5,
                       help="distances count from here on")
    group.add_argument("--miner-rho-distance-cp", type=SHARE, default=0.2, help="share of same-class triplets")
    toggle(group, "--PSD", False, "learn the similarities of the last epoch's network")
    toggle(group, "--OBDP", False, "diffuse them over the batch first")
    toggle(group, "--OBD-SD", None, "both, or neither with false")
    group.add_argument("--kd-lambda", type=WEIGHT, default=75.0, help="weight of --PSD at the end of training")
    group.add_argument("--kd-tau", type=TEMPERATURE, default=1.0, help="temperature of similarities")
    group.add_argument("--diffusion-w", type=SHARE_BELOW_1, default=0.99, help="how far the diffusion goes, below 1")
    group.add_argument("--diffusion-tau", type=TEMPERATURE, default=1.0, help="temperature of the diffusion's walk")
    group.add_argument("--diffusion-norm", choices=NORMALISATIONS, default="softmax",
                       help="softmax = the public code, symmetric = the paper, uniform = an ablation")
    add_loss_flags(group)


def add_metric_optimisation(parser: Parser) -> None:
    """Steps and rates, monitors and logs."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--epochs", "--n-epochs", type=EPOCHS, default=150, help="passes over the training images")
    group.add_argument("-b", "--batch-size", "--bs", type=BATCH, default=112, help="images of one step, over all ranks")
    group.add_argument("--optimizer", "--optim", choices=("adam", "sgd"), default="adam", help="sgd has momentum 0.9")
    group.add_argument("--lr", type=RATE, default=1e-5, help="learning rate")
    group.add_argument("--fc-lr", type=real(-1, 10**4), default=-1.0, help="the embedding layer's, below 0 = --lr")
    group.add_argument("--wd", "--decay", type=WEIGHT, default=4e-4, help="weight decay, added to the gradient")
    group.add_argument("--scheduler", choices=("step", "none"), default="step", help="none = a constant rate")
    group.add_argument("--schedule", "--tau", type=COUNT, nargs="*", default=[1000], help="epochs where the rate falls")
    group.add_argument("--gamma", type=WEIGHT, default=0.3, help="to this share")
    group.add_argument("--clip-grad", type=WEIGHT, default=0.0, help="largest gradient norm; 0 = any")
    group.add_argument("--monitor-every", type=COUNT_OR_0, default=5, help="epochs between monitors; 0 = never")
    group.add_argument("--select", default="last", metavar="last|best-val",
                       help="whose network is measured: of the last epoch, or of the best on validation images")
    group.add_argument("--select-by", choices=SELECTED, default="rank1", help="best in what; docs/metrics.md")
    group.add_argument("--monitor-images", type=COUNT, default=2000,
                       help="at most so many training images are monitored")
    group.add_argument("--save-every", type=COUNT_OR_0, default=0, metavar="STEPS", help="also save within an epoch")
    group.add_argument("--logger", type=sinks, default="", metavar="NAMES",
                       help="tensorboard, wandb, or both with a comma")
