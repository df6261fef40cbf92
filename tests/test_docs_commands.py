"""Every command line of README.md and docs/ as a user would copy it: its script takes it, and its flags exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from engine.flags.gathering import GatheringParser

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"(?:^|\s)(main_(?:pretrain|linear|retrieval|metric|finetune)\.py|-m (?:tools\.\w+|DDT)|"
                     r"\./run_(?!demo|tests)\w+\.sh) (.*)")
SHORTENED = re.compile(r"\.\.\.|\||\[|TASK|FLAGS|\$|--help|--seed S\b")  # patterns of commands, no commands


class Parsed(Exception):
    """The words were read, with these faults."""


def list_commands() -> dict[str, tuple[str, list[str]]]:
    """By place: the script and its words, of all indented or fenced lines."""
    found = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = re.sub(r" *\\\n\s*", " ", page.read_text(encoding="utf-8"))
        lines = re.findall(r"^(?:    |python|\./run).*|`(?:python|\./run_)[^`\n]*`", text, re.MULTILINE)
        for line in (line.strip(" `") for line in lines):
            command = COMMAND.search(line)
            if command and not SHORTENED.search(command[2].partition("  #")[0]):
                words = shlex.split(command[2], comments=True)
                found[f"{page.name}: {line}"] = (command[1].removeprefix("-m "), words)
    return found


COMMANDS = list_commands()


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> object:
    """Read words by the parser of a command, and nothing after that."""
    plain = GatheringParser._parse

    def stop(self: GatheringParser, args: object, namespace: object) -> None:
        _, unknown = plain(self, args, namespace)
        raise Parsed(self.faults, unknown)

    def read(script: str, words: list[str]) -> list[str]:
        name = {"DDT": "DDT.__main__"}.get(script, script.removesuffix(".py"))
        module = importlib.import_module(name)
        monkeypatch.setattr("sys.argv", ["x", *words])
        monkeypatch.setattr(GatheringParser, "_parse", stop)
        with pytest.raises(Parsed) as caught:
            module.main()
        monkeypatch.setattr(GatheringParser, "_parse", plain)
        faults, unknown = caught.value.args
        if unknown and script == "tools.text_ablation":  # flags of the training that it starts
            return faults + read("main_pretrain.py", unknown)
        return faults + unknown

    return read


def unfold(script: str, words: list[str], folder: Path) -> list[tuple[str, list[str]]]:
    """The Python commands that a run_*.sh makes of its words: one that only notes them stands in for Python."""
    note = folder / "python"
    note.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {folder}/words\nprintf '\\0' >> {folder}/words\n")
    note.chmod(0o755)
    done = subprocess.run([str(ROOT / script), *words], cwd=folder, env={**os.environ, "PYTHON": str(note)},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls = [call.split("\n")[:-1] for call in (folder / "words").read_text().split("\0")[:-1]]
    starts = [next(place for place, word in enumerate(call) if word == "DDT" or word.startswith(("main_", "tools.")))
              for call in calls]
    return [(call[start], call[start + 1:]) for call, start in zip(calls, starts, strict=True)]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("place", COMMANDS)
def test_documented_commands_are_read(place: str, parse: object, tmp_path: Path) -> None:
    script, words = COMMANDS[place]
    for one, own in unfold(script, words, tmp_path) if script.endswith(".sh") else [(script, words)]:
        assert parse(one, own) == [], place
