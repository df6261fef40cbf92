"""Training as clusters start and stop it: by srun, on two machines, with the machine taken away in between."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.runtime.processes.starting import ROOT, Task, describe_step, find_port, finish, start_step, start_task

pytestmark = pytest.mark.slow
EPOCHS, STEPS = 6, 3
TINY = ["main_pretrain.py", "--method", "moco", "--moco-k", "64", "--crop-root", "none", "-a", "test_resnet", "--pretrained", "none",
        "--size", "32", "--batch-size", "8", "--epochs", str(EPOCHS), "--monitor-every", "0", "--lr", "0.01",
        "--device", "cpu", "--precision", "fp32", "--threads", "1", "--num-workers", "1"]


def read_steps(run: Path) -> list[dict[str, object]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row for row in lines if row["kind"] in ("step", "epoch")]


def read_state(run: Path) -> dict[str, object]:
    return torch.load(run / "checkpoint.pt", weights_only=True)


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: weights, momenta, log."""
    first, second = read_state(one), read_state(other)
    assert first["step"] == second["step"] == EPOCHS * STEPS and first["identity"] == second["identity"]
    assert first["identity"]["world"] == 2
    for part in ("method", "meter"):
        assert first[part].keys() == second[part].keys()
    assert all(torch.equal(value, second["method"][name]) for name, value in first["method"].items())
    torch.testing.assert_close(first["optimizer"], second["optimizer"], atol=0, rtol=0)
    assert read_steps(one) == read_steps(other)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set that all runs here share."""
    from tests.conftest import photo_tree

    return photo_tree.__wrapped__(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def one_machine(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that all others must equal: torchrun with two processes on one machine."""
    place = tmp_path_factory.mktemp("one")
    command = [sys.executable, "-m", "torch.distributed.run", f"--master-port={find_port()}", "--nproc-per-node=2", *TINY,
               "--root", photos, "--results-dir", place / "run"]
    task = start_task(command, {"OMP_NUM_THREADS": "1"}, place / "words")
    assert finish([task]) == [0], task.err
    assert task.out.count("fingerprint method=moco") == task.err.count("next:") == task.err.count("36 images in 3 classes") == 1
    return place / "run"


def test_srun_is_one_run(photos: Path, one_machine: Path, tmp_path: Path) -> None:
    tasks = start_step([*TINY, "--root", photos, "--results-dir", tmp_path / "run"], tmp_path / "words")
    assert finish(tasks) == [0, 0], tasks[0].err
    assert "fingerprint method=moco" in tasks[0].out and tasks[1].out == "" and "[rank" not in tasks[1].err
    assert_same_run(tmp_path / "run", one_machine)


