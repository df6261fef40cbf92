"""From a CSV to unit rows, with a CLIP small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.teachers.build import build_teacher
from models.teachers.clip import ClipTeacher
from runtime.errors import ConfigError, DataError
from text.descriptions import (
    Description,
    describe_oddities,
    encode_descriptions,
    read_descriptions,
    read_so_far,
    split_sentences,
)

CSV = 'class name,description\nRed bird,"Red all over, black bill. Long tail."\n\nGreen bird,Green back; white wing bars\nBlue bird,Blue\n'
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def teacher(tiny_clip: Path) -> ClipTeacher:
    return build_teacher("clip:tiny-text", weights=tiny_clip, precision="fp32")


def test_quotes_blank_lines_and_a_byte_order_mark_are_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "bird.csv"
    path.write_text("\ufeff" + CSV.replace("white", '""white""').replace("Green back", '"Green back').replace("bars", 'bars"'), encoding="utf-8")
    rows = read_descriptions(path)
    assert [row.name for row in rows] == ["Red bird", "Green bird", "Blue bird"]
    assert rows[0].text == "Red all over, black bill. Long tail." and rows[1].text == 'Green back; "white" wing bars'
    assert describe_oddities(path) == ["its byte-order mark", "blank lines 3"]
    path.write_text(CSV.replace("\n\n", "\n"))
    assert describe_oddities(path) == []


@pytest.mark.parametrize("text,words", [
    ("name,text\na,b\n", ["first line"]), ("class name,description\n", ["no rows"]),
    ("class name,description\na,b\nA,c\nd,\ne\n", ["line 3", "line 4", "line 5"]),
    ("class name,description\na,b, c\n", ["line 2 has 3 cells", "needs quotes"]),
    ('class name,description\na,"b\nc,d\n', ["line 3", "quote is not closed"]),
])
def test_every_bad_line_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "bird.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_descriptions(path)
    assert all(word in str(error.value) for word in ["bird.csv", *words])


def test_other_encodings_and_missing_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "bird.csv").write_bytes("class name,description\nAra,caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_descriptions(tmp_path / "bird.csv")
    with pytest.raises(DataError, match="no such file"):
        read_descriptions(tmp_path / "fish.csv")


def test_templates_are_filled(teacher: ClipTeacher) -> None:
    rows = [Description("Red bird", "Red.")]
    assert torch.equal(encode_descriptions(teacher, rows, "a {name}: {description}"), teacher.encode_text(["a Red bird: Red."]))
    with pytest.raises(ConfigError, match="only {name} and {description}"):
        encode_descriptions(teacher, rows, "a {colour} {name}")


def test_sentences_are_encoded_apart_and_averaged(teacher: ClipTeacher) -> None:
    row = Description("Red bird", "Red all over, black bill. Long tail, 2.5 times the wing.")
    parts = teacher.encode_text(["Red all over, black bill.", "Long tail, 2.5 times the wing."])
    expected = torch.nn.functional.normalize(parts.mean(dim=0), dim=0)
    torch.testing.assert_close(encode_descriptions(teacher, [row], aggregate="sentences")[0], expected)


def test_by_sentences_no_word_is_lost_and_nothing_is_cut(teacher: ClipTeacher) -> None:
    long = " ".join(f"mark{number}" for number in range(150))
    parts = split_sentences(Description("x", f"{long}. Short end."), "{description}", teacher)
    assert " ".join(parts) == f"{long}. Short end." and max(teacher.count_tokens(parts)) <= 77 < teacher.count_tokens([long])[0]
    assert split_sentences(Description("x", "One. Two."), "a {name}", teacher) == ["a x"]


def test_tokens_are_counted_uncut(teacher: ClipTeacher) -> None:
    assert teacher.count_tokens(["bird", "a red bird!"]) == [3, 6] and teacher.context == 77
    long = "wing " * 100
    assert teacher.count_tokens([long]) == [102] and read_so_far(long, teacher) == " ".join(["wing"] * 75)
    assert read_so_far("a red bird", teacher) == "a red bird"
