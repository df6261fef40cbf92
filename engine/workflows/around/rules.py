"""What is risky about a run that could start: each rule is a function from its prospect to a sentence, or to None.

A rule says what was found, why that hurts, and what to do. What cannot be trained at all is refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.schedule import TrainingPlan
from engine.workflows.around.contents import SharedFiles
from engine.workflows.around.trial import Trial

FEW_FOR_STATISTICS = 8  # images from which batch statistics are worth learning
FEW_STEPS = 20
LEFT_OUT = 0.1  # share of the images that an epoch may leave out
FAR = 4.0  # times the usual rate
LONG = 3600.0  # seconds between checkpoints
FULL = 0.9  # share of the memory


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What is known of a run before its first step.

    `images`: by split. `micro_batch`: the images whose statistics batch norm sees at once. `norms`: how many batch
    norms learn. `queues`: lengths in keys; `masked`: own-image keys are no negatives. `latest_start`: the epoch from
    which on the last group of parameters learns. `usual_rate`: the settings' own, for this batch size; None where
    another optimiser was chosen. `whole_for_crops`: whole images stand in for the crops that the method asks for.
    """

    plan: TrainingPlan
    step: int
    images: dict[str, int]
    micro_batch: int
    norms: int = 0
    queues: tuple[int, ...] = ()
    masked: bool = True
    latest_start: int = 0
    usual_rate: float | None = None
    whole_for_crops: bool = False
    files: SharedFiles = field(default_factory=lambda: SharedFiles({}, {}))
    trial: Trial | None = None

    @property
    def left_out(self) -> int:
        """Training images that one epoch does not see; 0 where a sampler repeats some."""
        return max(self.images["train"] - self.plan.steps_per_epoch * self.plan.batch_size, 0)

    @property
    def steps_left(self) -> int:
        """Optimiser steps from here to the end."""
        return self.plan.steps - self.step

    @property
    def seconds_left(self) -> float | None:
        """Time of the steps that are left, without monitors and exports."""
        return None if self.trial is None else self.trial.seconds * self.steps_left


Rule = Callable[[Prospect], "str | None"]


def training_images_elsewhere(run: Prospect) -> str | None:
    """Photographs that are trained on and measured on."""
    found = {other: len(keys) for (one, other), keys in run.files.across.items() if one == "train"}
    if not found:
        return None
    counted = " and ".join(f"{count} of {name}" for name, count in found.items())
    return (f"{counted} are training images too, byte for byte: numbers on them say nothing of new pictures; take them "
            "out of one split (python -m tools.audit finds altered copies as well)")


def images_of_one_split_twice(run: Prospect) -> str | None:
    """Training images that are there more than once."""
    again = run.files.within.get("train", 0)
    if not again:
        return None
    negatives = ", and in a queue a picture's copy is its negative" * bool(run.queues)
    return f"{again} training images are copies of others: they count double{negatives}; remove them"


def queue_longer_than_data(run: Prospect) -> str | None:
    """A queue that holds the same images several times."""
    longest, train = max(run.queues, default=0), run.images["train"]
    if longest <= train:
        return None
    own = ("a picture's own old keys are left out, but every other one is a negative" if run.masked
           else "a picture's own old keys are among its negatives")
    return (f"the queue holds {longest} keys of {train} images: {own} about {longest / train:.1f} times over, by keys "
            "that are epochs old; --moco-k auto fits the data")


def few_images_for_statistics(run: Prospect) -> str | None:
    """Batch norm on tiny micro-batches."""
    if not run.norms or run.micro_batch >= FEW_FOR_STATISTICS:
        return None
    fewer = ", fewer --accum-steps (--update-freq)" * (run.plan.accum_steps > 1)
    who = f"{run.norms} batch norms learn" if run.norms > 1 else "a batch norm learns"
    return (f"{who} from {run.micro_batch} images at once: statistics of so few are noise, and evaluation uses their "
            f"average; --frozen-bn, a larger --batch-size{fewer}, or a network without batch norm")


