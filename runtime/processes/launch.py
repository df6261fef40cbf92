"""Which process of a run this is, by what its starter left in the environment: torchrun, srun, mpirun or the user.

Each starter counts in variables of its own. What torchrun says holds; then what the user exported, as far as the
starter agrees; then MPI, which may itself have been started by srun; then SLURM.
"""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.errors import refuse

TORCHRUN = "TORCHELASTIC_RUN_ID"
# rank, size, rank on this machine, processes on this machine
OWN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MPI = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "")
SPECIAL_STEPS = 0xFFFFFFFA  # from here on they are shells: interactive, batch, extern, pending
JOBS = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_ess_jobid", "PMI_JOBID")  # one for each mpirun
PORTS = range(15000, 31384)  # below those that Linux gives to anyone


@dataclass(frozen=True)
class Launch:
    """Rank and size of this process's run; `local` is its rank on this machine, None where nobody counted that.

    `starter` is torchrun, srun, mpirun, environment (the user's own variables) or, alone, "". `note` is what the user
    should know about a process that trains alone.
    """

    rank: int = 0
    world: int = 1
    local: int | None = None
    local_world: int | None = None
    starter: str = ""
    address: str = ""
    port: int = 0
    note: str = ""

    def describe(self) -> str:
        """For people."""
        return f"rank {self.rank} of {self.world}"


@dataclass(frozen=True)
class _Count:
    """What one starter says, and the names of the variables that say it."""

    rank: int
    world: int
    local: int | None
    local_world: int | None
    names: tuple[str, ...]

    def spell(self, environ: Mapping[str, str]) -> str:
        """The variables as a shell shows them."""
        return " ".join(f"{name}={environ[name]}" for name in self.names[:2] if name in environ)


def find_launch() -> Launch:
    """`read_launch` of this process."""
    return read_launch(os.environ, by_hand=sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty())


def read_launch(environ: Mapping[str, str], *, by_hand: bool = False) -> Launch:
    """Which process of its run an environment belongs to; `by_hand`: it was typed at a terminal.

    Raises ConfigError, naming the variables and the remedy, for what contradicts itself or is not there.
    """
    problems: list[str] = []
    own, starters = _count(environ, OWN, problems), [_count(environ, names, problems) for names in MPI]
    step = None if by_hand and "SLURM_PTY_PORT" in environ else _count_step(environ, problems)
    refuse(problems)
    found = [count for count in starters if count is not None]
    refuse(_compare_starters(environ, found))
    outer = found[0] if found else None
    if step is not None and (outer is None or (step.rank, step.world) == (outer.rank, outer.world)):
        outer = step  # srun speaks MPI too, but knows more
    if TORCHRUN in environ:
        refuse(_compare_with_torchrun(environ, outer))
        outer = None
    elif own is not None and outer is not None and outer.world > 1:
        refuse(_compare_with_own(environ, own, outer))
    elif own is not None:  # also several by hand within a step of one
        outer = None
    chosen = outer or own
    if chosen is None or chosen.world == 1:
        note = _tell_alone(environ) if chosen is None else ""
        return Launch(local=_read_number(environ, "LOCAL_RANK", []), note=note)
    starter = "srun" if chosen.names == SRUN else "mpirun"
    if chosen.names == OWN:
        starter = "torchrun" if TORCHRUN in environ else "environment"
    address, port = _find_meeting_place(environ, chosen)
    local = own.local if own is not None and own.local is not None else chosen.local
    return Launch(chosen.rank, chosen.world, local, chosen.local_world, starter, address, port)


