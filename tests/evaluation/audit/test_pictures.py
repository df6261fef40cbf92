"""What is told of single files: hashes, shapes, colours, and what is odd about one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.audit.odd_files import list_oddities
from evaluation.audit.pictures import FileFacts, inspect_file


def draw(seed: int = 0, size: tuple[int, int] = (100, 80)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def test_the_same_pixels_are_known_in_another_container(tmp_path: Path) -> None:
    picture = draw()
    exif = Image.Exif()
    exif[0x010E] = "a note"
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.bmp")
    picture.save(tmp_path / "c.png", exif=exif)
    facts = [inspect_file(tmp_path / name) for name in ("a.png", "b.bmp", "c.png")]
    assert len({one.pixels for one in facts}) == 1 and len({one.content for one in facts}) == 3
    assert [one.form for one in facts] == ["PNG", "BMP", "PNG"] and (facts[0].width, facts[0].height) == (100, 80)
    assert inspect_file(tmp_path / "a.png", crop_bottom=30).height == 50


def test_broken_files_say_why(tmp_path: Path) -> None:
    draw(size=(400, 300)).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-2000])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    for name, words in (("half.jpg", "truncated"), ("text.png", "not an image"), ("gone.jpg", "no such file")):
        fault = inspect_file(tmp_path / name).fault
        assert fault is not None and words in fault and str(tmp_path) not in fault


def test_facts_of_what_is_odd(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    draw().save(tmp_path / "turned.jpg", exif=exif)
    draw().convert("L").save(tmp_path / "grey.jpg")
    Image.new("RGB", (100, 80), (90, 140, 20)).save(tmp_path / "blank.jpg")
    draw().save(tmp_path / "moving.gif", save_all=True, append_images=[draw(1)])
    turned, grey, blank, moving = (inspect_file(tmp_path / name) for name in ("turned.jpg", "grey.jpg", "blank.jpg",
                                                                              "moving.gif"))
    assert turned.orientation == 6 and (turned.width, turned.height) == (80, 100)
    assert grey.colour < 1 < blank.colour and blank.contrast < 1 < grey.contrast and moving.moving


ORDINARY = FileFacts(content="x", form="JPEG", width=400, height=300, contrast=50, colour=30,
                     small=np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1)))


def change(**what: object) -> FileFacts:
    return FileFacts(**{**vars(ORDINARY), **what})


@pytest.mark.parametrize(("name", "one", "words"), [
    ("a.jpg", change(form="PNG"), "PNG among JPEG"), ("a.jpg", change(form="PNG"), "called .jpg"),
    ("a.jpg", change(width=40, height=30), "tiny: 40 x 30"), ("a.jpg", change(width=3000), "10.0 times as wide"),
    ("a.jpg", change(height=2000), "5.0 times as high"), ("a.gif", change(form="GIF", moving=True), "several frames"),
    ("a.jpg", change(contrast=0.5, small=np.full((32, 32), 80, np.uint8)), "all one colour"),
    ("a.jpg", change(colour=0.4), "grey among"), ("a.jpg", change(orientation=8), "by 90 degrees")])
def test_each_oddity_is_told_of_that_file_alone(name: str, one: FileFacts, words: str) -> None:
    told = list_oddities([*(f"{number}.jpg" for number in range(19)), name], [*[ORDINARY] * 19, one])
    assert told[:19] == [[]] * 19 and any(words in text for text in told[19])


def test_what_many_have_is_not_odd_and_broken_files_have_no_facts() -> None:
    names = ["a.jpg"] * 10
    for many in (change(colour=0.3), change(orientation=6)):
        assert list_oddities(names, [ORDINARY] * 7 + [many] * 3) == [[]] * 10
        assert list_oddities(names, [many] * 10) == [[]] * 10
    assert list_oddities(["a.jpg"], [FileFacts(fault="cut off")]) == [[]] and list_oddities([], []) == []
    assert list_oddities(["far.jpg"], [change(contrast=2.0)]) == [[]]  # something small before an empty sky
