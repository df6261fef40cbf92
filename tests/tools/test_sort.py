"""A folder of photographs, sorted: what is written, what labels do, and what is refused."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from datasets.images import scan
from engine.workflows import sort as workflow
from evaluation.ledger import read_results
from evaluation.sorting import filing
from evaluation.sorting.filing import read_labels
from evaluation.sorting.groups import GroupEstimate
from evaluation.sorting.page import space_evenly
from runtime.errors import ConfigError, DataError
from runtime.names.safe import safe_name
from tools import sort

QUICK = ("--pretrained", "none", "-a", "resnet18", "--size", "32", "--device", "cpu", "--num-workers", "0",
         "--cache", "none", "--out", "out")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str | Path) -> Path:
    """The command on a folder, from the folder's parent, with a small random network."""
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("sys.argv", ["sort", str(folder), *QUICK, *map(str, words)])
    sort.main()
    return folder.parent / "out"


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    return path


@pytest.fixture
def flat(photo_tree: Path) -> Path:
    """All pictures of the tree in one folder."""
    folder = photo_tree.parent / "flat"
    folder.mkdir()
    for path in photo_tree.glob("train/*/*.jpg"):
        shutil.copy(path, folder)
    return folder


def test_an_unlabelled_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: Path) -> None:
    out = run(monkeypatch, flat, "--groups", "3", "--name-first", "5")
    rows = read(out / "sort.csv")
    assert list(rows[0]) == ["path", "group", "typicality", "outlier_score", "name_first", "label", "confidence",
                             "unlike"]
    assert [row["path"] for row in rows] == sorted(path.name for path in flat.iterdir())
    assert {row["group"] for row in rows} == {"1", "2", "3"} and {row["label"] + row["confidence"] for row in rows} == {""}
    assert sorted(row["name_first"] for row in rows if row["name_first"]) == ["1", "2", "3", "4", "5"]
    assert [row["label"] for row in read(out / "name_these.csv")] == [""] * 5
    sheets = {path.stem for path in (out / "groups").iterdir()}
    assert sheets == {"group_01", "group_02", "group_03", "odd", "name_first"}
    page = (out / "sort.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=['\"](?!data:|#)", page) and "Name these 5 first" in page
    assert "24 photographs in 3 groups" in capsys.readouterr().out


def test_it_says_which_numbers_of_groups_it_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: Path
) -> None:
    page = (run(monkeypatch, flat) / "sort.html").read_text(encoding="utf-8")
    told = capsys.readouterr().out
    scores = re.findall(r"(\d+): (-?\d\.\d{3})", told)
    assert [int(count) for count, _ in scores] == [2, 3, 4, 5, 6] and all(f"{a}: {b}" in page for a, b in scores)
    assert "--groups" in page


def test_it_says_which_scales_stand_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: Path
) -> None:
    monkeypatch.setattr("engine.workflows.sort.estimate_groups",
                        lambda *_, **__: GroupEstimate(2, {2: 0.5, 3: 0.1, 4: 0.4}, (2, 4)))
    page = (run(monkeypatch, flat) / "sort.html").read_text(encoding="utf-8")
    assert "coarse to fine, 2, 4 groups stand out; --groups N chooses one" in capsys.readouterr().out
    assert "coarse to fine, 2, 4 stand out" in page


