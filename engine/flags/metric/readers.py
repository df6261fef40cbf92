"""Which choices read which flags of main_metric.py; engine.flags.unread says what becomes of the others."""

from __future__ import annotations

import argparse

from engine.flags.metric.losses import list_loss_options
from engine.flags.unread import Readers, always
from losses.metric.criteria import ALIASES, CRITERIA


def miner(args: argparse.Namespace) -> str | None:
    """The miner that main_metric.py uses; None where the loss needs none, "" where a name is not known."""
    name = ALIASES.get(args.loss, args.loss)
    if name not in CRITERIA:
        return ""
    usual = CRITERIA[name].miners
    return (args.batch_mining or usual[0]) if usual else None


def loss_readers() -> tuple[Readers, ...]:
    """A row for each loss, whose options no other loss reads."""
    options: dict[str, list[str]] = {}
    for flag in list_loss_options():
        options.setdefault(flag.loss, []).append(flag.dest)
    return tuple(Readers(tuple(dests), f"--loss {name}",
                         lambda args, name=name: ALIASES.get(args.loss, args.loss) == name, always)
                 for name, dests in options.items())


METRIC = (
    *loss_readers(),
    Readers(("batch_mining",), "a loss that mines", lambda args: miner(args) is not None, always),
    Readers(("miner_semihard_margin",), "--batch-mining semihard", lambda args: miner(args) in ("semihard", "")),
    Readers(("miner_distance_lower_cutoff",), "--batch-mining distance", lambda args: miner(args) in ("distance", ""),
            always),
    Readers(("miner_rho_distance_lower_cutoff", "miner_rho_distance_cp"), "--batch-mining rho_distance",
            lambda args: miner(args) in ("rho_distance", ""), always),
    Readers(("kd_lambda", "kd_tau"), "--PSD", lambda args: args.PSD, always),
    Readers(("diffusion_w", "diffusion_tau"), "--OBDP", lambda args: args.OBDP, always),
    Readers(("diffusion_norm",), "--OBDP", lambda args: args.OBDP),
    Readers(("tv_split_by_samples", "tv_split_perc"), "--use-tv-split", lambda args: args.use_tv_split, always),
    Readers(("noisy_ratio",), "--noisy-label", lambda args: args.noisy_label, always),
    Readers(("schedule", "gamma"), "--scheduler step", lambda args: args.scheduler == "step", always),
    Readers(("select_by",), "--select best-val", lambda args: args.select == "best-val"),
    Readers(("monitor_images",), "--monitor-every above 0", lambda args: args.monitor_every > 0),
    Readers(("pretrained_root",), "--evaluate", lambda args: args.evaluate),
)
