"""From options to a run: what is wrong with them, the images of all splits, and the network."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

from datasets.crops import read_boxes
from datasets.images import ImageSet, has_split, scan
from datasets.layouts.folders.names import SPLITS
from DDT.descriptors import MapReading, choose_map_precision
from DDT.job import Job
from DDT.options import DdtOptions
from DDT.policy import find_task, parse_policy
from DDT.scratch import GIGABYTE
from DDT.stages import Rule
from models.backbones import Backbone, build_backbone
from models.present import check_architecture
from models.sizes import check_size
from models.weights.usual import RESNET_FILE, usual_weights
from runtime.devices import list_device_problems, resolve_device, use_threads
from runtime.options import name_flags

PACKAGE = "package:efficientnet-"


def prepare_job(options: DdtOptions) -> Job:
    """The run that checked options describe, with its images; raises ConfigError or DataError."""
    task = find_task(options.task)
    rate = None if options.cut_rate == "search" else float(options.cut_rate)
    seed = options.recipe == "seed"
    rule = Rule(parse_policy(options.policy, options.task), rate, options.over_num, any_mask=seed)
    banner = 0 if seed else task.crop_bottom
    device = torch.device(resolve_device(options.device))
    reading = MapReading(
        size=options.size,
        layer=options.layer,
        crop_bottom=options.crop_bottom if isinstance(options.crop_bottom, int) else banner,
        batch_size=options.batch_size,
        workers=options.num_workers if isinstance(options.num_workers, int) else min(8, os.cpu_count() or 1),
        precision=options.precision,
    )
    return Job(
        task=options.task,
        splits=read_splits(options.root, options.limit),
        truth=read_boxes(options.gt) if options.gt else {},
        device=device,
        reading=reading,
        rule=rule,
        folder=options.place,
        write_crops=not options.no_crops,
        skip_bad=options.skip_bad,
        restart=options.restart,
        scratch=options.scratch * GIGABYTE,
        seed=seed,
        directions=count_directions(options),
    )


def count_directions(options: DdtOptions) -> int | None:
    """The number of groups, None to find it; the seed recipe has one direction unless more are asked for."""
    if isinstance(options.directions, int):
        return options.directions
    return 1 if options.recipe == "seed" else None


def read_splits(root: str, limit: int) -> dict[str, ImageSet]:
    """Every split of a data set; raises DataError when there is nothing to fit on."""
    splits = {"train": scan(root, "train", "ignored")}
    splits |= {split: scan(root, split, "ignored") for split in SPLITS if split != "train" and has_split(root, split)}
    return {split: thin(images, limit) for split, images in splits.items()}


def list_ddt_problems(options: DdtOptions) -> list[str]:
    """Flags that make no sense, each with the remedy."""
    problems = list_device_problems(options.device)
    if find_backbone_weights(options) is None:
        arch = choose_arch(options.arch, options.pretrained)
        problems.append(f"--pretrained: no weights of {arch} are at hand; give a file (or put {RESNET_FILE} here), "
                        "package:efficientnet-lite0, hub to download some, or none")
    if options.cut_rate != "search" and not is_positive(options.cut_rate):
        problems.append(f"--cut-rate {options.cut_rate}: give search or a number above 0, such as 0.85")
    if not options.task or "/" in options.task:
        problems.append(f"--task {options.task}: a task is a plain name without slashes, not a path")
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


def find_backbone_weights(options: DdtOptions) -> str | None:
    """What --pretrained means; None for auto where no weights are at hand. Only `hub` asks the network."""
    return usual_weights(choose_arch(options.arch, "")) if options.pretrained == "auto" else options.pretrained


def choose_arch(arch: str | None, pretrained: str) -> str:
    """The given architecture, else the one that a weight package belongs to, else ResNet-50."""
    lite = f"tf_efficientnet_{pretrained.removeprefix(PACKAGE)}" if pretrained.startswith(PACKAGE) else "resnet50"
    return arch or lite


def open_backbone(options: DdtOptions, device: torch.device) -> Backbone:
    """The network, with threads and seed set; raises ConfigError or WeightsError."""
    torch.manual_seed(options.seed)
    use_threads(options.threads)
    weights = find_backbone_weights(options)
    assert weights is not None  # refused with the other problems
    check_architecture(options, "arch")
    with name_flags(options, "pretrained"):
        backbone = build_backbone(choose_arch(options.arch, weights), weights, device=device)
    check_size(backbone, options.size, look="intermediate", layer=options.layer)
    return backbone


def fix_precision(job: Job, backbone: Backbone) -> Job:
    """The run with the number format that `auto` stands for."""
    precision = choose_map_precision(job.reading.precision, job.device, backbone)
    return replace(job, reading=replace(job.reading, precision=precision))
