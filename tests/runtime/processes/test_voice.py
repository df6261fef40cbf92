"""Two processes speak with one voice, but for what is wrong with one of them; and they end together."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.flags.command import exit_cleanly
from tests.runtime.processes.starting import describe_step, finish, start_step

SCRIPT = Path(__file__).with_name("acting.py")


def act(what: str, folder: Path, codes: list[int]) -> tuple[str, str]:
    """What the two processes said, all in all, on each stream; those of rank 0 first."""
    tasks = start_step([SCRIPT, what], folder / what)
    assert finish(tasks, 120) == codes, tasks[0].err + tasks[1].err
    return tasks[0].out + tasks[1].out, tasks[0].err + tasks[1].err


def test_one_refusal_a_run(tmp_path: Path) -> None:
    _, err = act("refuse_before", tmp_path, [2, 2])
    assert err == "error: the data set is empty\n"


def test_one_message_a_run(tmp_path: Path) -> None:
    out, err = act("refuse_after", tmp_path, [2, 2])
    assert out.count("2 are here") == err.count("a note") == err.count("UserWarning: a warning") == 1
    assert err.count("error: the data set is broken") == 1
    assert "\nrank 1 of 2: note: a file of this machine is damaged\n" in "\n" + err


def test_who_alone_cannot_start_says_so_and_nobody_waits(tmp_path: Path) -> None:
    _, err = act("refuse_alone", tmp_path, [2, 2])
    assert err == "rank 1 of 2: error: this machine does not have the data set\n"


def test_a_bug_of_one_rank_shows_with_its_rank(tmp_path: Path) -> None:
    _, err = act("fail_alone", tmp_path, [1, 1])
    before, alone = err[:err.index("rank 1 of 2 failed:")], err[err.index("rank 1 of 2 failed:"):]
    assert "Traceback" not in before, before
    assert alone.rstrip().endswith("ZeroDivisionError: of rank 1")


def test_a_signal_to_one_ends_both_after_the_same_step(tmp_path: Path) -> None:
    _, err = act("end", tmp_path, [0, 0])
    assert err == ("ended by SIGUSR1 after step 8, which is saved\n"
                   "rank 1 of 2: ended by SIGUSR1 after step 8, which is saved\n")


@pytest.mark.parametrize("rank, called", [("0", [0]), ("1", [])])
def test_a_command_for_one_process_is_left_to_the_first(
    rank: str, called: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**describe_step(), "SLURM_PROCID": rank, "SLURM_LOCALID": rank}.items():
        monkeypatch.setenv(name, value)
    seen: list[int] = []
    exit_cleanly(lambda: seen.append(0))
    assert seen == called
    assert capsys.readouterr().err == "note: this is the work of one process; the other 1 leave it to it\n" * len(called)
