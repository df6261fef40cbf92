"""The ablation as a command: every line without training, and students of one epoch for some."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from tools import text_ablation

CSV = "class name,description\nBlue bird,Blue all over with a short tail\nRed bird,Red crown\nGreen bird,Green back and long bill\n"
TINY = ("-a test_resnet --pretrained none --size 32 --batch-size 8 --lr 0.01 --monitor-every 0").split()
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(photo_tree: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command on a small set, returning ablation.csv's rows by variant."""
    monkeypatch.chdir(tmp_path)
    Path("bird.csv").write_text(CSV)
    Path("bird_random.csv").write_text("class name,description\nCod,Fins\nPike,Long snout\nCarp,Big scales\nEel,Snake shape\n")

    def command(*words: str) -> dict[str, dict[str, str]]:
        text_ablation.main(["bird.csv", "--root", str(photo_tree), "--crop-root", "none", "--weights", str(tiny_clip), "--arch", "tiny-text",
                            "--device", "cpu", "--precision", "fp32", "-j", "0", "--cache", "none", "--threads", "1", "--out", "out", *words])
        return {row["variant"]: row for row in csv.DictReader(Path("out/ablation.csv").open())}

    return command


def test_without_training_every_text_has_its_line(run) -> None:
    lines = run()
    assert list(lines) == ["names", "template", "descriptions", "named", "shuffled", "named-shuffled", "words", "named-words", "labels", "vocabulary-free"]
    assert lines["labels"]["rows"] == "4.0" and lines["labels"]["teacher_zeroshot"] == "" == lines["vocabulary-free"]["teacher_zeroshot"]
    assert float(lines["vocabulary-free"]["entropy"]) == pytest.approx(0.5, abs=1e-2) and "map" not in lines["names"]
    assert float(lines["shuffled"]["entropy"]) == pytest.approx(float(lines["descriptions"]["entropy"]), abs=1e-5)
    rows = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    assert len(rows) == 10 and {row["kind"] for row in rows} == {"text"} and rows[0]["metrics"]["rows"] == 3
    page = Path("out/ablation.html").read_text()
    assert "WaffleCLIP" in page and "no student was trained" in page


def test_matched_entropy_gives_each_line_its_own_temperature(run) -> None:
    lines = run("--match-entropy", "0.4", "--variants", "names,words")
    assert list(lines) == ["names", "words"] and lines["names"]["tau"] != lines["words"]["tau"]
    assert [float(line["entropy"]) for line in lines.values()] == pytest.approx([0.4, 0.4], abs=5e-3)


def test_students_are_trained_by_the_usual_code_and_measured(run) -> None:
    lines = run("--variants", "descriptions,shuffled,vocabulary-free", "--train", "1", *TINY)
    assert 0 < float(lines["descriptions"]["map"]) <= 1 and 0 <= float(lines["descriptions"]["zeroshot"]) <= 1
    assert lines["shuffled"]["map"] == "" and "same student as descriptions" in lines["shuffled"]["note"]
    assert float(lines["vocabulary-free"]["rank1"]) >= 0 and lines["vocabulary-free"]["zeroshot"] == ""
    assert Path("out/runs/descriptions/model_last.pth").is_file() and Path("out/runs/descriptions/retrieval/neighbours.png").is_file()
    trained = json.loads(Path("out/runs/vocabulary-free/args.json").read_text())
    assert trained["teacher"] == "clip" and trained["temperature"] == pytest.approx(float(lines["vocabulary-free"]["tau"]))
    kinds = [json.loads(line)["kind"] for line in Path("out/results.jsonl").read_text().splitlines()]
    assert sorted(kinds) == ["retrieval"] * 2 + ["text"] * 3 + ["zero-shot"]
    with pytest.raises(ConfigError, match="holds students already"):
        run("--train", "1", *TINY)


def test_mistakes_are_told_before_any_work(run) -> None:
    with pytest.raises(ConfigError, match="(?s)2 problems.*--tau is 0.0.*--lr 0.1.* without --train"):
        run("--lr", "0.1", "--tau", "0")
    with pytest.raises(ConfigError, match="--variants nothing is unknown; known are names"):
        run("--variants", "names,nothing")
