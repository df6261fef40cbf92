"""A full disk, missing permissions and too little memory are told with the path, what was done, and the remedy."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from engine.flags.command import exit_cleanly
from runtime.refusals import is_out_of_memory, tell_os_error


def fail_within(path: Path, number: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        assert file.writable()
        raise OSError(number, "No space left on device")


@pytest.mark.parametrize("number,words", [(errno.ENOSPC, "written: .*make room on that disk"),
                                          (errno.EIO, "used: .*check that disk")])
def test_the_path_is_named_although_the_error_does_not(
    number: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        exit_cleanly(lambda: fail_within(tmp_path / "table.csv", number))
    text = capsys.readouterr().err
    assert end.value.code == 2 and str(tmp_path / "table.csv") in text and "[Errno" not in text
    assert re.search(words, text)


def test_both_names_of_a_move_are_told() -> None:
    assert "a cannot be used (towards b): denied; fix its permissions" in tell_os_error(
        OSError(errno.EACCES, "denied", "a", None, "b"))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
                                   OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_too_little_memory_is_a_message(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        exit_cleanly(fail)
    assert end.value.code == 2 and "lower --batch-size or --size" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    def fail() -> None:
        raise RuntimeError("shapes differ")

    assert not is_out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        exit_cleanly(fail)
