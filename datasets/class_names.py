"""Class names as people and folders write them, matched by one key: never by index."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from datasets.images import ImageSet
from datasets.layouts.listing import show_first
from runtime.errors import DataError

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
    """For every class the index of the row with its name; `text` and `data` say in messages where both are.

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
                                   "Names meet without case, punctuation and leading numbers; fix one of both"]))
    return [rows[name_key(name)] for name in classes]


class SourceFacts(TypedDict):
    """A data set's part of a joint numbering as files keep it: its classes are first, ..., first + classes - 1."""

    name: str
    first: int
    classes: int


Sources = Sequence[SourceFacts]


def relabel(images: ImageSet, names: Sequence[str], sources: Sources = (), *, text: str) -> ImageSet:
    """The set with the labels and classes of a classifier that knows `names`; unlabelled images stay so.

    A data set may lack some of the classes. `sources` are the parts a joint classifier was trained on: one of them may
    be evaluated under its own names. `text` says in messages whose classes they are.
    Raises DataError naming the classes that the classifier does not know.
    """
    places = find_class_numbers(names, sources)
    numbers = [match(name, places) for name in images.classes]
    unknown = [name for name, number in zip(images.classes, numbers) if number is None]
    if unknown:
        raise DataError(f"{images.root}: {len(unknown)} of its {len(images.classes)} classes are unknown to {text} "
                        f"({show_first(unknown)}), which knows {len(names)}: {show_first(names)}. Names meet without "
                        "case, punctuation and leading numbers; rename the folders, or take the network of them")
    taken = [number for number in numbers if number is not None and numbers.count(number) > 1]
    if taken:
        raise DataError(f"{images.root}: several of its classes are one class of {text}: "
                        f"{show_first(sorted({names[number] for number in taken}))}; join or rename their folders")
    samples = tuple(sample if sample.label is None else replace(sample, label=numbers[sample.label])
                    for sample in images.samples)
    return replace(images, samples=samples, classes=tuple(names))


def without_labels(images: ImageSet) -> ImageSet:
    """The same pictures with nothing known of them."""
    return replace(images, samples=tuple(replace(sample, label=None) for sample in images.samples), classes=())


def count_known(images: ImageSet, names: Sequence[str], sources: Sources = ()) -> int:
    """How many of the set's classes a classifier knows."""
    places = find_class_numbers(names, sources)
    return sum(match(name, places) is not None for name in images.classes)


def find_class_numbers(names: Sequence[str], sources: Sources = ()) -> dict[str, int]:
    """Every unmistakable spelling of a class, with the class's number: its name, its key, and both without the source

    that a joint set puts before names that clash.
    """
    spellings: list[tuple[str, int]] = list(zip(names, range(len(names))))
    for source in sources:
        first, prefix = source["first"], f"{source['name']}/"
        spellings += [(names[number].removeprefix(prefix), number)
                      for number in range(first, first + source["classes"]) if names[number].startswith(prefix)]
    places = unmistakable(spellings)
    keys = [(name_key(name), number) for name, number in spellings if name_key(name)]
    return unmistakable(keys) | places


def unmistakable(spellings: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The spellings that mean one class only."""
    meanings: dict[str, set[int]] = {}
    for name, number in spellings:
        meanings.setdefault(name, set()).add(number)
    return {name: next(iter(numbers)) for name, numbers in meanings.items() if len(numbers) == 1}


def match(name: str, places: Mapping[str, int]) -> int | None:
    """The number of a class by its name as written, else by its key; None for an unknown one."""
    return places.get(name, places.get(name_key(name)))
