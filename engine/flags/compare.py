"""The options of tools/compare.py: which networks, on which data set, through which view."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from datasets.options import CropOptions, DataOptions
from evaluation.options import FEATURES, EncoderOptions
from runtime.options import MachineOptions, Options, again, flag, repeated
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
class CompareOptions(Options):
    """Networks, and the protocol under which all of them are measured."""

    network: tuple[ComparedNetwork, ...] = repeated(
        "a folder under checkpoints/ or a weight source; once for each network", "LABEL=SOURCE[@PIXELS][:FEATURE]",
        parse_compared_network, required=True)
    task: str = flag("custom", None, "name of the data set", "-t")
    root: str = flag(None, None, "the data set, with labels for any number", metavar="DIR", required=True)
    out: str = flag("compare", None, "where results and pictures go; it is emptied", metavar="DIR")
    size: int = flag(0, SIDE_OR_0, "pixels of a side for all; 0 = as each network was trained, else 224")
    input: str = flag("full", ("full", "crop"), "whole images or crops")
    crop_root: str = again(CropOptions, "crop_root", "auto")
    feature: str = flag("gap", None, "gap, masked or head")
    centre: tuple[bool, ...] = flag((False, True), boolean, "without and with centring", nargs="+")
    device: str = again(MachineOptions, "device", "auto")
    cache: str = again(EncoderOptions, "cache", "cache")
    num_workers: int | str = again(DataOptions, "num_workers", "auto")
