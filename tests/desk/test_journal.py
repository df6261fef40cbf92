"""The journal: what holds follows from its lines, none is lost, none is half."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from desk.journal import Answer, Deed, Journal, find_conflicts
from runtime import lines
from runtime.errors import DataError, StopTraining


def replay(deeds: list[Deed]) -> dict[str, tuple[str, str]]:
    """What holds, by the plainest means: a whole new state after every deed, and a stack of states."""
    states: list[dict[str, tuple[str, str]]] = [{}]
    undone: list[dict[str, tuple[str, str]]] = []
    for deed in deeds:
        if deed.do == "undo":
            if len(states) > 1:
                undone.append(states.pop())
            continue
        if deed.do == "redo":
            if undone:
                states.append(undone.pop())
            continue
        undone.clear()
        state = dict(states[-1])
        for picture in deed.pictures:
            if deed.do == "clear":
                state.pop(picture, None)
            else:
                state[picture] = (deed.do, deed.name)
        if deed.do == "rename":
            state = {picture: (do, deed.name if (do, name) == ("name", deed.old) else name)
                     for picture, (do, name) in state.items()}
        states.append(state)
    return states[-1]


def test_what_holds_is_what_a_stack_of_states_says(tmp_path: Path) -> None:
    draw = random.Random(0)
    deeds = []
    for _ in range(400):
        do = draw.choice(["name"] * 4 + ["unknown", "unusable", "clear", "rename", "undo", "undo", "redo"])
        pictures = tuple(draw.sample("abcdef", draw.randint(1, 3))) if do in ("name", "unknown", "unusable", "clear") else ()
        deeds.append(Deed(do, pictures, draw.choice(["x", "y", "z"]) if do in ("name", "rename") else "",
                          draw.choice(["x", "y", "z"]) if do == "rename" else ""))
    journal = Journal(tmp_path / "journal.jsonl")
    for number, deed in enumerate(deeds, start=1):
        assert journal.add(deed).number == number
        found = {picture: (answer.do, answer.name) for picture, answer in journal.answers.items()}
        assert found == replay(deeds[:number])
    again = Journal(journal.path)
    assert again.answers == journal.answers and again.number == 400
    assert (again.done, again.undone) == (journal.done, journal.undone)


def test_a_line_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    synced: list[int] = []
    real = os.fsync

    def note(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        assert not journal.answers  # nobody has been told yet
        real(handle)

    monkeypatch.setattr(lines.os, "fsync", note)
    journal.add(Deed("name", ("a",), "crow"))
    assert synced == [journal.path.stat().st_size]
    line = json.loads(journal.path.read_text())
    assert (line["do"], line["pictures"], line["name"]) == ("name", ["a"], "crow") and line["at"].endswith("+00:00")


def test_a_full_disk_takes_nothing_back_and_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(Deed("name", ("a",), "crow"))
    before = journal.path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lines.os, "fsync", refuse)
    with pytest.raises(StopTraining, match="room"):
        journal.add(Deed("name", ("b",), "owl"))
    monkeypatch.undo()
    assert journal.path.read_bytes() == before and list(journal.answers) == ["a"] and journal.number == 1
    assert Journal(journal.path).answers == journal.answers


def test_a_line_that_a_kill_cut_off_is_passed_over_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).add(Deed("name", ("a",), "crow"))
    whole = path.read_bytes()
    for end in range(1, len(whole) - 1):
        path.write_bytes(whole + whole[:end])
        journal = Journal(path)
        assert list(journal.answers) == ["a"] and journal.number == 1
        journal.add(Deed("name", ("b",), "owl"))
        assert {key: answer.name for key, answer in Journal(path).answers.items()} == {"a": "crow", "b": "owl"}


def test_a_line_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"do": "name", "pictures": ["a"], "name": "crow"}\n{"do": "dance"}\n')
    with pytest.raises(DataError, match="line 2"):
        Journal(path)


def test_names_merge_when_one_gets_the_name_of_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(Deed("name", ("a", "b"), "crow"))
    journal.add(Deed("name", ("c",), "raven"))
    journal.add(Deed("rename", name="raven", old="crow"))
    assert journal.names() == ["raven"] and {answer.name for answer in journal.answers.values()} == {"raven"}
    journal.add(Deed("undo"))
    assert journal.names() == ["crow", "raven"]


def test_only_what_another_tab_said_later_is_a_conflict() -> None:
    answers = {"a": Answer("name", "crow", 5, "one"), "b": Answer("name", "owl", 9, "two")}
    assert find_conflicts(answers, ["a", "b", "c"], 6, "one") == ["b"]
    assert find_conflicts(answers, ["a", "b", "c"], 9, "one") == []
    assert find_conflicts(answers, ["a", "b"], 0, "two") == ["a"]
