"""From CLIP weights of either style through encoding and pre-training to a search by words, by name and by picture."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from desk.search.searcher import Sought, open_searcher
from evaluation.reports.table import markdown, read_ledgers
from models.encoder import load_encoder
from models.teachers.build import build_teacher
from runtime.errors import ConfigError
from tools import encode_text, search

CSV = "class name,description\nBlue bird,Blue\nRed bird,Red all over\nGreen bird,Green back\n"
TINY = ("--crop-root none -a test_resnet --pretrained none --size 32 --batch-size 8 --epochs 1 --device cpu --num-workers 0 --lr 0.01 "
        "--precision fp32 --threads 1 --monitor-every 0 --teacher clip --teacher-arch tiny-text")
QUIET = ["--device", "cpu", "-j", "0", "--cache", "none"]
pytestmark = pytest.mark.filterwarnings("ignore")


def load_tiny(weights: Path) -> torch.nn.Module:
    import open_clip

    model = open_clip.create_model("tiny-text", load_weights=False)
    model.load_state_dict(torch.load(weights))
    return model


def pretrain(photos: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    import main_pretrain

    monkeypatch.setattr(sys, "argv", ["main_pretrain.py", *TINY.split(), "--root", str(photos), "--teacher-weights", str(weights), *words])
    main_pretrain.main()


@pytest.fixture(scope="module")
def student(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run `checkpoints/birds` and its photographs `photos`, in a folder of their own."""
    import numpy as np

    home = tmp_path_factory.mktemp("student")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label, name in enumerate(("001.Red_bird", "002.Green_bird", "003.Blue_bird")):
            (home / "photos" / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 90, (40, 40, 3), dtype=np.uint8)
                pixels[..., label] += 150
                Image.fromarray(pixels).save(home / "photos" / split / name / f"{number}.png")
    (home / "bird.csv").write_text(CSV)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        encode_text.main(["bird.csv", "--weights", str(tiny_clip), "--arch", "tiny-text", "--out", "bird.pt"])
        pretrain(home / "photos", tiny_clip, patch, "--text-load", "bird.pt", "--results-dir", "checkpoints/birds")
    return home


@pytest.fixture
def home(student: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(student)
    return student


def read_rows(folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(folder, "search.csv").open()))


def test_words_rank_the_images_by_the_students_head(home: Path, tiny_clip: Path) -> None:
    search.main(["photos", "--pretrained", "birds", "--text", "red crown, white wing bars", "--text", "a blue bird", *QUIET])
    rows = read_rows("checkpoints/birds/search")
    assert [(row["query"], row["rank"]) for row in rows[:2]] == [("red crown, white wing bars", "1"), ("red crown, white wing bars", "2")]
    assert len(rows) == 24 and rows[0]["class"] in ("001.Red_bird", "002.Green_bird", "003.Blue_bird")
    scores = [float(row["score"]) for row in rows[:12]]
    assert scores == sorted(scores, reverse=True)
    text = build_teacher("clip:tiny-text", weights=tiny_clip, precision="fp32").encode_text(["red crown, white wing bars"])
    from datasets.files import decode
    from datasets.views.recipes import View, make_transform

    pixels = make_transform(View("full", "eval", 32))(decode(Path("photos") / rows[0]["path"]))
    head = load_encoder("checkpoints/birds/model_last.pth").outputs(pixels[None])["head"]
    assert float(head @ text.T) == pytest.approx(scores[0], abs=1e-4)
    with Image.open("checkpoints/birds/search/query_02.png") as sheet:
        assert sheet.width > 600 and sheet.height > 300


def test_rows_of_a_tensor_are_looked_up_without_clip(home: Path) -> None:
    search.main(["photos", "--pretrained", "birds", "--text", "red_bird", "--text-tensor", "bird.pt", "--results-dir", "by_name", *QUIET])
    assert len(read_rows("by_name")) == 12
    with pytest.raises(ConfigError, match="has no row named ostrich"):
        search.main(["photos", "--pretrained", "birds", "--text", "ostrich", "--text-tensor", "bird.pt", "--results-dir", "by_name", *QUIET])


