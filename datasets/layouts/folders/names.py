"""What a folder's name says of its contents: a split, nothing (a container), or masks and notes instead of pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

SPLITS = ("train", "val", "test")
SPELLINGS = {
    "train": frozenset({"train", "training", "trn", "trainval"}),
    "val": frozenset({"val", "valid", "validation", "validate", "validating", "dev"}),
    "test": frozenset({"test", "testing", "tst"}),
}
# What people join to a split's name: train_set, Test Images, trainset, val2017.
ADDED_WORDS = frozenset({"set", "data", "dataset", "folder", "image", "images", "img", "imgs", "photos", "pictures",
                         "seg", "split"})
ADDED_END = re.compile(r"(?:set|data|images|imgs|\d{4})$")
CONTAINERS = frozenset({"image", "images", "img", "imgs", "jpegimages", "jpeg", "jpegs", "jpg", "jpgs", "photo",
                        "photos", "picture", "pictures", "png", "pngs", "rgb"})
NOTES = frozenset({"annotation", "annotations", "bboxes", "groundtruth", "labels", "masks", "segmentationclass",
                   "segmentationmasks", "segmentationobject", "segmentations", "thumbnails", "thumbs", "trimaps"})
# Of the same kind, but elsewhere classes (mask/ beside no_mask/): notes only beside a container or a split.
NOTES_BESIDE_CONTAINERS = NOTES | {"depth", "edges", "gt", "label", "mask", "segmentation"}
UNLABELLED = frozenset({"all", "unknown", "unlabeled", "unlabelled"})


def recognise_split(name: str) -> str | None:
    """The split that a folder or a word in a list names, in any case and in its usual spellings; None for others."""
    parts = [part for part in re.split(r"[\W_]+", name.strip().casefold()) if part]
    kept = [part for part in parts if part not in ADDED_WORDS and not re.fullmatch(r"\d{4}", part)]
    if len(kept) != 1:
        return None
    words = {kept[0], ADDED_END.sub("", kept[0])}
    return next((split for split, spellings in SPELLINGS.items() if words & spellings), None)


def recognise_splits(names: Sequence[str]) -> dict[str, str]:
    """The splits that the folders beside one another name: each for itself, or by what they share.

    `birds_train` and `birds_test`, `1_train` and `2_test`, `train` and `test1` are splits where each is there once and
    everything else in their names is the same.
    """
    alone = {name: split for name in names if (split := recognise_split(name))}
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name in names:
        rest, found = part_split(name)
        if len(found) == 1:
            groups.setdefault(rest, []).append((name, found[0]))
    shared = [dict(group) for group in groups.values() if len(group) == len({split for _, split in group}) > 1]
    return shared[0] if len(shared) == 1 and alone.keys() <= shared[0].keys() else alone


def part_split(name: str) -> tuple[tuple[str, ...], list[str]]:
    """What a name says besides splits and numbers, and the splits that words of it name."""
    words = [word for word in re.split(r"[\W_\d]+", name.strip().casefold()) if word]
    return (tuple(word for word in words if not recognise_split(word)),
            [split for word in words if (split := recognise_split(word))])


def plain_name(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def is_container(name: str) -> bool:
    """True for a folder whose name says no more than that pictures lie in it."""
    return plain_name(name) in CONTAINERS


def are_parts(names: Iterable[str]) -> bool:
    """Whether folders differ by a number only, and say that images lie in them: images_001, images_002."""
    common = {" ".join(re.findall(r"[^\W\d_]+", name.casefold())) for name in names}
    return len(common) == 1 and any(word in CONTAINERS for word in common.pop().split())


def same_spelling(name: str) -> str:
    """What names that differ only by case, Unicode's normal form, outer spaces or leading zeros have in common."""
    word = " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())
    return str(int(word)) if word.isdecimal() else word


def find_same_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that a person would read as one, in order."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(same_spelling(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]
