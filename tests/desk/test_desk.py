"""What follows from answers: names for the rest, what is proposed next, what changed, what speaks for a name."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from desk.album import Album
from desk.desk import Conflict, Desk
from desk.journal import Answer, Deed, Journal
from desk.landscape import begin_landscape, choose_scale, explore
from desk.standing import NAMED, UNUSABLE, Sorter, find_changes
from desk.web.payloads import describe_standing, describe_state, find_reasons, pack_columns
from engine.workflows.sort import Sight
from evaluation.sorting.cloud import Cloud, survey
from runtime.errors import DataError


@pytest.fixture
def cloud() -> Cloud:
    """36 points around three corners, in the order of the album: blue, green, red."""
    centres = torch.eye(3, 8).repeat_interleave(12, dim=0)
    points = F.normalize(centres + 0.05 * torch.randn(36, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    return survey(F.normalize(points - points.mean(dim=0), dim=1))


def name(album: Album, **names: str) -> dict[str, Answer]:
    """Answers by content: file -> name."""
    files = [sample.key.removesuffix(".jpg") for sample in album.images.samples]
    return {album.contents[files.index(file)]: Answer("name", given, 1, "t") for file, given in names.items()}


def test_names_reach_their_kind_and_only_what_changed_is_told(album: Album, cloud: Cloud) -> None:
    sorter = Sorter(album, cloud)
    nothing = sorter.conclude({}, 0, None)
    assert nothing.names == () and not nothing.changed and nothing.gain == 0 and len(nothing.proposal) == 36
    two = sorter.conclude(name(album, red_00="red", blue_00="blue"), 2, nothing)
    assert two.names == ("blue", "red") and len(two.changed) == 36
    assert (two.labels[:12] == 0).all() and (two.labels[24:] == 1).all()
    three = sorter.conclude(name(album, red_00="red", blue_00="blue", green_00="apple"), 3, two)
    assert three.names == ("apple", "blue", "red")  # numbers moved, names did not
    assert three.changed == tuple(range(12, 24))
    assert three.name(3) == "blue" and three.name(15) == "apple" and three.name(30) == "red"
    assert not {0, 12, 24} & set(three.proposal) and describe_standing(three)["given"] == 3


def test_what_shows_nothing_has_no_name_and_is_not_asked_again(album: Album, cloud: Cloud) -> None:
    answers = name(album, red_00="red", blue_00="blue")
    answers[album.contents[30]] = Answer("unusable", "", 3, "t")
    standing = Sorter(album, cloud).conclude(answers, 3, None)
    assert int(standing.labels[30]) == -1 and standing.name(30) == "" and 30 not in standing.proposal
    assert standing.states[30] == UNUSABLE and standing.states[24] == NAMED and float(standing.confidence[24]) == 1


def test_changes_are_of_names_not_of_numbers() -> None:
    class Before:
        names, labels = ("b", "c"), torch.tensor([0, 1, -1, 0])

    assert find_changes(Before, ("a", "b", "c"), torch.tensor([1, 2, -1, 1])) == ()
    assert find_changes(Before, ("a", "c"), torch.tensor([0, 1, 0, -1])) == (0, 2, 3)
    assert find_changes(None, ("a",), torch.tensor([0, -1])) == (0,)


def test_reasons_are_named_pictures_of_the_same_name_and_the_nearest_of_another(album: Album, cloud: Cloud) -> None:
    standing = Sorter(album, cloud).conclude(name(album, red_00="red", red_01="red", blue_00="blue", green_00="green"), 4, None)
    reasons = find_reasons(cloud, standing, 30)
    assert {one["index"] for one in reasons["because"]} == {24, 25} and reasons["instead"]["name"] in ("blue", "green")
    likeness = [float(cloud.smooth[30] @ cloud.smooth[one["index"]]) for one in reasons["because"]]
    assert likeness == sorted(likeness, reverse=True)
    assert find_reasons(cloud, Sorter(album, cloud).conclude({}, 0, None), 3) == {"because": [], "instead": None}


def test_the_landscape_comes_bit_by_bit(album: Album, cloud: Cloud) -> None:
    oddness = torch.zeros(36)
    oddness[5] = 9.0
    start = begin_landscape(oddness)
    assert start.odd.nonzero()[0].tolist() == [5] and start.strip is None and start.twins is None
    small = torch.randint(0, 255, (36, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    small[1] = small[0]  # the same picture twice
    steps = list(explore(start, cloud, None, lambda: small))
    assert [step.twins is not None for step in steps] == [False, False, True]
    last = steps[-1]
    assert sorted(last.strip.tolist()) == list(range(36)) and last.scale in last.scales
    assert last.twins[0] == last.twins[1] == 0 and (last.twins[2:] == -1).all()
    other = choose_scale(last, cloud, 3)
    assert other.scale == 3 and len(np.unique(other.groups[3])) == 3 and other.groups.keys() >= last.groups.keys()


@pytest.fixture
def desk(album: Album, tmp_path: Path) -> Desk:
    return Desk(album, Journal(tmp_path / "journal.jsonl"))


def test_a_desk_sorts_behind_the_answers(desk: Desk, cloud: Cloud) -> None:
    album = desk.album
    desk.seat(Sight(cloud, torch.zeros(36), 1.0))
    failures: list[BaseException] = []
    thread = threading.Thread(target=desk.sort_forever, args=(failures.append,))
    thread.start()
    try:
        for index, given in ((0, "blue"), (12, "green"), (24, "red")):
            desk.answer(Deed("name", (album.contents[index],), given, tab="t"), 0)
        for _ in range(200):
            if desk.standing.version == 3:
                break
            time.sleep(0.02)
        assert desk.standing.version == 3 and desk.standing.name(20) == "green"
    finally:
        desk.end()
        thread.join(10)
    assert not failures and not thread.is_alive()


def test_answers_are_taken_before_the_photographs_were_looked_at(desk: Desk, cloud: Cloud) -> None:
    desk.answer(Deed("name", (desk.album.contents[0],), "blue", tab="t"), 0)
    assert desk.standing is None
    desk.seat(Sight(cloud, torch.zeros(36), 1.0))
    assert desk.standing.version == 1 and desk.standing.name(0) == "blue"


def test_copies_of_a_file_share_an_answer(photographs: Path, tmp_path: Path) -> None:
    from datasets.images import scan
    from evaluation.features.contents import hash_images

    (photographs / "zz_copy.jpg").write_bytes((photographs / "red_03.jpg").read_bytes())
    images = scan(photographs)
    album = Album(images, tuple(hash_images(images, None)))
    assert album.places[album.contents[-1]] == [27, 36]
    points = F.normalize(torch.randn(37, 8), dim=1)
    desk = Desk(album, Journal(tmp_path / "journal.jsonl"))
    desk.answer(Deed("name", (album.contents[-1],), "red", tab="t"), 0)
    desk.seat(Sight(survey(points), torch.zeros(37), 1.0))
    assert desk.standing.states[27] == desk.standing.states[36] == NAMED


def test_a_rename_of_what_is_gone_is_a_conflict(desk: Desk) -> None:
    with pytest.raises(Conflict, match="crow"):
        desk.answer(Deed("rename", name="owl", old="crow", tab="t"), 0)


def test_another_network_is_told_even_where_nobody_answered(desk: Desk, cloud: Cloud) -> None:
    """The journal's line is the same, all names may be others: pages ask again by the seat."""
    desk.answer(Deed("name", (desk.album.contents[0],), "blue", tab="t"), 0)
    seats = []
    for _ in range(2):
        desk.seat(Sight(cloud, torch.zeros(36), 1.0))
        seats.append((describe_state(desk)["seat"], json.loads(pack_columns(desk).partition(b"\n")[0])["seat"]))
    assert seats == [(1, 1), (2, 2)] and desk.standing.version == 1