def much_left_out(run: Prospect) -> str | None:
    """A batch that does not divide the data."""
    train = run.images["train"]
    if run.left_out <= LEFT_OUT * train:
        return None
    return (f"each epoch leaves out {run.left_out} of {train} images ({run.left_out / train:.0%}, others each time), "
            f"since only whole batches of {run.plan.batch_size} are trained on; a smaller --batch-size wastes less")


def few_steps(run: Prospect) -> str | None:
    """A run that ends before it has moved."""
    if run.plan.steps >= FEW_STEPS:
        return None
    return (f"{run.plan.steps} steps in all are few: weights, momentum encoder and moving averages hardly move; more "
            "--epochs, or a smaller --batch-size")


def rate_far_from_usual(run: Prospect) -> str | None:
    """A learning rate that is not what the settings' own would be at this batch size."""
    if run.usual_rate is None or not run.usual_rate or 1 / FAR <= run.plan.lr / run.usual_rate <= FAR:
        return None
    times = run.plan.lr / run.usual_rate
    return (f"the peak rate {run.plan.lr:g} is {times:.2g} times {run.usual_rate:.2g}, which the method's or preset's "
            f"own is for batches of {run.plan.batch_size}: it may diverge or stall; change --lr with --batch-size")


def long_warm_up(run: Prospect) -> str | None:
    """A rate that is still rising at the end."""
    if not run.plan.warmup_epochs or run.plan.warmup_epochs <= run.plan.epochs / 2:
        return None
    never = "never reaches its peak" if run.plan.warmup_epochs >= run.plan.epochs else "rises for most of the run"
    return f"the warm-up takes {run.plan.warmup_epochs:g} of {run.plan.epochs} epochs: the rate {never}; shorten it"


def rate_never_falls(run: Prospect) -> str | None:
    """Milestones that lie behind the end."""
    falls = run.plan.milestones
    if run.plan.schedule != "step" or not falls or min(falls) < run.plan.epochs:
        return None
    return (f"the rate falls at epoch {min(falls)}, and the run ends after {run.plan.epochs}: it never falls; set the "
            "schedule within the run")


def parts_that_never_learn(run: Prospect) -> str | None:
    """A head-only warm-up as long as the run."""
    if run.latest_start < run.plan.epochs:
        return None
    return (f"the backbone would learn from epoch {run.latest_start + 1} on, and there are {run.plan.epochs}: it never "
            "does; lower --head-warmup-epochs")


def nothing_watches(run: Prospect) -> str | None:
    """Monitors off."""
    if run.plan.monitor_every:
        return None
    return "monitors are off: a collapse shows only after the end; --monitor-every 5 (--eval-freq 5) costs little"


def no_crops(run: Prospect) -> str | None:
    """Whole images where the method asks for crops."""
    if not run.whole_for_crops:
        return None
    return ("the method's crop views are of whole images (--crop-root none): image and crop are then two draws of one "
            "picture; ./run_ddt.sh makes crops")


def seldom_saved(run: Prospect) -> str | None:
    """Much time between two checkpoints."""
    if run.trial is None or run.plan.save_every:
        return None
    seconds = run.trial.seconds * run.plan.steps_per_epoch
    if seconds <= LONG:
        return None
    often = max(int(LONG / 4 / run.trial.seconds), 1)
    return (f"an epoch takes {seconds / 3600:.1f} h, and a kill loses what it has done: --save-every {often} saves "
            "every quarter of an hour")


def little_memory(run: Prospect) -> str | None:
    """Hardly any memory left."""
    if run.trial is None or run.trial.memory <= FULL * run.trial.room:
        return None
    return (f"{run.trial.memory / run.trial.room:.0%} of the memory is taken at the peak, before monitors: a smaller "
            "--batch-size, or micro-batches (--accum-steps, --update-freq)")


RULES: tuple[Rule, ...] = (
    training_images_elsewhere, images_of_one_split_twice, queue_longer_than_data, few_images_for_statistics,
    much_left_out, few_steps, rate_far_from_usual, long_warm_up, rate_never_falls, parts_that_never_learn,
    nothing_watches, no_crops, seldom_saved, little_memory)


def list_risks(run: Prospect) -> list[str]:
    """A sentence for every rule that finds something."""
    return [said for rule in RULES if (said := rule(run)) is not None]
