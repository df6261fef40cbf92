"""What is wrong with the flags of main_pretrain.py before any file is opened, and the weights that nobody named."""

from __future__ import annotations

import argparse

from engine.flags.ranges import LARGEST
from models.present import check_weights
from models.teachers.build import check_teacher
from models.weights.usual import RESNET_FILE
from runtime.devices import list_device_problems, list_sync_problems
from runtime.errors import Problems
from runtime.given import name_flags
from text.tensor import missing_text


def is_count(word: str) -> bool:
    """True for the digits of a number above 1."""
    return word.isdecimal() and 1 < int(word) <= LARGEST


def find_coupling(args: argparse.Namespace) -> list[str]:
    """The flags that tie the images of a batch together, where the method reads them (see `Method.couples_batch`)."""
    lead, branch = args.method == "lead", args.method in ("lead", "lcr-moco", "lcr-byol")
    asked = {"--six-passes": lead and args.six_passes, "--early-enqueue": lead and args.early_enqueue,
             "--distill-sum": lead and args.distill_sum, f"--cam {args.cam}": branch and args.cam != "peak",
             "--attention-normalise batch": branch and args.attention_normalise == "batch"}
    return [flag for flag, couples in asked.items() if couples]


def problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags alone, before any file is opened."""
    found = list_device_problems(args.device) + list_sync_problems(args)
    if args.root is None:
        found.append("--root is missing: the data set's folder")
    if args.prototypes not in ("auto", "text", "both") and not is_count(args.prototypes):
        found.append(f"--prototypes is {args.prototypes}, but it must be auto, text, both, or a number above 1")
    if args.pretrained is None:
        found.append(f"--pretrained: no start weights for {args.arch} are at hand; give a file"
                     + (f" (or put {RESNET_FILE} here)" if args.arch == "resnet50" else "")
                     + ", hub, or none for a random start")
    if args.accum_steps > 1 and find_coupling(args):
        whose = " of --recipe seed" if args.recipe == "seed" else ""
        found.append(f"--accum-steps {args.accum_steps}: with {', '.join(find_coupling(args))}{whose} the loss depends "
                     "on which images share a batch, so that cutting it would change the loss; use --accum-steps 1")
    if args.method == "lead" and args.cam == "positions":
        found.append("--cam positions is LCR's; LEAD's public code has --cam rows")
    if args.method == "lead" and args.teacher != "clip" and args.teacher_weights is None:
        found.append(f"--teacher {args.teacher} needs --teacher-weights: a file each, joined by +, or hub")
    if args.method != "lead":
        return found
    if args.teacher_view != "clean":
        asked = [f"--neighbours {args.neighbours}"] * bool(args.neighbours)
        asked += [f"--head-init {args.head_start}"] * (args.head_start != "random")
        found += [f"{flag} needs --teacher-view clean: it works on remembered answers" for flag in asked]
    if args.teacher == "clip" and is_count(args.prototypes):
        found.append(f"--prototypes {args.prototypes}: with --teacher clip they are text, or both")
    if args.teacher != "clip" and args.text_load not in (None, "none"):
        found.append(f"--text-load {args.text_load} needs --teacher clip; with --teacher {args.teacher} give none")
    if args.teacher != "clip" and args.prototypes in ("text", "both"):
        found.append(f"--prototypes {args.prototypes} needs --teacher clip and --text-load")
    if args.teacher == "clip" and args.text_load in (None, "none"):
        found.append("--teacher clip needs --text-load FILE.pt, the text tensor whose rows are the prototypes; "
                     "without class names use an image teacher, e.g. --teacher tf_efficientnet_lite2")
    if args.teacher == "clip" and args.teacher_weights is None:
        found.append("--teacher clip needs --teacher-weights: CLIP's file (ViT-B-16.pt here is found by itself),"
                     " or hub. It also makes a missing text tensor: "
                     "python -m tools.encode_text text_description/TASK.csv --weights FILE")
    return found


def check_pretrain_sources(args: argparse.Namespace) -> None:
    """Raise ConfigError for a teacher or a text that is not there, before anything is computed."""
    if args.method != "lead":
        return
    problems = Problems()
    if args.teacher == "clip" and args.text_load is not None:
        problems.lines += missing_text(args)
    problems.attempt(lambda: check_weights(args, "teacher_weights", (args.teacher_weights or "none").split("+")))
    for name in args.teacher.split("+"):
        problems.attempt(lambda: check_member(args, name))
    problems.refuse()


def check_member(args: argparse.Namespace, name: str) -> None:
    """Raise WeightsError for a teacher's unknown name, or a side that it cannot look at."""
    with name_flags(args, "teacher", "teacher_arch"):
        check_teacher(name, args.teacher_arch, args.teacher_size or None)
