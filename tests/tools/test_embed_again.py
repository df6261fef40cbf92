"""tools.embed on a folder that it wrote before: what is known is taken over, to the last bit of a fresh run."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import view_set
from evaluation.features import embedding
from evaluation.features.planning import Change, match_stored_rows
from evaluation.features.store import Embeddings, read_embeddings
from runtime.errors import ConfigError, DataError, StopTraining
from tools import embed, index, search

SMALL = ["--pretrained", "none", "--arch", "resnet18", "--size", "32", "-j", "0", "--device", "cpu"]
Run = Callable[..., list[str]]


@pytest.fixture
def run(photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(out, *words): embed the photographs without a cache unless told otherwise; the files that were decoded."""
    decoded: list[str] = []
    real = view_set.load_photo
    monkeypatch.setattr(view_set, "load_photo", lambda path, *more: decoded.append(Path(path).name) or real(path, *more))

    def run(out: str, *words: str) -> list[str]:
        decoded.clear()
        cache = () if "--cache" in words else ("--cache", "none")
        embed.main([str(photo_tree), "--out", str(tmp_path / out), *SMALL, *cache, *words])
        return list(decoded)

    return run


def assert_like_fresh(run: Run, tmp_path: Path, *words: str) -> None:
    run("fresh", *words)
    one, two = read_embeddings(tmp_path / "out"), read_embeddings(tmp_path / "fresh")
    assert (one.keys, one.classes, one.contents) == (two.keys, two.classes, two.contents)
    assert np.array_equal(one.vectors, two.vectors)
    metas = [{name: value for name, value in found.meta.items() if name != "images_per_second"} for found in (one, two)]
    assert metas[0] == metas[1]


def upset(photos: Path) -> list[str]:
    """Photographs that come, change, move and go: the names of those that are new."""
    files = sorted((photos / "test").glob("*/*.jpg"))
    files[0].rename(files[0].with_name("zz_renamed.jpg"))
    files[5].rename(files[0].parent / files[5].name)  # into another class
    files[7].unlink()
    os.utime(files[8], ns=(1, 1))
    Image.new("RGB", (64, 48), (9, 90, 200)).save(files[10], quality=92)
    Image.new("RGB", (64, 48), (200, 90, 9)).save(files[10].with_name("00_first.jpg"), quality=92)
    shutil.copy(files[2], files[2].with_name("zz_copy.jpg"))
    return ["00_first.jpg", files[10].name]


def test_only_new_contents_are_computed_and_the_rest_is_taken_over(
    photo_tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(run("out")) == 12 and "12 new, 0 kept, 0 moved, 0 removed" in capsys.readouterr().out
    assert run("out") == [] and "0 new, 12 kept, 0 moved, 0 removed" in capsys.readouterr().out
    new = upset(photo_tree)
    assert sorted(run("out")) == sorted(new)
    assert "3 new, 8 kept, 2 moved, 2 removed" in capsys.readouterr().out  # the copy is new, and not computed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["embeddings.npy", "ids.csv", "meta.json"]
    assert_like_fresh(run, tmp_path)
    with open(tmp_path / "out" / "ids.csv", newline="") as file:
        assert len({line["content"] for line in csv.DictReader(file)}) == 12
    next((photo_tree / "test").glob("*/*.jpg")).unlink()
    assert run("out") == [] and "0 new, 12 kept, 0 moved, 1 removed" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "fresh")
    assert_like_fresh(run, tmp_path)


def test_embeddings_share_the_cache_of_every_evaluation(tmp_path: Path, run: Run) -> None:
    cache = ("--cache", str(tmp_path / "cache"))
    assert len(run("out", *cache)) == 12 and run("other", *cache) == []
    assert np.array_equal(read_embeddings(tmp_path / "out").vectors, read_embeddings(tmp_path / "other").vectors)


def test_a_folder_made_otherwise_is_refused(tmp_path: Path, photo_tree: Path, run: Run) -> None:
    run("out")
    upset(photo_tree)
    with pytest.raises(ConfigError, match=r"made otherwise \(size differ\); give another --out"):
        run("out", "--size", "40")
    with pytest.raises(ConfigError, match=r"made otherwise \(weights_sha256 differ\)"):
        run("out", "--seed", "5")
    rows = tmp_path / "out" / "embeddings.npy"
    rows.write_bytes(rows.read_bytes()[:-1] + b"\1")
    with pytest.raises(DataError, match="embeddings.npy changed after tools.embed wrote it"):
        run("out")


