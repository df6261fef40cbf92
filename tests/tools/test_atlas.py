"""The atlas of a finished run as a user makes it, and as a browser shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.images import scan
from engine.flags.evaluate.options import AtlasOptions
from evaluation.features.subject import open_start, open_subject
from evaluation.image_log import NAME, ImageLog
from models.backbones import build_backbone
from models.encoder import Encoder, save_encoder
from tests.desk.browser import list_hosts, list_messages, open_chromium
from tools.atlas import main

EPOCHS, PROTOTYPES = 6, 3
Call = Callable[..., subprocess.CompletedProcess[str]]
FLAGS = ("--device", "cpu", "-j", "0", "--cache", "none", "--threads", "1")


def log_epochs(folder: Path, labels: torch.Tensor) -> None:
    """Of each image the teacher takes its class's prototype, surer from epoch to epoch; image 5 is never followed."""
    log, index = ImageLog(folder), torch.arange(len(labels))
    for epoch in range(EPOCHS):
        entropy = torch.full((len(labels),), 0.6 - 0.1 * epoch)
        agreement = (index != 5).float()
        log.add(epoch, epoch, index, {
            "entropy": entropy, "agreement": agreement, "contrast": entropy**2, "distill": 1 - entropy**2,
            "student_entropy": entropy + 0.2, "teacher": labels, "student": torch.where(index == 5, 0, labels)})
    log.write()


@pytest.fixture
def trained(photo_tree: Path, tmp_path: Path) -> Path:
    """A run over the training photographs, with crops of which the first shows everything, and a wrong label."""
    train = photo_tree / "train"
    shutil.move(train / "001.Red_bird" / "001.Red_bird_03.jpg", train / "003.Blue_bird" / "a_red_one.jpg")
    folder, crops = tmp_path / "checkpoints" / "my_lead", tmp_path / "crops"
    folder.mkdir(parents=True)
    crops.mkdir()
    images = scan(photo_tree, "train", "ignored")
    rows = [f"{sample.key},{'0,0,64,48' if place == 0 else '16,12,48,36'}" for place, sample in enumerate(images.samples)]
    (crops / "boxes.csv").write_text("\n".join(["path,x1,y1,x2,y2", *rows]) + "\n")
    torch.manual_seed(0)
    save_encoder(Encoder(build_backbone("test_resnet")), folder / "model_last.pth", {"data_sha256": images.fingerprint(), "size": 32})
    (folder / "args.json").write_text(json.dumps({"root": str(photo_tree), "crop_root": str(crops), "size": 32, "task": "custom"}))
    log_epochs(folder, images.labels)
    return folder


def read_data(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    return json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])


