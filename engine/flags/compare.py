"""The options of tools/compare.py: which runs, or which networks, on which data set, through which view."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import ClassVar

from datasets.options import CropOptions, DataOptions
from evaluation.options import FEATURES, EncoderOptions
from runtime.options import MachineOptions, Options, again, flag, list_given, repeated, word
from runtime.ranges import SIDE_OR_0
from runtime.words import boolean


@dataclass(frozen=True)
class ComparedNetwork:
    """A row: its name, its weights, its own size in pixels (0 = everyone's) and feature ("" = everyone's)."""

    label: str
    source: str
    size: int
    feature: str = ""


def parse_compared_network(text: str) -> ComparedNetwork:
    """"LABEL=SOURCE", each with "@PIXELS" or ":FEATURE" behind it or both."""
    label, equals, rest = text.partition("=")
    front, _, feature = rest.rpartition(":")
    rest, feature = (front, feature) if feature in FEATURES and front else (rest, "")
    source, _, size = rest.partition("@")
    if not equals or not source or not (size.isdigit() or not size):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=SOURCE[@PIXELS][:FEATURE]")
    return ComparedNetwork(label, source, int(size or 0), feature)


@dataclass(frozen=True, kw_only=True)
class RunsOptions(Options):
    """Finished runs, and where their tables go."""

    title: ClassVar[str | None] = "finished runs"

    runs: tuple[str, ...] = word("folders under checkpoints/, or their paths; what main_retrieval.py left there is "
                                 "compared, or measured now", "RUN", nargs="*")
    metric: tuple[str, ...] = flag(("rank1", "map", "knn"), None, "columns: any metric of results.jsonl; those of "
                                   "per_query.csv are compared query by query", nargs="+", metavar="NAME")
    against: str | None = flag(None, None, "the run that others are compared with; default: the first", metavar="RUN")
    markdown: str | None = flag(None, None, "write the tables in Markdown, too", metavar="FILE.md")
    csv: str | None = flag(None, None, "write means, intervals and differences as shares in [0, 1]", metavar="FILE.csv")
    latex: str | None = flag(None, None, "write the tables for a paper (booktabs)", metavar="FILE.tex")
    figure: str | None = flag(None, None, "draw the runs' curves over one another", metavar="FILE.png")


@dataclass(frozen=True, kw_only=True)
class NetworksOptions(Options):
    """Networks, and the protocol under which all of them are measured."""

    title: ClassVar[str | None] = "networks"

    network: tuple[ComparedNetwork, ...] = repeated(
        "a folder under checkpoints/ or a weight source; once for each network", "LABEL=SOURCE[@PIXELS][:FEATURE]",
        parse_compared_network)
    task: str = flag("custom", None, "name of the data set", "-t")
    root: str | None = flag(None, None, "the data set, with labels for any number", metavar="DIR")
    out: str = flag("compare", None, "where results and pictures go; it is emptied", metavar="DIR")
    size: int = flag(0, SIDE_OR_0, "pixels of a side for all; 0 = as each network was trained, else 224")
    input: str = flag("full", ("full", "crop"), "whole images or crops")
    crop_root: str = again(CropOptions, "crop_root", "auto")
    feature: str = flag("gap", tuple(FEATURES), "gap, masked, head, or auto = what each run chose without labels")
    centre: tuple[bool, ...] = flag((False, True), boolean, "without and with centring", nargs="+")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(RunsOptions, NetworksOptions):
    """Either of both, and what both read."""

    title: ClassVar[str | None] = "machine"

    device: str = again(MachineOptions, "device", "auto")
    cache: str = again(EncoderOptions, "cache", "cache")
    num_workers: int | str = again(DataOptions, "num_workers", "auto")


def list_compare_problems(options: CompareOptions) -> list[str]:
    """What is wrong with what was asked for: runs or networks, not both, and nothing that only the other reads."""
    if bool(options.runs) == bool(options.network):
        return ["name finished runs (RUN RUN ...), or networks with --network and --root, one or the other"]
    if options.network and not options.root:
        return ["--network: the data set is missing, give --root"]
    other, who = (NetworksOptions, "--network") if options.runs else (RunsOptions, "RUN RUN")
    given = list_given(options)
    unread = [given[one.name] for one in fields(other) if one.name in given]
    problems = [f"{', '.join(unread)}: read only with {who}; leave it out"] if unread else []
    files = [path for path in (options.markdown, options.csv, options.latex, options.figure) if path]
    if len(set(files)) < len(files):
        problems.append("--markdown, --csv, --latex and --figure: two of them are one file")
    return problems + (["one run only; name two or more"] if len(options.runs) == 1 else [])
