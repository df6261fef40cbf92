"""Which choices read which flags of main_metric.py; engine.flags.unread says what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable

from engine.flags.metric.losses import list_loss_options
from engine.flags.metric.options import MetricOptions
from engine.flags.unread import Readers, always
from losses.metric.criteria import CRITERIA
from losses.metric.options import ALIASES


def miner(options: MetricOptions) -> str | None:
    """The miner that main_metric.py uses; None where the loss needs none, "" where a name is not known."""
    name = ALIASES.get(options.loss, options.loss)
    if name not in CRITERIA:
        return ""
    usual = CRITERIA[name].miners
    return (options.batch_mining or usual[0]) if usual else None


def loss_readers() -> tuple[Readers, ...]:
    """A row for each loss, whose options no other loss reads."""
    options: dict[str, list[str]] = {}
    for flag in list_loss_options():
        options.setdefault(flag.loss, []).append(flag.dest)
    return tuple(Readers(tuple(dests), f"--loss {name}", has_loss(name), always) for name, dests in options.items())


def has_loss(name: str) -> Callable[[MetricOptions], bool]:
    """Whether the options' loss is the one of that name."""
    return lambda told: ALIASES.get(told.loss, told.loss) == name


READERS = (
    *loss_readers(),
    Readers(("batch_mining",), "a loss that mines", lambda told: miner(told) is not None, always),
    Readers(("miner_semihard_margin",), "--batch-mining semihard", lambda told: miner(told) in ("semihard", "")),
    Readers(("miner_distance_lower_cutoff",), "--batch-mining distance", lambda told: miner(told) in ("distance", ""),
            always),
    Readers(("miner_rho_distance_lower_cutoff", "miner_rho_distance_cp"), "--batch-mining rho_distance",
            lambda told: miner(told) in ("rho_distance", ""), always),
    Readers(("kd_lambda", "kd_tau"), "--PSD", lambda told: told.PSD, always),
    Readers(("diffusion_w", "diffusion_tau"), "--OBDP", lambda told: told.OBDP, always),
    Readers(("diffusion_norm",), "--OBDP", lambda told: told.OBDP),
    Readers(("tv_split_by_samples", "tv_split_perc"), "--use-tv-split", lambda told: told.use_tv_split, always),
    Readers(("noisy_ratio",), "--noisy-label", lambda told: told.noisy_label, always),
    Readers(("schedule", "gamma"), "--scheduler step", lambda told: told.scheduler == "step", always),
    Readers(("select_by",), "--select best-val", lambda told: told.select == "best-val"),
    Readers(("monitor_images",), "--monitor-every above 0", lambda told: told.monitor_every > 0),
    Readers(("pretrained_root",), "--evaluate", lambda told: told.evaluate),
)