def test_a_page_with_all_that_is_known(call_main: Call, trained: Path) -> None:
    done = call_main(main, "my_lead", "--before", "none", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert "24 training images, 6 epochs" in done.stdout and "1 where the teacher is sure and the student disagrees" in done.stdout
    assert "1 suspicious boxes" in done.stdout
    data = read_data(trained / "atlas" / "atlas.html")
    odd = next(place for place, file in enumerate(data["files"]) if "a_red_one" in file)
    assert data["disagrees"] == [int(place == 5) for place in range(24)]
    assert data["scores"]["fall"] == [pytest.approx(0.4, abs=0.002)] * 24
    assert data["boxes"][0][1] == "nearly everything" and data["boxes"][1] == [[0.25, 0.25, 0.75, 0.75], "", 0.0]
    assert max(range(24), key=data["doubts"]["doubt"].__getitem__) == odd
    assert data["classes"][data["doubts"]["suggested"][odd]] == "001.Red_bird"
    assert data["teacher"][5] == [0, 1.0] and data["prototypes"]["0"]["name"] == "prototype 1"
    assert data["before"] is not None and data["before"] != data["near"] and all(sheet.startswith("data:") for sheet in data["sheets"])


def test_rows_of_text_lend_their_names(call_main: Call, trained: Path, tmp_path: Path) -> None:
    rows, names = torch.eye(3).half(), ["Blue bird", "Red bird", "Green bird"]
    torch.save(rows, tmp_path / "birds.pt")
    from runtime.files import hash_file

    manifest = {"model": "m", "weights_sha256": "w", "template": "plain", "aggregate": "whole", "shape": [3, 3], "classes": names,
                "csv": "birds.csv", "csv_sha256": "c", "tensor_sha256": hash_file(tmp_path / "birds.pt")}
    (tmp_path / "birds.json").write_text(json.dumps(manifest))
    args = json.loads((trained / "args.json").read_text())
    (trained / "args.json").write_text(json.dumps(args | {"text_load": str(tmp_path / "birds.pt")}))
    done = call_main(main, "my_lead", "--judge-labels", "false", *FLAGS)
    assert done.returncode == 0, done.stderr
    data = read_data(trained / "atlas" / "atlas.html")
    assert [data["prototypes"][str(place)]["name"] for place in range(3)] == ["Red bird", "Green bird", "Blue bird"], done.stderr
    assert data["doubts"] is None


@pytest.mark.parametrize(("harm", "said"), [
    (lambda run, photos: (run / NAME).unlink(), "only runs of LEAD with a teacher"),
    (lambda run, photos: (photos / "train" / "001.Red_bird" / "001.Red_bird_01.jpg").unlink(), "are not those that"),
])
def test_what_cannot_be_shown_is_refused(call_main: Call, trained: Path, photo_tree: Path, harm: Callable[[Path, Path], None], said: str) -> None:
    harm(trained, photo_tree)
    done = call_main(main, "my_lead", *FLAGS)
    assert done.returncode == 2 and said in done.stderr
    assert not (trained / "atlas" / "atlas.html").exists()


def test_weights_without_a_run_have_no_atlas(call_main: Call, photo_tree: Path) -> None:
    done = call_main(main, "none", "-a", "test_resnet", "--root", photo_tree, *FLAGS)
    assert done.returncode == 2 and "is no run" in done.stderr


def test_a_folder_of_something_else_is_left_alone(call_main: Call, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    done = call_main(main, "my_lead", "--out", tmp_path / "mine", *FLAGS)
    assert done.returncode == 2 and "choose another --out" in done.stderr
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


def wait(browser: Any, script: str) -> None:
    """Until a script is true."""
    for _ in range(100):
        if browser.execute_script(f"return {script}"):
            return
        time.sleep(0.05)
    assert browser.execute_script(f"return {script}"), script


def choose(browser: Any, name: str, value: str) -> None:
    """Choose a value as a person does."""
    browser.execute_script(f"const one = document.getElementById('{name}'); one.value = '{value}'; one.dispatchEvent(new Event('input'))")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_the_page_in_a_browser(call_main: Call, trained: Path, monkeypatch: pytest.MonkeyPatch, width: int, dark: bool) -> None:
    monkeypatch.setattr("evaluation.atlas.page.WITHIN", 0 if dark else 3_000_000)  # sheets beside the page, or within
    assert call_main(main, "my_lead", "--before", "none", *FLAGS).returncode == 0
    page = trained / "atlas" / "atlas.html"
    assert (page.parent / "sprites").is_dir() == dark
    first = "document.querySelector('.cell').title"
    with open_chromium(width, dark=dark) as browser:
        browser.get(page.as_uri())
        wait(browser, "document.querySelectorAll('.cell').length > 0")
        assert browser.execute_script(f"return {first}") == read_data(page)["files"][5] + ", 001.Red_bird", "the teacher is sure, the student disagrees"
        for name, expected in (("sure", "1 of 24"), ("box", "1 of 24"), ("fall", "24 of 24"), ("all", "24 of 24")):
            choose(browser, "filter", name)
            wait(browser, f"document.getElementById('shown').textContent === '{expected}'")
        choose(browser, "sort", "label")
        wait(browser, f"{first}.includes('a_red_one')")
        assert browser.execute_script("return [...document.querySelectorAll('.picture')].every((one) => one.ariaLabel && one.offsetWidth > 0)")
        assert browser.execute_script("return [...document.querySelectorAll('.cell svg')].every((one) => one.getAttribute('aria-label'))")
        assert browser.execute_script("return getComputedStyle(document.querySelector('.picture')).backgroundImage") != "none"
        browser.execute_script("document.querySelector('.cell').click()")
        wait(browser, "document.getElementById('viewer').open")
        facts = browser.find_element("css selector", "#facts").text
        assert "possible label error: 001.Red_bird?" in facts and "entropy fell by 0.40" in facts
        assert len(browser.find_elements("css selector", "#after button")) == 8 == len(browser.find_elements("css selector", "#before button"))
        assert browser.find_element("css selector", "#prototypes").text.startswith("Nearest prototypes, by the teacher\nprototype 3: in 100 %")
        name = browser.find_element("css selector", "#name").text
        browser.find_element("css selector", "#later").click()
        wait(browser, f"document.getElementById('name').textContent !== {json.dumps(name)}")
        browser.find_element("css selector", "#close").click()
        browser.find_element("css selector", "#find").send_keys("green")
        wait(browser, "document.getElementById('shown').textContent === '8 of 24'")
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the window"
        ink, paper = browser.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
        assert (sum(map(int, paper[4:-1].split(","))) < sum(map(int, ink[4:-1].split(",")))) == dark
        assert list_messages(browser) == [] and list_hosts(browser) <= {""}


def test_it_scores_itself_where_asked(call_main: Call, trained: Path) -> None:
    done = call_main(main, "my_lead", "--score", *FLAGS)
    assert done.returncode == 0 and "of the labels made wrong" in done.stdout, done.stderr
    (row,) = [json.loads(line) for line in (trained / "atlas" / "results.jsonl").read_text().splitlines()]
    assert row["kind"] == "audit" and {"precision20", "ap"} <= row["metrics"].keys()


def test_the_start_is_seen_by_the_protocol_of_its_run(trained: Path, photo_tree: Path) -> None:
    options = AtlasOptions(pretrained=str(trained), root=str(photo_tree), device="cpu", cache="none", crop_bottom=12, seed=7)
    subject = open_subject(options, torch.device("cpu"), 8)
    start = open_start(replace(subject, settings={"max_pool": False}), "none")
    assert (start.view, start.crop_bottom, start.seed, start.feature) == (subject.view, 12, 7, "backbone")
    assert start.sha256 != subject.sha256 and start.encoder.backbone.arch == "test_resnet" and start.folder is None
