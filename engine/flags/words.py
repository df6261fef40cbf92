"""Words that a flag takes where others are slips: devices, log sinks. Only the standard library is imported."""

from __future__ import annotations

import argparse
import importlib.util
import re

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
SINKS = ("tensorboard", "wandb")


def device(text: str) -> str:
    """auto, cpu, cuda, cuda:N or mps; whether it is here is asked later, of torch."""
    word = text.strip().lower()
    if not DEVICE.fullmatch(word):
        raise argparse.ArgumentTypeError(f"is {text!r}, but it must be cpu, cuda, cuda:N, mps, or auto")
    return word


def sinks(text: str) -> str:
    """Names of log sinks with commas between them, each known and installed."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in SINKS:
            raise argparse.ArgumentTypeError(f"is {text!r}, but {name} is unknown; {' and '.join(SINKS)} are known, "
                                             "and log.jsonl is always written")
        if importlib.util.find_spec(name) is None:
            raise argparse.ArgumentTypeError(f"is {text!r}, but that package is not installed; "
                                             f"`pip install {name}`, or leave it out: log.jsonl is always written")
    return ",".join(dict.fromkeys(names))
