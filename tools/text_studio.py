"""Is this text worth a training run? An audit of descriptions, or a text tensor, against images and teacher.

python -m tools.text_studio text_description/bird.csv --root bird/ --weights ViT-B-16.pt
python -m tools.text_studio text_description_tensor/bird_text_tensor.pt --root bird/ --crop-root none --tau 0.01

Writes studio.html (one page, verdict at the top) and studio.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.options import RootOptions
from engine.flags.groups import add_list_left_out
from engine.flags.parser import Parser, add_options
from runtime.options import again, flag, list_given, word
from text.options import AskingOptions, EncodingOptions

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from datasets.crops import open_crops
from datasets.files import find_crop_bottom
from datasets.images import load_images
from datasets.places import list_overlaps
from engine.flags.absent import check_present
from engine.flags.command import exit_cleanly
from engine.results_folder import hold_results
from engine.workflows.pretrain.guidance import TEXT_TEMPERATURE, ask
from runtime.devices import list_device_problems, resolve_device
from runtime.files import write_json, write_text
from runtime.names.safe import safe_name
from runtime.ranges import BETWEEN, TEMPERATURE
from text.audit import Audit, audit
from text.findings import list_findings, to_json
from text.page import render_audit
from text.sources import open_clip_teacher, open_text, read_texts


@dataclass(frozen=True, kw_only=True)
class StudioOptions(EncodingOptions, AskingOptions):
    """Which text is audited, against which photographs. `place` is where the page goes."""

    title: ClassVar[str | None] = "studio"

    text: str = word("descriptions (.csv) or a text tensor (.pt)", "FILE")
    split: str = flag("train", ("train", "val", "test"), "which images")
    root: str = again(RootOptions, "root", None, required=True)
    tau: float = flag(TEXT_TEMPERATURE, TEMPERATURE, "temperature of p_t", "--temperature")
    target_entropy: float = flag(0.5, BETWEEN, "mean entropy to find a temperature for")
    out: str = flag(None, None, "default studio/<the text's name>", metavar="DIR")

    @property
    def place(self) -> Path:
        """The folder of all that is written."""
        return Path(self.out)


def parse(argv: Sequence[str] | None = None) -> StudioOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = Parser(prog="python -m tools.text_studio", description="Audit class text before it costs a training run.")
    add_options(parser, StudioOptions)
    add_list_left_out(parser)
    args, problems = parser.gather(argv)
    problems.lines += list_device_problems(args.device)
    args.device = resolve_device(args.device)
    args.crop_bottom = find_crop_bottom(args.crop_bottom, args.task)
    args.out = args.out or str(Path("studio") / safe_name(Path(args.text).stem))
    options = StudioOptions.read(vars(args), list_given(args))
    problems.lines += list_overlaps(options, ("studio.json", "studio.html"))
    problems.refuse(lambda: check_present(options))
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def study(options: StudioOptions) -> tuple[Audit, str]:
    """The audit that the flags ask for, and a line that says of what."""
    images = load_images(options.root, options.split, skip_bad=options.skip_bad, labels="ignored")
    crops = open_crops(options, images)
    command = f"python -m tools.text_studio {options.text} --root {options.root}"
    teacher = open_clip_teacher(options, options.device, command=command)
    text = open_text(Path(options.text), teacher, options)
    labelled = bool(images.classes) and bool((images.labels >= 0).any())
    text = text.order_by(images.classes, str(images.root)) if labelled else text
    readings = read_texts(Path(options.text), teacher, options, text.names)
    answers = ask(options, teacher, images, crops, torch.device(options.device))
    found = audit(text.rows, answers, temperature=options.tau, target=options.target_entropy, names=text.names,
                  readings=readings, labels=images.labels if labelled else None, context=teacher.context)
    view = "crops" if crops is not None else "whole images"
    return found, (f"{len(text.rows)} rows of {options.text}, read by {options.teacher_arch}; {len(images)} {view} of "
                   f"{options.root}, {options.split} split")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse(argv)
    with hold_results(options.place):
        found, lead = study(options)
        write_json(options.place / "studio.json", to_json(found))
        write_text(options.place / "studio.html", render_audit(found, f"Text studio: {Path(options.text).stem}", lead))
    marks = {True: " ok", False: "  !", None: "   "}
    print(lead, *(f"{marks[finding.good]} {finding.text}" for finding in list_findings(found)), sep="\n")
    print(f"written to {options.place / 'studio.html'} and studio.json")


if __name__ == "__main__":
    exit_cleanly(main)
