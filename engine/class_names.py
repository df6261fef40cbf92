"""Class names as people and folders write them, matched by one key: never by index."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from datasets.images import DataError

NUMBER = re.compile(r"^(\d{3}\.|n\d{8}[- ])")  # CUB's `001.`, ImageNet's `n02085620-`


def name_key(name: str) -> str:
    """What two spellings of a class have in common: no leading number, no case, letters and digits only.

    Letters keep their marks, and a letter with its mark is one whether a computer wrote one sign for it or two.
    """
    letters = unicodedata.normalize("NFC", unicodedata.normalize("NFC", NUMBER.sub("", name)).casefold())
    return "".join(letter for letter in letters if letter.isalnum() or unicodedata.category(letter).startswith("M"))


def find_repeated(names: Sequence[str]) -> list[str]:
    """The names that share their key with another one."""
    counts = Counter(map(name_key, names))
    return [name for name in names if counts[name_key(name)] > 1]


def match_rows(names: Sequence[str], classes: Sequence[str], *, text: str, data: str) -> list[int]:
    """For every class the index of the row that bears its name; `text` and `data` say in messages where both are.

    Raises DataError listing classes without a row, rows without a class, and names that cannot be told apart.
    """
    rows = {name_key(name): index for index, name in enumerate(names)}
    wanted = {name_key(name) for name in classes}
    faults = {
        f"the same name twice in {text}": find_repeated(names),
        f"the same name twice in {data}": find_repeated(classes),
        "classes without a row": [name for name in classes if name_key(name) not in rows],
        "rows without a class": [name for name in names if name_key(name) not in wanted],
    }
    lines = [f"  {len(found)} {what}: {', '.join(found)}" for what, found in faults.items() if found]
    if lines:
        raise DataError("\n".join([f"the rows of {text} are not the classes of {data}:", *lines,
                                   "Names meet without case, punctuation and leading numbers; mend one of both"]))
    return [rows[name_key(name)] for name in classes]
