"""What flags name and this machine has not: said together with what is wrong with the flags themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datasets.layouts import need_root
from engine.args import name_flags
from engine.places import list_paths
from models.arch_names import resolve_arch
from models.pim_presets import PRESETS as PLUG_INS
from models.weight_files import find_weights
from runtime.errors import Problems

FOLDERS = ("root", "test_root", "folder")
NETWORKS = ("arch", "model", "teacher_model")


def check_present(args: argparse.Namespace) -> None:
    """Raise ConfigError with a line for every folder and every architecture of the flags that is not to be had.

    For `Problems.refuse`: cheap, nothing is read; a run that starts looks closer later on.
    """
    problems = Problems()
    for path in (path for name in FOLDERS for path in list_paths(getattr(args, name, None))):
        problems.attempt(lambda: need_root(path.expanduser()))
    for name in NETWORKS:
        problems.attempt(lambda: check_network(args, name))
    problems.refuse()


def check_network(args: argparse.Namespace, name: str) -> None:
    """Raise WeightsError, with its flag, for an architecture that timm does not know; `name` is that of the flag."""
    asked = getattr(args, name, None)
    if asked and asked not in PLUG_INS:
        with name_flags(args, name):
            resolve_arch(asked)


def check_weights(args: argparse.Namespace, name: str, sources: Sequence[str]) -> None:
    """Raise ConfigError, with the flag `name`, for weights that are not there; `hub` and `none` are no files."""
    problems = Problems()
    for source in sources:
        if source.partition(":")[0] not in ("none", "hub"):
            problems.attempt(lambda: _find(args, name, source))
    problems.refuse()


def _find(args: argparse.Namespace, name: str, source: str) -> None:
    with name_flags(args, name):
        find_weights(source)
