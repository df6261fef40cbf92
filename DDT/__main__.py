"""`python -m DDT`: fit the direction on the training split, then localise and crop every image of every split."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from datasets.crops import read_boxes
from datasets.images import ImageSet, has_split, scan
from datasets.layouts.folders.names import SPLITS
from datasets.places import list_overlaps
from DDT.descriptors import MapReading, choose_map_precision
from DDT.job import Job, run_job
from DDT.policy import find_task, parse_policy
from DDT.scratch import GIGABYTE
from DDT.stages import Rule
from DDT.state import REPLACED
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, toggle
from engine.results_folder import hold_results
from models.backbones import build_backbone
from models.present import check_architecture
from models.sizes import check_size
from models.weights.usual import RESNET_FILE, usual_weights
from runtime.devices import list_device_problems, resolve_device
from runtime.errors import Problems, StopTraining
from runtime.names.safe import safe_name
from runtime.options import name_flags
from runtime.ranges import BATCH, COUNT_OR_0, ROWS, SEED, SHARE_BELOW_1, SIDE, THREADS, WORKERS, real, whole_number
from runtime.refusals import tell_os_error
from runtime.words import architecture, device

PACKAGE = "package:efficientnet-"


def build_parser() -> Parser:
    """All flags of the command."""
    parser = Parser(prog="python -m DDT", description=__doc__)
    add_inputs(parser.add_argument_group("input"))
    add_localisation(parser.add_argument_group("localisation"))
    add_output(parser.add_argument_group("output"))
    return parser


def add_inputs(group: argparse._ArgumentGroup) -> None:
    """Images, network, machine."""
    add = group.add_argument
    add("-t", "--task", default="custom", help="name of the data set; picks policy, banner and output folder")
    add("--root", "--dataset", required=True, metavar="DIR", help="the data set in any layout the trainer takes")
    add("--pretrained", "--weights", default="auto",
        help="path, package:efficientnet-lite0|1|2, hub or none; auto = the file or package that is at hand")
    add("-a", "--arch", type=architecture, help="timm name; default resnet50, or the package's own network")
    add("--layer", type=whole_number(-1000, 1000), default=-1, help="which of the network's stages, -1 = the last")
    add("--size", type=SIDE, default=448, metavar="PIXELS", help="images are squashed to this square")
    add("--crop-bottom", type=ROWS, default="auto", metavar="PIXELS", help="rows to drop; auto = task's own")
    add("--batch-size", "-b", type=BATCH, default=16, help="images per forward pass")
    add("-j", "--num-workers", "--workers", type=WORKERS, default="auto", help="loader processes")
    add("--device", type=device, default="auto", help="cpu, cuda, or auto = cuda where there is one")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="auto = bf16 on CUDA and on CPUs with AMX where the network gains by it, else fp32")
    add("--limit", type=COUNT_OR_0, default=0, metavar="N", help="N images of each split, evenly chosen; 0 = all")
    add("--threads", type=THREADS, default=0, metavar="N", help="CPU threads, 0 = torch's choice")
    add("--seed", type=SEED, default=123, help="of the random weights of --pretrained none")
    toggle(group, "--skip-bad", False, "leave images out that do not decode instead of refusing to start")
    add_list_left_out(group)


def add_localisation(group: argparse._ArgumentGroup) -> None:
    """From maps to boxes."""
    add = group.add_argument
    add("--cut-rate", default="search", help="search, or a number: the crop's sides in units of the mask's box")
    add("--policy", default="auto", help="auto = the task's own, square, none, or rect:W,H in percent to grow by")
    add("--over-num", type=SHARE_BELOW_1, default=0.0, help="threshold of the rescaled indicator map, in [0, 1)")
    add("--recipe", choices=("default", "seed"), default="default", help="seed: banner kept")


def add_output(group: argparse._ArgumentGroup) -> None:
    """What is written."""
    add = group.add_argument
    add("--out", default="DDT/crop_dataset", metavar="DIR", help="results go to DIR/<task>_crop")
    add("--gt", metavar="FILE", help="true boxes (path,x1,y1,x2,y2), only to be scored against")
    toggle(group, "--no-crops", False, "write boxes.csv without crop files")
    add("--scratch", type=real(0, 10**6), default=10, metavar="GB",
        help="disk for maps during a run; 0 = compute them twice")
    toggle(group, "--restart", False, "redo a folder; an unchanged fit is used again")


def prepare_job(args: argparse.Namespace, problems: Problems | None = None) -> Job:
    """Check every flag and find the images; raises ConfigError or DataError before anything slow happens.

    `problems` are what is known to be wrong already.
    """
    problems = problems or Problems()
    task = find_task(args.task)
    folder = Path(args.out) / f"{safe_name(args.task, room=5)}_crop"
    problems.lines += list_ddt_problems(args) + list_overlaps(args, (*REPLACED, "fit.npz", "ddt.json"), out=folder)
    problems.refuse(lambda: check_present(args))
    rate = None if args.cut_rate == "search" else float(args.cut_rate)
    rule = Rule(parse_policy(args.policy, args.task), rate, args.over_num)
    banner = 0 if args.recipe == "seed" else task.crop_bottom
    device = torch.device(resolve_device(args.device))
    reading = MapReading(
        size=args.size,
        layer=args.layer,
        crop_bottom=banner if args.crop_bottom == "auto" else args.crop_bottom,
        batch_size=args.batch_size,
        workers=min(8, os.cpu_count() or 1) if args.num_workers == "auto" else args.num_workers,
        precision=args.precision,
    )
    return Job(
        task=args.task,
        splits=read_splits(args.root, args.limit),
        truth=read_boxes(args.gt) if args.gt else {},
        device=device,
        reading=reading,
        rule=rule,
        folder=folder,
        write_crops=not args.no_crops,
        skip_bad=args.skip_bad,
        restart=args.restart,
        scratch=args.scratch * GIGABYTE,
        seed=args.recipe == "seed",
    )


def read_splits(root: str, limit: int) -> dict[str, ImageSet]:
    """Every split of a data set; raises DataError when there is nothing to fit on."""
    splits = {"train": scan(root, "train", "ignored")}
    splits |= {split: scan(root, split, "ignored") for split in SPLITS if split != "train" and has_split(root, split)}
    return {split: thin(images, limit) for split, images in splits.items()}


def list_ddt_problems(args: argparse.Namespace) -> list[str]:
    """Flags that make no sense, each with the remedy."""
    problems = list_device_problems(args.device)
    if find_backbone_weights(args) is None:
        problems.append(f"--pretrained: no weights of {choose_arch(args.arch, args.pretrained)} are at hand; give a "
                        f"file (or put {RESNET_FILE} here), package:efficientnet-lite0, hub to download some, or none")
    if args.cut_rate != "search" and not is_positive(args.cut_rate):
        problems.append(f"--cut-rate {args.cut_rate}: give search or a number above 0, such as 0.85")
    if not args.task or "/" in args.task:
        problems.append(f"--task {args.task}: a task is a plain name without slashes, not a path")
    return problems


def is_positive(word: str) -> bool:
    """True for the text of a finite number above 0."""
    try:
        return 0 < float(word) < float("inf")
    except ValueError:
        return False


def thin(images: ImageSet, limit: int) -> ImageSet:
    """At most `limit` images, evenly chosen; all for 0."""
    if not 0 < limit < len(images):
        return images
    return replace(images, samples=tuple(images.samples[i * len(images) // limit] for i in range(limit)))


def find_backbone_weights(args: argparse.Namespace) -> str | None:
    """What --pretrained means; None for auto where no weights are at hand. Only `hub` asks the network."""
    return usual_weights(choose_arch(args.arch, "")) if args.pretrained == "auto" else args.pretrained


def choose_arch(arch: str | None, pretrained: str) -> str:
    """The given architecture, else the one that a weight package belongs to, else ResNet-50."""
    lite = f"tf_efficientnet_{pretrained.removeprefix(PACKAGE)}" if pretrained.startswith(PACKAGE) else "resnet50"
    return arch or lite


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check, run; a full disk or a lost folder becomes a message, since everything finished is kept."""
    args, problems = build_parser().gather(argv)
    job = prepare_job(args, problems)
    torch.manual_seed(args.seed)
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    weights = find_backbone_weights(args)
    assert weights is not None  # refused with the other problems
    check_architecture(args, "arch")
    with name_flags(args, "pretrained"):
        backbone = build_backbone(choose_arch(args.arch, weights), weights, device=job.device)
    check_size(backbone, args.size, look="intermediate", layer=args.layer)
    precision = choose_map_precision(args.precision, job.device, backbone)
    job = replace(job, reading=replace(job.reading, precision=precision))
    try:
        with hold_results(job.folder):
            run_job(job, backbone)
    except OSError as error:
        raise StopTraining(tell_os_error(error)) from error


if __name__ == "__main__":
    exit_cleanly(main)
