"""Classes meet by name: in any order, under any spelling, for a part of a joint set; strangers are all named."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.class_names import count_known, relabel, without_labels
from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from runtime.errors import DataError

KNOWN = ("Blue_Jay", "Cardinal", "House_Wren")


def images(*classes: str) -> ImageSet:
    samples = [Sample(Path(f"{name}.jpg"), f"{name}.jpg", number) for number, name in enumerate(classes)]
    return ImageSet(Path("birds"), "test", (*samples, Sample(Path("x.jpg"), "x.jpg", None)), classes)


def test_labels_are_the_classifiers_whatever_the_order_and_spelling() -> None:
    found = relabel(images("017.cardinal", "073.Blue Jay"), KNOWN, text="net")
    assert found.labels.tolist() == [1, 0, -1] and found.classes == KNOWN
    assert [sample.key for sample in found.samples] == ["017.cardinal.jpg", "073.Blue Jay.jpg", "x.jpg"]


def test_the_name_as_written_comes_before_its_key() -> None:
    names = ("001.Jay", "002.Jay")  # one key, two classes
    assert relabel(images("002.Jay"), names, text="net").labels.tolist() == [1, -1]
    with pytest.raises(DataError, match=r"1 of its 1 classes are unknown to net \(003.Jay\)"):
        relabel(images("003.Jay"), names, text="net")


def test_a_part_of_a_joint_set_keeps_its_own_names() -> None:
    names = ("birds/other", "birds/Jay", "dogs/other", "Pug")
    sources = ({"name": "birds", "first": 0, "classes": 2}, {"name": "dogs", "first": 2, "classes": 2})
    assert relabel(images("Jay", "Pug"), names, sources, text="net").labels.tolist() == [1, 3, -1]
    assert count_known(images("Jay", "Pug", "other"), names, sources) == 2  # which other?
    assert relabel(images("dogs/other"), names, sources, text="net").labels.tolist() == [2, -1]


def test_all_strangers_stand_in_one_message() -> None:
    with pytest.raises(DataError, match="2 of its 3 classes are unknown to net .Pug, Poodle.*rename"):
        relabel(images("Pug", "Cardinal", "Poodle"), KNOWN, text="net")
    with pytest.raises(DataError, match="several of its classes are one class of net: Cardinal"):
        relabel(images("cardinal", "017.Cardinal"), KNOWN, text="net")


def test_pictures_without_labels() -> None:
    plain = without_labels(images("a", "b"))
    assert plain.classes == () and plain.labels.tolist() == [-1] * 3 and count_known(plain, KNOWN) == 0
