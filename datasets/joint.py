"""Several labelled data sets as one: their classes side by side in one flat numbering."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.class_names import SourceFacts
from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from runtime.errors import DataError


@dataclass(frozen=True)
class Source:
    """One data set's part of the numbering: its classes are labels first, ..., first + classes - 1."""

    name: str
    first: int
    classes: int


@dataclass(frozen=True)
class Joint:
    """The images of all sources, one source after the other, and where each source's labels lie."""

    images: ImageSet
    sources: tuple[Source, ...]


def join(sets: Sequence[ImageSet], names: Sequence[str]) -> Joint:
    """Labelled sets of one split, each label moved by the number of classes before it; `names` are the sources'.

    Keys get their source's name in front, class names only where two sources share them. A single set stays as it is;
    equal source names are numbered. Raises DataError when there is no set, or one without labels.
    """
    unlabelled = [f"{images.root} ({bare} of {len(images)} {images.split} images)" for images in sets
                  if (bare := int((images.labels < 0).sum()))]
    if unlabelled or not sets:
        raise DataError(f"images without labels in {', '.join(unlabelled) or 'an empty list of data sets'}; here each "
                        "image needs a class: class folders, or a list with a label column")
    sources = place_sources(number_names(names), [len(images.classes) for images in sets])
    if len(sets) == 1:
        return Joint(sets[0], sources)
    samples = tuple(move_label(sample, source) for source, images in zip(sources, sets, strict=True)
                    for sample in images.samples)
    root = Path(os.path.commonpath([Path(images.root).absolute() for images in sets]))
    return Joint(ImageSet(root, sets[0].split, samples, name_classes(sets, sources)), sources)


def place_sources(names: Sequence[str], counts: Sequence[int]) -> tuple[Source, ...]:
    """Sources one after the other, by their class counts."""
    return tuple(Source(name, sum(counts[:place]), count)
                 for place, (name, count) in enumerate(zip(names, counts, strict=True)))


def number_names(names: Sequence[str]) -> list[str]:
    """The names, with -2, -3, ... behind one that came before."""
    return [name if name not in names[:place] else f"{name}-{names[:place].count(name) + 1}"
            for place, name in enumerate(names)]


def move_label(sample: Sample, source: Source) -> Sample:
    """A sample of one source as a sample of the whole."""
    return replace(sample, key=f"{source.name}/{sample.key}", label=sample.known_label + source.first)


def name_classes(sets: Sequence[ImageSet], sources: Sequence[Source]) -> tuple[str, ...]:
    """All class names in label order; a name of several sources becomes <source>/<class>."""
    times = Counter(name for images in sets for name in images.classes)
    return tuple(name if times[name] == 1 else f"{source.name}/{name}"
                 for source, images in zip(sources, sets) for name in images.classes)


def find_sources(labels: Tensor, sources: Sequence[Source]) -> Tensor:
    """Which source each label (or predicted class) belongs to: LongTensor of the same shape."""
    starts = torch.tensor([source.first for source in sources[1:]], dtype=labels.dtype, device=labels.device)
    return torch.bucketize(labels, starts, right=True)


def describe_sources(sources: Sequence[Source]) -> tuple[SourceFacts, ...]:
    """Sources in plain JSON types."""
    return tuple(SourceFacts(name=source.name, first=source.first, classes=source.classes) for source in sources)
