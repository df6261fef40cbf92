"""Which gallery a split queries in a retrieval: itself, another split, or only classes that training has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.class_names import name_key
from datasets.images import ImageSet, has_split
from evaluation.features.extract import Features
from evaluation.features.subject import Subject
from evaluation.retrieval.pairing import Pairing
from runtime.errors import ConfigError, DataError

PROTOCOLS = ("leave-one-out", "query-gallery", "class-disjoint")


@dataclass(frozen=True)
class Contest:
    """Query and gallery images (the same ones in leave-one-out), with their embeddings as one Pairing."""

    images: ImageSet
    gallery: ImageSet
    features: Features
    pairing: Pairing

    def describe(self, protocol: str) -> str:
        """The protocol for the ledger; what it says is true of the full ranking."""
        if self.pairing.among_selves:
            return f"{protocol}, full ranking"
        return f"query-gallery, {self.images.split} asks {self.gallery.split}, full ranking"


def open_contest(subject: Subject, images: ImageSet, centre: Tensor | None, protocol: str, gallery: str) -> Contest:
    """Features of all images that the protocol needs; raises ConfigError or DataError when the splits do not allow it.

    Labels of the gallery are matched by class name.
    """
    if protocol == "class-disjoint":
        check_disjoint(subject, images)
    features = subject.extract(images)
    embeddings = subject.embeddings(features, centre)
    if protocol != "query-gallery":
        return Contest(images, images, features, Pairing(embeddings, features.labels))
    if gallery == images.split:
        raise ConfigError(f"--gallery {gallery} is the split of the queries; give another, or --protocol leave-one-out")
    others = subject.images(gallery)
    found = subject.extract(others)
    labels = match_labels(others, images.classes)
    pairing = Pairing.across(embeddings, features.labels, subject.embeddings(found, centre), labels)
    return Contest(images, others, features, pairing)


def match_labels(images: ImageSet, classes: tuple[str, ...]) -> Tensor:
    """Labels [N] of the images in the numbering of `classes`; -1 for other classes and for none."""
    places = {name_key(name): place for place, name in enumerate(classes)}
    numbers = torch.tensor([*(places.get(name_key(name), -1) for name in images.classes), -1])
    return numbers[images.labels]


def check_disjoint(subject: Subject, images: ImageSet) -> None:
    """Raise DataError naming classes of `images` that the training split has too."""
    if images.split == "train" or not has_split(subject.root, "train"):
        raise DataError(f"{subject.root}: class-disjoint retrieval needs a train split beside the one searched")
    trained, queried = (present_classes(part) for part in (subject.images("train"), images))
    shared = sorted(trained & queried)
    if shared:
        raise DataError(f"{subject.root}: {len(shared)} classes are in train and in {images.split}, first: "
                        f"{', '.join(shared[:5])}; class-disjoint retrieval wants none. Split by class, or use "
                        "--protocol leave-one-out")


def present_classes(images: ImageSet) -> set[str]:
    """Names of the classes that have an image."""
    return {images.classes[label] for label in set(images.labels.tolist()) if label >= 0}
