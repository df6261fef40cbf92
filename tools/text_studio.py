"""Is this text worth a training run? An audit of descriptions, or a text tensor, against images and teacher.

python -m tools.text_studio text_description/bird.csv --root bird/ --weights ViT-B-16.pt
python -m tools.text_studio text_description_tensor/bird_text_tensor.pt --root bird/ --crop-root none --tau 0.01

Writes studio.html (one page, verdict at the top) and studio.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from datasets.crops import open_crops
from datasets.files import find_crop_bottom
from datasets.images import load_images
from datasets.places import list_overlaps
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.flags.groups import add_data, add_device
from engine.flags.parser import Parser
from engine.flags.ranges import BETWEEN, TEMPERATURE
from engine.flags.text import add_asking, add_clip, add_encoding
from engine.results_folder import hold_results
from engine.workflows.pretrain.guidance import TEXT_TEMPERATURE, ask
from runtime.devices import list_device_problems, resolve_device
from runtime.files import write_json, write_text
from runtime.names.safe import safe_name
from text.audit import Audit, audit
from text.findings import list_findings, to_json
from text.page import render_audit
from text.sources import open_clip_teacher, open_text, read_texts


def make_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="python -m tools.text_studio", description="Audit class text before it costs a training run.")
    parser.add_argument("text", metavar="FILE", help="descriptions (.csv) or a text tensor (.pt)")
    add_data(parser)
    add_asking(add_clip(parser))
    add_encoding(parser)
    group = parser.add_argument_group("studio")
    group.add_argument("--split", choices=("train", "val", "test"), default="train", help="which images")
    group.add_argument("--tau", "--temperature", type=TEMPERATURE, default=TEXT_TEMPERATURE, help="temperature of p_t")
    group.add_argument("--target-entropy", type=BETWEEN, default=0.5, help="mean entropy to find a temperature for")
    group.add_argument("--out", default=None, metavar="DIR", help="default studio/<the text's name>")
    add_device(parser)
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags with automatic values resolved; raises ConfigError with every problem."""
    args, problems = make_parser().gather(argv)
    problems.lines += list_device_problems(args.device)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    args.out = Path(args.out or Path("studio") / safe_name(Path(args.text).stem))
    problems.lines += list_overlaps(args, ("studio.json", "studio.html"))
    problems.refuse(lambda: check_present(args))
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def study(args: argparse.Namespace) -> tuple[Audit, str]:
    """The audit that the flags ask for, and a line that says of what."""
    images = load_images(args.root, args.split, skip_bad=args.skip_bad, labels="ignored")
    crops = open_crops(args, images)
    command = f"python -m tools.text_studio {args.text} --root {args.root}"
    teacher = open_clip_teacher(args, args.device, command=command)
    text = open_text(Path(args.text), teacher, args)
    labelled = bool(images.classes) and bool((images.labels >= 0).any())
    text = text.order_by(images.classes, str(images.root)) if labelled else text
    readings = read_texts(Path(args.text), teacher, args, text.names)
    answers = ask(args, teacher, images, crops, torch.device(args.device))
    found = audit(text.rows, answers, temperature=args.tau, target=args.target_entropy, names=text.names,
                  readings=readings, labels=images.labels if labelled else None, context=teacher.context)
    view = "crops" if crops is not None else "whole images"
    return found, (f"{len(text.rows)} rows of {args.text}, read by {args.teacher_arch}; {len(images)} {view} of "
                   f"{args.root}, {args.split} split")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args = parse(argv)
    with hold_results(args.out):
        found, lead = study(args)
        write_json(args.out / "studio.json", to_json(found))
        write_text(args.out / "studio.html", render_audit(found, f"Text studio: {Path(args.text).stem}", lead))
    marks = {True: " ok", False: "  !", None: "   "}
    print(lead, *(f"{marks[finding.good]} {finding.text}" for finding in list_findings(found)), sep="\n")
    print(f"written to {args.out / 'studio.html'} and studio.json")


if __name__ == "__main__":
    exit_cleanly(main)
