"""Flags that public codes have and ours has not: taken for one of ours, noted as without effect, or sent elsewhere."""

from __future__ import annotations

import argparse

from engine.flags.parser import Parser, take_out
from engine.flags.unread import add_silent, to_dest

# Accepted with one note: their work is done otherwise here, or not at all.
LCR_SILENT = ("--start-epoch", "--print-freq", "--log-dir", "--hide-progress", "--download", "--debug",
              "--debug-subset-size")
PROBE_SILENT = ("--start-epoch", "--print-freq", "--resume", "--evaluate", "--momentum", "--wd", "--weight-decay",
                "--moco-dim", "--moco-k", "--moco-m", "--moco-t", "--mlp", "--nu", "--knn-k", "--knn-t")
SEARCH_SILENT = ("--checkpoint-name", "--checkpoints-name", "--resume", "--moco-dim", "--moco-k", "--moco-m",
                 "--moco-t", "--mlp", "--epochs", "--lr", "--schedule", "--cos", "--wd", "--print-freq")
OBDSD_SILENT = (
    "--log-online", "--wandb-key", "--project", "--group", "--savename", "--evaluate-on-gpu", "--no-train-metrics",
    "--evaltypes", "--evaluation-metrics", "--storage-metrics", "--miner-distance-upper-cutoff",
    "--miner-rho-distance-upper-cutoff", "--loss-oproxy-mode", "--loss-oproxy-neg-alpha", "--loss-oproxy-neg-delta",
    "--data-batchmatch-bigbs", "--data-batchmatch-ncomps", "--data-storage-no-update", "--data-d2-coreset-lambda",
    "--data-gc-coreset-lim", "--data-sampler-lowproj-dim", "--data-gc-softened", "--data-idx-full-prec",
    "--data-sim-measure", "--data-mb-mom", "--data-mb-lr")
FINETUNE_SILENT = (
    "--local-rank", "--dist-on-itp", "--dist-eval", "--start-epoch", "--save-ckpt", "--save-ckpt-freq",
    "--save-ckpt-num", "--log-dir", "--log-freq", "--project", "--project-name", "--exp-name", "--wandb-ckpt",
    "--wandb-entity",
    "--model-key", "--model-prefix", "--model-ema-force-cpu", "--model-ema-eval", "--resplit", "--cooldown-epochs",
    "--patience-epochs", "--lr-noise", "--lr-noise-pct", "--lr-noise-std", "--inat-category",
    "--imagenet-default-mean-and-std", "--ngpus", "--nodes", "--timeout", "--partition", "--use-volta32", "--comment",
    "--job-dir")
# What another command does here.
ELSEWHERE = {
    "--config-file": "settings are flags here; `python -m tools.convert_config FILE.yaml` says which",
    "--evaluate": "a finished network is searched by main_retrieval.py --pretrained, and probed by main_linear.py",
    "--eval-from": "a finished network is probed by main_linear.py --pretrained FILE"}


def add_lcr(parser: Parser) -> None:
    """The flags of LCR's main.py and main_moco.py, its DIR without a flag among them."""
    parser.folder = "root"
    add = parser.add_argument
    add("--data-dir", dest="root", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add("--ckpt-dir", dest="results_dir", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add("-p", dest="print_freq", default=None, help=argparse.SUPPRESS)
    add("-c", "--config-file", default=None, help=argparse.SUPPRESS)
    add("-e", "--evaluate", nargs="?", const="", default=None, help=argparse.SUPPRESS)
    add("--eval-from", default=None, help=argparse.SUPPRESS)
    add_silent(parser, LCR_SILENT, nargs="?")


def add_probe(parser: Parser) -> None:
    """The flags of LCR's main_lincls.py, and the number of classes under its name there."""
    parser.folder = "root"
    parser.add_argument("-p", dest="print_freq", default=None, help=argparse.SUPPRESS)
    parser.add_argument("-e", dest="evaluate", nargs="?", const="", default=None, help=argparse.SUPPRESS)
    add_silent(parser, PROBE_SILENT, nargs="?")


def add_name(parser: Parser, folder: str) -> None:
    """`--checkpoint-name NAME`: the results go to NAME in a folder, as the scripts' CHECKPOINTS_NAME has it."""
    parser.add_argument("--checkpoint-name", "--checkpoints-name", dest="results_dir", default=argparse.SUPPRESS,
                        type=lambda name: f"{folder}/{name}", help=argparse.SUPPRESS)


def send_elsewhere(args: argparse.Namespace) -> list[str]:
    """A problem line for each given flag whose work is another command's; these flags leave `args`."""
    return [f"{flag}: {remedy}" for flag, remedy in ELSEWHERE.items()
            if take_out(args, to_dest(flag)) is not None]

# Flags of the public codes whose work is done otherwise here; they may be given and change nothing.
