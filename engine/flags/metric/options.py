"""The options of main_metric.py, by what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datasets.options import RootOptions
from engine.options import EncoderTrainingOptions
from runtime.names.hub import strip_hub
from runtime.options import Options, again, flag, switch
from runtime.ranges import (
    BATCH,
    BETWEEN,
    COUNT,
    COUNT_OR_0,
    EPOCHS,
    RATE,
    SEED,
    SHARE,
    SHARE_BELOW_1,
    SIDE_OR_0,
    TEMPERATURE,
    WEIGHT,
    WIDTH,
    real,
)
from runtime.words import sinks, switch_or_run

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class ClassesOptions(RootOptions):
    """Photographs, the classes that train, and how batches are drawn."""

    title: ClassVar[str | None] = "data"

    crop_bottom: int = again(RootOptions, "crop_bottom", "auto")  # 0 for auto: `resolve_embedding_network`
    dataset: str | None = flag(None, ("cub200", "cars196", "online_products"), "whose folder to look for under "
                               "--root; other trees need none")
    partition: int | None = flag(None, SEED, "another order of the classes before they are halved", metavar="SEED")
    use_tv_split: bool = switch(False, "hold a part of the training classes out for validation")
    tv_split_by_samples: bool = switch(False, "hold out images of every class instead")
    tv_split_perc: float = flag(0.8, BETWEEN, "share that stays in training")
    noisy_label: bool = switch(False, "flip training labels")
    noisy_ratio: float = flag(0.0, SHARE, "share of labels to flip")
    augmentation: str = flag("base", ("base", "adv", "big", "red"), "views; see docs/data.md")
    size: int = flag(0, SIDE_OR_0, "pixels of a view's side; 0 = the augmentation's")
    data_sampler: Literal["class_random", "without-replacement"] = flag(
        "class_random", ("class_random", "without-replacement"), "how classes and images come into a batch")
    samples_per_class: int = flag(2, COUNT, "images of a class in a batch")


@dataclass(frozen=True, kw_only=True)
class EmbedderOptions(Options):
    """Backbone and embedding layer."""

    title: ClassVar[str | None] = "network"

    arch: str = flag("resnet50", strip_hub, "any timm backbone, also in the public code's words: "
                     "resnet50_normalize_frozen_double", "-a")
    pretrained: str = flag("auto", None, "as in main_pretrain.py", metavar="WEIGHTS")
    not_pretrained: bool = switch(False, "start from random weights")
    embed_dim: int = flag(128, WIDTH, "width of the embedding")
    # None = not given: `resolve_embedding_network` has decided the next three before anyone reads them.
    pool: Literal["avg", "avg+max"] = flag(None, ("avg", "avg+max"), "what the embedding is made of; avg")
    normalize: bool = switch(None, "rows of length 1; true unless --arch has words")
    frozen_bn: bool = switch(None, "keep batch statistics; true unless --arch has words")
    max_pool: bool = switch(True, "false = leave a ResNet's max-pool out")
    channels_last: bool = switch(True, "memory format of images and weights")


@dataclass(frozen=True, kw_only=True)
class MetricLossOptions(Options):
    """Metric loss, miner, self-distillation."""

    title: ClassVar[str | None] = "losses"

    loss: str = flag("multisimilarity", None, "contrastive, triplet, margin, quadruplet, snr, multisimilarity, npair, "
                     "angular, lifted, histogram, smooth-ap, proxynca, proxyanchor, softmax, arcface, softtriplet, "
                     "multisimilarity_obd_sd, margin_obd_sd, contrastive_lsd, ap_loss", metavar="NAME")
    batch_mining: str | None = flag(None, None, "random, semihard, softhard, distance, rho_distance, npair, lifted; "
                                    "the loss's own by default", metavar="NAME")
    miner_semihard_margin: float | None = flag(None, WEIGHT, "how much farther than the positive a negative may be; "
                                               "default: the loss's own margin, else 0.2")
    miner_rho_distance_lower_cutoff: float = flag(0.5, WEIGHT, "the same of rho_distance")
    miner_distance_lower_cutoff: float = flag(0.5, WEIGHT, "distances count from here on")
    miner_rho_distance_cp: float = flag(0.2, SHARE, "share of same-class triplets")
    PSD: bool = switch(False, "learn the similarities of the last epoch's network")
    OBDP: bool = switch(False, "diffuse them over the batch first")
    OBD_SD: bool | None = switch(None, "both, or neither with false")
    kd_lambda: float = flag(75.0, WEIGHT, "weight of --PSD at the end of training")
    kd_tau: float = flag(1.0, TEMPERATURE, "temperature of similarities")
    diffusion_w: float = flag(0.99, SHARE_BELOW_1, "how far the diffusion goes, below 1")
    diffusion_tau: float = flag(1.0, TEMPERATURE, "temperature of the diffusion's walk")
    diffusion_norm: Literal["softmax", "symmetric", "uniform"] = flag(
        "softmax", ("softmax", "symmetric", "uniform"), "softmax = the public code, symmetric = the paper, uniform "
        "= an ablation")


@dataclass(frozen=True, kw_only=True)
class MetricSteps(Options):
    """Steps and rates, monitors and logs."""

    title: ClassVar[str | None] = "optimisation"

    epochs: int = flag(150, EPOCHS, "passes over the training images", "--n-epochs")
    batch_size: int = flag(112, BATCH, "images of one step, over all ranks", "-b", "--bs")
    optimizer: str = flag("adam", ("adam", "sgd"), "sgd has momentum 0.9", "--optim")
    lr: float = flag(1e-05, RATE, "learning rate")
    fc_lr: float = flag(-1.0, real(-1, 10**4), "the embedding layer's, below 0 = --lr")
    wd: float = flag(0.0004, WEIGHT, "weight decay, added to the gradient", "--decay")
    scheduler: str = flag("step", ("step", "none"), "none = a constant rate")
    schedule: tuple[int, ...] = flag((1000,), COUNT, "epochs where the rate falls", "--tau", nargs="*")
    gamma: float = flag(0.3, WEIGHT, "to this share")
    clip_grad: float = flag(0.0, WEIGHT, "largest gradient norm; 0 = any")
    monitor_every: int = flag(5, COUNT_OR_0, "epochs between monitors; 0 = never")
    select: str = flag("last", None, "whose network is measured: of the last epoch, or of the best on validation "
                       "images", metavar="last|best-val")
    select_by: str = flag("rank1", ("rank1", "map", "map_at_r"), "best in what; docs/metrics.md")
    monitor_images: int = flag(2000, COUNT, "at most so many training images are monitored")
    save_every: int = flag(0, COUNT_OR_0, "also save within an epoch", metavar="STEPS")
    logger: str = flag("", sinks, "tensorboard, wandb, or both with a comma", metavar="NAMES")


@dataclass(frozen=True, kw_only=True)
class MetricOptions(ClassesOptions, EmbedderOptions, MetricLossOptions, MetricSteps, EncoderTrainingOptions):
    """All that main_metric.py is told. `loss_flags` are the options of losses that were given, by their flags' names.

    `run` is the network that `evaluate` measures, None in training and for published ones (`pretrained_root`).
    """

    title: ClassVar[str | None] = None

    method: str = "obdsd"
    accum_steps: int = 1
    crop_root: str = "none"
    monitor_every_to_select: int = 0
    run: str | None = None
    loss_flags: Mapping[str, float] = field(default_factory=dict)
    preset: str = flag("none", ("none", "cub-128", "cub-512", "cars-128", "cars-512", "sop-128", "sop-512"),
                       "published settings by data set")
    recipe: str = flag("default", ("default", "seed"), "seed = float32 throughout; else the losses are as "
                       "docs/obdsd.md says either way")
    results_dir: str = flag("checkpoints/metric", None, "everything the run writes", "--save-path", metavar="DIR")
    resume: str | None = flag(None, None, "continue a killed run exactly (from --results-dir unless a folder or file "
                              "is given); with --evaluate the network to measure", nargs="?", const="auto",
                              metavar="PATH")
    evaluate: bool = flag(False, switch_or_run, "no training: measure the network of RUN, else of --resume, else of "
                          "--results-dir, as its args.json says, or published ones; flags that contradict the run are "
                          "refused", nargs="?", const=True, metavar="RUN")
    pretrained_root: str | None = flag(None, None, "the public code's Training_Results with Recall/ and NMI/, for "
                                       "--evaluate", metavar="DIR")

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the backbone."""
        return self.lr

    def settings(self) -> dict[str, Any]:
        """Every option by its name; those of losses under their flags' names, as args.json has them."""
        named = super().settings()
        return named | named.pop("loss_flags")

    @classmethod
    def read(cls, settings: Mapping[str, Any], given: Mapping[str, str] | None = None) -> Self:
        """Options of these settings, where options of losses stand under their flags' names."""
        losses = {name: value for name, value in settings.items() if name.startswith("loss_") and name != "loss_flags"}
        return super().read({"loss_flags": losses, **settings}, given)
