"""main_pretrain.py as a user runs it: methods, kills, bad input."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.image_log import NAME, read_image_log
from tests.engine.workflows.report.reading import Page

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--device", "cpu", "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--batch-size", "8", "--lr", "0.01", "--monitor-every", "2",
        "--teacher", "test_resnet", "--teacher-weights", "none", "--teacher-size", "32", "--prototypes", "4",
        "--precision", "fp32", "--teacher-precision", "fp32", "--threads", "1", "--num-workers", "0", "--epochs", "3", "--cache", "none"]
BYOL = ["--method", "lcr-byol", "--size", "64", "--projector-hidden", "32"]
pytestmark = pytest.mark.filterwarnings("ignore:teacher")


def run_here(words: list[str]) -> None:
    """The command in this process: what a child of the fork server runs."""
    os.chdir(ROOT)
    multiprocessing.set_start_method("fork", force=True)  # loader workers start as they do under a plain python
    sys.argv = ["main_pretrain.py", *words]
    import main_pretrain

    main_pretrain.main()


@pytest.fixture(scope="module")
def server() -> Iterator[multiprocessing.context.BaseContext]:
    """Starts processes that have torch imported already and no threads running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["main_pretrain"])
        yield context


@pytest.fixture
def words(photo_tree: Path) -> list[str]:
    """Flags for the tiny data set, with boxes beside it."""
    crops = photo_tree.parent / "crops"
    crops.mkdir()
    keys = sorted(p.relative_to(photo_tree).as_posix() for p in photo_tree.rglob("*.jpg"))
    (crops / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},10,8,50,40\n" for key in keys))
    return ["--root", str(photo_tree), "--crop-root", str(crops), *TINY]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model_last.pth")["state_dict"]


def assert_same(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def run(server, words: list[str], expect: int | None = 0) -> int | None:
    process = server.Process(target=run_here, args=(words,))
    process.start()
    process.join(120)
    assert expect is None or process.exitcode == expect
    return process.exitcode


def run_and_kill(server, words: list[str], folder: Path, at_step: int) -> None:
    """SIGKILL as soon as the log shows `at_step` steps."""
    process = server.Process(target=run_here, args=(words,))
    process.start()
    log, limit = folder / "log.jsonl", time.time() + 120
    while not (log.exists() and log.read_text().count('"kind": "step"') >= at_step) and process.is_alive():
        assert time.time() < limit
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


SMOOTHED = ["--teacher-view", "clean", "--neighbours", "2", "--head-init", "least-squares", "--view-recipe", "mild"]


@pytest.mark.parametrize("method", [[*SMOOTHED, "--cosine-weight", "0.5"], ["--method", "moco"],
                                    ["--recipe", "seed", "--moco-k", "64"], [*BYOL, "--recipe", "seed", "--max-pool", "true"]])
def test_trains_and_leaves_its_files(server, words: list[str], tmp_path: Path, method: list[str]) -> None:
    out = tmp_path / "run"
    run(server, [*words, *method, "--results-dir", str(out)])
    assert {"args.json", "checkpoint.pt", "curves.png", "log.jsonl", "model_last.pth"} <= {p.name for p in out.iterdir()}
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["kind"] == "step"]
    assert [row["step"] for row in steps] == list(range(1, 10))
    assert any("knn_backbone" in row for row in rows)
    if "lcr-byol" in method:
        assert {"loss1", "loss2", "cam", "total", "cam_entropy", "cam_entropy_seed"} <= steps[0].keys()
    elif "moco" not in method:
        assert {"loss1", "loss2", "loss3", "cam", "distill", "total", "entropy", "gate", "self_mass"} <= steps[0].keys()
    centre = torch.load(out / "model_last.pth")["centre"]
    assert centre["backbone"].shape == (96,)


@pytest.mark.parametrize("recipe", [["--teacher-view", "augmented"], ["--recipe", "seed", "--moco-k", "64"],
                                    BYOL])
