"""tools.embed into shards as a user runs it: killed and continued, brought up to date, by several processes, read."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.features import sharding
from evaluation.features.store import read_embeddings
from runtime.errors import ConfigError, DataError
from runtime.files import CLEARED
from tools import embed, index, search

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--pretrained", "none", "--arch", "resnet18", "--size", "32", "-j", "0", "-b", "4", "--device", "cpu",
         "--cache", "none"]
FORMS = [pytest.param("npy"), pytest.param("parquet")]


@pytest.fixture(autouse=True)
def _have_pyarrow(request: pytest.FixtureRequest) -> None:
    if "parquet" in str(request.node.name):
        pytest.importorskip("pyarrow", reason="Parquet is written by pyarrow")


def run(photos: Path, out: Path, form: str, *words: str) -> None:
    embed.main([str(photos), "--out", str(out), "--to", form, "--shard-size", "5", *SMALL, *words])


def content(folder: Path) -> dict[str, object]:
    """Every file's bytes by name; of meta.json all but the speed."""
    found: dict[str, object] = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    meta = json.loads(found.pop("meta.json"))
    return {**found, "meta": {name: value for name, value in meta.items() if name != "images_per_second"}}


def upset(photos: Path) -> None:
    """Photographs that come, change, move and go, the first of them behind the first shard."""
    files = sorted((photos / "test").glob("*/*.jpg"))
    files[6].rename(files[6].with_name("zz_renamed.jpg"))
    files[8].unlink()
    Image.new("RGB", (64, 48), (9, 90, 200)).save(files[10], quality=92)
    for number in range(5):
        Image.new("RGB", (64, 48), (200, 90, 9 * number)).save(files[10].with_name(f"zzz_{number}.jpg"), quality=92)


@pytest.mark.parametrize("form", FORMS)
def test_shards_hold_what_one_array_holds(
    form: str, photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.features.forms.GROUP", 2)  # of the rows of a Parquet file, so that a shard has several
    run(photo_tree, tmp_path / "out", form, "--piece", "3")
    embed.main([str(photo_tree), "--out", str(tmp_path / "array"), *SMALL])
    shards, array = read_embeddings(tmp_path / "out"), read_embeddings(tmp_path / "array")
    assert np.array_equal(shards.vectors[:], array.vectors) and shards.vectors.shape == (12, 512)
    rows = np.array([11, 0, 7, 7, 3])
    assert np.array_equal(shards.vectors[rows], array.vectors[rows])
    assert (shards.keys, shards.classes, shards.contents) == (array.keys, array.classes, array.contents)
    names = {"npy": [f"{kind}-0000{number}.{end}" for kind, end in (("embeddings", "npy"), ("ids", "csv"))
                     for number in range(3)], "parquet": [f"embeddings-0000{number}.parquet" for number in range(3)]}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*names[form], "meta.json"]
    with pytest.raises(ConfigError, match="form differ"):
        embed.main([str(photo_tree), "--out", str(tmp_path / "out"), *SMALL])
    with pytest.raises(ConfigError, match="form, .*shard_size.* differ"):
        run(photo_tree, tmp_path / "array", form)


