"""What main_metric.py makes of its command line."""

from __future__ import annotations

import argparse

from engine.flags.absent import follow_max_pool
from engine.flags.layering import Command
from engine.flags.metric.arguments import make_parser
from engine.flags.metric.finished import settle_metric_evaluation
from engine.flags.metric.options import MetricOptions
from engine.flags.metric.presets import PRESETS
from engine.flags.metric.readers import READERS
from engine.flags.metric.words import check_select_flag, resolve_embedding_network, resolve_words
from engine.flags.public import OBDSD_SILENT
from engine.flags.unread import OF_TRAINING
from models.weights.usual import usual_weights
from runtime.devices import list_device_problems, resolve_device
from runtime.errors import Problems


def settle_metric(args: argparse.Namespace, problems: Problems) -> None:
    """Fill in what words of --arch, a finished run and automatic values decide; raises ConfigError at once.

    That is where every further problem would follow from the first one.
    """
    words = problems.attempt(lambda: resolve_words(args))
    if words is None:
        problems.refuse()
    contradictions = problems.attempt(lambda: settle_metric_evaluation(args))
    if contradictions is None:
        problems.refuse()
    problems.lines += [*(words or ()), *(contradictions or ())]
    resolve_embedding_network(args)
    args.device = resolve_device(args.device)
    if args.pretrained == "auto":
        args.pretrained = "none" if args.not_pretrained else usual_weights(args.arch)
    if not args.evaluate:
        problems.attempt(lambda: follow_max_pool(args))
    # Which epochs may be chosen is part of what the run is; how often monitors look otherwise is not.
    args.monitor_every_to_select = args.monitor_every if args.select == "best-val" else 0


def list_metric_problems(options: MetricOptions) -> list[str]:
    """What is wrong with the options alone, before any file is opened."""
    found = []
    if options.pretrained is None and not options.evaluate:
        found.append(f"--pretrained: no start weights for {options.arch} are at hand; give a file, hub, or none")
    if options.root is None:
        found.append("--root is missing: the data set's folder, or its parent with --dataset")
    if options.not_pretrained and "pretrained" in options.given:
        found.append("--not-pretrained and --pretrained say two things of the start weights; give one")
    if options.OBDP and not options.PSD:
        found.append("--OBDP changes the target of --PSD and does nothing without it; give --OBD-SD for both")
    return found + list_device_problems(options.device) + check_select_flag(options)


METRIC_COMMAND = Command(
    options=MetricOptions,
    make_parser=make_parser,
    presets=PRESETS,
    find_method=lambda first: "obdsd",
    settle=settle_metric,
    check=list_metric_problems,
    look=lambda options: None,
    readers=lambda options: OF_TRAINING if options.evaluate else READERS,
    silent=OBDSD_SILENT,
    page="log.jsonl and results.jsonl hold every number; see docs/obdsd.md",
)
