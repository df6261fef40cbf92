"""What every training is told: the run's folder, steps, monitors; and what the engine asks of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from datasets.options import DataOptions
from runtime.options import MachineOptions, Options, again, flag
from runtime.ranges import BATCH, COUNT, COUNT_OR_0, EPOCHS, RATE, WEIGHT
from runtime.words import sinks


@dataclass(frozen=True, kw_only=True)
class InsightOptions(Options):
    """What is said of a run before it begins and while it goes on; no weight depends on it."""

    title: ClassVar[str | None] = "insight"

    plan: str | None = flag(None, ("stop", "train"), "say what the run would be: images and copies among them, steps, "
                            "rate, time and memory from timed steps, and what is risky; stop = and end there, as "
                            "--plan alone; train = and train", nargs="?", const="stop")
    gradient_every: int = flag(0, COUNT_OR_0, "steps between looks at how hard each loss term pulls at the backbone's "
                               "map, and which pull against each other, in log.jsonl; 0 = never", metavar="STEPS")
    log_every: int = flag(0, COUNT_OR_0, "steps between readings of loss and gradient norm, for which a GPU must wait; "
                          "each step is logged; NaN stops the run then; 0 = 10 on CUDA, else 1", metavar="STEPS")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(DataOptions, MachineOptions, InsightOptions):
    """The options that a run of any system has; a system gives those that are flags its own defaults.

    `batch_size` counts the images of a step over all processes, which `accum_steps` cuts into micro-batches.
    """

    title: ClassVar[str | None] = "training"

    method: str = ""
    recipe: str = flag("default", ("default", "seed"), "seed = the public code's own arithmetic")
    preset: str = "none"
    results_dir: str = flag("checkpoints/run", None, "everything the run writes", metavar="DIR")
    resume: str | None = flag(None, None, "continue a killed run exactly (from --results-dir unless a folder or file "
                              "is given)", nargs="?", const="auto", metavar="PATH")
    pretrained: str = flag("auto", None, "start weights: a file, package:efficientnet-lite0|1|2, hub, or none",
                           metavar="WEIGHTS")
    size: int = 224
    frozen_bn: bool = False
    sync_bn: bool = False
    channels_last: bool = True
    pin_mem: bool = True
    epochs: int = flag(100, EPOCHS, "passes over the training images")
    batch_size: int = flag(64, BATCH, "images of one step, over all ranks", "-b")
    accum_steps: int = 1
    lr: float = flag(0.02, RATE, "peak learning rate")
    wd: float = flag(0.0, WEIGHT, "weight decay", "--weight-decay")
    clip_grad: float = flag(0.0, WEIGHT, "largest gradient norm; 0 = any")
    monitor_every: int = flag(5, COUNT_OR_0, "epochs between monitors; 0 = never")
    monitor_images: int = flag(2000, COUNT, "at most so many training images are monitored")
    save_every: int = flag(0, COUNT_OR_0, "also save within an epoch; 0 = at its end only", metavar="STEPS")
    logger: str = flag("", sinks, "tensorboard, wandb, or both with a comma", metavar="NAMES")
    crop_bottom: int = again(DataOptions, "crop_bottom", "auto")  # a number before anyone reads it
    balance: float = 0.0
    centre: bool = False
    test: bool = False

    @property
    def sinks(self) -> tuple[str, ...]:
        """Where the log goes beside log.jsonl."""
        return tuple(name for name in self.logger.split(",") if name)

    @property
    def network_name(self) -> str:
        """What learns, for people."""
        return "network"


@dataclass(frozen=True, kw_only=True)
class EncoderTrainingOptions(TrainingOptions):
    """The same where what learns is an encoder without classes."""

    arch: str = "resnet50"
    max_pool: bool = True

    @property
    def network_name(self) -> str:
        """What learns, for people."""
        return self.arch
