"""A folder of photographs, audited: every kind of flaw planted, what is written of it, and what is left alone."""

from __future__ import annotations

import csv
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from engine.workflows.audit import compare_photographs, measure_audit, read_shelf
from evaluation.features.subject import open_subject
from evaluation.ledger import read_results
from runtime.errors import ConfigError, DataError
from tools import audit

QUICK = ("--pretrained", "none", "-a", "resnet18", "--size", "32", "--device", "cpu", "--num-workers", "0",
         "--cache", "none", "--out", "out")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str | Path) -> tuple[Path, list[dict[str, str]]]:
    """The command on a folder, from the folder's parent, with a small random network: its place and its table."""
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("sys.argv", ["audit", str(folder), *QUICK, *map(str, words)])
    audit.main()
    with open(folder.parent / "out" / "audit.csv", newline="", encoding="utf-8") as file:
        return folder.parent / "out", list(csv.DictReader(file))


def pick(rows: list[dict[str, str]], finding: str) -> list[dict[str, str]]:
    return [row for row in rows if row["finding"] == finding]


def draw_photo(seed: int) -> Image.Image:
    """A picture with detail that the eye sees, 120 x 90 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC)


class Page(HTMLParser):
    """The pictures and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.anchors: set[str | None] = set()
        self.links: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.pictures += [told] if tag == "img" else []
        self.links += [told["href"]] if tag == "a" and "href" in told else []
        self.anchors |= {told["id"]} if "id" in told else set()


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Two classes in train and test, each flaw once."""
    root = tmp_path / "birds"
    for number in range(40):
        place = root / ("test" if number % 4 == 3 else "train") / ("crow", "owl")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(place / f"{number:02d}.jpg", quality=95)
    crow, owl = root / "train" / "crow", root / "train" / "owl"
    shutil.copy(crow / "00.jpg", crow / "twin.jpg")  # the same file
    Image.open(crow / "02.jpg").save(crow / "pixels.png")  # the same pixels
    ImageOps.mirror(Image.open(crow / "04.jpg")).save(root / "test" / "owl" / "leak.jpg", quality=85)  # both at once
    Image.open(owl / "01.jpg").crop((6, 5, 120, 90)).save(owl / "cut.jpg", quality=80)
    (owl / "cut_off.jpg").write_bytes((owl / "05.jpg").read_bytes()[:900])
    Image.new("RGB", (120, 90), "navy").save(owl / "blank.jpg")
    draw_photo(77).resize((20, 15)).save(owl / "tiny.jpg")
    (owl / "film.mp4").write_bytes(b"film")
    return root


LITE = ("--pretrained", "package:efficientnet-lite0", "-a", "tf_efficientnet_lite0", "--size", "96")


def test_every_planted_flaw_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], planted: Path
) -> None:
    before = {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()}
    out, rows = run(monkeypatch, planted, *LITE)
    leak = pick(rows, "leak")
    assert {row["path"] for row in leak} == {"train/crow/04.jpg", "test/owl/leak.jpg"}
    assert {row["split"] for row in leak} == {"train", "test"} and all("mirrored" in row["detail"] for row in leak)
    assert [row["path"] for row in pick(rows, "conflict")] == [row["path"] for row in leak]
    twins = {row["path"]: (row["other"].rpartition("/")[2], row["detail"]) for row in pick(rows, "duplicate")}
    assert twins == {
        "train/crow/00.jpg": ("twin.jpg", "the same file"), "train/crow/twin.jpg": ("00.jpg", "the same file"),
        "train/crow/02.jpg": ("pixels.png", "the same pixels in another file"),
        "train/crow/pixels.png": ("02.jpg", "the same pixels in another file"),
        "train/owl/01.jpg": ("cut.jpg", "cut"), "train/owl/cut.jpg": ("01.jpg", "cut")}
    assert [row["path"] for row in pick(rows, "broken")] == ["train/owl/cut_off.jpg"]
    odd = {row["path"].rpartition("/")[2]: row["detail"] for row in pick(rows, "odd file")}
    assert odd == {"blank.jpg": "all one colour", "tiny.jpg": "tiny: 20 x 15 pixels", "pixels.png": "PNG among JPEG files"}
    assert [row["path"].rpartition("/")[2] for row in pick(rows, "not read")] == ["film.mp4"]
    assert rows[0]["finding"] == "leak"  # they are told first
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "47 photographs, train 36, test 11, 2 labels" and told[1].startswith("  1 picture in several splits")
    assert {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()} == before


def test_the_page_needs_no_other_file_and_names_its_pictures(monkeypatch: pytest.MonkeyPatch, planted: Path) -> None:
    out, rows = run(monkeypatch, planted, *LITE)
    text = (out / "audit.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not re.search(r"(src|href)=['\"](?!data:|#)", text) and "url(" not in text and "<script" not in text
    assert page.pictures and all(one["alt"] and str(one["src"]).startswith("data:image/") for one in page.pictures)
    assert {"#leak", "#conflict", "#duplicate", "#broken", "#odd-file"} <= set(page.links)
    assert {str(link)[1:] for link in page.links} <= page.anchors
    assert "cut_off.jpg" in text and "film.mp4" in text and text.index("in several splits") < text.index("Broken files")
    again = run(monkeypatch, planted, *LITE)[1]  # its own results may be replaced
    assert again == rows


def test_a_wrong_label_is_suggested_the_right_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    for number in range(60):
        place = tmp_path / "colours" / "train" / ("red", "green", "blue")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 60, (80, 80, 3), dtype=np.uint8)
        pixels[..., number % 3] += 160
        Image.fromarray(pixels).save(place / f"{number:02d}.jpg")
    (tmp_path / "colours" / "train" / "red" / "30.jpg").rename(tmp_path / "colours" / "train" / "blue" / "moved.jpg")
    out, rows = run(monkeypatch, tmp_path / "colours", "--split", "train", "--score", "--task", "colours")
    (label,) = pick(rows, "label")
    assert (label["path"], label["suggested"]) == ("train/blue/moved.jpg", "red")
    assert float(label["score"]) > 0.5 and "nearest have that label" in label["detail"]
    assert "the other pictures speak for 98% of the labels" in capsys.readouterr().out
    assert "blue, or red?" in (out / "audit.html").read_text(encoding="utf-8")
    (row,) = read_results(out / "results.jsonl")
    assert (row["kind"], row["task"], row["images"], row["split"]) == ("audit", "colours", 60, "train")
    assert row["metrics"].keys() == {"precision20", "found20", "ap", "flagged_precision", "flagged_recall"}
    assert row["details"]["found"]["label"] == 1 and row["metrics"]["ap"] > 0.5  # moved.jpg is always before them


def test_names_that_are_no_utf8_links_and_no_labels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(6):
        draw_photo(number).save(flat / f"{number}.jpg")
    shutil.copy(flat / "0.jpg", os.fsdecode(bytes(flat / "caf") + b"\xe9<b>.jpg"))
    (flat / "link.jpg").symlink_to("1.jpg")
    (flat / "gone.jpg").symlink_to("nowhere.jpg")
    out, rows = run(monkeypatch, flat)
    same = {row["path"]: row["detail"] for row in pick(rows, "duplicate")}
    assert same == {"0.jpg": "the same file", r"caf\xE9<b>.jpg": "the same file",
                    "1.jpg": "one file under two names", "link.jpg": "one file under two names"}
    assert [row["path"] for row in pick(rows, "broken")] == ["gone.jpg"] and not pick(rows, "label")
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert r"caf\xE9&lt;b&gt;.jpg" in page and "<b>" not in page
    assert "no labels, so none were judged" in capsys.readouterr().out


def test_a_list_is_audited_as_folders_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo_tree: Path) -> None:
    first = sorted(photo_tree.glob("train/001*/*.jpg"))[0]
    shutil.copy(first, photo_tree / "test" / "002.Green_bird" / "again.jpg")
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name},{path.parts[-3]}" for path in sorted(photo_tree.rglob("*.jpg"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines]))
    rows = run(monkeypatch, tmp_path / "list.csv")[1]
    assert {row["path"].rpartition("/")[2] for row in pick(rows, "leak")} == {first.name, "again.jpg"}
    assert {row["label"] for row in pick(rows, "conflict")} == {"001.Red_bird", "002.Green_bird"}


def test_what_is_empty_or_broken_throughout_is_told_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, photo_tree: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        run(monkeypatch, tmp_path / "empty")
    with pytest.raises(DataError, match="no split 'val'"):
        run(monkeypatch, photo_tree, "--split", "val")
    (tmp_path / "bad").mkdir()
    for number in range(3):
        (tmp_path / "bad" / f"{number}.jpg").write_bytes(b"nothing")
    assert len(pick(run(monkeypatch, tmp_path / "bad")[1], "broken")) == 3
    assert "too few different pictures" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "bad")
    (tmp_path / "bad").mkdir()
    for number in range(4):
        Image.new("RGB", (90, 90), "teal").save(tmp_path / "bad" / f"{number}.png")
    rows = run(monkeypatch, tmp_path / "bad")[1]
    assert len(pick(rows, "duplicate")) == 4 and len(pick(rows, "odd file")) == 4


def test_it_writes_neither_into_the_pictures_nor_over_something_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo_tree: Path
) -> None:
    with pytest.raises(ConfigError, match="lies in"):
        run(monkeypatch, photo_tree, "--out", photo_tree / "audit")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(ConfigError, match="no earlier audit"):
        run(monkeypatch, photo_tree, "--out", tmp_path / "mine")
    with pytest.raises(ConfigError, match="no labels"):
        run(monkeypatch, next(photo_tree.glob("train/001*")), "--score")


@pytest.mark.shared
@pytest.mark.slow
def test_wrong_labels_of_real_photographs_are_found(shared_data: Path) -> None:
    """Of the 15 wrong labels among 300 birds, at least nine are among the first 20; 13 were measured."""
    options = audit.parse([str(shared_data / "cub10"), "--device", "cpu", "--num-workers", "0", "--cache", "none"])
    subject = open_subject(options, torch.device("cpu"), 32)
    images = read_shelf(subject.root, "train").images
    seen = compare_photographs(subject, images)
    assert seen is not None
    scores = measure_audit(images, seen.points, torch.full((len(images),), -1))
    assert scores["found20"] > 0.6 and scores["ap"] > 0.6
