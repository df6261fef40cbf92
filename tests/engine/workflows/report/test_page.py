"""report.html: written at the start, after each epoch, at the end; whole, of one file, and never dearer than the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.flags.finetune.arguments import parse as parse_finetune
from engine.flags.metric.arguments import parse as parse_metric
from engine.flags.pretrain.arguments import parse
from engine.workflows.build import build
from engine.workflows.finetune.system import FINETUNE
from engine.workflows.metric.system import METRIC
from engine.workflows.pretrain.system import PRETRAIN
from engine.workflows.report import page as module
from engine.workflows.report.page import PAGE, refresh_pages
from evaluation.ledger import append_result
from evaluation.reports.run.facts import load_facts
from tests.desk.browser import find_chromium, list_hosts, list_messages, open_chromium
from tests.engine.workflows.report.reading import Page

CPU = torch.device("cpu")
TINY = ["--device", "cpu", "--pretrained", "none", "--size", "32", "--batch-size", "8", "--lr", "0.01", "--precision", "fp32",
        "--num-workers", "0", "--threads", "1"]
LEAD = [*TINY, "-a", "test_resnet", "--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "32", "--prototypes",
        "4", "--teacher-precision", "fp32", "--cache", "none", "--monitor-every", "1"]
FINE = [*TINY, "--model", "test_resnet", "--drop-path", "0", "--eval-freq", "1"]
pytestmark = pytest.mark.filterwarnings("ignore:teacher")
Train = Callable[..., Path]


@pytest.fixture
def train(photo_tree: Path, tmp_path: Path) -> Train:
    """train(words...): a run of LEAD with boxes beside it; its folder."""
    crops = tmp_path / "crops"
    crops.mkdir()
    keys = sorted(path.relative_to(photo_tree).as_posix() for path in photo_tree.rglob("*.jpg"))
    (crops / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},10,8,50,40\n" for key in keys))
    Image.new("RGB", (300, 200), "navy").save(crops / "boxes.png")

    def run(*words: str) -> Path:
        folder = tmp_path / "run"
        told = ["--root", str(photo_tree), "--crop-root", str(crops), *LEAD, "--results-dir", str(folder), *words]
        build(PRETRAIN, parse(told), CPU).train()
        return folder

    return run


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Page]]:
    """Every page that is written, by its state."""
    seen: list[tuple[str, Page]] = []
    write = module.write_page

    def note(folder: Path, facts: module.RunFacts) -> None:
        write(folder, facts)
        seen.append((facts.state.partition(" (")[0], Page((folder / PAGE).read_text(encoding="utf-8"))))

    monkeypatch.setattr(module, "write_page", note)
    return seen


def show(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def told(page: Page, text: str) -> bool:
    return any(text in word for word in page.words)


def read(folder: Path) -> Page:
    return Page((folder / PAGE).read_text(encoding="utf-8"))


def test_it_is_there_at_the_start_after_each_epoch_and_at_the_end(train: Train, states: list[tuple[str, Page]]) -> None:
    folder = train("--epochs", "3")
    assert [state for state, _ in states] == ["training has begun", "1 epoch of 3 trained", "2 epochs of 3 trained",
                                              "3 epochs of 3 trained", "finished"]
    begun, first, _, third, _ = (page for _, page in states)
    assert begun.charts[0][0].startswith("learning rate") and "left at this speed" not in begun.words
    assert "left at this speed" in first.words and "left at this speed" not in third.words
    assert "over steps" in first.panel("loss1") and "over epochs" in third.panel("loss1")
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    for term in ("total", "loss1", "loss2", "loss3", "cam", "distill"):
        assert f"{term}: {show(epochs[-1][term])}" in third.panel(term)
    assert {"1", "2", "3"} <= set(third.panel("loss1"))
    gate = epochs[-1]["gate"]
    assert {f"distillation, 1 - h²: {show(gate)}", f"contrast, h²: {show(1 - gate)}"} <= set(third.panel("weights"))


def test_every_number_of_the_log_has_a_place_and_the_page_needs_nothing_else(train: Train) -> None:
    folder = train("--epochs", "2")
    page = read(folder)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    numbers = {name for row in rows if row["kind"] == "epoch" for name, value in row.items() if isinstance(value, float)}
    drawn = {word.partition(":")[0] for words in page.charts for word in words}
    assert numbers - drawn - {"gate"} == set()
    assert page.links and all(link.startswith("data:") for link in page.links)
    assert all(alt.strip() for alt, _ in page.pictures) and all(page.labels) and len(page.labels) == len(page.charts)
    assert any(alt.startswith("Boxes") for alt, _ in page.pictures) and told(page, "(crops/boxes.png)")
    for word in ("24 images, 3 classes", "36 images in 3 classes", "--prototypes", "main memory at its peak", "test_resnet",
                 "main_pretrain.py", "--resume", "main_retrieval.py --pretrained"):
        assert told(page, word), word
    assert page.open == []


def test_one_epoch_is_drawn_over_its_steps(train: Train) -> None:
    page = read(train("--epochs", "1"))
    words = page.panel("loss2")
    assert "over steps" in words and {"1", "2", "3"} <= set(words)
    assert "over epochs" in page.panel("kNN on the training split")


def test_a_page_that_cannot_be_written_is_one_note_and_costs_nothing(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def fail(*_: object, **__: object) -> str:
        calls.append(1)
        if len(calls) < 4:
            raise ModuleNotFoundError("No module named 'jinja2'")
        return "recovered"

    monkeypatch.setattr(module, "render", fail)
    folder = train("--epochs", "2")
    assert (folder / "model_last.pth").is_file() and len(calls) == 4 and (folder / PAGE).read_text() == "recovered"
    assert capsys.readouterr().err.count("report.html could not be written (ModuleNotFoundError") == 1


def test_what_stops_a_run_stands_on_its_page(
    train: Train, states: list[tuple[str, Page]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.trainer import Trainer

    finish = Trainer.finish_epoch

    def interrupt(self: Trainer, epoch: int) -> None:
        finish(self, epoch)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "finish_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train("--epochs", "3")
    monkeypatch.setattr(Trainer, "finish_epoch", finish)
    assert states[-1][0] == "stopped by KeyboardInterrupt" and "over epochs" in states[-1][1].panel("loss1")
    folder = train("--epochs", "3", "--resume")
    assert [state for state, _ in states][-3:] == ["training has begun", "3 epochs of 3 trained", "finished"]
    assert {"1", "2", "3"} <= set(read(folder).panel("loss1")) and any("at step 6" in word for word in read(folder).words)


def test_later_results_and_maps_come_onto_the_page(train: Train, tmp_path: Path) -> None:
    folder = train("--epochs", "1")
    before = load_facts(folder)
    (folder / "heatmap").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "heatmap" / "heatmap.png")
    (folder / "confusion.png").write_bytes(b"no picture")
    append_result(folder / "results.jsonl", {"kind": "retrieval", "broken": True})
    (folder / "neighbours.json").write_text("{}")
    refresh_pages([folder, tmp_path])
    page = read(folder)
    assert load_facts(folder) == before and told(page, "(heatmap/heatmap.png)") and not told(page, "confusion.png")
    assert any(alt.startswith("from dark blue") for alt, _ in page.pictures)
    assert any("results.jsonl, line 1" in word and "'task'" in word for word in page.words)
    assert told(page, "neighbours.json is not what it should be")
    assert not (tmp_path / PAGE).exists()


def test_panels_of_the_evaluation_view_and_of_other_classes(photo_tree: Path, tmp_path: Path) -> None:
    fine = tmp_path / "fine"
    build(FINETUNE, parse_finetune([*FINE, "--root", str(photo_tree), "--epochs", "2", "--val-share", "0.25", "--results-dir", str(fine)]),
          CPU).train()
    page = read(fine)
    for words in page.charts:
        assert "test" not in words[0] or not any("train" in word for word in words), words[0]
    assert "train_loss" in " ".join(page.panel("loss in the evaluation view"))
    assert {"Classifier", "What is taken for what", "How sure, and how right"} <= set(page.words)
    assert any("12 images, 3 classes (test of" in word for word in page.words)
    assert any("6 images, 3 classes (val of" in word for word in page.words)
    learned = tmp_path / "learned"
    build(METRIC, parse_metric([*TINY, "-a", "test_resnet", "--loss", "margin", "--OBD-SD", "--embed-dim", "8", "--root", str(photo_tree),
                                "--epochs", "2", "--results-dir", str(learned)]), CPU).train()
    page = read(learned)
    assert page.panel("rank") and page.panel("psd") and page.panel("psd_weight")
    assert "Retrieval among classes that were not trained on" in page.words


@pytest.mark.browser
def test_it_fits_every_screen_and_asks_nobody(train: Train) -> None:
    find_chromium()
    page = (train("--epochs", "2", "--test") / PAGE).as_uri()
    for width, dark in [(1280, False), (1280, True), (400, False), (400, True)]:
        with open_chromium(width, dark=dark) as browser:
            browser.get(page)
            ask = browser.execute_script
            wide, room = ask("let page = document.documentElement; return [page.scrollWidth, page.clientWidth]")
            assert wide <= room
            assert list_hosts(browser) <= {""} and list_messages(browser) == []
            assert ask("return [...document.images].every(one => one.complete && one.naturalWidth > 0)")
            colours = ask("let style = getComputedStyle(document.body); return [style.color, style.backgroundColor]")
            ink, paper = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
            assert (ink > paper) == dark