def _read_number(environ: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    word = environ.get(name, "")
    if word and not word.strip().isdecimal():
        problems.append(f"{name}={word} is no number; unset it, or leave it to the starter")
    return int(word) if word.strip().isdecimal() else None


def _count(environ: Mapping[str, str], names: tuple[str, str, str, str], problems: list[str]) -> _Count | None:
    """What four variables say; None where the first two are not there. Of the user's, a size alone says nothing yet."""
    rank, world, local, local_world = (_read_number(environ, name, problems) for name in names)
    if rank is None and (world is None or world == 1 or names != OWN):
        return None
    said = " ".join(f"{name}={environ[name]}" for name in names[:2] if environ.get(name))
    if names == OWN and rank is None and _is_started(environ):
        return None  # scripts export the size, and leave the rank to the starter
    if rank is None or world is None or rank >= world:
        problems.append(f"{said} does not say which process of how many this is: {names[0]} counts from 0 to "
                        f"{names[1]} - 1; unset both to train alone, or start with torchrun, srun or mpirun")
        return None
    return _Count(rank, world, local, local_world, names)


def _is_started(environ: Mapping[str, str]) -> bool:
    """Whether a starter other than torchrun has counted."""
    return _is_step(environ) or any(names[0] in environ for names in MPI)


def _is_step(environ: Mapping[str, str]) -> bool:
    """Whether srun started this, and not a shell: the scripts of sbatch have a SLURM_PROCID too, but no step."""
    step = environ.get("SLURM_STEP_ID", "")
    return step.isdecimal() and int(step) < SPECIAL_STEPS and "SLURM_PROCID" in environ


def _count_step(environ: Mapping[str, str], problems: list[str]) -> _Count | None:
    """What srun says; a step of early releases counts in SLURM_NTASKS alone."""
    if not _is_step(environ):
        return None
    size = SRUN[1] if SRUN[1] in environ else "SLURM_NTASKS"
    count = _count(environ, (SRUN[0], size, SRUN[2], ""), problems)
    return None if count is None else _Count(count.rank, count.world, count.local, None, SRUN)


def _compare_starters(environ: Mapping[str, str], counts: list[_Count]) -> list[str]:
    """A line where two kinds of MPI say different things."""
    if len({(count.rank, count.world) for count in counts}) < 2:
        return []
    said = ", ".join(count.spell(environ) for count in counts)
    return [f"{said} are of different starters; start with one of them only, or unset the variables of the others"]


def _compare_with_torchrun(environ: Mapping[str, str], outer: _Count | None) -> list[str]:
    """A line where several torchruns were started that do not know of one another: each would be a run of its own."""
    nodes = int(environ.get("GROUP_WORLD_SIZE", "1"))
    if outer is None or outer.world == nodes:
        return []
    return [f"{outer.spell(environ)}, but GROUP_WORLD_SIZE={nodes} of torchrun: {outer.world} were started of it, and "
            f"{nodes} would train together; start one a node (srun --ntasks-per-node=1 torchrun --nnodes=N "
            "--rdzv_backend=c10d --rdzv_endpoint=HOST:PORT ...), or `srun python ...` without torchrun"]


def _compare_with_own(environ: Mapping[str, str], own: _Count, outer: _Count) -> list[str]:
    """A line where RANK and WORLD_SIZE were exported and are not what the starter says."""
    if (own.rank, own.world) == (outer.rank, outer.world):
        return []
    return [f"{own.spell(environ)}, but {outer.spell(environ)}: unset RANK and WORLD_SIZE (export neither in a "
            "script; MASTER_ADDR and MASTER_PORT may stay), since the starter counts the processes"]


def _tell_alone(environ: Mapping[str, str]) -> str:
    """What to say of a process that was started by hand in an allocation for several; "" elsewhere."""
    tasks = environ.get("SLURM_NTASKS", "")
    if not tasks.isdecimal() or int(tasks) < 2:
        return ""
    return (f"SLURM_NTASKS={tasks}, but srun did not start this, so it is one process alone; put srun before the "
            f"command for {tasks} together")


def _find_meeting_place(environ: Mapping[str, str], count: _Count) -> tuple[str, int]:
    """Host and port of rank 0: MASTER_ADDR and MASTER_PORT where they are given, else by what the starter says."""
    problems: list[str] = []
    port = _read_number(environ, "MASTER_PORT", problems)
    address = environ.get("MASTER_ADDR", "")
    if count.names == OWN:
        problems += [f"{name} is not set, where {count.spell(environ)} are to meet; export it, or start with torchrun"
                     for name in ("MASTER_ADDR", "MASTER_PORT") if not environ.get(name)]
    address = address or _find_host(environ, count)
    if not address and not problems:
        problems.append(f"{count.spell(environ)} on several machines, but MASTER_ADDR does not say where rank 0 is; "
                        "pass it on: mpirun -x MASTER_ADDR=$(hostname) ... or mpiexec -genv MASTER_ADDR $(hostname)")
    refuse(problems)
    return address, derive_port(environ, count.names == SRUN) if port is None else port


def _find_host(environ: Mapping[str, str], count: _Count) -> str:
    """The machine of rank 0; "" where nobody says it."""
    nodes = environ.get("SLURM_STEP_NUM_NODES") or environ.get("SLURM_NNODES")
    if count.local_world == count.world or (count.names == SRUN and nodes == "1"):
        return "127.0.0.1"
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    listed = next((environ[name] for name in names[count.names != SRUN:] if environ.get(name)), "")
    return first_host(listed)


def first_host(nodes: str) -> str:
    """The first of SLURM's list of nodes: "gpu[007-009,12],login1" -> "gpu007"; "" of an empty list."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group() if first else "")


def derive_port(environ: Mapping[str, str], by_srun: bool) -> int:
    """A port that all processes of a job find, and another job hardly: of the numbers of job and step, or MPI's job.

    mpirun's processes on its own machine are in no step, and those elsewhere in one that carries them there.
    """
    job = next((environ[name] for name in JOBS if environ.get(name)), "") if not by_srun else ""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID") if by_srun else ("SLURM_JOB_ID",)
    words = [word for word in (*(environ.get(name, "") for name in names), job) if word]
    return PORTS[zlib.crc32(".".join(words).encode()) % len(PORTS)] if words else 29500