def test_labels_spread_and_the_second_run_replaces_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: Path
) -> None:
    out = run(monkeypatch, flat, "--groups", "4")
    names = sorted(path.name for path in flat.iterdir())
    form = write(flat.parent / "l.csv", f"{names[0]},blue", f"{flat / names[8]},green", f"{names[16]},F/A-18", f"{names[3]},")
    run(monkeypatch, flat, "--groups", "2", "--labels", form, "--apply", "copy")
    rows = {row["path"]: row for row in read(out / "sort.csv")}
    unlike = sum(float(row["unlike"]) > 0.5 for row in rows.values())
    assert f"{unlike} photographs are probably like nothing named" in capsys.readouterr().out
    assert [rows[names[place]]["label"] for place in (0, 8, 16)] == ["blue", "green", "F/A-18"]
    assert rows[names[0]]["confidence"] == "1.0000" and rows[names[0]]["name_first"] == ""
    assert all(0 <= float(row["confidence"]) <= 1 and 0 <= float(row["unlike"]) <= 1 and row["label"] for row in rows.values())
    assert not (out / "groups" / "group_03.png").exists()
    filed = {path.name: path.parent.name for path in (out / "sorted").glob("*/*")}
    assert filed == {name: safe_name(row["label"]) for name, row in rows.items()}
    assert "F_A-18" in filed.values() and len(list(flat.iterdir())) == 24


def test_filled_in_labels_are_kept_and_never_written_over(monkeypatch: pytest.MonkeyPatch, flat: Path) -> None:
    form = run(monkeypatch, flat, "--groups", "2", "--name-first", "4") / "name_these.csv"
    asked = [row["path"] for row in read(form)]
    write(form, f"{asked[0]},crow", f"{asked[1]},owl", f"{asked[2]},")
    with pytest.raises(ConfigError, match="would be lost"):
        run(monkeypatch, flat, "--groups", "2")
    run(monkeypatch, flat, "--groups", "2", "--name-first", "4", "--labels", form)
    rows = read(form)
    assert [(row["path"], row["label"]) for row in rows[:2]] == [(asked[0], "crow"), (asked[1], "owl")]
    assert [row["label"] for row in rows[2:]] == [""] * 4 and not {row["path"] for row in rows[2:]} & set(asked[:2])


@pytest.mark.parametrize("how", ["link", "copy"])
def test_equal_names_are_kept_apart_and_originals_untouched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo_tree: Path, how: str
) -> None:
    source = tmp_path / "two"
    for number, place in enumerate(("a", "b")):
        (source / place).mkdir(parents=True)
        for color, path in enumerate(sorted(photo_tree.glob("train/*/*_0[01].jpg"))):
            shutil.copy(path, source / place / f"{'IMG' if number else 'img'}_{color}.JPG")
    before = {path: path.read_bytes() for path in source.rglob("*.JPG")}
    out = run(monkeypatch, source, "--groups", "1", "--apply", how)
    files = sorted((out / "sorted" / "group_01").iterdir())
    assert len(files) == 12 and len({path.name.lower() for path in files}) == 12 and "IMG_0_2.JPG" in {f.name for f in files}
    assert {path: path.read_bytes() for path in source.rglob("*.JPG")} == before
    shared = any(os.path.samefile(files[0], path) for path in before)
    assert shared == (how == "link")
    with pytest.raises(ConfigError, match="not empty"):
        run(monkeypatch, source, "--groups", "1", "--apply", how)


