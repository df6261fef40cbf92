"""What a training run knows of itself before its first step, in words."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path

import timm
import torch

from datasets.crops import crop_folder
from datasets.images import ImageSet
from datasets.layouts.findings import VOICE, count_of
from datasets.options import CropOptions
from engine.options import TrainingOptions
from engine.trainer import Trainer
from engine.workflows.report.commands import list_onward, name_script, tell_resume
from evaluation.features.subject import Subject
from evaluation.reports.run.facts import RunFacts
from evaluation.run_record import as_json, name_method, show_value
from runtime import VERSION, distributed
from runtime.options import Options

UNTOLD = ("resume", "given")  # flags that say nothing of what was run


def describe_training(options: TrainingOptions, trainer: Trainer, parts: Mapping[str, ImageSet]) -> RunFacts:
    """Facts of a run that is about to train; `parts` are its images by what they are for."""
    plan = trainer.plan
    rates = [plan.lr * plan.lr_factor(epoch * plan.steps_per_epoch) for epoch in range(plan.epochs)]
    folder = crop_folder(options) if isinstance(options, CropOptions) else None
    return RunFacts(
        headline=Path(options.results_dir).name, state="nothing is trained yet", about=tell_about(options, trainer),
        data=tell_data(parts), flags=list_changed(options), resume=tell_resume(options),
        onward=list_onward(options, str(parts["train"].root)),
        terms=trainer.method.loss_terms, shares=trainer.method.shares, epochs=plan.epochs, rates=rates,
        crops=str(folder.absolute()) if folder is not None else "")


def describe_evaluation(
    script: str, subject: Subject, options: Options, parts: Mapping[str, ImageSet],
    charts: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> RunFacts:
    """Facts of a finished probe or retrieval; `charts` are those that no log keeps."""
    about = [("command", script), ("network", subject.describe()), ("weights", f"sha256 {subject.sha256}"),
             ("method", name_method(subject.settings)), ("data set", f"{subject.task}, {subject.root}"),
             ("machine", tell_device(subject.device, subject.precision)), ("seed", str(subject.seed)),
             ("versions", tell_versions())]
    crops = crop_folder(options) if isinstance(options, CropOptions) and subject.view.source == "crop" else None
    return RunFacts(
        headline=f"{script.removeprefix('main_').removesuffix('.py')} with {subject.label or subject.source}",
        state=f"finished ({tell_now()})", about=[(name, value) for name, value in about if value],
        data=tell_data(parts), flags=list_changed(options), crops=str(crops.absolute()) if crops is not None else "",
        memory=tell_memory_use(subject.device), charts=charts or {})


def tell_about(options: TrainingOptions, trainer: Trainer) -> list[tuple[str, str]]:
    """What was run, on what, as pairs for a table."""
    settings, plan, encoder = options.settings(), trainer.plan, trainer.method.encoder()
    network = str(settings.get("arch") or settings.get("model"))
    learning = sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
    views = ", ".join(f"{name} of the {view.source} image ({view.recipe})"
                      for name, view in trainer.method.views().items())
    said = [("command", name_script(options)), ("method", tell_method(options)),
            ("network", f"{network}, {learning / 1e6:.2f} million parameters that learn"),
            ("start weights", show_value(settings.get("pretrained"))),
            ("views", f"{options.size} px: {views}"),
            ("length", f"{count_of(plan.epochs, 'epoch')} of {count_of(plan.steps_per_epoch, 'step')}, "
             f"{plan.batch_size} images a step" + f" in {plan.accum_steps} parts" * (plan.accum_steps > 1)),
            ("optimiser", f"{settings.get('optimizer') or settings.get('opt')}, peak rate {plan.lr:g}, "
             f"{plan.schedule}"),
            ("machine", tell_machine(trainer)), ("seed", str(options.seed)),
            ("versions", tell_versions()), ("begun", tell_now() + f" at step {trainer.step}" * bool(trainer.step))]
    return [(name, value) for name, value in said if value]


def tell_method(options: TrainingOptions) -> str:
    """The method, and whose settings it has."""
    also = [f"{name} {value}" for name, value, usual in
            (("preset", options.preset, "none"), ("recipe", options.recipe, "default")) if value != usual]
    return ", ".join([name_method(options.settings()), *also])


def tell_machine(trainer: Trainer) -> str:
    """Where it runs, and in which numbers."""
    several = f", {distributed.world()} processes" if distributed.world() > 1 else ""
    return tell_device(trainer.device, trainer.number_format) + several


def tell_device(device: torch.device, number_format: str) -> str:
    """A device by its name, and the numbers that it computes in."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {number_format}"
    return f"CPU, {count_of(torch.get_num_threads(), 'thread')}, {number_format}"


def tell_versions() -> str:
    """What computed it."""
    return f"Plumage {VERSION}, torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}"


def tell_now() -> str:
    """The time here, to the minute."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def tell_data(parts: Mapping[str, ImageSet]) -> list[tuple[str, str]]:
    """How many images serve what, and what was said of their folders: what was found, and what was left out."""
    counts = [(name, count_images(images)) for name, images in parts.items()]
    roots = tuple(f"{images.root}:" for images in parts.values())
    said = sorted(VOICE.said)
    own = [line for line in said if line.startswith(roots)]  # joined data sets have a root that no line begins with
    return counts + [("found", line) for line in own or said]


def count_images(images: ImageSet) -> str:
    """Images, and classes where there are labels."""
    known = images.labels[images.labels >= 0]
    labelled = f", {count_of(len(known.unique()), 'class', 'classes')}" if len(known) else ", no labels"
    return f"{count_of(len(images), 'image')}{labelled} ({images.split} of {images.root})"


def list_changed(options: Options) -> list[tuple[str, str, str, str]]:
    """Every option that is not at its default: flag, value, default, and who set it."""
    rows = []
    for one in fields(options):
        value = as_json(getattr(options, one.name))
        usual = "–" if one.default is MISSING else show_value(as_json(one.default))
        if one.name not in UNTOLD and show_value(value) != usual:
            flag = f"--{one.name.replace('_', '-')}"
            setter = "given" if one.name in options.given else "preset or automatic"
            rows.append((flag, show_value(value), usual, setter))
    return rows


def tell_memory_use(device: torch.device) -> list[tuple[str, str]]:
    """The most that this process, and the largest one that it started, held at once so far."""
    import resource  # not on Windows, where this project does not run either

    unit = 1 if sys.platform == "darwin" else 1024
    own, workers = (unit * resource.getrusage(who).ru_maxrss for who in
                    (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    said = [("main memory at its peak", f"{own / 1e9:.2f} GB")]
    said += [("largest process that it started", f"{workers / 1e9:.2f} GB")] if workers else []
    if device.type == "cuda":
        said.append(("GPU memory at its peak", f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB in tensors, "
                     f"{torch.cuda.max_memory_reserved(device) / 1e9:.2f} GB reserved"))
    return said
