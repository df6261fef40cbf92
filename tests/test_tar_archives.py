"""What is done with archives is what is done with the folders that they were packed from, number for number."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import main_finetune
import main_linear
import main_metric
import main_retrieval
from datasets.files import decode
from datasets.images import scan
from DDT import __main__ as ddt
from desk.album import Album, Thumbnails, read_facts, refuse_outsiders
from desk.steps.plans import write_examples
from evaluation.features import contents
from evaluation.features.store import read_embeddings
from evaluation.image_log import NAME
from runtime.errors import DataError
from runtime.files import hash_file
from tests.datasets.tars.packing import pack, pack_tree
from tests.test_main_pretrain import ROOT, TINY, assert_same, run, run_and_kill, server  # noqa: F401  # a fixture
from tools import audit, embed, evaluate, infer, organize, search, sort

Call = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--pretrained", "none", "-a", "test_resnet", "--size", "32", "--device", "cpu", "-j", "0")
TUNE = ("-a", "test_resnet", "--finetune", "none", "--size", "32", "--epochs", "1", "--batch-size", "8", "--precision", "fp32",
        "--threads", "1", "--device", "cpu", "-j", "0")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


@pytest.fixture
def both(photo_tree: Path) -> tuple[Path, Path]:
    """The tree, and three archives over which its files are spread."""
    pack_tree(photo_tree, photo_tree.parent / "tars", 3)
    return photo_tree, photo_tree.parent / "tars"


@pytest.fixture
def boxes(photo_tree: Path) -> Path:
    keys = sorted(path.relative_to(photo_tree).as_posix() for path in photo_tree.rglob("*.jpg"))
    folder = photo_tree.parent / "crops"
    folder.mkdir()
    (folder / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},10,8,50,40\n" for key in keys))
    return folder


def read_steps(folder: Path) -> list[dict[str, object]]:
    """What the log says of every step, but for times."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.endswith(("_s", "per_s", "time", "seconds", "speed"))}
            for row in rows if row["kind"] == "step"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:teacher")
def test_training_from_archives_is_training_from_folders(
    server, both: tuple[Path, Path], boxes: Path, tmp_path: Path  # noqa: F811
) -> None:
    """Folders undisturbed; archives, undisturbed with workers; killed on archives and continued on a pattern of them."""
    words = ["--crop-root", str(boxes), *TINY]
    tree, tars = both
    for root, out, workers in ((tree, "folders", "0"), (tars, "archives", "2")):
        run(server, ["--root", str(root), *words, "--num-workers", workers, "--results-dir", str(tmp_path / out)])
    assert_same(tmp_path / "folders", tmp_path / "archives")
    losses = [[row["total"] for row in read_steps(tmp_path / out)] for out in ("folders", "archives")]
    assert losses[0] == losses[1] and len(losses[0]) == 9
    killed = [*words, "--save-every", "1", "--results-dir", str(tmp_path / "killed")]
    run_and_kill(server, ["--root", str(tars), *killed], tmp_path / "killed", 4)
    run(server, ["--root", str(tars / "data-{0000..0002}.tar"), *killed, "--resume"])
    assert_same(tmp_path / "folders", tmp_path / "killed")
    logs = [(tmp_path / out / NAME).read_bytes() for out in ("folders", "archives", "killed")]
    assert logs[0] == logs[1] == logs[2]


