"""main_metric.py --evaluate: which networks it means, and the settings that they were trained with."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.flags.finished import find_contradictions, settle_flags
from engine.flags.metric.options import MetricOptions
from evaluation.run_record import ARGS, Finished, Settings, find_photographs, open_selected, show_value
from runtime.errors import ConfigError
from runtime.options import list_given

REMEDY = ("--evaluate RUN (or --resume, or --results-dir) names a finished run or its file, --pretrained-root the "
          "folder that holds Recall/ and NMI/")
# What may be otherwise when a finished run is evaluated: which of its networks, where its photographs lie now (they
# must be the same ones), in which number format; and what only training asks for.
FREE = frozenset({"root", "select", "select_by", "precision", "pretrained", "not_pretrained", "skip_bad",
                  "monitor_every", "monitor_images", "save_every"})
# The published networks, whose names say what their files do not: OBD-SD pools twice, PSD does not.
PUBLISHED: dict[str, Settings] = {
    "OBDSD": {"PSD": True, "OBDP": True, "normalize": True, "pool": "avg+max", "loss": "multisimilarity"},
    "PSD": {"PSD": True, "OBDP": False, "normalize": True, "pool": "avg", "embed_dim": 128, "loss": "multisimilarity"}}


def settle_metric_evaluation(args: argparse.Namespace) -> list[str]:
    """With --evaluate, every setting becomes the network's own; `run` is its file, None in training.

    Lists the given flags that contradict it. Raises ConfigError when there is no such network.
    """
    named = name_evaluated_run(args)
    args.evaluate, args.run = bool(args.evaluate), None
    if not args.evaluate:
        return []
    if args.pretrained_root is not None:
        settings = PUBLISHED["OBDSD" if args.OBDP else "PSD"]
        where = f"what is published as {'OBD-SD' if args.OBDP else 'PSD'}"
    else:
        saved = find_finished_embedding(args, named)
        settings, where, args.run = saved.settings, str(saved.network), str(saved.network)
        if "results_dir" not in list_given(args):
            args.results_dir = str(saved.results)
    settle_flags(args, settings)
    if not isinstance(args.root, (str, type(None))):
        raise ConfigError(f"{where} was trained with several data sets ({show_value(args.root)}), which is none of "
                          "main_metric.py's runs: name the run of another, or its one folder with --root")
    if args.run is not None:
        if args.root is not None and "root" not in list_given(args):
            find_photographs([args.root], Path(args.run).parent / ARGS)
        args.select = "best-val" if Path(args.run).name == "model_best.pth" else "last"
    return find_contradictions(args, settings, where, free=FREE)


def name_evaluated_run(args: argparse.Namespace) -> str:
    """What --evaluate means: its own word, else --resume's, else --results-dir; raises ConfigError for two of them."""
    resumed = args.resume if args.resume not in (None, "auto") else None
    if args.evaluate and resumed is not None:
        own = "--evaluate" if isinstance(args.evaluate, str) else "--pretrained-root" if args.pretrained_root else ""
        if own:
            raise ConfigError(f"{own} and --resume {resumed} name two networks to evaluate; give one of them")
    return args.evaluate if isinstance(args.evaluate, str) else resumed or args.results_dir


def find_finished_embedding(args: argparse.Namespace, named: str) -> Finished:
    """The network of a run: of its selected epoch where it has one, unless --select says otherwise."""
    published = name_published(Path(named))
    if published and Path(named).is_file():
        return Finished(Path(named), PUBLISHED[published])
    return open_selected(named, args.select if "select" in list_given(args) else None, remedy=REMEDY)


def name_published(file: Path) -> str:
    """Which of the published kinds a public file is by the name of its folder, "" for none."""
    kinds = [kind for part in file.resolve().parts[:-1] for kind in PUBLISHED if part.partition("_d")[0] == kind]
    return kinds[-1] if kinds and file.name == "net.pth" else ""


def find_published(options: MetricOptions) -> list[Path]:
    """The published files, of two kinds, each the best epoch of one metric; raises ConfigError for those not there."""
    assert options.pretrained_root is not None  # else a run is evaluated
    if options.dataset is None:
        raise ConfigError("--pretrained-root needs --dataset: there is a network for each")
    kind = f"OBDSD_d{options.embed_dim}" if options.OBDP else "PSD"
    files = [Path(options.pretrained_root) / metric / kind / options.dataset / "net.pth"
             for metric in ("Recall", "NMI")]
    absent = [str(file) for file in files if not file.is_file()]
    if absent:
        raise ConfigError(f"no such network: {', '.join(absent)}; {REMEDY}; --OBD-SD and --embed-dim say which of them")
    return files
