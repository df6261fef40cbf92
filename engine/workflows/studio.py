"""An audit of class text against photographs."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.crops import open_crops
from datasets.images import load_images
from engine.flags.text import StudioOptions
from engine.workflows.pretrain.guidance import ask
from runtime.devices import use_threads
from text.audit import Audit, audit
from text.sources import open_clip_teacher, open_text, read_texts


def study(options: StudioOptions) -> tuple[Audit, str]:
    """The audit that the flags ask for, and a line that says of what."""
    use_threads(options.threads)
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
