"""What lies around a desk: boxes, thumbnails, folders, the network in use, and what came of the further steps."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from datasets.crops import Box
from desk import boxes, workplace
from desk.album import read_facts
from desk.finish import choose_folder
from desk.standing import NAMED, UNKNOWN, UNUSABLE
from desk.steps.measure import compare_sights
from desk.web.pages import render_result
from desk.workplace import Workplace
from evaluation.sorting.cloud import survey
from tests.desk.served import Hosted
from tests.desk.test_steps import stand


@pytest.fixture
def place(host: Callable[..., Hosted]) -> Workplace:
    served = host("--groups", "3")
    served.name({"red_00.jpg": "red", "green_00.jpg": "green", "blue_00.jpg": "blue"})
    served.wait(lambda state: state.get("landscape", {}).get("twins"))
    served.follow()
    return served.place


def test_a_box_is_found_among_the_nearest_and_kept(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def locate(network: object, reading: object, samples: tuple, device: object) -> Box:
        asked.append([sample.key for sample in samples])
        return Box(16, 12, 48, 36)  # of 64 x 48

    monkeypatch.setattr(boxes, "locate_among", locate)
    assert place.boxes.find(30) == [0.25, 0.25, 0.75, 0.75] == place.boxes.find(30)
    assert len(asked) == 1 and asked[0][0] == "red_06.jpg" and len(asked[0]) == 11
    again = boxes.Boxes(place.out, place.desk, place.subject)
    assert again.known == {place.desk.album.contents[30]: [0.25, 0.25, 0.75, 0.75]}


def test_boxes_and_thumbnails_are_of_what_is_left_above_a_banner(
    host: Callable[..., Hosted], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = host()
    whole.wait(lambda state: state.get("landscape", {}).get("twins"))
    whole.stop()
    cut = host("--crop-bottom", "20")
    cut.wait(lambda state: state.get("landscape", {}).get("twins"))
    monkeypatch.setattr(boxes, "locate_among", lambda *_: Box(0, 7, 32, 14))
    assert cut.place.boxes.find(0) == [0.0, 0.25, 0.5, 0.5]
    (cut.place.out / "small.jpg").write_bytes(cut.get("thumbnail/0"))
    with Image.open(cut.place.out / "small.jpg") as small:
        assert small.size == (64, 28)


def test_two_who_finish_at_once_get_a_whole_folder_each(place: Workplace) -> None:
    done: list[dict[str, object]] = []
    threads = [threading.Thread(target=lambda: done.append(place.finish("copy", 0.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders = {str(one["folder"]) for one in done}
    assert len(folders) == 3 and all(len(list(Path(folder).glob("*/*"))) == 36 for folder in folders)


def test_a_network_is_used_told_kept_and_left_again(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.workshop.steps.place("better") / "run_1"
    run.mkdir(parents=True)
    (run / "model_last.pth").touch()
    (run.parent / "result.json").write_text(json.dumps({"run": "run_1"}))
    monkeypatch.setattr(workplace, "open_run", lambda options, _: workplace.open_subject(options, torch.device("cpu"), 8))
    assert place.describe_steps()["better"]["used"] is False
    seats = place.desk.seats
    place.workshop.take("better", "use")
    assert place.describe_steps()["better"]["used"] is True and place.desk.seats == seats + 1
    options = place.options
    named = {name: word for name, word in options.given.items() if name != "pretrained"}
    unnamed = type(options).read(options.settings(), named)
    assert workplace.find_chosen(unnamed) == run and workplace.find_chosen(options) is None  # a flag was given
    place.workshop.take("better", "leave")
    assert place.describe_steps()["better"]["used"] is False and workplace.find_chosen(unnamed) is None


def test_the_number_of_groups_is_kept(place: Workplace) -> None:
    place.choose_scale(5)
    assert json.loads((place.out / "choices.json").read_text())["groups"] == 5 and place.desk.landscape.scale == 5


@pytest.mark.parametrize(("numbers", "said"), [
    ({"low": 0.1, "high": 0.3}, "It sees better"), ({"low": -0.3, "high": -0.1}, "It sees worse"),
    ({"low": -0.1, "high": 0.3}, "+10.0 points is within chance")])
def test_the_result_of_seeing_better_is_told(place: Workplace, numbers: dict[str, float], said: str) -> None:
    folder = place.workshop.steps.place("better")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"run": "run_1", "asked": 20, "before": 0.5, "after": 0.6, **numbers}))
    page = render_result(place, "better")
    assert said in page and "50.0 %" in page and "60.0 %" in page


def test_another_network_is_better_where_it_parts_what_the_first_mixes_up(place: Workplace) -> None:
    album = place.desk.album
    draw = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(36, 8, generator=draw)
    good = survey(F.normalize(torch.eye(3, 8).repeat_interleave(12, dim=0) + noise, dim=1))
    blind = survey(F.normalize(torch.randn(36, 8, generator=draw), dim=1))
    standing = stand(album, ("b", "g", "r"), [0] * 12 + [1] * 12 + [2] * 12, list(range(0, 36, 2)), 0.5)
    found = compare_sights(blind, good, standing)
    assert found["asked"] == 18 and found["after"] == 1.0 > found["before"] and found["low"] > 0
    other = compare_sights(good, blind, standing)
    assert other["high"] < 0 and other["before"] == 1.0
    assert compare_sights(good, blind, stand(album, ("b",), [0] * 36, [0], 0.5)) == {"asked": 0}


def test_where_a_picture_goes(place: Workplace) -> None:
    standing = stand(place.desk.album, ("b", "g"), [0] * 18 + [1] * 18, [0], 0.8)
    standing.states[1], standing.states[2] = UNKNOWN, UNUSABLE
    standing.unlike[3], standing.confidence[3] = 0.7, 0.2
    standing.unlike[5] = 0.7
    assert standing.states[0] == NAMED
    assert [choose_folder(standing, index, 0.75) for index in range(6)] == ["b", "unknown", "no_object", "unknown", "b", "b"]
    assert [choose_folder(standing, index, 0.9) for index in range(6)] == ["b", "unknown", "no_object", "unknown", "unsure", "unknown"]


def test_a_turned_photograph_has_the_sides_that_people_see(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2024:05:06 07:08:09"
    Image.new("RGB", (60, 40)).save(tmp_path / "turned.jpg", exif=exif)
    facts = read_facts(tmp_path / "turned.jpg")
    assert (facts.width, facts.height, facts.date, facts.taken) == (40, 60, "2024-05-06 07:08", True)
