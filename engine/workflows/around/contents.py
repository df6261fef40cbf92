"""Which photographs of a run are one file under several names, within a split and across splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datasets.images import ImageSet
from evaluation.features.contents import ContentMemo, hash_images


@dataclass(frozen=True)
class SharedFiles:
    """Equal files. `across`: by pair of splits, (first, second), the keys of each file that both have.

    `within`: by split, how many of its files are there already under another name.
    """

    across: Mapping[tuple[str, str], list[tuple[str, str]]]
    within: Mapping[str, int]


def find_shared_files(splits: Mapping[str, ImageSet]) -> SharedFiles:
    """Equal files by the sha256 of their bytes; every file is read once, nothing is written.

    Raises DataError that names files which cannot be read.
    """
    memo = ContentMemo(None)
    keys = {name: first_keys(images, memo) for name, images in splits.items()}
    names = list(splits)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1:]]
    across = {(one, other): [(keys[one][digest], keys[other][digest]) for digest in keys[one] if digest in keys[other]]
              for one, other in pairs}
    return SharedFiles({pair: found for pair, found in across.items() if found},
                       {name: again for name in names if (again := len(splits[name]) - len(keys[name]))})


def first_keys(images: ImageSet, memo: ContentMemo) -> dict[str, str]:
    """The key of the first image of each content."""
    found: dict[str, str] = {}
    for digest, sample in zip(hash_images(images, None, memo), images.samples):
        found.setdefault(digest, sample.key)
    return found