def test_a_search_of_the_network_before_leaves_the_new_landscape_alone(desk: Desk, cloud: Cloud) -> None:
    desk.seat(Sight(cloud, torch.zeros(36), 1.0))

    def take_over() -> torch.Tensor:
        desk.seat(Sight(cloud, torch.full((36,), 9.0), 1.0))
        return torch.zeros(36, 32, 32, dtype=torch.uint8)

    desk.explore(take_over)
    assert desk.landscape.odd.all() and desk.landscape.strip is None


def test_a_slow_sorting_never_replaces_a_later_one(desk: Desk, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.seat(Sight(cloud, torch.zeros(36), 1.0))
    real, first = desk.sorter.conclude, threading.Event()

    def conclude(answers: dict[str, Answer], version: int, before: object) -> object:
        if version == 1:
            first.set()
            time.sleep(0.3)
        return real(answers, version, before)

    monkeypatch.setattr(desk.sorter, "conclude", conclude)
    desk.answer(Deed("name", (desk.album.contents[0],), "blue", tab="t"), 0)
    slow = threading.Thread(target=desk.sort_once)
    slow.start()
    first.wait(5)
    desk.answer(Deed("name", (desk.album.contents[12],), "green", tab="t"), 1)
    desk.sort_once()
    slow.join()
    assert desk.standing.version == 2 and desk.standing.names == ("blue", "green")


def test_what_is_renamed_to_a_name_in_use_is_that_kind_however_it_is_spelled(desk: Desk) -> None:
    for index, given in ((0, "crow"), (1, "Raven")):
        desk.answer(Deed("name", (desk.album.contents[index],), given, tab="t"), 0)
    desk.answer(Deed("rename", name="CROW", old="crow", tab="t"), 0)  # its own spelling may change
    assert desk.journal.names() == ["CROW", "Raven"]
    desk.answer(Deed("rename", name="raven", old="CROW", tab="t"), 0)
    assert desk.journal.names() == ["Raven"]


@pytest.mark.parametrize("do", ["name", "rename", "clear", ""])
def test_only_undo_and_redo_undo(desk: Desk, do: str) -> None:
    desk.answer(Deed("name", (desk.album.contents[0],), "crow", tab="t"), 0)
    with pytest.raises(DataError, match="nothing to"):
        desk.undo(Deed(do, tab="t"), 1)
    assert desk.journal.number == 1


def test_nothing_is_told_of_photographs_that_nobody_has_looked_at(desk: Desk) -> None:
    for work in (lambda: desk.choose_scale(3), desk.stand, lambda: desk.explore(lambda: torch.zeros(0))):
        with pytest.raises(DataError, match="wait for the first question"):
            work()


def test_nothing_is_left_to_gain_of_what_was_judged(album: Album, cloud: Cloud) -> None:
    """One picture of the third kind is open; the others were said to be unknown or useless."""
    answers = name(album, **{f"{kind}_{number:02d}": kind for kind in ("red", "blue") for number in range(12)})
    open_before = Sorter(album, cloud).conclude(answers, 1, None).gain * 36
    for number in range(11):
        answers[album.contents[12 + number]] = Answer("unknown" if number % 2 else "unusable", "", 2, "t")
    left = Sorter(album, cloud).conclude(answers, 2, None)
    assert left.proposal == (23,) and 0 <= left.gain * 36 <= 1 < open_before


def test_a_name_of_half_a_letter_is_refused(desk: Desk) -> None:
    with pytest.raises(DataError, match="half a letter"):
        desk.answer(Deed("name", (desk.album.contents[0],), "\ud83d", tab="t"), 0)
    assert desk.journal.number == 0


def test_what_was_brought_back_is_as_new_as_what_was_said(desk: Desk) -> None:
    content = desk.album.contents[0]
    desk.answer(Deed("name", (content,), "crow", tab="one"), 0)
    desk.undo(Deed("undo", tab="one"), 1)
    desk.undo(Deed("redo", tab="one"), 1)
    with pytest.raises(Conflict, match="crow"):
        desk.answer(Deed("name", (content,), "owl", tab="two"), 2)
    assert Journal(desk.journal.path).answers == desk.journal.answers
