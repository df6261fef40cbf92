"""Names in text files: valid UTF-8, a line each, and back to the same name."""

from __future__ import annotations

import io
import os
import random
import sys

import pytest

from runtime.names.spelling import escape_cell, make_printing_safe, show_name, spell, unspell, unspell_path

ODD = [os.fsdecode(b"caf\xe9.png"), "a\\b.png", " outer .png ", "two\nlines\r.png", "tab\t.png", "   ", r"a\xE9.png",
       r"\x5C", "\\", "\\\\x41", "plain/name.png", "日本/ж.png", "-dash.png", "", "\x7f\x00",
       os.fsdecode(b"\xff\xfe/\\x20")]


@pytest.mark.parametrize("name", ODD)
def test_a_spelled_name_is_one_line_of_utf8_and_comes_back(name: str) -> None:
    told = spell(name)
    assert told.encode("utf-8").decode() == told and not any(sign < " " for sign in told) and told == told.strip()
    assert unspell(told) == name and unspell_path(told) == name


def test_names_of_random_bytes_come_back() -> None:
    random.seed(0)
    for _ in range(3000):
        name = os.fsdecode(bytes(random.choice(rb"\\x0AE5C20 ab/" + bytes([10, 0x80, 0xE9, 0xFF])) for _ in range(8)))
        assert unspell(spell(name)) == name == unspell_path(spell(name))


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("train/004.Crow/a b.png", "Štěpán", "日本.png", "100%.png"):
        assert spell(name) == show_name(name) == unspell(name) == name


def test_windows_separators_in_lists_of_people() -> None:
    assert unspell_path("photos\\crow\\1.png") == "photos/crow/1.png"
    assert unspell("AC\\DC") == "AC\\DC"


def test_what_people_see() -> None:
    assert show_name(os.fsdecode(b"caf\xe9") + "\n") == r"caf\xE9\x0A"
    assert show_name("  ") == r"\x20\x20" and show_name("a b") == "a b"
    assert escape_cell("a|b\n`c`") == r"a\|b\\x0A\`c\`"


def test_printing_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, arrow in (("ascii", rb"\u2192"), ("utf-8", "→".encode())):
        content = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
        make_printing_safe()
        print(os.fsdecode(b"caf\xe9 ") + "→", flush=True)
        assert content.getvalue() == rb"caf\xE9 " + arrow + b"\n"