def test_a_half_filled_folder_never_looks_whole(monkeypatch: pytest.MonkeyPatch, flat: Path) -> None:
    out = flat.parent / "out"
    out.mkdir()
    (out / ".lock").touch()  # left by a command that was killed before it wrote anything
    (out / ".sort.csv.draft-1-0123abcd.csv").touch()
    real, calls = filing.write_atomically, []

    def stop(*words: object, **more: object) -> None:
        calls.append(words)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*words, **more)

    monkeypatch.setattr(filing, "write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, flat, "--groups", "2", "--apply", "copy")
    assert not (out / "sorted").exists() and len(list((out / ".sorted.unfinished").glob("*/*"))) == 4
    monkeypatch.undo()
    run(monkeypatch, flat, "--groups", "2", "--apply", "copy")
    assert len(list((out / "sorted").glob("*/*"))) == 24 and not (out / ".sorted.unfinished").exists()
    assert {path.name for path in (out / "sorted").iterdir()} == {"group_01", "group_02"}


def test_a_link_is_symbolic_where_it_cannot_be_hard(monkeypatch: pytest.MonkeyPatch, flat: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    out = run(monkeypatch, flat, "--groups", "1", "--apply", "link")
    assert all(path.is_symlink() and path.resolve().parent == flat.resolve() for path in out.glob("sorted/*/*"))


def test_score_hides_the_labels_and_leaves_a_row(monkeypatch: pytest.MonkeyPatch, photo_tree: Path) -> None:
    out = run(monkeypatch, photo_tree, "--groups", "3", "--score", "--task", "colours")
    (row,) = read_results(out / "results.jsonl")
    assert (row["kind"], row["task"], row["images"], row["centred"], row["split"]) == ("sort", "colours", 24, True, "train")
    assert {"clustering", "nmi", "named20", "random20"} <= row["metrics"].keys()
    assert all(0 <= value <= 1 for value in row["metrics"].values()) and row["details"]["groups"] == 3
    assert {line["label"] for line in read(out / "sort.csv")} == {""}
    monkeypatch.setattr(workflow, "BUDGETS", (6,))
    run(monkeypatch, photo_tree, "--groups", "3", "--score")
    found = read_results(out / "results.jsonl")[-1]["metrics"]
    assert {"named6", "random6", "sure6", "withheld_confidence6", "ece6"} <= found.keys()
    assert all(0 <= value <= 1 for value in found.values())


def test_a_folder_that_an_older_version_sorted_is_sorted_again(monkeypatch: pytest.MonkeyPatch, flat: Path) -> None:
    out = run(monkeypatch, flat, "--groups", "2")
    rows = (out / "sort.csv").read_text(encoding="utf-8").splitlines()
    (out / "sort.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows), encoding="utf-8")
    (out / "name_these.csv").unlink()
    assert "unlike" in read(run(monkeypatch, flat, "--groups", "2") / "sort.csv")[0]
    (out / "sort.csv").write_text("path,label\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no earlier sorting"):
        run(monkeypatch, flat, "--groups", "2")


def test_what_cannot_be_sorted_is_refused_in_one_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flat: Path, photo_tree: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        run(monkeypatch, tmp_path / "empty")
    with pytest.raises(ConfigError, match="24 photographs, and 25 groups needs at least 25"):
        run(monkeypatch, flat, "--groups", "25")
    with pytest.raises(ConfigError) as error:
        run(monkeypatch, flat, "--groups", "99", "--score", "--labels", write(tmp_path / "l.csv", "no.jpg,crow"))
    assert all(text in str(error.value) for text in ("3 problems", "99 groups", "no labels", "no.jpg is not among"))
    same = tmp_path / "same"
    same.mkdir()
    for number in range(6):
        Image.new("RGB", (40, 40), "teal").save(same / f"{number}.png")
    with pytest.raises(DataError, match="all 6 photographs look the same"):
        run(monkeypatch, same)


def test_outputs_go_neither_into_the_pictures_nor_over_something_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flat: Path
) -> None:
    with pytest.raises(ConfigError, match="lies in"):
        run(monkeypatch, flat, "--out", flat / "sorted")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(ConfigError, match="no earlier sorting"):
        run(monkeypatch, flat, "--out", tmp_path / "mine")


def test_all_bad_labels_are_listed(tmp_path: Path, flat: Path) -> None:
    images = scan(flat)
    first, second = (sample.key for sample in images.samples[:2])
    bad = write(tmp_path / "l.csv", f"{first},crow", f"{first},owl", "gone.jpg,crow", "lost.jpg,owl", f"{second},crow")
    with pytest.raises(DataError) as error:
        read_labels(bad, images)
    for text in ("line 3", "'owl' here and 'crow' before", "gone.jpg", "lost.jpg", "at least 2"):
        assert text in str(error.value)
    with pytest.raises(DataError, match="no such file"):
        read_labels(tmp_path / "none.csv", images)


def test_large_groups_are_shown_from_first_to_last() -> None:
    shown = space_evenly(list(range(500)), 64)
    assert len(set(shown)) == 64 and (shown[0], shown[-1]) == (0, 499) and shown == sorted(shown)
