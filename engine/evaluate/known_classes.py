"""Labels as a trained classifier numbers them: its classes meet a data set's by name, never by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from datasets.images import DataError, ImageSet
from datasets.listing import show
from engine.class_names import name_key

Sources = Sequence[Mapping[str, object]]


def relabel(images: ImageSet, names: Sequence[str], sources: Sources = (), *, text: str) -> ImageSet:
    """The set with the labels and classes of a classifier that knows `names`; unlabelled images stay so.

    A data set may lack some of the classes. `sources` are the parts a joint classifier was trained on: one of them may
    be evaluated under its own names. `text` says in messages whose classes they are.
    Raises DataError naming the classes that the classifier does not know.
    """
    places = find_places(names, sources)
    numbers = [match(name, places) for name in images.classes]
    unknown = [name for name, number in zip(images.classes, numbers) if number is None]
    if unknown:
        raise DataError(f"{images.root}: {len(unknown)} of its {len(images.classes)} classes are unknown to {text} "
                        f"({show(unknown)}), which knows {len(names)}: {show(names)}. Names meet without case, "
                        "punctuation and leading numbers; rename the folders, or take the network of these classes")
    taken = [number for number in numbers if numbers.count(number) > 1]
    if taken:
        raise DataError(f"{images.root}: several of its classes are one class of {text}: "
                        f"{show(sorted({names[number] for number in taken}))}; join or rename their folders")
    samples = tuple(sample if sample.label is None else replace(sample, label=numbers[sample.label])
                    for sample in images.samples)
    return replace(images, samples=samples, classes=tuple(names))


def without_labels(images: ImageSet) -> ImageSet:
    """The same pictures with nothing known of them."""
    return replace(images, samples=tuple(replace(sample, label=None) for sample in images.samples), classes=())


def count_known(images: ImageSet, names: Sequence[str], sources: Sources = ()) -> int:
    """How many of the set's classes a classifier knows."""
    places = find_places(names, sources)
    return sum(match(name, places) is not None for name in images.classes)


def find_places(names: Sequence[str], sources: Sources = ()) -> dict[str, int]:
    """Every unmistakable spelling of a class, with the class's number: its name, its key, and both without the source

    that a joint set puts before names that clash.
    """
    spellings: list[tuple[str, int]] = list(zip(names, range(len(names))))
    for source in sources:
        first, prefix = int(source["first"]), f"{source['name']}/"
        spellings += [(names[number].removeprefix(prefix), number)
                      for number in range(first, first + int(source["classes"])) if names[number].startswith(prefix)]
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