def test_killed_runs_continue_bit_for_bit(server, words: list[str], tmp_path: Path, recipe: list[str]) -> None:
    words = [*words, *recipe]
    whole = tmp_path / "whole"
    run(server, [*words, "--results-dir", str(whole)])
    for number, (at_step, save_every, workers) in enumerate([(2, 1, 0), (4, 0, 2), (8, 2, 1)]):
        out = tmp_path / f"killed{number}"
        flags = [*words, "--results-dir", str(out), "--save-every", str(save_every), "--num-workers", str(workers)]
        run_and_kill(server, flags, out, at_step)
        page = Page((out / "report.html").read_text(encoding="utf-8"))
        assert page.open == [] and "How to resume" in page.words
        run(server, [*flags, *(["--resume"] if any(out.glob("checkpoint*.pt")) else [])])
        assert_same(whole, out)
        logs = [folder / NAME for folder in (whole, out)]
        assert [log.is_file() for log in logs] == [recipe is not BYOL] * 2, "methods without a teacher know nothing of an image"
        assert recipe is BYOL or logs[0].read_bytes() == logs[1].read_bytes()
        steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines() if '"kind": "step"' in line]
        assert steps == list(range(1, 10))


def test_truncated_checkpoint_falls_back_and_ends_the_same(server, words: list[str], tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "cut"
    run(server, [*words, "--results-dir", str(whole)])
    shutil.copytree(whole, out)
    path = out / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    run(server, [*words, "--results-dir", str(out), "--resume"])
    assert_same(whole, out)


def command(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "main_pretrain.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=200)


def test_all_bad_input_in_one_message(words: list[str], photo_tree: Path, tmp_path: Path) -> None:
    broken = sorted(photo_tree.glob("train/*/*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    done = command([*words, "--pretrained", "nowhere.pth", "--crop-root", str(tmp_path / "none"), "--results-dir", str(tmp_path / "r")])
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for word in (broken.name, "--skip-bad", "nowhere.pth", "run_ddt.sh", "3 problems"):
        assert word in done.stderr
    assert not (tmp_path / "r").exists()


def test_skip_bad_goes_on_without_the_image(server, words: list[str], photo_tree: Path, tmp_path: Path) -> None:
    broken = sorted(photo_tree.glob("train/*/*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    run(server, [*words, "--method", "moco", "--epochs", "1", "--skip-bad", "--results-dir", str(tmp_path / "r")])
    assert (tmp_path / "r" / "model_last.pth").exists()
    told = Page((tmp_path / "r" / "report.html").read_text(encoding="utf-8")).words
    assert any("1 of 24 train images do not decode and are left out" in word and broken.name in word for word in told)


def refuse(words: list[str], *expected: str) -> None:
    """In this process: what a command would print and exit 2 with."""
    from engine.flags.pretrain.arguments import parse
    from engine.workflows.build import build
    from engine.workflows.pretrain.system import PRETRAIN
    from runtime.errors import ConfigError

    with pytest.raises(ConfigError) as error:
        build(PRETRAIN, parse(words), torch.device("cpu"))
    for word in expected:
        assert word in str(error.value)


def test_refusals(words: list[str], photo_tree: Path, tmp_path: Path) -> None:
    out = ["--results-dir", str(tmp_path / "r")]
    refuse([*words, *out, "--batch-size", "64"], "24 training images", "64", "--batch-size")
    refuse([*words, *out, "--accum-steps", "3"], "multiple of 3")
    refuse(["--root", str(tmp_path / "void"), *words[2:], *out], "void")
    refuse([*words, *out, "--resume"], "no checkpoint")
    refuse([*words, *out, "--text-load", "gone.pt", "--teacher", "clip", "--teacher-weights", "none", "--prototypes", "text"],
           "gone.pt")
    refuse([*words, *out, "--prototypes", "many", "--moco-k", "0", "--target-entropy", "3"], "many", "--moco-k", "--target-entropy")
    refuse([*words, *out, "--moco-dim", "512"], "--moco-dim", "23 directions")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    refuse(["--root", str(tmp_path / "empty"), *words[2:], *out], "empty")
    boxes = Path(words[3]) / "boxes.csv"
    boxes.write_text("\n".join(line for line in boxes.read_text().splitlines() if "Blue_bird_00" not in line))
    refuse([*words, *out], "no crop", "003.Blue_bird_00.jpg", "run_ddt.sh")


def test_a_continued_run_keeps_its_flags(server, words: list[str], tmp_path: Path) -> None:
    out = ["--results-dir", str(tmp_path / "r")]
    run(server, [*words, *out, "--epochs", "1"])
    refuse([*words, *out], "holds a run already", "--resume")
    refuse([*words, *out, "--epochs", "1", "--resume", "-a", "test_efficientnet", "--lr", "0.5"], "--arch was test_resnet", "--lr was 0.01")
    foreign = tmp_path / "foreign.pt"
    torch.save({"state_dict": {}}, foreign)
    refuse([*words, "--results-dir", str(tmp_path / "s"), "--resume", str(foreign)], "--pretrained")


def test_photo_of_another_kind_is_read(server, words: list[str], photo_tree: Path, tmp_path: Path) -> None:
    for number, mode in enumerate(("L", "CMYK", "P")):
        path = sorted(photo_tree.glob("train/*/*.jpg"))[number]
        picture = Image.open(path).convert(mode)
        picture.save(path, format="PNG" if mode == "P" else "JPEG")
    run(server, [*words, "--epochs", "1", "--test", "--results-dir", str(tmp_path / "r")])
    row = json.loads((tmp_path / "r" / "results.jsonl").read_text())
    assert (row["split"], row["size"], row["method"]) == ("test", 32, "lead")


def test_flat_folder_without_any_labels(server, photo_tree: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photo_tree.glob("train/*/*.jpg"):
        shutil.copy(path, flat / path.name)
    run(server, ["--root", str(flat), "--crop-root", "none", *TINY, "--epochs", "1", "--results-dir", str(tmp_path / "r")])
    row = json.loads((tmp_path / "r" / "log.jsonl").read_text().splitlines()[-1])
    assert row["kind"] == "epoch" and "knn_backbone" not in row and "spread_backbone" in row


def test_two_ranks_learn_what_one_does(words: list[str], tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "main_pretrain.py"]
    same = [*words, "--teacher-view", "clean", "--frozen-bn", "--epochs", "1", "--monitor-every", "1"]
    done = subprocess.run([*launch, *same, "--results-dir", str(tmp_path / "two")], cwd=ROOT, capture_output=True, text=True,
                          timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    done = command([*same, "--results-dir", str(tmp_path / "one")])
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        if not name.startswith("attention"):  # its batch norm sees the local batch only
            torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)
    alone, shared = (read_image_log(tmp_path / name / NAME, 24).columns for name in ("one", "two"))
    assert not np.isnan(shared["entropy"]).any(), "every image of both ranks is in the log of the first"
    for name in ("entropy", "contrast", "distill", "teacher"):
        np.testing.assert_allclose(alone[name], shared[name], atol=2e-3)


def test_what_works_on_remembered_answers_needs_them(words: list[str], tmp_path: Path) -> None:
    done = command([*words, *SMOOTHED, "--teacher-view", "augmented", "--results-dir", str(tmp_path / "r")])
    assert done.returncode == 2 and "--neighbours 2 needs --teacher-view clean" in done.stderr
    assert "--head-init least-squares needs --teacher-view clean" in done.stderr


def test_more_neighbours_than_images_is_one_message(words: list[str], tmp_path: Path) -> None:
    done = command([*words, *SMOOTHED, "--neighbours", "999", "--results-dir", str(tmp_path / "r")])
    assert done.returncode == 2 and "--neighbours: 999 neighbours asked" in done.stderr
