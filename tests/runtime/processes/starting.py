"""Two processes as srun starts them, with its variables and without srun, and what they left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def find_port() -> int:
    """A port that is free now."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def describe_step() -> dict[str, str]:
    """The variables that all tasks of a step of two have in common, as srun sets them on one machine."""
    return {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_NNODES": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "localhost",
            "MASTER_PORT": str(find_port()), "OMP_NUM_THREADS": "1"}


@dataclass
class Task:
    """One process and the files that hold its words."""

    process: subprocess.Popen[bytes]
    place: Path

    @property
    def out(self) -> str:
        return self.place.with_suffix(".out").read_text().replace("\r", "\n")

    @property
    def err(self) -> str:
        return self.place.with_suffix(".err").read_text().replace("\r", "\n")


def start_task(command: Sequence[str | Path], environ: Mapping[str, str], place: Path) -> Task:
    """A process in a group of its own, in the project's folder."""
    words = [*map(str, command)]
    with place.with_suffix(".out").open("w") as out, place.with_suffix(".err").open("w") as err:
        process = subprocess.Popen(words, env={**os.environ, **environ}, stdout=out, stderr=err, cwd=ROOT, start_new_session=True)
    return Task(process, place)


def start_step(words: Sequence[str | Path], folder: Path, more: Mapping[int, Sequence[str]] | None = None) -> list[Task]:
    """Two tasks of python with these words, each with `more` of its own."""
    folder.mkdir()
    step = describe_step()
    return [start_task([sys.executable, *words, *(more or {}).get(rank, [])],
                       {**step, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}, folder / str(rank)) for rank in range(2)]


def finish(tasks: Sequence[Task], seconds: float = 400) -> list[int]:
    """Their exit codes; nobody outlives this."""
    try:
        return [task.process.wait(seconds) for task in tasks]
    finally:
        for task in tasks:
            task.process.kill()
