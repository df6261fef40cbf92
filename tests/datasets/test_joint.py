"""Joint sets: offsets from class counts, names that stay unambiguous, and sources that labels lead back to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datasets.images import ImageSet
from datasets.joint import Source, find_sources, join, number_names
from datasets.layouts.listing import Sample
from runtime.errors import DataError


def make_set(root: str, classes: list[str], labels: list[int | None], split: str = "train") -> ImageSet:
    """Images that exist by name only."""
    samples = tuple(Sample(Path(root, f"{place}.jpg"), f"{place}.jpg", label) for place, label in enumerate(labels))
    return ImageSet(Path(root), split, samples, tuple(classes))


BIRDS = [f"{number:03}.Bird" for number in range(1, 201)]
BREEDS = ["n02085620-Chihuahua", *(f"n0209{number:04}-Dog" for number in range(119))]


def test_birds_come_first_and_dogs_follow_them() -> None:
    joint = join([make_set("/sets/cub", BIRDS, [0, 199]), make_set("/sets/dogs", BREEDS, [0, 119, 3])], ["CUB", "DOG"])
    assert joint.images.labels.tolist() == [0, 199, 200, 319, 203] and len(joint.images.classes) == 320
    assert joint.images.classes[200] == "n02085620-Chihuahua" and joint.images.classes[199] == "200.Bird"
    assert joint.sources == (Source("CUB", 0, 200), Source("DOG", 200, 120))
    assert [sample.key for sample in joint.images.samples[:3]] == ["CUB/0.jpg", "CUB/1.jpg", "DOG/0.jpg"]
    assert joint.images.samples[2].path == Path("/sets/dogs/0.jpg") and joint.images.root == Path("/sets")


def test_offsets_are_those_of_all_classes_not_of_the_present_ones() -> None:
    train = join([make_set("/a", ["x", "y", "z"], [0]), make_set("/b", ["u"], [0])], ["a", "b"])
    test = join([make_set("/a", ["x", "y", "z"], [2], "test"), make_set("/b", ["u"], [0], "test")], ["a", "b"])
    assert train.sources == test.sources and train.images.classes == test.images.classes
    assert test.images.labels.tolist() == [2, 3] and test.images.split == "test"


def test_one_set_stays_itself() -> None:
    birds = make_set("/cub", BIRDS, [5])
    joint = join([birds], ["CUB"])
    assert joint.images is birds and joint.sources == (Source("CUB", 0, 200),)


def test_shared_names_are_told_apart() -> None:
    joint = join([make_set("/a", ["owl", "crow"], [1]), make_set("/b", ["fox", "owl"], [1])], ["birds", "birds"])
    assert joint.images.classes == ("birds/owl", "crow", "fox", "birds-2/owl")
    assert len({sample.key for sample in joint.images.samples}) == 2
    assert number_names(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]


@pytest.mark.parametrize("sets", [[], [make_set("/a", [], [None])],
                                  [make_set("/a", ["x"], [0]), make_set("/b", ["y"], [0, None])]])
def test_sets_without_labels_are_refused(sets: list[ImageSet]) -> None:
    with pytest.raises(DataError, match="label"):
        join(sets, [str(images.root) for images in sets])


def test_labels_lead_back_to_their_source() -> None:
    sources = (Source("a", 0, 200), Source("b", 200, 120), Source("c", 320, 1))
    labels = torch.tensor([[0, 199, 200], [319, 320, 5]])
    assert find_sources(labels, sources).tolist() == [[0, 0, 1], [1, 2, 0]]
    assert find_sources(labels, sources[:1]).tolist() == [[0] * 3] * 2
