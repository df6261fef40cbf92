"""Checkpoints that survive a kill; the one before is kept."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from engine.gradients.balance import Balanced
from engine.selection import Kept
from evaluation.run_record import CURRENT, PREVIOUS
from methods.method import Method
from runtime.errors import ConfigError, StopTraining
from runtime.files import write_atomically
from runtime.side_files import check_shape

# What a resume state holds at least; a method's own parts are checked when they are put back.
STATE = {"identity": {"flags": str, "data": str, "crops": str, "precision": (str, None), "threads": int, "world": int,
                      "accum_steps": int, "device": str},
         "method": dict, "optimizer": dict, "scaler": dict, "meter": dict, "step": int, "log_position": int}


class Generators(TypedDict, total=False):
    """Where the generators of one rank stand: lists of what Python's and NumPy's own functions take, torch's bytes."""

    python: list[Any]
    numpy: list[Any]
    torch: Tensor
    cuda: Tensor


class ResumeState(TypedDict):
    """Everything that the future of a run depends on, see `engine.trainer.Trainer`."""

    method: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    meter: dict[str, dict]
    step: int
    log_position: int
    generators: list[Generators]
    identity: dict[str, object]
    selection: Kept | dict[str, object]
    balance: Balanced


def save(folder: Path, state: ResumeState) -> None:
    """Save a resume state in `folder`; the previous one stays beside it until the next save."""
    write_atomically(folder / CURRENT, lambda path: torch.save(state, path), keep=folder / PREVIOUS)


def load_resume_state(source: Path) -> dict[str, Any]:
    """The newest whole resume state of a folder (or of one file).

    A truncated file is named loudly and the previous one taken; raises ConfigError when none is whole.
    """
    files = [source / CURRENT, source / PREVIOUS] if source.is_dir() else [source]
    broken = []
    for file in files:
        if not file.exists():
            continue
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged archive
            broken.append(f"{file} is damaged ({type(error).__name__})")
            continue
        if broken:
            print(f"WARNING: {'; '.join(broken)}; going on from {file}", file=sys.stderr)
        return state
    if broken:
        raise ConfigError(f"cannot resume: {'; '.join(broken)}. Begin again without --resume in another --results-dir")
    raise ConfigError(f"cannot resume: there is no checkpoint in {source}, so nothing is lost by beginning: leave "
                      "--resume out, or name the folder of the run that is meant with --resume FOLDER")


def load_state(source: Path) -> ResumeState:
    """As `load_resume_state`, for a run to be continued; raises ConfigError too for a file of another content."""
    state = load_resume_state(source)
    check_shape(state, STATE, source=str(source), error=ConfigError,
                remedy="it is no resume state: to start from its weights, give it as --pretrained without --resume")
    return cast(ResumeState, state)


def rng_state() -> Generators:
    """The state of Python's, NumPy's and torch's generators as plain tensors and numbers."""
    version, words, gauss = random.getstate()
    numbers = cast("tuple[str, np.ndarray, int, int, float]", np.random.get_state())  # no dict unless asked for one
    kind, keys, position, has_gauss, cached = numbers
    state: Generators = {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: Generators) -> None:
    """Put every generator back to where `rng_state` found it."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def trained_state(method: Method) -> dict[str, Tensor]:
    """The method's state without its frozen parts."""
    return {name: value for name, value in method.state_dict().items() if not name.startswith(frozen_prefixes(method))}


def load_trained_state(method: Method, state: dict[str, Tensor]) -> None:
    """Put a state back; anything missing beyond the frozen parts, or left over, is an error."""
    missing, unexpected = method.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.startswith(frozen_prefixes(method))]
    if missing or unexpected:
        raise StopTraining(f"the checkpoint belongs to another method or architecture: missing {missing[:5]}, "
                           f"left over {unexpected[:5]}. Resume with the flags of args.json")


def frozen_prefixes(method: Method) -> tuple[str, ...]:
    """Prefixes of state names that never learn."""
    return tuple(f"{name}." for name in method.frozen)


def refuse_broken(method: Method) -> None:
    """Raise StopTraining where weights, or what batch norm remembers, are no numbers: no step would fix the latter."""
    state = method.state_dict()
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()
              or name.endswith("running_var") and (value < 0).any()]
    if broken:
        raise StopTraining(f"NaN, infinity or a variance below 0 stands in {len(broken)} of the {len(state)} tensors "
                           f"to start from ({', '.join(broken[:3])}{', ...' if len(broken) > 3 else ''}): take other "
                           "start weights")
