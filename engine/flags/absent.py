"""What flags name and this machine has not: said together with what is wrong with the flags themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from datasets.layouts.read import need_root
from datasets.places import list_paths
from models.present import check_architecture
from models.weights.files import read_checkpoint
from models.weights.styles import split_encoder_state
from runtime.errors import Problems, WeightsError
from runtime.options import Options, list_given

FOLDERS = ("root", "test_root", "folder")
NETWORKS = ("arch", "model", "teacher_model")


def check_present(options: Options) -> None:
    """Raise ConfigError with a line for every folder and every architecture of the flags that is not available.

    For `Problems.refuse`: cheap, nothing is read; a run that starts looks closer later on.
    """
    problems = Problems()
    for path in (path for name in FOLDERS for path in list_paths(getattr(options, name, None))):
        problems.attempt(lambda: need_root(path.expanduser()))
    for name in NETWORKS:
        problems.attempt(lambda: check_architecture(options, name))
    problems.refuse()


def follow_max_pool(args: argparse.Namespace) -> None:
    """Weights that were trained without a max-pool go on without one, with a note, unless --max-pool is given."""
    if args.max_pool and "max_pool" not in list_given(args) and Path(str(args.pretrained)).is_file():
        try:
            content = read_checkpoint(args.pretrained)
        except WeightsError:  # whoever loads it says so
            return
        if split_encoder_state(content).meta.get("skips_max_pool"):
            print(f"note: {args.pretrained} was trained without max-pool; so is this run (--max-pool true adds it)")
            args.max_pool = False
