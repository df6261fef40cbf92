"""The search page as another program meets it: what is found, what is refused, what is told and what is not."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.layouts.listing import Sample
from DDT.descriptors import prepare_backbone
from DDT.neighbours import locate_among
from desk import boxes
from desk.boxes import plan_reading, share_out
from desk.search import evidence, uploads
from desk.search.evidence import Evidence
from runtime.errors import ConfigError
from tests.desk.search.hosted import HostedSearch
from tests.desk.served import QUICK, ROOT
from tests.desk.test_server import refused
from tools import embed, index, search

Start = Callable[..., HostedSearch]


def encode(picture: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()


def suppressed(address: str) -> None:
    """Ask, whatever the answer."""
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=60).read()


def test_a_photograph_finds_its_like_but_not_itself(search_page: Start) -> None:
    page = search_page()
    found = page.find(like=page.place_of("red_00.jpg"))
    files, scores = [row[1] for row in found["rows"]], [row[3] for row in found["rows"]]
    assert found["title"] == "red_00.jpg" and found["total"] == 36 and len(files) == 35 and "red_00.jpg" not in files
    assert all(file.startswith("red") for file in files[:11]) and scores == sorted(scores, reverse=True)
    begun = page.find()
    assert begun["title"] == "" and len(begun["rows"]) == 36 and begun["rows"][0][3] is None


def test_a_picture_that_is_sent_finds_what_the_command_finds(search_page: Start, photographs: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.jpg"
    shutil.copy(photographs / "blue_03.jpg", own)
    words = [str(photographs), "--image", str(own), *QUICK[:-2], "--cache", str(tmp_path / "cache"), "--results-dir", str(tmp_path / "out")]
    search.main(words)
    rows = list(csv.DictReader((tmp_path / "out" / "search.csv").open()))
    page = search_page()
    found = page.find(upload=page.send(own.read_bytes())["upload"])
    assert found["title"] == "mine.jpg" and [row[1] for row in found["rows"]] == [row["path"] for row in rows]
    assert [row[3] for row in found["rows"]] == pytest.approx([float(row["score"]) for row in rows], abs=1e-4)
    assert found["rows"][0][1] == "blue_03.jpg" and found["rows"][0][3] == pytest.approx(1, abs=1e-4)


def test_a_part_of_a_picture_is_searched_by_alone(search_page: Start, photographs: Path) -> None:
    both = Image.new("RGB", (128, 48))
    for number, kind in enumerate(("green", "blue")):
        both.paste(Image.open(photographs / f"{kind}_00.jpg"), (64 * number, 0))
    page = search_page()
    key = page.send(encode(both))["upload"]
    left, right = page.files(upload=key, part="0,0,0.5,1"), page.files(upload=key, part="0.5,0,1,1")
    assert {file[:3] for file in left[:12]} == {"gre"} and {file[:3] for file in right[:12]} == {"blu"}
    assert page.find(upload=key, part="0,0,0.5,1")["title"] == "a part of mine.jpg"
    for part, said in (("0.5,0,0.5,1", "left < right"), ("0,0,2,1", "within it"), ("0,0,nan,1", "within it"), ("0,0,0.01,1", "larger box"),
                       ("0,0,1", "four numbers"), ("a,b,c,d", "makes no sense")):
        assert said in page.find(upload=key, part=part)["error"]


def test_what_is_sent_is_refused_in_a_sentence_and_never_kept(
    search_page: Start, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = search_page()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    whole = (photographs / "red_00.jpg").read_bytes()
    assert "half.jpg: cannot be decoded" in page.send(whole[:400], "half.jpg")["error"]
    assert "letter.txt: cannot be decoded as an image (not an image of" in page.send(b"Dear reader", "letter.txt")["error"]
    code, said = refused(lambda: page.send(whole, kind="text/plain"))
    assert code == 400 and "application/octet-stream" in said
    code, said = refused(lambda: page.send(b"0" * (uploads.LARGEST + 1), "huge.tif"))
    assert code == 413 and "huge.tif has more than 32,000,000 bytes" in said
    key = page.send(whole)["upload"]
    assert page.get(f"upload/{key}")[:2] == b"\xff\xd8" and page.files(upload=key)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(uploads, "HELD", 2)
    for number in range(1, 3):
        page.send((photographs / f"red_{number:02d}.jpg").read_bytes())
    assert "no longer held" in page.find(upload=key)["error"] and refused(lambda: page.get(f"upload/{key}"))[0] == 404


def test_only_this_machine_with_the_token_is_answered(search_page: Start, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    page = search_page()
    root = page.address.replace("/hosted/", "/")
    for wrong in ("", "api/search", "hosted2/", "original/0"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(root + wrong, timeout=20)
        assert caught.value.code == 404
    assert refused(lambda: page.get("", Host="evil.example"))[0] == 400
    for path in ("photograph/36", "original/36", "original/-1", "original/../../secret.txt", "static/../app.py", "static/%2e%2e/app.py",
                 "attention/99", "api/box/99", "upload/nothing"):
        assert refused(lambda path=path: page.get(path))[0] in (400, 404), path
    assert "there is no picture 36" in page.find(like=36)["error"] and "makes no sense" in page.find(like="x")["error"]
    text = page.get("").decode()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    with urllib.request.urlopen(page.address, timeout=20) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_pictures_come_small_large_and_as_they_are(search_page: Start, photographs: Path) -> None:
    page = search_page()
    place = page.place_of("green_05.jpg")
    assert page.get(f"original/{place}") == (photographs / "green_05.jpg").read_bytes()
    for form in ("thumbnail", "photograph", "attention"):
        with Image.open(io.BytesIO(page.get(f"{form}/{place}"))) as picture:
            assert picture.size == (64, 48), form
    (photographs / "green_05.jpg").unlink()
    for form in ("original", "photograph"):
        assert "green_05.jpg" in refused(lambda form=form: page.get(f"{form}/{place}"))[1]


@pytest.mark.parametrize("looks, other", [("norm", "rationale"), ("rationale", "norm")])
def test_attention_covers_the_whole_picture(
    search_page: Start, monkeypatch: pytest.MonkeyPatch, looks: str, other: str
) -> None:
    """The map's cells lie where the picture's are: one that is hot in its upper left is hot there, also beyond the view."""
    page = search_page()

    def make(encoder: object, losses: object) -> Callable[[torch.Tensor], dict[str, torch.Tensor]]:
        heat = torch.zeros(1, 4, 4)
        heat[0, 0, 0] = 1
        return lambda images: {looks: heat.flatten(1), other: heat.flatten(1).flip(1)}

    monkeypatch.setattr(evidence, "make_map_function", make)
    page.page.evidence.looks = looks
    assert ("its rationale, red is most" in page.get("").decode()) == (looks == "rationale")
    with Image.open(io.BytesIO(page.get("attention/0"))) as picture:
        redness = np.asarray(picture, dtype=float)[..., 0] - np.asarray(picture, dtype=float)[..., 2]
    assert redness[:6, :8].mean() > 30 and redness[30:, 40:].mean() < 10


def test_boxes_are_those_of_ddt_among_the_nearest_and_each_map_is_read_once(
    search_page: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = search_page()
    read: list[str] = []
    stream = evidence.stream_maps

    def watch(network: object, reading: object, device: object, batches: list[tuple[Sample, ...]]) -> object:
        read.extend(sample.key for batch in batches for sample in batch)
        return stream(network, reading, device, batches)

    monkeypatch.setattr(evidence, "stream_maps", watch)
    monkeypatch.setattr(boxes, "SIZE", 160)
    subject, samples = page.searcher.subject, page.searcher.images.samples
    places = [page.place_of(f"red_{number:02d}.jpg") for number in range(4)]
    seen = []
    for place in (*places, places[0]):
        near = page.searcher.find_near(place, 10)
        assert len(near) == 10 and place not in near and all(samples[other].key.startswith("red") for other in near)
        box = locate_among(prepare_backbone(subject.encoder.backbone), plan_reading(subject),
                           [samples[other] for other in (place, *near)], subject.device)
        told = json.loads(page.get(f"api/box/{place}"))["box"]
        assert told == (None if box is None else share_out(box, 64, 48))
        seen.append(told)
    assert any(seen) and sorted(read) == sorted(set(read)) and len(read) == 12


def test_evidence_is_not_looked_for_once_the_server_ends(search_page: Start) -> None:
    page = search_page()
    page.page.evidence.is_ending = lambda: True
    for path in ("api/box/0", "attention/0"):
        code, said = refused(lambda path=path: page.get(path))
        assert code == 404 and "the server ends" in said


def test_maps_that_are_kept_are_bounded(search_page: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    page = search_page()
    found = Evidence(page.searcher)
    monkeypatch.setattr(evidence, "KEPT_MAPS", 12)
    monkeypatch.setattr(boxes, "SIZE", 160)
    told = [found.find_box(place) for place in (0, 12, 24)]
    assert len(found.maps) == 12 and told == [Evidence(page.searcher).find_box(place) for place in (0, 12, 24)]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_index_answers_like_the_embeddings(kind: str, search_page: Start, photographs: Path, tmp_path: Path) -> None:
    embed.main([str(photographs), *QUICK[:-2], "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "embedded")])
    index.main([str(tmp_path / "embedded"), "--index", kind])
    by_index = search_page("--index", f"embedded/index-{kind}.faiss")
    plain = search_page()
    assert by_index.searcher.gallery.embeddings is None
    for values in ({"like": plain.place_of("red_00.jpg")}, {"like": 30, "part": "0.1,0.1,0.9,0.9"}):
        one, other = by_index.find(**values)["rows"], plain.find(**values)["rows"]
        assert [row[1] for row in one][:8] == [row[1] for row in other][:8]
        assert [row[3] for row in one][:8] == pytest.approx([row[3] for row in other][:8], abs=1e-4)
    shutil.copy(photographs / "red_00.jpg", photographs / "another.jpg")
    with pytest.raises(ValueError, match="tools.embed"):
        search_page("--index", f"embedded/index-{kind}.faiss")


def test_words_are_refused_with_the_reason(search_page: Start) -> None:
    page = search_page()
    assert "has no head" in page.find(words="a red bird")["error"]
    text = page.get("").decode()
    assert "has no head, so it knows no words" in text and "disabled" in text
    assert "say it shorter" in page.find(words="x" * 1001)["error"]


def test_the_command_serves_until_interrupted(photographs: Path, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, str(ROOT / "tools" / "search.py"), "photographs", "--serve", *QUICK], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        address = process.stdout.readline().split()[1]
        with urllib.request.urlopen(f"{address}api/search?like=0", timeout=60) as answer:
            assert len(json.load(answer)["rows"]) == 35
        waiting = [threading.Thread(target=lambda place=place: suppressed(f"{address}api/box/{place}")) for place in range(3)]
        for thread in waiting:
            thread.start()
        time.sleep(0.3)  # a box is being found, and others wait for it
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and "Traceback" not in process.stderr.read()
    finally:
        process.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "photographs"]  # the cache of features, as ever


@pytest.mark.parametrize(("words", "said"), [
    (("--serve", "--text", "x"), "--text: read only with no --serve"), (("--port", "80",), "--port: read only with --serve")])
def test_flags_that_nothing_reads_are_refused(words: tuple[str, ...], said: str, photographs: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        search.parse([str(photographs), *QUICK[:-2], *words, *([] if "--serve" in words else ["--image", "x.jpg"])])


def test_links_out_of_the_folder_are_refused_and_odd_names_are_shown(search_page: Start, photographs: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"<b>\xe9 & \"x\".jpg")
    (photographs / "red_01.jpg").rename(photographs / odd)
    page = search_page()
    place = page.place_of(odd)
    assert r'<b>\xE9 & "x".jpg' in page.files() and page.get(f"original/{place}")
    (photographs / "red_00.jpg").rename(tmp_path / "outside.jpg")
    (photographs / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(ConfigError, match="lead out of"):
        search_page()


def test_the_banner_of_a_sent_picture_is_dropped_too(search_page: Start, photographs: Path) -> None:
    page = search_page("--crop-bottom", "8")
    key = page.send((photographs / "red_00.jpg").read_bytes())["upload"]
    with Image.open(io.BytesIO(page.get(f"upload/{key}"))) as picture, Image.open(photographs / "red_00.jpg") as whole:
        assert picture.size == (whole.width, whole.height - 8)


def test_originals_are_read_out_of_archives(search_page: Start, photographs: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in sorted(photographs.glob("*.jpg")):
            archive.add(path, path.name)
    page = search_page(folder="a.tar")
    place = page.place_of("red_00.jpg")
    assert page.get(f"original/{place}") == (photographs / "red_00.jpg").read_bytes()
