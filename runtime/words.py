"""Words that a flag takes where others are slips: devices, log sinks, architectures; and what they stand for."""

from __future__ import annotations

import argparse
import importlib.util
import re

from runtime.names.hub import strip_hub

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


def architecture(text: str) -> str:
    """A timm name, also as a hub prints it; "clip" is what the public LEAD code calls its ResNet-50."""
    name = strip_hub(text)
    return "resnet50" if name == "clip" else name


def boolean(text: str) -> bool:
    """"true", "yes", "1", "on" or their opposites, so that `--cos false` means what it says."""
    answers = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    if text.lower() not in answers:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return answers[text.lower()]


def switch_or_run(text: str) -> bool | str:
    """A boolean, or the name of a finished run."""
    try:
        return boolean(text)
    except argparse.ArgumentTypeError:
        return text
