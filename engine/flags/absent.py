"""What flags name and this machine has not: said together with what is wrong with the flags themselves."""

from __future__ import annotations

import argparse

from datasets.layouts.read import need_root
from datasets.places import list_paths
from models.present import check_architecture
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
        problems.attempt(lambda: check_architecture(args, name))
    problems.refuse()






