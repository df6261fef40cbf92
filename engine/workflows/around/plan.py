"""--plan: what a run would be, said before it begins, whichever training command it is of."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

from tqdm import tqdm

from datasets.images import ImageSet
from engine.flags.layering import Command
from engine.options import TrainingOptions
from engine.trainer import Trainer
from engine.workflows.around.contents import SharedFiles, find_shared_files
from engine.workflows.around.rules import Prospect, list_risks
from engine.workflows.around.trial import Trial, rehearse
from engine.workflows.run import Run
from methods.method import Method
from models.backbones import list_learning_norms
from models.encoder import Encoder
from models.network import ClassNetwork
from models.queue import KeyQueue
from runtime import distributed
from runtime.errors import DataError

SHOWN = 3  # copies that are named
ADAPTIVE = ("adam", "adamw")  # optimisers whose rate goes with the root of the batch size
GIB = 2**30


def tell_plan(run: Run, command: Command) -> None:
    """Print what the run would be and what is risky about it; all ranks take part, and the run is left as it is."""
    trial = rehearse(run.trainer)
    if distributed.is_main():
        splits = run.splits()
        prospect = look_ahead(run, command, trial, find_copies_or_warn(splits), splits)
        print("\n".join(describe_plan(run, prospect, splits)))
    distributed.barrier()


def find_copies_or_warn(splits: Mapping[str, ImageSet]) -> SharedFiles:
    """Equal files among the splits; none, with a note, where a file cannot be read."""
    try:
        return find_shared_files(splits)
    except DataError as error:
        print(f"note: copies were not looked for: {error}", file=sys.stderr)
        return SharedFiles({}, {})


def look_ahead(
    run: Run, command: Command, trial: Trial | None, files: SharedFiles, splits: Mapping[str, ImageSet]
) -> Prospect:
    """All that the rules ask for."""
    trainer, options = run.trainer, run.options
    method, plan, settings = trainer.method, trainer.plan, options.settings()
    crops = any(view.source == "crop" for view in method.views().values())
    sharing = 1 if shares_batch_norm(trainer) else distributed.world()
    return Prospect(
        plan=plan, step=trainer.step, images={name: len(images) for name, images in splits.items()},
        micro_batch=options.batch_size // (plan.accum_steps * sharing),
        norms=count_norms(method),
        queues=tuple(len(queue) for queue in method.modules() if isinstance(queue, KeyQueue)),
        masked=settings.get("queue_mask") != "none",
        latest_start=max(int(group["start_epoch"]) for group in trainer.optimizer.param_groups),
        usual_rate=find_usual_rate(command, options), whole_for_crops=crops and settings.get("crop_root") == "none",
        files=files, trial=trial)


def count_norms(method: Method) -> int:
    """Batch norms of the backbone that learn; those of heads and branches are few and of their own kind."""
    network = method.encoder()
    assert isinstance(network, (Encoder, ClassNetwork)), "whatever is trained here has a backbone"
    return len(list_learning_norms(network.backbone))


def shares_batch_norm(trainer: Trainer) -> bool:
    """Whether statistics are taken over all ranks."""
    return any(type(module).__name__.startswith("SyncBatchNorm") for module in trainer.method.modules())


def find_usual_rate(command: Command, options: TrainingOptions) -> float | None:
    """The peak rate that method, preset and recipe stand for, carried over to this batch size.

    It goes with the number of images a step, with its root for Adam (docs/training.md). None for another optimiser.
    """
    parser = command.make_parser()
    parser.set_defaults(**command.presets.choose(options.method, options.preset, options.recipe))
    usual = {name: parser.get_default(name) for name in options.settings()}
    chooser = "opt" if "opt" in usual else "optimizer"
    if options.settings()[chooser] != usual[chooser]:
        return None
    batch, rate = int(usual["batch_size"]), float(usual["lr"])
    if "lr_scale_ref" in usual:  # where a batch is one of a step's
        batch *= int(usual["accum_steps"])
        rate *= batch / usual["lr_scale_ref"] if usual["lr_scale_ref"] else 1.0
    elif usual.get("scale_lr"):
        rate *= batch / 256
    share = options.batch_size / batch
    return rate * (math.sqrt(share) if usual[chooser] in ADAPTIVE else share)


def describe_plan(run: Run, prospect: Prospect, splits: Mapping[str, ImageSet]) -> list[str]:
    """The plan, a line for each matter."""
    plan, options = prospect.plan, run.options
    parts = [f"{distributed.world()} processes"] * (distributed.world() > 1)
    parts += [f"{plan.accum_steps} micro-batches"] * (plan.accum_steps > 1)
    each = options.batch_size // (plan.accum_steps * distributed.world())
    cut = f" = {' x '.join([*parts, str(each)])}" * bool(parts)
    rows = [
        ("images", ", ".join(describe_split(name, images) for name, images in splits.items())),
        ("copies", describe_copies(prospect.files)),
        *[("queue", f"{length} keys for {prospect.images['train']} images") for length in sorted(set(prospect.queues))],
        ("batch", f"{plan.batch_size} images a step{cut}; {prospect.left_out} images left out of each epoch"),
        ("steps", f"{plan.steps_per_epoch} x {plan.epochs} epochs = {plan.steps}"
                  + f", {prospect.steps_left} left" * bool(prospect.step)),
        ("rate", describe_rate(prospect)),
        *describe_trial(prospect)]
    risks = list_risks(prospect)
    return [f"plan: {run.trainer.title}, into {run.folder}", *(f"  {name:<8} {text}" for name, text in rows),
            f"  risks    {len(risks) or 'none found'}", *(f"    - {risk}" for risk in risks)]


def describe_split(name: str, images: ImageSet) -> str:
    """How many images, of how many classes where that is known."""
    labels = images.labels[images.labels >= 0]
    known = len(labels.unique())
    return f"{len(images)} {name}" + f" ({known} classes)" * (known > 1)


def describe_copies(files: SharedFiles) -> str:
    """Equal files across and within splits."""
    told = [f"{len(keys)} files of {one} are in {other} too ("
            + ", ".join(f"{first} = {second}" for first, second in keys[:SHOWN]) + ", ..." * (len(keys) > SHOWN) + ")"
            for (one, other), keys in files.across.items()]
    told += [f"{count} of {name} are there twice" for name, count in files.within.items()]
    return "; ".join(told) or "no file is there twice, within a split or across"


def describe_rate(prospect: Prospect) -> str:
    """Peak, warm-up, schedule, and the usual rate."""
    plan = prospect.plan
    usual = "" if prospect.usual_rate is None else f"; the settings' own for such batches is {prospect.usual_rate:.3g}"
    warm = f"after {plan.warmup_epochs:g} epochs of warm-up, " if plan.warmup_epochs else ""
    return f"peak {plan.lr:g}, {warm}{plan.schedule}{usual}"


def describe_trial(prospect: Prospect) -> list[tuple[str, str]]:
    """Time and memory."""
    trial, left = prospect.trial, prospect.seconds_left
    if trial is None or left is None:
        return [("time", "nothing is left to train")]
    epoch = trial.seconds * prospect.plan.steps_per_epoch
    return [("time", f"{trial.seconds:.3g} s a step (mean of {trial.steps}, {trial.waiting:.0%} of it waiting for "
                     f"data), {tqdm.format_interval(epoch)} an epoch, {tqdm.format_interval(left)} in all; monitors "
                     "and exports come on top"),
            ("memory", f"{trial.memory / GIB:.2f} of {trial.room / GIB:.1f} GiB at the peak, on {trial.place}")]