def test_parquet_is_read_by_others(photo_tree: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is written by pyarrow")
    run(photo_tree, tmp_path / "out", "parquet")
    table = parquet.read_table(tmp_path / "out" / "embeddings-00001.parquet")
    assert table.column_names == ["id", "path", "sha256", "class", "embedding"]
    assert str(table.schema.field("embedding").type).startswith("fixed_size_list<") and table["id"].to_pylist() == [5, 6, 7, 8, 9]
    facts = json.loads(table.schema.metadata[b"plumage"])
    assert facts["arch"] == "resnet18" and facts["size"] == 32 and len(facts["mean"]) == len(facts["std"]) == 3
    first = table.slice(0, 1).to_pylist()[0]
    assert first["class"] in first["path"] and len(first["sha256"]) == 64
    assert np.linalg.norm(first["embedding"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_is_brought_up_to_date_to_the_bytes_of_a_fresh_one(
    form: str, photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(photo_tree, out, form)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    upset(photo_tree)
    capsys.readouterr()
    run(photo_tree, out, form)
    assert "6 new, 9 kept, 1 moved, 2 removed" in capsys.readouterr().out
    run(photo_tree, tmp_path / "fresh", form)
    assert content(out) == content(tmp_path / "fresh") and len(content(out)) > len(before)
    first = [name for name in before if "00000" in name]
    assert first and all((out / name).stat().st_mtime_ns == before[name] for name in first)  # left alone
    for path in sorted((photo_tree / "test").glob("*/*.jpg"))[3:]:
        path.unlink()
    run(photo_tree, out, form)
    assert len(list(out.iterdir())) == (3 if form == "npy" else 2) and len(read_embeddings(out).keys) == 3
    (out / first[0]).write_bytes((out / first[0]).read_bytes()[:-3] + b"\1\1\1")
    with pytest.raises(DataError, match=r"cannot be read|changed after tools.embed wrote it"):
        read_embeddings(out)


KILLED = """
import os, sys
from pathlib import Path
from runtime import files
real, left = os.replace, [int(sys.argv[1])]
def replace(source, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    real(source, target)
os.replace = replace
sys.argv = ["embed", *sys.argv[2:]]
from tools.embed import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_killed_at_any_file_it_goes_on_to_the_same_bytes(form: str, photo_tree: Path, tmp_path: Path) -> None:
    """SIGKILL before the n-th rename of a folder that is brought up to date, for every fourth n."""
    out = tmp_path / "out"
    run(photo_tree, out, form)
    upset(photo_tree)
    run(photo_tree, tmp_path / "fresh", form)
    shutil.copytree(out, tmp_path / "before")
    words = [str(photo_tree), "--out", str(out), "--to", form, "--shard-size", "5", *SMALL]
    for moves in range(0, 40, 4):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "before", out)
        done = subprocess.run([sys.executable, "-c", KILLED, str(moves), *words], cwd=ROOT, capture_output=True)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        CLEARED.clear()  # a new process looks for drafts of killed ones
        run(photo_tree, out, form)
        assert content(out) == content(tmp_path / "fresh"), moves
        assert not (out / "pieces").exists()
    assert moves > 4


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_killed_in_the_middle_of_a_first_run_it_goes_on_and_two_processes_write_the_same(
    form: str, photo_tree: Path, tmp_path: Path
) -> None:
    out, words = tmp_path / "out", [str(photo_tree), "--to", form, "--shard-size", "2", "--piece", "1", "--split", "train", *SMALL]
    working = subprocess.Popen([sys.executable, "-m", "tools.embed", *words, "--out", str(out)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    drafted = out / "pieces" / f"embeddings-00003.{form}"
    end = time.monotonic() + 120
    while not drafted.exists() and working.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    os.kill(working.pid, signal.SIGKILL)
    assert working.wait() == -signal.SIGKILL and not (out / "meta.json").exists()
    drafted = drafted.with_name(f"embeddings-00002.{form}")  # the last may lack its table
    stamp = drafted.stat().st_mtime_ns
    embed.main([*words, "--out", str(out)])
    assert (out / drafted.name).stat().st_mtime_ns == stamp  # it was not made again
    embed.main([*words, "--out", str(tmp_path / "fresh")])
    assert content(out) == content(tmp_path / "fresh")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "tools.embed", *words, "--out", str(tmp_path / "two")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "two") == content(out)


def test_one_shard_at_a_time_is_held(photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = sharding.np.empty
    monkeypatch.setattr(sharding.np, "empty", lambda shape, *more: sizes.append(shape[0]) or real(shape, *more))
    run(photo_tree, tmp_path / "out", "npy", "--split", "train")
    assert max(sizes) == 5 and len(read_embeddings(tmp_path / "out").keys) == 24


@pytest.mark.parametrize("form", FORMS)
def test_index_is_built_of_shards_and_follows_them(
    form: str, photo_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(photo_tree, out, form)
    kinds = ["--index", "flat", "ivf", "hnsw"]
    index.main([str(out), *kinds])
    assert "12 embeddings of 512, 12 of them queries" in capsys.readouterr().out
    upset(photo_tree)
    run(photo_tree, out, form)
    index.main([str(out), *kinds, "--anew"])
    run(photo_tree, tmp_path / "fresh", form)
    index.main([str(tmp_path / "fresh"), *kinds])
    for kind in ("flat", "ivf", "hnsw"):
        name = f"index-{kind}.faiss"
        assert (out / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    own = sorted((photo_tree / "test").glob("*/*.jpg"))[7]
    search.main([str(photo_tree), "--image", str(own), "--index", str(out / "index-hnsw.faiss"), "--top", "3",
                 "--results-dir", str(tmp_path / "found"), *SMALL])
    with open(tmp_path / "found" / "search.csv", newline="") as file:
        best = next(csv.DictReader(file))
    vectors = read_embeddings(out).vectors[:]
    exact = vectors @ vectors[read_embeddings(out).keys.index(own.relative_to(photo_tree).as_posix())]
    assert float(best["score"]) == pytest.approx(np.sort(exact)[-2], abs=1e-4)  # itself is left out


def test_without_pyarrow_one_message_says_what_to_install(
    photo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.requirements.find_installed", lambda name: None)
    with pytest.raises(ConfigError, match='pip install "pyarrow"'):
        run(photo_tree, tmp_path / "out", "parquet")
    run(photo_tree, tmp_path / "out", "npy")


def test_rows_that_a_kill_left_without_their_table_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "photos/test/c"
    place.mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (64, 48), (20 * number, 9, 90)).save(place / f"{number:02d}.jpg")
    run(tmp_path / "photos", tmp_path / "out", "npy")
    whole = read_embeddings(tmp_path / "out").vectors[:]
    Image.new("RGB", (64, 48), (9, 200, 90)).save(place / "!first.jpg")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("evaluation.features.forms.open_table", lambda path: (_ for _ in ()).throw(KeyboardInterrupt()))
        run(tmp_path / "photos", tmp_path / "out", "npy")
    assert (tmp_path / "out/pieces/embeddings-00000.npy").is_file()
    (place / "!first.jpg").unlink()
    Image.new("RGB", (64, 48), (200, 90, 9)).save(place / "zz.jpg")
    run(tmp_path / "photos", tmp_path / "out", "npy")
    assert np.array_equal(read_embeddings(tmp_path / "out").vectors[:][:12], whole)
