"""Two gloo ranks of B images do what one rank of 2B does, and hold the same queues."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_ranks import train_all

SCRIPT = Path(__file__).with_name("two_ranks.py")


def run_ranks(result: Path, script: Path = SCRIPT) -> list[dict]:
    """Start two ranks of a script and read what each wrote."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(result)]
    ranks = [subprocess.Popen(command, env=os.environ | place | {"RANK": str(n)}) for n in range(2)]
    try:
        assert [rank.wait(timeout=400) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    return [torch.load(f"{result}.{n}") for n in range(2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = train_all()
    torch.set_num_threads(threads)
    return run_ranks(tmp_path_factory.mktemp("ranks") / "result"), alone


CASES = ["no norm, default", "frozen norm, default", "frozen norm, seed", "lcr-moco", "lcr-byol"]
QUEUES = {"lcr-moco": 1, "lcr-byol": 0}  # LEAD has two


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one(runs: tuple[list[dict], dict], case: str) -> None:
    ranks, alone = runs
    assert len(alone[case]) > 40
    moving = [name for name in alone[case] if name.startswith(("key", "target")) and name.endswith("/0")]
    assert moving and any(not torch.equal(ranks[0][case][name], ranks[0][case][f"{name[:-2]}/1"]) for name in moving)
    for name, value in alone[case].items():
        torch.testing.assert_close(ranks[0][case][name], value, atol=2e-5, rtol=2e-5, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("case", CASES)
def test_queues_are_equal_bit_for_bit(runs: tuple[list[dict], dict], case: str) -> None:
    ranks, alone = runs
    queues = [name for name in alone[case] if name.startswith("queue")]
    assert len(queues) == 2 * 3 * QUEUES.get(case, 2)  # two steps; keys, ids, pointer
    for name in queues:
        assert torch.equal(ranks[0][case][name], ranks[1][case][name]), name
        if name.endswith("/0"):
            assert torch.equal(ranks[0][case][name], alone[case][name]), name
