"""Which choices read which flags of main_linear.py and main_retrieval.py, and what a recipe or preset means there."""

from __future__ import annotations

import argparse

from engine.flags.evaluate.options import EmbedOptions, QueryOptions, SortOptions
from engine.flags.groups import warn_ignored
from engine.flags.parser import imply
from engine.flags.unread import Readers, Test, always
from evaluation.options import EncoderOptions, ProbeOptions, SearchOptions
from runtime.devices import list_device_problems, resolve_device
from runtime.errors import Problems
from runtime.options import list_given


def reranks(*names: str) -> Test:
    """Whether one of these re-rankings was chosen."""
    return lambda told: told.rerank in names


CROPS = (
    Readers(("crop_root",), "--input crop", lambda told: told.input == "crop", always),
    Readers(("crop_from",), "--input crop", lambda told: told.input == "crop"),
)
PROBE = (
    *CROPS,
    Readers(("hold_out",), "--protocol cached", lambda told: told.protocol == "cached"),
    Readers(("schedule",), "--cos false", lambda told: not told.cos, always),
)
SEARCH = (
    *CROPS,
    Readers(("gallery",), "--protocol query-gallery", lambda told: told.protocol == "query-gallery"),
    Readers(("qe_n",), "--rerank aqe or alpha-qe", reranks("aqe", "alpha-qe")),
    Readers(("qe_alpha",), "--rerank alpha-qe", reranks("alpha-qe")),
    Readers(("k1", "k2", "jaccard_lambda"), "--rerank k-reciprocal", reranks("k-reciprocal")),
    Readers(("diffusion_mode", "diffusion_k", "diffusion_gamma", "diffusion_alpha", "diffusion_n"),
            "--rerank diffusion", reranks("diffusion")),
    Readers(("diffusion_n",), "another --diffusion-mode than dense",
            lambda told: told.rerank != "diffusion" or told.diffusion_mode != "dense"),
)
EMBED = (
    *CROPS,
    Readers(("shard_size",), "--to npy or parquet", lambda told: told.to != "array"),
)
SORT = (
    *CROPS,
    Readers(("apply", "name_first", "score"), "no --serve: the page does it", lambda told: not told.serve),
    Readers(("port", "open"), "--serve", lambda told: told.serve),
)
QUERY = (
    *CROPS,
    Readers(("text", "image", "zero_shot", "top", "results_dir"), "no --serve: the page asks, and writes nothing",
            lambda told: not told.serve),
    Readers(("port", "open"), "--serve", lambda told: told.serve),
)


def list_readers(options: EncoderOptions) -> tuple[Readers, ...]:
    """The rows of the table that these options answer to."""
    rows = {ProbeOptions: PROBE, SearchOptions: SEARCH, EmbedOptions: EMBED, SortOptions: SORT, QueryOptions: QUERY}
    return next((table for kind, table in rows.items() if isinstance(options, kind)), CROPS)


def settle_evaluation(args: argparse.Namespace, problems: Problems) -> None:
    """What every evaluation of an encoder settles: launch flags of old, device, preset and recipe."""
    warn_ignored(args)
    problems.lines += list_device_problems(args.device)
    args.device = resolve_device(args.device)
    if "folder" in args:  # the tools of one folder name it by its place
        args.root = args.folder
    lay_evaluation(args)


def lay_evaluation(args: argparse.Namespace) -> None:
    """What --preset and --recipe seed stand for in an evaluation, under the user's own flags.

    A preset says which data set it is. The recipe is the public LEAD code's square view, and its protocol of the probe.
    """
    own = list_given(args)
    if args.preset != "none" and "task" not in own:
        args.task = args.preset
        imply(args, f"--preset {args.preset}", "task")
    if args.recipe == "seed" and hasattr(args, "hold_out") and "protocol" not in own:
        args.protocol = "seed"
    if "seed" in (args.recipe, getattr(args, "protocol", None)) and "eval_view" not in own:
        args.eval_view = "squash"
