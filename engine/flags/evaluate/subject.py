"""The flags that say what is evaluated: an encoder, one of its features, a view."""

from __future__ import annotations

from engine.flags.groups import add_data, add_device, add_ignored
from engine.flags.parser import Parser, architecture, toggle
from engine.flags.ranges import COUNT_OR_0, SIDE_OR_0
from evaluation.features.sources import EVAL_VIEWS
from evaluation.features.subject import FEATURES

PRESETS = ("none", "bird", "car", "aircraft", "dog", "cub", "cars")


def add_subject(parser: Parser, *, look_at: str, feature: str) -> None:
    """The flags that `open_subject` reads, with this command's defaults."""
    add_data(parser, root_required=False)
    group = parser.add_argument_group("encoder")
    group.add_argument("-a", "--arch", type=architecture, default=None, help="timm name, where the weights do not tell")
    group.add_argument("--pretrained", required=True, metavar="NAME",
                       help="a folder under checkpoints/, or weights: a file, package:efficientnet-lite0, hub, none")
    group.add_argument("--feature", choices=tuple(FEATURES), default=feature,
                       help="gap = backbone = plain average, masked = attention-weighted, head = projection; "
                            "auto = masked where the encoder has a rationale branch, else gap")
    group.add_argument("--input", choices=("full", "crop"), default=look_at, help="whole images or the object's crops")
    group.add_argument("--size", type=SIDE_OR_0, default=0,
                       help="pixels of a side; 0 = as trained (args.json), else 224")
    group.add_argument("--eval-view", choices=("auto", *EVAL_VIEWS), default="auto",
                       help="how a picture becomes a square; auto = as the run was trained, else eval; squash = the "
                            "public LEAD view: a square whatever the aspect")
    group.add_argument("--label", default="", help="what tables call this network; default: its method or weights")
    toggle(group, "--centre", False, "subtract the training split's mean feature before normalising")
    group.add_argument("--recipe", choices=("default", "seed"), default="default",
                       help="seed = the public LEAD code's protocol and view")
    group.add_argument("--preset", choices=PRESETS, default="none",
                       help="which data set it is, as --task; the public settings are --recipe seed")
    group.add_argument("--num-classes", "--class-num", type=COUNT_OR_0, default=0,
                       help="checked against the data set; 0 = take its number")
    group.add_argument("--cache", default="cache", metavar="DIR", help="where features are kept between runs, or none")
    group.add_argument("--results-dir", default=None, metavar="DIR", help="where the outputs go")
    add_device(parser)
    add_ignored(parser)
