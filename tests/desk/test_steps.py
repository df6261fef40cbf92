"""Further steps: bars are read, commands are chained and stopped, a classifier's list holds what it should."""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from desk.album import Album
from desk.standing import NAMED, Standing
from desk.steps.chain import Link, Steps, read_bar
from desk.steps.measure import predict_named
from desk.steps.plans import choose_run, plan_better, plan_classifier, write_examples
from evaluation.sorting.cloud import survey
from runtime.errors import DataError


def test_the_bars_of_our_commands_are_read() -> None:
    text = io.StringIO()
    for _ in tqdm(range(4), file=text, desc="fit", mininterval=0, unit="img"):
        pass
    text.write("a line of something else\n")
    bar = tqdm(total=200, file=text, desc="epoch 2/4", mininterval=0, unit="img")
    bar.update(100)
    bar.refresh()
    found = read_bar(text.getvalue())
    assert found.what == "epoch 2/4" and found.share == pytest.approx(1.5 / 4) and found.left == "00:00"
    assert read_bar(text.getvalue()[: text.getvalue().index("a line")]).share == 1.0
    assert read_bar("no bar at all, 50% of nothing") is None and read_bar("") is None


def wait(steps: Steps, name: str) -> str:
    for _ in range(300):
        if steps.runs[name].state != "running":
            break
        time.sleep(0.05)
    return steps.runs[name].state


def test_tasks_follow_one_another_and_the_first_that_fails_is_told(tmp_path: Path) -> None:
    done: list[str] = []
    steps = Steps(tmp_path, lambda: None)
    steps.start("good", [Link("a", ("-c", "print('a')")), Link("b", ("-c", "print('b')"))], lambda: done.append("after"))
    with pytest.raises(DataError, match="good is at work"):
        steps.start("other", [], lambda: None)
    assert wait(steps, "good") == "done" and done == ["after"]
    assert (tmp_path / "good" / "log.txt").read_text() == "a\nb\n"
    bad = "import sys; print('error: no room', file=sys.stderr); sys.exit(2)"
    steps.start("bad", [Link("a", ("-c", bad)), Link("b", ("-c", "print('never')"))], lambda: done.append("never"))
    assert wait(steps, "bad") == "failed" and steps.runs["bad"].error == "error: no room" and done == ["after"]
    assert "never" not in (tmp_path / "bad" / "log.txt").read_text()


def test_a_step_is_stopped_as_by_a_person(tmp_path: Path) -> None:
    steps = Steps(tmp_path, lambda: None)
    steps.start("long", [Link("a", ("-c", "import time; time.sleep(60)")), Link("b", ("-c", "print('never')"))], lambda: None)
    for _ in range(100):
        if steps.runs["long"].process is not None:
            break
        time.sleep(0.02)
    steps.stop("long")
    process = steps.runs["long"].process
    assert process.wait(10) != 0 and wait(steps, "long") == "stopped"
    with pytest.raises(DataError, match="not at work"):
        steps.stop("long")


def test_only_files_of_a_step_are_shown(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "steps", lambda: None)
    (tmp_path / "steps" / "better").mkdir(parents=True)
    (tmp_path / "steps" / "better" / "a.png").touch()
    (tmp_path / "secret").touch()
    assert steps.find_file("better", "a.png") is not None
    for name, file in (("better", "../../secret"), ("..", "secret"), ("better", "none.png"), ("better/..", "better/a.png"), ("", "x")):
        assert steps.find_file(name, file) is None


def stand(album: Album, names: tuple[str, ...], labels: list[int], given: list[int], sure: float) -> Standing:
    count = len(album)
    states = np.zeros(count, dtype=np.uint8)
    states[given] = NAMED
    confidence = torch.where(torch.from_numpy(states == NAMED), 1.0, sure)
    zeros = torch.zeros(count)
    return Standing(1, names, torch.tensor(labels), confidence, zeros, zeros, states, (), 0.0, ())