def wait_for_step(task: Task, run: Path, step: int) -> None:
    limit = time.monotonic() + 200
    while not ((run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count('"kind": "step"') >= step):
        assert time.monotonic() < limit and task.process.poll() is None, task.err
        time.sleep(0.005)


@pytest.mark.parametrize("ranks, number", [([1], signal.SIGUSR1), ([0, 1], signal.SIGTERM)])
def test_two_ranks_end_at_one_step_and_go_on(
    photos: Path, one_machine: Path, tmp_path: Path, ranks: list[int], number: signal.Signals
) -> None:
    run = tmp_path / "run"
    words = [*TINY, "--root", photos, "--results-dir", run]
    tasks = start_step(words, tmp_path / "first")
    wait_for_step(tasks[0], run, 4)
    for rank in ranks:  # as SLURM does: every process of the task, also its loader's workers
        os.killpg(tasks[rank].process.pid, number)
    assert finish(tasks) == [0, 0], tasks[0].err + tasks[1].err
    said, command = tasks[0].err.rstrip().splitlines()[-2:]
    step = read_state(run)["step"]
    assert 4 <= step < EPOCHS * STEPS and f"interrupted by {number.name} after step {step}, which is saved" in said
    assert "interrupted" not in tasks[1].err
    asked = shlex.split(command)
    assert asked[:3] == ["srun", "-n", "2"] and asked[4:] == [*map(str, words), "--resume"]
    tasks = start_step(asked[4:], tmp_path / "second")
    assert finish(tasks) == [0, 0], tasks[0].err
    assert_same_run(run, one_machine)


def test_one_process_with_workers_outlives_the_signal_of_its_group(photos: Path, tmp_path: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    words = [sys.executable, *TINY, "--root", str(photos), "--results-dir"]
    task = start_task([*words, run], {"OMP_NUM_THREADS": "1"}, tmp_path / "first")
    wait_for_step(task, run, 4)
    os.killpg(task.process.pid, signal.SIGTERM)
    assert finish([task]) == [0] and "which is saved" in task.err, task.err
    step = read_state(run)["step"]
    assert 4 <= step < EPOCHS * STEPS
    tasks = [start_task([*words, run, "--resume"], {"OMP_NUM_THREADS": "1"}, tmp_path / "second"),
             start_task([*words, whole], {"OMP_NUM_THREADS": "1"}, tmp_path / "third")]
    assert finish(tasks) == [0, 0], tasks[0].err
    first, second = read_state(run)["method"], read_state(whole)["method"]
    assert all(torch.equal(first[name], second[name]) for name in second) and read_steps(run) == read_steps(whole)


@pytest.fixture
def two_machines() -> Iterator[list[str]]:
    """Two network namespaces with a cable between them, 10.231.7.1 and .2; skipped without the right to make them."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed (apt-get install iproute2)")
    names = [f"plumage-{os.getpid()}-{number}" for number in (1, 2)]
    lines = [["netns", "add", names[0]], ["netns", "add", names[1]],
             ["link", "add", "cable1", "netns", names[0], "type", "veth", "peer", "name", "cable2", "netns", names[1]]]
    for number, name in enumerate(names, 1):
        lines += [["-n", name, "addr", "add", f"10.231.7.{number}/24", "dev", f"cable{number}"],
                  ["-n", name, "link", "set", f"cable{number}", "up"], ["-n", name, "link", "set", "lo", "up"]]
    try:
        for line in lines:
            done = subprocess.run(["ip", *line], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network namespaces here, which need root: ip {' '.join(line)}: {done.stderr.strip()}")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_two_machines_equal_one(photos: Path, one_machine: Path, two_machines: list[str], tmp_path: Path) -> None:
    """torchrun --nnodes 2 with a rendezvous over the cable; each machine has a loopback device of its own."""
    nodes = []
    for number, name in enumerate(two_machines, 1):
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
                   "--rdzv-backend=c10d", "--rdzv-endpoint=10.231.7.1:29400", f"--rdzv-conf=is_host={2 - number}", f"--local-addr=10.231.7.{number}",
                   *TINY, "--root", photos, "--results-dir", tmp_path / "run"]
        # The ban on other machines would see the cable; nothing but the cable is there.
        environ = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": f"cable{number}", "PYTHONPATH": str(ROOT)}
        nodes.append(start_task(command, environ, tmp_path / str(number)))
    assert finish(nodes) == [0, 0], nodes[0].err + nodes[1].err
    said = [node.out.count("fingerprint method=moco") for node in nodes]
    assert sorted(said) == [0, 1]  # whichever torchrun made the first
    assert_same_run(tmp_path / "run", one_machine)


def test_two_machines_of_srun_equal_one(photos: Path, one_machine: Path, two_machines: list[str], tmp_path: Path) -> None:
    """Tasks of srun on two machines find the first of the list of nodes and the port of the job by themselves."""
    step = {**describe_step(), "SLURM_NNODES": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "10.231.7.[1-2]",
            "SLURM_LOCALID": "0", "PYTHONPATH": str(ROOT)}
    del step["MASTER_PORT"]
    nodes = [start_task(["ip", "netns", "exec", name, sys.executable, *TINY, "--root", photos, "--results-dir", tmp_path / "run"],
                        {**step, "SLURM_PROCID": str(rank), "GLOO_SOCKET_IFNAME": f"cable{rank + 1}"}, tmp_path / str(rank))
             for rank, name in enumerate(two_machines)]
    assert finish(nodes) == [0, 0], nodes[0].err + nodes[1].err
    assert_same_run(tmp_path / "run", one_machine)


SRUN = r"""#!/usr/bin/env bash
while [[ $1 == -* ]]; do shift; done
SLURM_PROCID=0 SLURM_LOCALID=0 "$@" & one=$!
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & other=$!
trap 'kill -USR1 "$one" "$other"' USR1
wait "$one"; wait "$one"; a=$?
wait "$other"; exit $((a | $?))
"""


def test_the_script_of_the_page_is_requeued_and_ends(photos: Path, one_machine: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    script = page[page.index("#!/usr/bin/env bash"):].partition("```")[0]
    run = tmp_path / "run"
    flags = shlex.join([*TINY[1:], "--root", str(photos)])
    for old, new in (("run=checkpoints/birds", f"run={run}"), ("python main", f"{sys.executable} main")):
        assert script.count(old) == 1
        script = script.replace(old, new)
    script = "".join(f"flags=({flags})\n" if line.startswith("flags=") else line for line in script.splitlines(keepends=True))
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n'), ("job", script)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environ = {**describe_step(), "PATH": f"{tools}:{os.environ['PATH']}"}
    job = start_task([tools / "job"], environ, tmp_path / "first")
    wait_for_step(job, run, 4)
    job.process.send_signal(signal.SIGUSR1)
    assert finish([job]) == [0], job.err
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n" and not (run / "model_last.pth").exists()
    again = start_task([tools / "job"], environ, tmp_path / "second")
    assert finish([again]) == [0], again.err
    assert (tmp_path / "requeued").read_text().count("\n") == 1 and (run / "model_last.pth").exists()
    assert_same_run(run, one_machine)