def test_new_rows_are_centred_as_those_beside_them(
    photo_tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("out", "--centre")
    before = read_embeddings(tmp_path / "out")
    upset(photo_tree)
    next((photo_tree / "train").glob("*/*.jpg")).unlink()  # the mean of the training split is another now
    assert len(run("out", "--centre")) == 2
    assert "centred by the mean that" in capsys.readouterr().err
    after = read_embeddings(tmp_path / "out")
    assert after.meta["centre"] == before.meta["centre"] and len(before.meta["centre"]) == 512
    rows = {content: before.vectors[row] for row, content in enumerate(before.contents)}
    assert all(np.array_equal(after.vectors[row], rows[content])
               for row, content in enumerate(after.contents) if content in rows)
    run("plain")
    run("fresh", "--centre")
    fresh = read_embeddings(tmp_path / "fresh")
    assert fresh.meta["centre"] != before.meta["centre"] and not np.array_equal(fresh.vectors, after.vectors)
    with pytest.raises(ConfigError, match="centred differ"):
        run("out")


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_run_that_is_killed_while_files_are_replaced_is_finished_by_the_next(
    moves: int, photo_tree: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("out")
    upset(photo_tree)
    real, done = os.replace, []

    def replace(source: Path, target: Path) -> None:
        if Path(source).parent.name == "pieces" and not Path(source).name.startswith("."):
            if len(done) == moves:
                raise KeyboardInterrupt
            done.append(source)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(embedding.os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            run("out")
    assert run("out") == []
    assert_like_fresh(run, tmp_path)


def test_a_folder_of_an_earlier_release_is_left_alone_or_made_anew(
    photo_tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("out")
    table, meta = tmp_path / "out" / "ids.csv", tmp_path / "out" / "meta.json"
    table.write_text("".join(line.rsplit(",", 1)[0] + "\r\n" for line in table.read_text().splitlines()), newline="")
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "ids_sha256": embedding.hash_file(table)}))
    assert run("out") == []
    upset(photo_tree)
    assert len(run("out")) == 12 and "earlier release" in capsys.readouterr().err
    assert_like_fresh(run, tmp_path)


def test_a_picture_that_changes_while_it_is_computed_is_made_anew(
    photo_tree: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, real = sorted((photo_tree / "test").glob("*/*.jpg"))[4], embedding._open_target

    def repaint(*how: object) -> object:
        Image.new("RGB", (64, 48), (9, 90, 200)).save(one)
        return real(*how)

    with monkeypatch.context() as patch:
        patch.setattr(embedding, "_open_target", repaint)
        run("out")
    assert [row for row, content in enumerate(read_embeddings(tmp_path / "out").contents) if not content] == [4]
    assert run("out") == [one.name]
    assert_like_fresh(run, tmp_path)


def test_a_full_disk_is_told_before_anything_is_lost(
    photo_tree: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("out")
    before = read_embeddings(tmp_path / "out").vectors.copy()
    upset(photo_tree)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(embedding.os, "posix_fallocate", refuse)
        with pytest.raises(StopTraining, match="is there room.*No space left"):
            run("out")
    assert np.array_equal(read_embeddings(tmp_path / "out").vectors, before)
    run("out")
    assert_like_fresh(run, tmp_path)


def test_every_row_is_counted_once() -> None:
    stored = Embeddings(np.zeros((6, 2), np.float32), list("abcdef"), [""] * 6, ["1", "2", "2", "3", "", "4"], {})
    sources, change = match_stored_rows(["2", "1", "1", "5", "2", "3"], list("bxayzd"), stored)
    assert sources == [1, 0, 0, -1, 2, 3]
    assert change == Change(new=2, kept=3, moved=1, removed=2)


def test_an_index_follows_and_a_search_refuses_the_old_one(
    photo_tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kinds = tmp_path / "out", ("flat", "ivf", "hnsw")
    words = [str(out), "--index", *kinds, "--lists", "2", "--probes", "2"]
    run("out", "--centre")
    index.main(words)
    files = sorted((photo_tree / "test").glob("*/*.jpg"))
    for number, place in enumerate((files[0], files[11])):
        Image.new("RGB", (64, 48), (90 * number, 90, 200)).save(place.with_name(f"00_{number}.jpg"), quality=92)
    next((photo_tree / "train").glob("*/*.jpg")).unlink()

    def look(kind: str) -> list[tuple[str, float]]:
        search.main([str(photo_tree), "--image", str(files[3]), "--top", "9", "--index", str(out / f"index-{kind}.faiss"),
                     "--results-dir", str(tmp_path / "found"), *SMALL, "--cache", "none", "--centre"])
        with open(tmp_path / "found" / "search.csv", newline="") as file:
            return [(line["path"], float(line["score"])) for line in csv.DictReader(file)]

    for prepare in (lambda: None, lambda: run("out", "--centre")):  # photographs came; then, the index alone is old
        prepare()
        for kind in kinds:
            with pytest.raises(DataError, match="built of other embeddings .*run tools.embed .*then tools.index"):
                look(kind)
    capsys.readouterr()
    index.main(words)
    told = capsys.readouterr().out
    assert told.count("2 added, 0 removed, 12 kept") == 2 and "flat: written as a whole" in told
    embeddings = read_embeddings(out)
    own = embeddings.keys.index(files[3].relative_to(photo_tree).as_posix())
    cosines = embeddings.vectors @ embeddings.vectors[own]
    best = [row for row in np.argsort(-cosines, kind="stable") if row != own][:9]
    for kind in kinds:  # the query is centred as the embeddings are, not by the training split of now
        found = look(kind)
        assert [score for _, score in found] == pytest.approx(cosines[best].tolist(), abs=1e-4)
        assert {path for path, _ in found[:3]} <= {embeddings.keys[row] for row in best[:5]}
    index.main([*words, "--anew"])
    assert capsys.readouterr().out.count(": built\n") == 2


def test_a_folder_that_was_only_touched_leaves_nothing_behind(run: Run, tmp_path: Path, photo_tree: Path) -> None:
    """What lay there would be taken for a killed run at work, and the next strange file for its own."""
    run("out", "--cache", "none")
    for path in photo_tree.rglob("*.jpg"):
        os.utime(path)
    dates = json.loads((tmp_path / "out" / "meta.json").read_text())["dates_sha256"]
    run("out", "--cache", "none")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != ".lock") == ["embeddings.npy", "ids.csv", "meta.json"]
    assert json.loads((tmp_path / "out" / "meta.json").read_text())["dates_sha256"] != dates
