"""Batch normalisation and batches of one image: reported before training, with the remedy."""

from __future__ import annotations

from torch import nn

from engine.options import TrainingOptions
from models.backbones import list_learning_norms
from runtime import distributed
from runtime.errors import ConfigError


def check_batch_norm(options: TrainingOptions, network: nn.Module, *, frozen: bool = False) -> None:
    """Raise ConfigError when a process gets one image at a time and `network` learns its statistics from batches.

    `frozen`: `--frozen-bn` is going to keep all of this network's statistics. A network without batch normalisation,
    or one that takes its statistics over several CUDA processes, may have any batch.
    """
    shares = distributed.world() * options.accum_steps
    if frozen or options.batch_size > shares or shares_statistics(options, options.device):
        return
    norms = list_learning_norms(network)
    if not norms:
        return
    shown = ", ".join(norms[:3]) + (f" and {len(norms) - 3} more" if len(norms) > 3 else "")
    parts = options.accum_steps
    fewer = f", fewer than {parts} micro-batches (--accum-steps, --update-freq)" * (parts > 1)
    keep = ", --frozen-bn (the statistics of the start weights stay)" * (not options.frozen_bn)
    raise ConfigError(f"--batch-size leaves one image at a time on each process, and batch normalisation ({shown}) "
                      f"cannot learn from one: take a larger --batch-size{fewer}{keep}, or a network without it, "
                      "such as a vision transformer")


def shares_statistics(options: TrainingOptions, device: str) -> bool:
    """Whether batch statistics are taken over all processes: several of them, on CUDA, with --sync-bn."""
    several = distributed.world() > 1 and device.startswith("cuda")
    return bool(options.sync_bn) and not options.frozen_bn and several
