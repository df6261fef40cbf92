"""tools.embed and tools.index as a user runs them: order, resuming, refusals, two processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.features import subject
from evaluation.features.store import read_embeddings
from runtime.errors import ConfigError, DataError
from tools import embed, index, search

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--pretrained", "none", "--arch", "resnet18", "--size", "32", "-j", "0", "--device", "cpu", "--cache", "none"]


def run(photos: Path, out: Path, *words: str) -> None:
    embed.main([str(photos), "--out", str(out), *SMALL, *words])


def test_rows_stand_in_order_whatever_the_piece(photo_tree: Path, tmp_path: Path) -> None:
    run(photo_tree, tmp_path / "whole")
    run(photo_tree, tmp_path / "pieces", "--piece", "5", "-b", "2")
    whole, pieces = read_embeddings(tmp_path / "whole"), read_embeddings(tmp_path / "pieces")
    assert whole.keys == sorted(whole.keys) == pieces.keys and len(whole.keys) == 12
    assert whole.classes[0] == "001.Red_bird" and whole.vectors.dtype == np.float32
    np.testing.assert_allclose(whole.vectors, pieces.vectors, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(whole.vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(whole.vectors.round(4), axis=0)) == 12
    assert sorted(path.name for path in (tmp_path / "pieces").iterdir()) == ["embeddings.npy", "ids.csv", "meta.json"]
    with open(tmp_path / "whole" / "ids.csv", newline="") as file:
        assert [line["row"] for line in csv.DictReader(file)] == [str(row) for row in range(12)]


def test_a_killed_run_goes_on_and_a_finished_one_is_left_alone(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen, real = tmp_path / "out", [], subject.extract

    def count(outputs: object, images: object, *args: object, **kwargs: object) -> object:
        if len(seen) == 2:
            seen.append("killed")
            raise KeyboardInterrupt
        found = real(outputs, images, *args, **kwargs)
        seen.append("cached" if found.cached else "computed")
        return found

    monkeypatch.setattr(subject, "extract", count)
    with pytest.raises(KeyboardInterrupt):
        run(photo_tree, out, "--piece", "5")
    with pytest.raises(DataError, match="no finished embeddings"):
        read_embeddings(out)
    run(photo_tree, out, "--piece", "5")
    assert seen == ["computed", "computed", "killed", "cached", "cached", "computed"]
    run(photo_tree, out, "--piece", "5")
    assert len(seen) == 6  # nothing was computed again
    monkeypatch.undo()
    run(photo_tree, tmp_path / "plain")
    np.testing.assert_allclose(read_embeddings(out).vectors, read_embeddings(tmp_path / "plain").vectors, atol=1e-5)
    with pytest.raises(ConfigError, match="made otherwise .*split.* differ"):
        run(photo_tree, out, "--split", "train")


def test_index_is_built_measured_and_refuses_a_torn_folder(
    photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photo_tree, tmp_path / "out")
    index.main([str(tmp_path / "out"), "--index", "flat", "hnsw", "ivf"])
    told = capsys.readouterr().out
    assert "12 embeddings of 512, 12 of them queries" in told and "recall@10" in told
    assert (tmp_path / "out" / "index-ivf.faiss").is_file()
    with pytest.raises(ConfigError, match="ivfpq learns 256 codes and there are 12 embeddings"):
        index.main([str(tmp_path / "out"), "--index", "ivfpq"])
    np.save(tmp_path / "out" / "embeddings.npy", np.zeros((3, 512), np.float32))
    with pytest.raises(DataError, match="3 vectors, 12 lines in ids.csv"):
        index.main([str(tmp_path / "out")])


def test_search_takes_an_index_of_the_same_images(photo_tree: Path, tmp_path: Path) -> None:
    run(photo_tree, tmp_path / "out")
    index.main([str(tmp_path / "out"), "--index", "flat"])
    own = next((photo_tree / "test").glob("*/*.jpg"))

    def look(folder: str, *words: str) -> list[tuple[str, float]]:
        search.main([str(photo_tree), "--image", str(own), "--results-dir", str(tmp_path / folder), *SMALL, *words])
        with open(tmp_path / folder / "search.csv", newline="") as file:
            return [(line["path"], float(line["score"])) for line in csv.DictReader(file)]

    plain, found = look("plain"), look("found", "--index", str(tmp_path / "out/index-flat.faiss"), "--top", "6")
    assert [path for path, _ in found] == [path for path, _ in plain][:6] and own.name not in found[0][0]
    assert [score for _, score in found] == pytest.approx([score for _, score in plain][:6], abs=1e-4)
    with pytest.raises(DataError, match=r"other embeddings \(.*split.*differ\)"):
        look("other", "--split", "train", "--index", str(tmp_path / "out/index-flat.faiss"))


@pytest.mark.slow
def test_two_processes_write_what_one_writes(photo_tree: Path, tmp_path: Path) -> None:
    run(photo_tree, tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "tools.embed", str(photo_tree), "--out", str(tmp_path / "two"), *SMALL, "--piece", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = read_embeddings(tmp_path / "one"), read_embeddings(tmp_path / "two")
    np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-5)
    assert one.keys == two.keys and json.loads((tmp_path / "two/meta.json").read_text())["images"] == 12


def repaint(path: Path) -> None:
    """Other content of the same size under the same dates."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-40:-2] = bytes(38)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_nothing_that_was_made_of_other_photographs_is_taken_again(photo_tree: Path, tmp_path: Path) -> None:
    out, one = tmp_path / "out", sorted((photo_tree / "test").glob("*/*.jpg"))[0]
    run(photo_tree, out)
    index.main([str(out), "--index", "flat"])
    look = [str(photo_tree), "--image", str(one), "--index", str(out / "index-flat.faiss"), "--results-dir",
            str(tmp_path / "found"), *SMALL]
    os.utime(one)  # touched or copied: the same photograph
    run(photo_tree, out)
    search.main(look)
    before = read_embeddings(out).vectors.copy()
    repaint(one)
    with pytest.raises(DataError, match="other embeddings .the photographs differ"):
        search.main(look)
    run(photo_tree, out)
    after = read_embeddings(out).vectors
    assert np.array_equal(after[1:], before[1:])
    run(photo_tree, tmp_path / "fresh")
    assert np.array_equal(after, read_embeddings(tmp_path / "fresh").vectors)
    with pytest.raises(DataError, match="other embeddings .*run tools.embed on the photographs, then tools.index"):
        search.main(look)


@pytest.mark.parametrize("name", ["embeddings.npy", "ids.csv"])
def test_files_that_changed_after_they_were_written_are_refused(name: str, photo_tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photo_tree, out)
    index.main([str(out), "--index", "flat"])
    content = (out / name).read_bytes()
    (out / name).write_bytes(content[:-4] + np.float32(1).tobytes() if name.endswith("npy")
                             else content.replace(b"001.Red_bird_00", b"001.Red_bird_77"))
    with pytest.raises(DataError, match=f"{name} changed after tools.embed wrote it"):
        index.main([str(out)])
    (out / "index-flat.faiss").write_bytes((out / "index-flat.faiss").read_bytes()[:-4] + b"\1\1\1\1")
    with pytest.raises(DataError, match="index-flat.faiss changed after tools.index wrote it"):
        search.main([str(photo_tree), "--image", str(next((photo_tree / "test").glob("*/*.jpg"))), "--index",
                     str(out / "index-flat.faiss"), "--results-dir", str(tmp_path / "found"), *SMALL])