def test_the_page_answers_words_as_the_command_does(home: Path, tiny_clip: Path) -> None:
    for words, source in (("a blue bird", []), ("red_bird", ["--text-tensor", "bird.pt"])):
        search.main(["photos", "--pretrained", "birds", "--text", words, *source, "--results-dir", "told", *QUIET])
        rows = read_rows("told")
        searcher = open_searcher(search.parse(["photos", "--pretrained", "birds", "--serve", *source, *QUIET]))
        found = searcher.answer(Sought(words=words))
        assert found.title == words and [searcher.images.samples[place].key for place in found.places] == [row["path"] for row in rows]
        assert found.scores == pytest.approx([float(row["score"]) for row in rows], abs=1e-4)
        assert searcher.class_of(found.places[0]) == rows[0]["class"]
    with pytest.raises(ConfigError, match="has no row named ostrich"):
        searcher.answer(Sought(words="ostrich"))
    assert len(searcher.answer(Sought(like=0)).places) == 11  # by the backbone, beside the head's words


def test_a_picture_finds_its_like_but_not_itself(home: Path) -> None:
    own = Path("photos/test/001.Red_bird/0.png")
    copy = shutil.copy(own, "copy.png")
    search.main(["photos", "--pretrained", "birds", "--image", str(own), "--image", str(copy), "--feature", "gap",
                 "--results-dir", "like", *QUIET])  # a head that one epoch has taught says the same of all
    rows = read_rows("like")
    first = [row for row in rows if row["query"] == "like 0.png"]
    assert len(first) == 11 and own.name and all(row["path"] != "test/001.Red_bird/0.png" for row in first)
    second = [row for row in rows if row["query"] == "like copy.png"]
    assert second[0]["path"] == "test/001.Red_bird/0.png" and float(second[0]["score"]) == pytest.approx(1, abs=1e-4)


def test_zero_shot_accuracy_is_a_row_that_tables_show(home: Path) -> None:
    for text in ("bird.csv", "bird.pt"):
        search.main(["photos", "--pretrained", "birds", "--zero-shot", text, "--results-dir", "zero", *QUIET])
    rows = [json.loads(line) for line in Path("zero/results.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["zero-shot"] * 2 and rows[0]["feature"] == "head" and rows[0]["split"] == "test"
    assert rows[0]["metrics"] == pytest.approx(rows[1]["metrics"]) and rows[0]["metrics"]["zeroshot5"] == 1
    table = markdown(read_ledgers(["zero/results.jsonl"]))
    assert "zero-shot" in table.splitlines()[2] and f"**{100 * rows[0]['metrics']['zeroshot']:.1f}**" in table
    assert Path("checkpoints/birds/results.jsonl").is_file()


def test_students_without_words_and_other_clips_are_refused(home: Path, tiny_clip: Path) -> None:
    for text in (["--text", "x"], ["--zero-shot", "bird.csv"]):
        with pytest.raises(ConfigError, match="has no head"):
            search.main(["photos", "--pretrained", "none", "-a", "test_resnet", *text, *QUIET])
    with pytest.raises(ConfigError, match="nothing to look for"):
        search.main(["photos", "--pretrained", "birds"])
    trained = json.loads(Path("checkpoints/birds/args.json").read_text())
    shutil.copytree("checkpoints/birds", "checkpoints/blind", dirs_exist_ok=True)
    Path("checkpoints/blind/args.json").write_text(json.dumps({**trained, "teacher": "resnet50"}))
    with pytest.raises(ConfigError, match="was trained without text"):
        search.main(["photos", "--pretrained", "blind", "--text", "x", *QUIET])


def test_openais_archive_goes_the_same_way(photo_tree: Path, tiny_clip: Path, tmp_path: Path, monkeypatch, save_openai_archive: Callable) -> None:
    monkeypatch.chdir(tmp_path)
    save_openai_archive(load_tiny(tiny_clip), tmp_path / "ViT-tiny.pt")
    Path("bird.csv").write_text(CSV)
    encode_text.main(["bird.csv", "--weights", "ViT-tiny.pt", "--arch", "tiny-text", "--out", "bird.pt"])
    manifest = json.loads(Path("bird.json").read_text())
    assert manifest["weights_sha256"].endswith("-quickgelu") and manifest["shape"] == [3, 16]
    pretrain(photo_tree, Path("ViT-tiny.pt"), monkeypatch, "--text-load", "bird.pt", "--results-dir", "checkpoints/birds", "--prototypes", "both")
    state = torch.load("checkpoints/birds/checkpoint.pt")["method"]
    assert {"guide.prototypes.text.rows", "guide.prototypes.image.rows"} <= set(state)
    search.main([str(photo_tree), "--pretrained", "birds", "--text", "red", *QUIET])
    assert len(read_rows("checkpoints/birds/search")) == 12
