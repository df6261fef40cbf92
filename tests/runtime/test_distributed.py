"""Which device a process of several gets, by its rank on the machine and by what it sees."""

from __future__ import annotations

import pytest
import torch

from runtime.distributed import assign_device
from runtime.errors import ConfigError
from runtime.processes.launch import Launch


@pytest.mark.parametrize("count, local, chosen", [(8, 3, 3), (1, 3, 0), (8, 0, 0), (1, None, 0)])
def test_a_rank_takes_its_own_device_or_the_one_that_it_sees(
    monkeypatch: pytest.MonkeyPatch, count: int, local: int | None, chosen: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert assign_device("cuda", Launch(5, 16, local)) == torch.device("cuda", chosen)
    assert assign_device("cpu", Launch(5, 16, local)) == torch.device("cpu")


@pytest.mark.parametrize("local, words", [(None, "set LOCAL_RANK"), (2, "number 2 of its processes.*one a device")])
def test_two_ranks_never_share_a_device_unseen(monkeypatch: pytest.MonkeyPatch, local: int | None, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"rank 5 of 16 has no CUDA device of its own: this machine shows 2.*{words}"):
        assign_device("cuda", Launch(5, 16, local))
    assert assign_device("cuda", Launch()) == torch.device("cuda", 0)  # alone


def test_torchrun_shows_its_processes_one_device_and_srun_each_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert assign_device("cuda", Launch(0, 2, 0, starter="torchrun")) == torch.device("cuda", 0)
    with pytest.raises(ConfigError, match="this machine shows 1.*number 1 of its processes"):
        assign_device("cuda", Launch(1, 2, 1, starter="torchrun"))
    assert assign_device("cuda", Launch(1, 2, 1, starter="srun")) == torch.device("cuda", 0)
