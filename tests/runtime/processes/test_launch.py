"""Every starter's variables, as it sets them, say which process this is; what contradicts is named with its remedy."""

from __future__ import annotations

import pytest

from runtime.errors import ConfigError
from runtime.processes.launch import PORTS, Launch, derive_port, first_host, read_launch

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
            "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2", "MASTER_ADDR": "gpu1", "MASTER_PORT": "40001"}
JOB = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_NNODES": "2"}
BATCH = {**JOB, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}  # what a script of sbatch sees
STEP = {**JOB, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "gpu[07-08]"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "prterun-host-1@1"}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
OWN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "40001"}


def complain(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        read_launch(environ)
    assert str(caught.value).startswith("cannot start")
    return str(caught.value)


@pytest.mark.parametrize("environ, launch", [
    ({}, Launch()),
    (TORCHRUN, Launch(3, 4, 1, 2, "torchrun", "gpu1", 40001)),
    (OWN, Launch(1, 2, None, None, "environment", "localhost", 40001)),
    ({**OWN, "LOCAL_RANK": "0"}, Launch(1, 2, 0, None, "environment", "localhost", 40001)),
    (STEP, Launch(3, 4, 1, None, "srun", "gpu07", derive_port(STEP, True))),
    ({**STEP, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "5"}, Launch(3, 4, 1, None, "srun", "10.0.0.1", 5)),
    ({**STEP, "SLURM_STEP_NUM_NODES": "1"}, Launch(3, 4, 1, None, "srun", "127.0.0.1", derive_port(STEP, True))),
    ({**STEP, "WORLD_SIZE": "4"}, Launch(3, 4, 1, None, "srun", "gpu07", derive_port(STEP, True))),
    ({**STEP, "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}, Launch(3, 4, 0, None, "srun", "gpu07", derive_port(STEP, True))),
    ({**STEP, "PMI_RANK": "3", "PMI_SIZE": "4"}, Launch(3, 4, 1, None, "srun", "gpu07", derive_port(STEP, True))),
    ({**STEP, **OWN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch(1, 2, None, None, "environment", "localhost", 40001)),
    (OPEN_MPI, Launch(1, 2, 1, 2, "mpirun", "127.0.0.1", derive_port(OPEN_MPI, False))),
    (MPICH, Launch(1, 2, 1, 2, "mpirun", "127.0.0.1", 29500)),
    ({**STEP, **OPEN_MPI}, Launch(1, 2, 1, 2, "mpirun", "127.0.0.1", derive_port({**STEP, **OPEN_MPI}, False))),
    ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "2"}, Launch(local=2)),
])
def test_every_starter_is_understood(environ: dict[str, str], launch: Launch) -> None:
    assert read_launch(environ) == launch


def test_torchrun_within_a_step_of_one_task_a_machine_counts() -> None:
    step = {**STEP, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
    assert read_launch({**step, **TORCHRUN}) == Launch(3, 4, 1, 2, "torchrun", "gpu1", 40001)


@pytest.mark.parametrize("environ, by_hand", [
    (JOB, True),  # the shell of salloc
    (BATCH, False),  # a script of sbatch, without srun
    ({**BATCH, "SLURM_STEP_ID": str(0xFFFFFFFA), "SLURM_STEP_NUM_TASKS": "1"}, True),  # salloc's own interactive step
    ({**STEP, "SLURM_PTY_PORT": "33333"}, True),  # srun --pty bash
])
def test_without_srun_it_is_alone_and_says_so(environ: dict[str, str], by_hand: bool) -> None:
    launch = read_launch(environ, by_hand=by_hand)
    assert (launch.rank, launch.world) == (0, 1)
    assert "SLURM_NTASKS=4" in launch.note and "put srun before" in launch.note


def test_a_step_that_a_terminal_started_is_one() -> None:
    assert read_launch({**STEP, "SLURM_PTY_PORT": "33333"}).world == 4
    assert read_launch(STEP, by_hand=True).world == 4
    assert read_launch({**JOB, "SLURM_NTASKS": "1"}) == Launch()  # nobody expects more
    assert read_launch({**TORCHRUN, **BATCH, "RANK": "0", "WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1"}).note == ""


@pytest.mark.parametrize("environ, words", [
    ({**STEP, **OWN, "RANK": "0", "WORLD_SIZE": "4"}, ["RANK=0 WORLD_SIZE=4", "SLURM_PROCID=3 SLURM_STEP_NUM_TASKS=4", "unset RANK"]),
    ({**STEP, **TORCHRUN, "GROUP_WORLD_SIZE": "1"}, ["SLURM_STEP_NUM_TASKS=4", "GROUP_WORLD_SIZE=1", "--ntasks-per-node=1"]),
    ({**OPEN_MPI, **MPICH, "PMI_SIZE": "3"}, ["OMPI_COMM_WORLD_SIZE=2", "PMI_SIZE=3", "one of them only"]),
    ({"RANK": "2", "WORLD_SIZE": "2"}, ["RANK=2 WORLD_SIZE=2", "counts from 0"]),
    ({"RANK": "1"}, ["RANK=1 does not say", "unset both"]),
    ({"WORLD_SIZE": "2"}, ["WORLD_SIZE=2 does not say", "unset both"]),
    ({"RANK": "one", "WORLD_SIZE": "2"}, ["RANK=one is no number"]),
    ({"RANK": "0", "WORLD_SIZE": "2"}, ["MASTER_ADDR is not set", "MASTER_PORT is not set"]),
    ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "4"}, ["MASTER_ADDR does not say where rank 0 is", "mpirun -x MASTER_ADDR"]),
])
def test_contradictions_are_one_message_with_variables_and_remedy(environ: dict[str, str], words: list[str]) -> None:
    message = complain(environ)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("nodes, first", [
    ("gpu[007-009,12],login1", "gpu007"), ("login1,gpu[1-2]", "login1"), ("a", "a"), ("", ""),
    ("rack[1,3]node[04-08]", "rack1node04"), ("n[5]", "n5"), ("a-b-[3-4].site", "a-b-3.site"),
])
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_a_job_has_its_port_on_every_machine() -> None:
    ports = {derive_port({"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": step}, True) for job in range(500) for step in "01"}
    assert len(ports) > 900 and all(port in PORTS for port in ports)
    here, there = JOB | OPEN_MPI, STEP | OPEN_MPI  # mpirun's processes on its machine, and on another
    assert derive_port(here, False) == derive_port(there, False) != derive_port(STEP, True)