@pytest.mark.slow
def test_two_ranks_learn_from_archives_what_they_learn_from_folders(
    both: tuple[Path, Path], boxes: Path, tmp_path: Path
) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "main_pretrain.py"]
    for root, out in zip(both, ("folders", "archives")):
        done = subprocess.run([*launch, "--root", str(root), "--crop-root", str(boxes), *TINY, "--epochs", "1", "--results-dir",
                               str(tmp_path / out)], cwd=ROOT, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stderr.count("36 images in 3 classes") == 1
    assert_same(tmp_path / "folders", tmp_path / "archives")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_objects_are_found_in_archives(call_main: Call, both: tuple[Path, Path], tmp_path: Path) -> None:
    for root, out in zip(both, ("a", "b")):
        done = call_main(ddt.main, "--root", root, "--task", "x", "--pretrained", "none", "-a", "test_resnet", "--size", "64", "--device", "cpu",
                         "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    first, second = (tmp_path / out / "x_crop" for out in ("a", "b"))
    assert (first / "boxes.csv").read_bytes() == (second / "boxes.csv").read_bytes()
    crops = [sorted(path.relative_to(folder) for path in folder.rglob("*.jpg")) for folder in (first, second)]
    assert crops[0] == crops[1] and len(crops[0]) == 36
    done = call_main(main_retrieval.main, "--root", second, "--input", "crop", *QUICK, "--results-dir", "r")
    assert done.returncode == 0, done.stderr  # a crop folder finds the archives that it was cut from


def test_what_a_network_sees_in_archives(call_main: Call, both: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copy(sorted(both[0].rglob("*.jpg"))[0], tmp_path / "query.jpg")
    for root, out in zip(both, ("a", "b")):
        done = call_main(main_retrieval.main, "--root", root, *QUICK, "--results-dir", tmp_path / out / "found")
        assert done.returncode == 0, done.stderr
        done = call_main(embed.main, root, *QUICK, "--out", tmp_path / out / "rows")
        assert done.returncode == 0, done.stderr
        done = call_main(search.main, root, *QUICK, "--image", tmp_path / "query.jpg", "--results-dir", tmp_path / out / "like")
        assert done.returncode == 0, done.stderr
    first, second = (read_embeddings(tmp_path / out / "rows") for out in ("a", "b"))
    assert first.keys == second.keys and np.array_equal(first.vectors, second.vectors)
    assert table(tmp_path / "a" / "found" / "per_query.csv") == table(tmp_path / "b" / "found" / "per_query.csv")
    assert (tmp_path / "b" / "found" / "neighbours.png").read_bytes() == (tmp_path / "a" / "found" / "neighbours.png").read_bytes()
    one, two = (table(tmp_path / out / "like" / "search.csv") for out in ("a", "b"))
    assert one == two
    rows = [json.loads((tmp_path / out / "found" / "results.jsonl").read_text().splitlines()[-1]) for out in ("a", "b")]
    assert {name for name in rows[0] if rows[0][name] != rows[1][name]} <= {"date", "images_per_second"} and rows[0]["metrics"]


def test_members_are_read_again_only_when_their_archive_changes(
    both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, tars = both
    read: list[Path] = []
    monkeypatch.setattr(contents, "hash_file", lambda path: read.append(path) or hash_file(path))
    monkeypatch.setattr(contents, "SETTLED", 0)
    first = contents.hash_images(scan(tars, "test"), None, tmp_path / "kept")
    assert first == contents.hash_images(scan(tree, "test"), None) and len(read) == 24
    assert contents.hash_images(scan(tars, "test"), None, tmp_path / "kept") == first and len(read) == 24
    files = {path.relative_to(tree).as_posix(): path.read_bytes() for path in sorted(tree.rglob("*.jpg"))[::3]}
    changed = min(files)
    pack(tars / "data-0000.tar", files | {changed: files[max(files)]})
    second = contents.hash_images(scan(tars, "test"), None, tmp_path / "kept")
    assert [one == other for one, other in zip(first, second)] == [False] + [True] * 11
    assert {path.tar.path.name for path in read[24:]} == {"data-0000.tar"} and len(read) == 28


def test_classifiers_of_archives(call_main: Call, both: tuple[Path, Path], tmp_path: Path) -> None:
    for root, out in zip(both, ("a", "b")):
        for words in ((main_finetune.main, "--root", root, *TUNE, "--results-dir", tmp_path / out / "tuned"),
                      (evaluate.main, "--root", root, "--pretrained", tmp_path / out / "tuned", "--device", "cpu", "-j", "0",
                       "--results-dir", tmp_path / out / "evaluated"),
                      (infer.main, root, "--pretrained", tmp_path / out / "tuned", "--device", "cpu", "-j", "0", "--out", tmp_path / out / "told"),
                      (infer.main, root, "--labels", "none", "--pretrained", tmp_path / out / "tuned", "--device", "cpu", "-j", "0", "--out",
                       tmp_path / out / "bare"),
                      (main_linear.main, "--root", root, *QUICK, "--input", "full", "--epochs", "2", "--results-dir", tmp_path / out / "linear"),
                      (main_metric.main, "--root", root, "-a", "test_resnet", "--pretrained", "none", "--size", "32", "--epochs", "1",
                       "--batch-size", "8", "--precision", "fp32", "--threads", "1", "--device", "cpu", "-j", "0", "--results-dir",
                       tmp_path / out / "metric")):
            done = call_main(*words)
            assert done.returncode == 0, (words, done.stderr)
    assert_same(tmp_path / "a" / "tuned", tmp_path / "b" / "tuned")
    assert_same(tmp_path / "a" / "metric", tmp_path / "b" / "metric")
    for name in ("evaluated/branches.csv", "evaluated/classes.csv", "told/predictions.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(table(tmp_path / "b" / "bare" / "predictions.csv")) == 36


def test_sorting_and_audit_of_archives(call_main: Call, both: tuple[Path, Path], tmp_path: Path) -> None:
    tree, tars = both
    done = call_main(audit.main, tars, *QUICK, "--out", tmp_path / "audit")
    assert done.returncode == 0, done.stderr
    assert "one file under two names" not in done.stdout + done.stderr
    done = call_main(sort.main, tars, *QUICK, "--out", tmp_path / "linked", "--apply", "link")
    assert done.returncode == 2 and "lie in archives such as" in done.stderr and "unpack them" in done.stderr
    done = call_main(sort.main, tars, *QUICK, "--out", tmp_path / "copied", "--apply", "copy")
    assert done.returncode == 0, done.stderr
    copies = {path.read_bytes() for path in (tmp_path / "copied" / "sorted").rglob("*.jpg")}
    assert copies == {path.read_bytes() for path in (tree / "train").rglob("*.jpg")}


def test_a_tree_is_not_organised_out_of_archives(both: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="36 pictures lie in archives"):
        organize.plan_listed(both[1])


def test_a_run_is_evaluated_on_the_archives_that_it_names(call_main: Call, both: tuple[Path, Path], tmp_path: Path) -> None:
    pattern = str(both[1] / "data-{0000..0002}.tar")
    done = call_main(main_finetune.main, "--root", pattern, *TUNE, "--results-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    done = call_main(evaluate.main, "--pretrained", tmp_path / "run", "--device", "cpu", "-j", "0", "--results-dir", tmp_path / "e")
    assert done.returncode == 0 and f"--root is that of the run, {pattern}" in done.stderr, done.stderr
    shutil.rmtree(both[1])
    done = call_main(evaluate.main, "--pretrained", tmp_path / "run", "--device", "cpu", "-j", "0", "--results-dir", tmp_path / "f")
    assert done.returncode == 2 and "no such folder or list" in done.stderr


def test_the_page_shows_members_and_its_classifier_step_asks_for_files(both: tuple[Path, Path], tmp_path: Path) -> None:
    plain, packed = (Album(images := scan(root), tuple(contents.hash_images(images, None))) for root in both)
    assert plain.contents == packed.contents
    refuse_outsiders(packed.images)
    facts = [read_facts(album.path(3)) for album in (plain, packed)]
    assert [(one.size, one.width, one.height) for one in facts] == [(facts[0].size, 64, 48)] * 2
    small = [Thumbnails(tmp_path / name).read(album, 3) for name, album in (("a", plain), ("b", packed))]
    assert small[0] == small[1]
    with pytest.raises(DataError, match="24 pictures lie in archives such as .* and this step takes files; unpack"):
        write_examples(tmp_path / "examples.csv", packed, None, 0.5)


@pytest.mark.shared
def test_real_photographs_as_shards(shared_data: Path, tmp_path: Path) -> None:
    """CUB's birds by classes of .cls and a list of names, spread over five archives a split."""
    plain = {split: scan(shared_data / "cub10", split) for split in ("train", "test")}
    for split, images in plain.items():
        members = [(f"{number:06d}", sample) for number, sample in enumerate(images.samples)]
        for part in range(5):
            pack(tmp_path / f"cub-{split}-{part:06d}.tar", [one for key, sample in members[part::5] for one in (
                (f"{key}.jpg", sample.path.read_bytes()), (f"{key}.cls", str(sample.label).encode()))])
    (tmp_path / "classnames.txt").write_text("\n".join(plain["train"].classes))
    for split, images in plain.items():
        packed = scan(tmp_path, split)
        assert packed.classes == images.classes and packed.labels.tolist() == images.labels.tolist()
        assert contents.hash_images(packed, None) == contents.hash_images(images, None)
    both_sides = zip(plain["test"].samples[::10], scan(tmp_path, "test").samples[::10])
    assert all(decode(one.path).tobytes() == decode(other.path).tobytes() for one, other in both_sides)
