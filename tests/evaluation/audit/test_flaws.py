"""One list of flaws: which kinds a group of copies is, in which order they come, and how they are counted in words."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.images import ImageSet
from datasets.layouts.listing import Sample
from evaluation.audit.copies import Copies
from evaluation.audit.flaws import (
    Flaw,
    PhotoAudit,
    group_twins,
    list_copy_flaws,
    list_odd_pictures,
    list_twins,
    sort_flaws,
)
from evaluation.audit.page import count_kind, tell_audit
from evaluation.audit.pictures import FileFacts

SPLITS = ("train", "train", "train", "test", "test", "train")
IMAGES = ImageSet(Path("birds"), "train+test", tuple(
    Sample(Path(f"{number}.jpg"), f"{split}/{number}.jpg", label)
    for number, (split, label) in enumerate(zip(SPLITS, (0, 0, 1, 1, None, 0)))), ("crow", "owl"))


def copies(*pairs: tuple[int, int], likeness: float = 0.9, mirrored: bool = False, cut: bool = False) -> Copies:
    count = len(pairs)
    return Copies(torch.tensor(pairs).reshape(-1, 2), torch.full((count,), likeness),
                  torch.full((count,), mirrored), torch.full((count,), cut))


def facts(*contents: str) -> list[FileFacts]:
    return [FileFacts(content=one, pixels=one.lower(), place=(0, number)) for number, one in enumerate(contents)]


def test_the_strongest_likeness_of_two_files_is_told() -> None:
    known = facts("a", "A", "b", "b", "c", "d")
    known[3] = FileFacts(content="b", pixels="b", place=(0, 2))
    told = [(one.first, one.second, one.how, round(one.likeness, 2))
            for one in list_twins(known, copies((0, 1), (2, 3), (4, 5), mirrored=True, cut=True))]
    assert sorted(told) == [(0, 1, "the same pixels in another file", 1.0), (2, 3, "one file under two names", 1.0),
                            (4, 5, "mirrored and cut", 0.9)]
    broken = [FileFacts(fault="cut off"), FileFacts(fault="cut off")]
    assert list_twins(broken, None) == []


def test_a_group_is_a_leak_a_conflict_both_or_a_duplicate() -> None:
    def kinds(*pairs: tuple[int, int]) -> set[tuple[str, int]]:
        twins = list_twins(facts(*"abcdef"), copies(*pairs))
        return {(flaw.kind, flaw.index) for flaw in list_copy_flaws(IMAGES, SPLITS, twins, group_twins(6, twins))}

    assert kinds((0, 1)) == {("duplicate", 0), ("duplicate", 1)}
    assert kinds((0, 2)) == {("conflict", 0), ("conflict", 2)}
    assert kinds((2, 3)) == {("leak", 2), ("leak", 3)}
    assert kinds((0, 4)) == {("leak", 0), ("leak", 4)}  # no label contradicts none
    assert kinds((1, 3)) == {("leak", 1), ("leak", 3), ("conflict", 1), ("conflict", 3)}
    assert kinds((0, 1), (1, 5)) == {("duplicate", index) for index in (0, 1, 5)} and kinds() == set()


def test_kinds_come_in_order_and_are_counted_in_words() -> None:
    flaws = sort_flaws([Flaw("odd file", 0, "tiny"), Flaw("leak", 2, "cut", 0, 3, score=0.9), Flaw("broken", 1, "cut off"),
                        Flaw("leak", 3, "cut", 0, 2, score=0.9)])
    audit = PhotoAudit(IMAGES, SPLITS, flaws)
    assert [flaw.kind for flaw in audit.flaws] == ["leak", "leak", "broken", "odd file"]
    assert count_kind(audit, "leak") == "1 picture in several splits (2 files)" and count_kind(audit, "broken") == "1 broken file"
    assert audit.copy_groups().tolist() == [-1, -1, 0, 0, -1, -1]
    assert tell_audit(audit).splitlines()[:2] == [
        "6 photographs, train 4, test 2, 2 labels", "  1 picture in several splits (2 files): train/2.jpg, test/3.jpg"]
    assert "nothing is wrong" in tell_audit(PhotoAudit(IMAGES, SPLITS, ()))


def test_only_what_stands_out_is_odd() -> None:
    assert [flaw.index for flaw in list_odd_pictures(torch.tensor([2.6, 0.1, 9.0, 2.5, -4.0]))] == [2, 0]
