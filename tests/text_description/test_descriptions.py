"""The class descriptions as a text encoder reads them: complete, short enough for CLIP, and different from each other.

Every file of `text_description/` is checked alike: the four tasks and the control vocabulary (`_random`) of each.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from datasets.class_names import name_key

FOLDER = Path(__file__).resolve().parents[2] / "text_description"
ROWS = {"bird": 200, "car": 196, "aircraft": 100, "dog": 120}
FILES = [name for task in ROWS for name in (task, f"{task}_random")]
HEADER = ["class name", "description"]
CONTEXT = 77  # tokens CLIP reads, start and end included
MAX_JACCARD = 0.85
MAX_SHARED_OPENINGS = 0.05  # share of a file's rows whose first five words may open another row too
FILLER = re.compile(
    r"\b(iconic|elegant|striking|known for|beautiful|stunning|majestic|distinctive|unmistakable|famous|renowned"
    r"|gorgeous|magnificent|remarkable|impressive|timeless|breathtaking)",
    re.IGNORECASE,
)

every_file = pytest.mark.parametrize("name", FILES)
every_task = pytest.mark.parametrize("task", ROWS)


@dataclass(frozen=True)
class Table:
    """One file: its header line and, row by row, the class names and the descriptions."""

    header: list[str]
    classes: tuple[str, ...]
    texts: tuple[str, ...]


@cache
def read_table(name: str) -> Table:
    """The file of that name; a row without exactly two fields raises ValueError."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream, strict=True)
    classes, texts = zip(*((label, text) for label, text in rows), strict=True)
    return Table(header=header, classes=classes, texts=texts)


def split_words(text: str) -> list[str]:
    """Lower-cased words; punctuation and case never make two descriptions different."""
    return re.findall(r"[^\W_]+", text.lower())


def word_overlap(texts: tuple[str, ...]) -> np.ndarray:
    """Jaccard index of the word sets of every pair, [N, N], with zeros on the diagonal."""
    sets = [set(split_words(text)) for text in texts]
    column = {word: index for index, word in enumerate(sorted(set().union(*sets)))}
    present = np.zeros((len(sets), len(column)), dtype=np.float32)
    for row, words in enumerate(sets):
        present[row, [column[word] for word in words]] = 1
    common, sizes = present @ present.T, present.sum(1)
    overlap = common / (sizes[:, None] + sizes[None, :] - common)
    np.fill_diagonal(overlap, 0)
    return overlap


def find_repeats(items: list[str]) -> list[str]:
    """What occurs more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


@pytest.fixture(scope="module")
def count_tokens() -> Callable[[str], int]:
    """The number of tokens CLIP makes of a text, start and end included; open_clip is slow to import."""
    encode = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer().encode
    return lambda text: len(encode(text)) + 2


@every_file
def test_plain_utf8_with_unix_line_ends(name: str) -> None:
    content = (FOLDER / f"{name}.csv").read_bytes()
    assert content.decode("utf-8").endswith("\n")
    assert not content.startswith(b"\xef\xbb\xbf") and b"\r" not in content


@every_file
def test_header_and_row_count(name: str) -> None:
    table = read_table(name)
    assert table.header == HEADER
    assert len(table.classes) == ROWS[name.removesuffix("_random")]


@every_file
def test_fields_are_filled_and_trimmed(name: str) -> None:
    table = read_table(name)
    assert [field for field in (*table.classes, *table.texts) if not field or field != " ".join(field.split())] == []


@every_file
def test_descriptions_fit_the_context_of_clip(name: str, count_tokens: Callable[[str], int]) -> None:
    table = read_table(name)
    lengths = {label: count_tokens(text) for label, text in zip(table.classes, table.texts, strict=True)}
    assert {label: length for label, length in lengths.items() if length > CONTEXT} == {}


@every_file
def test_no_class_and_no_description_twice(name: str) -> None:
    table = read_table(name)
    assert find_repeats([name_key(label) for label in table.classes]) == []
    assert find_repeats([" ".join(split_words(text)) for text in table.texts]) == []


@every_file
def test_no_two_descriptions_share_most_of_their_words(name: str) -> None:
    table = read_table(name)
    pairs = np.argwhere(np.triu(word_overlap(table.texts)) >= MAX_JACCARD)
    assert [(table.classes[first], table.classes[second]) for first, second in pairs] == []


@every_file
def test_openings_vary(name: str) -> None:
    texts = read_table(name).texts
    openings = Counter(" ".join(split_words(text)[:5]) for text in texts)
    shared = {words: count for words, count in openings.items() if count > 1}
    assert sum(shared.values()) <= MAX_SHARED_OPENINGS * len(texts), shared


@every_file
def test_no_filler(name: str) -> None:
    table = read_table(name)
    found = {label: FILLER.findall(text) for label, text in zip(table.classes, table.texts, strict=True)}
    assert {label: words for label, words in found.items() if words} == {}


@every_file
def test_no_word_twice_in_a_row(name: str) -> None:
    table = read_table(name)
    found = {label: re.findall(r"\b(\w+) \1\b", text) for label, text in zip(table.classes, table.texts, strict=True)}
    assert {label: words for label, words in found.items() if words} == {}


@every_task
def test_control_vocabulary_holds_no_real_class(task: str) -> None:
    real = {name_key(label) for label in read_table(task).classes}
    assert [label for label in read_table(f"{task}_random").classes if name_key(label) in real] == []


@pytest.mark.shared
@every_task
def test_rows_follow_the_class_list(task: str, shared_data: Path) -> None:
    listed = shared_data.parent / "classes" / f"{task}.txt"
    if not listed.is_file():
        pytest.skip(f"no class list at {listed}")
    assert list(read_table(task).classes) == listed.read_text(encoding="utf-8").splitlines()


def test_overlap_of_known_sentences() -> None:
    overlap = word_overlap(("Red bill, white wing.", "white WING red bill", "red tail"))
    assert overlap == pytest.approx(np.array([[0, 1, 0.2], [1, 0, 0.2], [0.2, 0.2, 0]]))