def test_a_classifier_learns_from_sure_pictures_and_is_tested_on_named_ones(album: Album, tmp_path: Path) -> None:
    labels = [0] * 12 + [1] * 12 + [2] * 12
    given = [0, 1, 2, 12, 13, 24]
    write_examples(tmp_path / "list.csv", album, stand(album, ("b", "g", "r"), labels, given, 0.95), 0.9)
    with open(tmp_path / "list.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    tested = [(Path(row["path"]).name, row["label"]) for row in rows if row["split"] == "test"]
    assert tested == [("blue_01.jpg", "b"), ("green_01.jpg", "g")] and len(rows) == 36
    write_examples(tmp_path / "list.csv", album, stand(album, ("b", "g", "r"), labels, given, 0.5), 0.9)
    with open(tmp_path / "list.csv", newline="") as file:
        assert sorted(Path(row["path"]).name for row in csv.DictReader(file)) == sorted(
            ["blue_00.jpg", "blue_01.jpg", "blue_02.jpg", "green_00.jpg", "green_01.jpg", "red_00.jpg"])
    with pytest.raises(DataError, match="Name some more"):
        write_examples(tmp_path / "list.csv", album, stand(album, ("b", "g", "r"), labels, [0, 12, 24], 0.95), 0.9)


def test_the_commands_of_the_steps_are_ones_that_the_parsers_take(tmp_path: Path) -> None:
    from DDT.__main__ import parse as parse_ddt
    from engine.flags.finetune.arguments import parse as parse_finetune
    from engine.flags.pretrain.arguments import parse as parse_pretrain
    from tests.conftest import ROOT
    from tools.evaluate import parse as parse_evaluate

    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.jpg").touch()
    (tmp_path / "list.csv").write_text("path,label\n")
    run = choose_run(tmp_path)
    assert run == tmp_path / "run_1"
    ddt, learn = plan_better(tmp_path / "photographs", tmp_path, "cpu", run)
    tune, judge = plan_classifier(tmp_path / "list.csv", "cpu", run)
    assert parse_ddt(ddt.words[2:]).task == "sorted"
    crops = tmp_path / "crops" / "sorted_crop"
    crops.mkdir(parents=True)
    (crops / "boxes.csv").touch()
    assert learn.words[0] == "main_pretrain.py" and (ROOT / learn.words[0]).is_file()
    assert parse_pretrain(learn.words[1:]).results_dir == str(run)
    assert parse_finetune(tune.words[1:]).results_dir == str(run) and (ROOT / tune.words[0]).is_file()
    run.mkdir()
    (run / "model_last.pth").touch()
    assert choose_run(tmp_path) == tmp_path / "run_2"
    assert judge.words[:2] == ("-m", "tools.evaluate") and parse_evaluate is not None and sys.executable


def test_names_are_predicted_from_the_other_named_ones() -> None:
    points = torch.nn.functional.normalize(torch.eye(3, 8).repeat_interleave(8, dim=0) + 0.05 * torch.randn(24, 8), dim=1)
    cloud = survey(points)
    labels = torch.arange(3).repeat_interleave(8)
    named = torch.tensor([0, 1, 8, 9, 16, 17])
    assert predict_named(cloud, labels, named, named).tolist() == [1.0] * 6
    wrong = labels.clone()
    wrong[1] = 1  # called green by mistake: neither it nor what it misleads comes out right
    assert predict_named(cloud, wrong, named, named)[1] == 0


def test_a_bar_of_the_command_before_is_no_bar_of_this_one(tmp_path: Path) -> None:
    steps = Steps(tmp_path, lambda: None)
    first = "print('fit: 100%|####| 4/4 [00:01<00:00, 4.0img/s]')"
    steps.start("two", [Link("a", ("-c", first)), Link("b", ("-c", "import time; time.sleep(60)"))], lambda: None)
    for _ in range(200):
        if steps.runs["two"].at == 1 and steps.runs["two"].since:
            break
        time.sleep(0.02)
    told = steps.describe()["two"]
    assert (told["title"], told["bar"], told["left"]) == ("b", "", "") and told["share"] == pytest.approx(1 / 3, abs=0.01)
    steps.stop("two")
    assert wait(steps, "two") == "stopped"


def test_nothing_begins_while_a_stopped_command_still_saves(tmp_path: Path) -> None:
    steps = Steps(tmp_path, lambda: None)
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: None); print('up', flush=True); time.sleep(3)"
    steps.start("slow", [Link("a", ("-c", slow))], lambda: None)
    for _ in range(200):
        if (tmp_path / "slow" / "log.txt").exists() and "up" in (tmp_path / "slow" / "log.txt").read_text():
            break
        time.sleep(0.02)
    steps.stop("slow")
    with pytest.raises(DataError, match="still saving"):
        steps.start("slow", [], lambda: None)
    steps.runs["slow"].process.kill()
