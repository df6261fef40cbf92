"""The cache: a row belongs to what a picture is made of, whatever it is called and whoever computed it, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from extracting import VIEW, make_network
from PIL import Image
from torch import Tensor

from datasets import view_set
from datasets.crops import Box, Crops
from datasets.images import ImageSet, scan
from datasets.layouts.listing import Sample
from datasets.views.recipes import View
from evaluation.features import cache as cache_module
from evaluation.features import compute, shards
from evaluation.features.extract import Features, extract
from runtime.errors import DataError

SCRIPT = Path(__file__).with_name("extracting.py")
CROPPED = View("crop", "eval", 32)
network = make_network()


def answer(pixels: Tensor) -> dict[str, Tensor]:
    rows = network(pixels.float() / 255)
    return {"backbone": rows, "head": rows[:, :99] * 2}


class Desk:
    """Asks for features, with a cache unless told otherwise, and knows which files were decoded for them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.decoded = folder, []

    def ask(self, images: ImageSet, view: View = VIEW, **more: object) -> Features:
        self.decoded.clear()
        return extract(answer, images, view, **{"batch_size": 4, "caches": [self.folder], "cache_key": "x", **more})

    def ask_afresh(self, images: ImageSet, view: View = VIEW, **more: object) -> Features:
        """The same from an empty cache."""
        with_cache = self.ask(images, view, **{"caches": [self.folder.with_name(f"fresh{len(os.listdir(self.folder.parent))}")],
                                               **more})
        assert self.decoded and not with_cache.cached
        return with_cache


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk, real = Desk(tmp_path / "cache"), view_set.load_photo
    monkeypatch.setattr(view_set, "load_photo", lambda path, *more: desk.decoded.append(path) or real(path, *more))
    yield desk


@pytest.fixture
def train(photo_tree: Path) -> ImageSet:
    return scan(photo_tree, "train")


def assert_same_bits(one: Features, other: Features) -> None:
    assert one.keys == other.keys and one.tensors.keys() == other.tensors.keys()
    for name, rows in one.tensors.items():
        assert torch.equal(rows, other.tensors[name]), name


def rename(sample: Sample, name: str) -> Sample:
    place = sample.path.with_name(name)
    return replace(sample, path=sample.path.rename(place), key=f"{Path(sample.key).parent}/{name}")


def test_a_moved_renamed_copied_or_touched_file_is_recognised(desk: Desk, train: ImageSet, tmp_path: Path) -> None:
    before = desk.ask(train)
    assert len(desk.decoded) == 24 and not before.cached
    one, two, three, *others = train.samples
    moved = Path(shutil.move(two.path, tmp_path / "elsewhere.jpg"))
    copy = Path(shutil.copy(three.path, tmp_path / "copy.jpg"))
    os.utime(others[0].path, ns=(1, 1))
    samples = (rename(one, "zz.jpg"), Sample(moved, "elsewhere.jpg", 0), three, *others, Sample(copy, "copy.jpg", 1))
    after = desk.ask(replace(train, samples=samples))
    assert after.cached and not desk.decoded
    assert after.images_per_second == pytest.approx(before.images_per_second, rel=1e-9)
    for name, rows in after.tensors.items():
        assert torch.equal(rows, torch.cat([before.tensors[name], before.tensors[name][2:3]]))
    assert after.labels.tolist() == [sample.label for sample in samples]


def test_only_pictures_whose_content_is_new_are_computed(desk: Desk, train: ImageSet) -> None:
    before = desk.ask(train)
    changed, replaced = train.samples[3].path, train.samples[7].path
    status = changed.stat()
    picture = Image.open(changed).convert("RGB")
    picture.putpixel((30, 20), (255, 255, 255))
    picture.save(changed, format="PNG")
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    Image.new("RGB", (64, 48), (9, 90, 200)).save(replaced, quality=92)
    after = desk.ask(train)
    assert sorted(desk.decoded) == sorted([changed, replaced]) and not after.cached
    assert_same_bits(after, desk.ask_afresh(train))
    differs = (after.tensors["backbone"] != before.tensors["backbone"]).any(dim=1)
    assert differs.nonzero().flatten().tolist() == [3, 7]


def test_lists_that_overlap_share_rows_and_the_neighbours_change_no_bit(
    desk: Desk, train: ImageSet, photo_tree: Path
) -> None:
    test = scan(photo_tree, "test")
    both = replace(train, samples=(*test.samples[:5], *train.samples[::-1], *test.samples[5:]))
    desk.ask(replace(train, samples=train.samples[:1]))  # alone in its batch
    desk.ask(replace(train, samples=train.samples[:6]))
    assert desk.decoded == [sample.path for sample in train.samples[1:6]]
    desk.ask(train, batch_size=4)
    assert desk.decoded == [sample.path for sample in train.samples[6:]]
    found = desk.ask(both)
    assert desk.decoded == [sample.path for sample in test.samples]
    assert_same_bits(found, desk.ask_afresh(both))


def test_pictures_of_one_content_are_computed_once(desk: Desk, train: ImageSet) -> None:
    shutil.copy(train.samples[0].path, train.samples[5].path)
    shutil.copy(train.samples[0].path, train.samples[23].path)
    found = desk.ask(train)
    assert len(desk.decoded) == 22 and torch.equal(found.tensors["head"][[0, 0]], found.tensors["head"][[5, 23]])
    assert_same_bits(found, desk.ask(train))


def test_boxes_and_mirrored_crops_are_contents(desk: Desk, train: ImageSet, tmp_path: Path) -> None:
    boxes = {sample.key: Box(16.0, 12.0, 48.0, 36.0) for sample in train.samples}
    desk.ask(train)
    whole = desk.ask(train, CROPPED, crops=Crops(tmp_path, boxes))
    assert len(desk.decoded) == 24
    moved = boxes | {train.samples[3].key: Box(0.0, 0.0, 20.0, 20.0)}
    found = desk.ask(train, CROPPED, crops=Crops(tmp_path, moved))
    assert desk.decoded == [train.samples[3].path]
    assert_same_bits(found, desk.ask_afresh(train, CROPPED, crops=Crops(tmp_path, moved)))
    desk.ask(train, CROPPED, crops=Crops(tmp_path, boxes))
    assert not desk.decoded and not torch.equal(found.tensors["head"], whole.tensors["head"])
    files = Crops(tmp_path / "crops", None)
    shutil.copytree(train.root, files.root)
    assert desk.ask(train, CROPPED, crops=files).cached is False
    shutil.copy(files.root / train.samples[1].key, files.root / train.samples[0].key)
    again = desk.ask(train, CROPPED, crops=files)
    assert again.cached and torch.equal(again.tensors["head"][0], again.tensors["head"][1])


def test_a_row_that_depends_on_the_label_is_kept_by_label(desk: Desk, train: ImageSet) -> None:
    def by_label(pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"backbone": answer(pixels)["backbone"] + 10 * labels[:, None]}

    def ask(images: ImageSet) -> Features:
        desk.decoded.clear()
        return extract(by_label, images, VIEW, labelled=True, batch_size=4, caches=[desk.folder], cache_key="x")

    plain, told = desk.ask(train), ask(train)
    assert len(desk.decoded) == 24
    assert torch.equal(told.tensors["backbone"], plain.tensors["backbone"] + 10 * train.labels[:, None])
    samples = (replace(train.samples[0], label=2), *train.samples[1:])
    other = ask(replace(train, samples=samples))
    assert desk.decoded == [train.samples[0].path]
    assert torch.equal(other.tensors["backbone"][0], plain.tensors["backbone"][0] + 20)
    assert ask(train).cached and ask(replace(train, samples=samples)).cached


def test_a_random_view_is_met_again_as_the_same_draw_only(desk: Desk, train: ImageSet) -> None:
    view = View("full", "probe", 32)
    first = desk.ask(train, view, seed=1, epoch=2)
    assert_same_bits(first, desk.ask(train, view, seed=1, epoch=2))
    assert not desk.decoded and not desk.ask(train, view, seed=1, epoch=3).cached
    turned = replace(train, samples=train.samples[::-1])
    assert_same_bits(desk.ask(turned, view, seed=1, epoch=2), desk.ask_afresh(turned, view, seed=1, epoch=2))


def test_rows_of_pictures_that_change_meanwhile_are_not_kept(desk: Desk, train: ImageSet) -> None:
    path, content = train.samples[5].path, train.samples[20].path.read_bytes()

    def disturb(pixels: Tensor) -> dict[str, Tensor]:
        path.write_bytes(content)
        return answer(pixels)

    extract(disturb, train, VIEW, batch_size=24, caches=[desk.folder], cache_key="x")
    found = desk.ask(train)
    assert not desk.decoded  # it has the content of another by now
    assert_same_bits(found, desk.ask_afresh(train, batch_size=24))


def test_an_extraction_that_stops_goes_on_where_it_was(
    desk: Desk, train: ImageSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compute, "SAVED_MOST", 8)
    calls = []

    def stop(pixels: Tensor) -> dict[str, Tensor]:
        calls.append(len(pixels))
        if len(calls) == 5:  # one batch, two batches, and the second of the third piece
            raise KeyboardInterrupt
        return answer(pixels)

    with pytest.raises(KeyboardInterrupt):
        extract(stop, train, VIEW, batch_size=4, caches=[desk.folder], cache_key="x")
    capsys.readouterr()
    found = desk.ask(train)
    assert desk.decoded == [sample.path for sample in train.samples[12:]]
    assert "50%|" in capsys.readouterr().err and not found.cached
    assert_same_bits(found, desk.ask_afresh(train))


def test_a_damaged_file_is_noted_and_its_rows_are_computed_anew(
    desk: Desk, train: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    for start in (0, 8, 16):
        desk.ask(replace(train, samples=train.samples[start : start + 8]))
    paths = sorted(desk.folder.rglob("shard-*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    assert len(paths) == 6  # the first batch of each, and the others
    content = bytearray(paths[3].read_bytes())
    content[-3] ^= 0x40  # one bit of a row
    paths[3].write_bytes(content)
    paths[4].write_bytes(b"")
    found = desk.ask(train)
    told = capsys.readouterr().err
    assert f"{paths[3]} is damaged (its content is not what was written)" in told and f"{paths[4]} is damaged" in told
    assert desk.decoded == [sample.path for sample in train.samples[12:20]]
    assert_same_bits(found, desk.ask_afresh(train))
    assert desk.ask(train).cached and "damaged" not in capsys.readouterr().err


def test_a_full_disk_costs_the_cache_only(
    desk: Desk, train: ImageSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "append_rows", refuse)
        patch.setattr(compute, "SAVED_MOST", 4)
        found = desk.ask(train)
    assert capsys.readouterr().err.count("not kept for next time: no space left") == 1
    assert_same_bits(found, desk.ask_afresh(train))
    assert not desk.ask(train).cached


def test_several_caches_are_given_what_any_of_them_has(desk: Desk, train: ImageSet, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    half, rest = (replace(train, samples=part) for part in (train.samples[:12], train.samples[12:20]))
    desk.ask(half, caches=[own])
    desk.ask(rest, caches=[other])
    found = desk.ask(train, caches=(own, other))
    assert desk.decoded == [sample.path for sample in train.samples[20:]]
    for folder in (own, other):
        alone = desk.ask(train, caches=[folder])
        assert alone.cached and not desk.decoded
        assert_same_bits(alone, found)
    assert_same_bits(found, desk.ask_afresh(train))


def test_a_picture_that_is_missing_is_named_before_anything_is_computed(desk: Desk, train: ImageSet) -> None:
    train.samples[4].path.unlink()
    with pytest.raises(DataError, match=f"pictures cannot be read: .*{train.samples[4].path.name}"):
        desk.ask(train)
    assert not desk.decoded


def test_outputs_of_another_shape_under_the_same_key_are_refused(desk: Desk, train: ImageSet) -> None:
    desk.ask(replace(train, samples=train.samples[:4]))
    with pytest.raises(RuntimeError, match="cannot stand with earlier ones .* delete it"):
        extract(lambda pixels: {"head": pixels.float().mean(dim=(2, 3))}, train, VIEW, batch_size=4,
                caches=[desk.folder], cache_key="x")


def start(*words: object, **place: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(SCRIPT), *map(str, words)],
                            env=os.environ | {"OMP_NUM_THREADS": "1"} | place, stderr=subprocess.PIPE)


@pytest.fixture
def finish() -> Iterator[Callable[..., list[int]]]:
    """finish(*processes): their exit codes; none outlives the test."""
    seen: list[subprocess.Popen] = []

    def finish(*processes: subprocess.Popen) -> list[int]:
        seen.extend(processes)
        for process in processes:
            process.communicate(timeout=300)
        return [process.returncode for process in processes]

    yield finish
    for process in seen:
        process.kill()


@pytest.mark.slow
def test_a_killed_process_and_two_at_once_lose_nothing(
    desk: Desk, train: ImageSet, photo_tree: Path, tmp_path: Path, finish: Callable[..., list[int]]
) -> None:
    cache, result = tmp_path / "cache", tmp_path / "result"
    assert finish(start(photo_tree, "train", cache, result, "3")) == [-signal.SIGKILL]
    assert finish(*(start(photo_tree, split, cache, f"{result}-{split}") for split in ("train", "test"))) == [0, 0]
    train_told, test_told = (torch.load(f"{result}-{split}.0") for split in ("train", "test"))
    assert train_told["calls"] == test_told["calls"] == 3  # three of the six batches of train were kept
    fresh = desk.ask_afresh(train)
    assert torch.equal(train_told["rows"], fresh.tensors["backbone"])
    assert finish(*(start(photo_tree, "train", cache, f"{result}-{number}") for number in range(2))) == [0, 0]
    for number in range(2):
        again = torch.load(f"{result}-{number}.0")
        assert again["cached"] and torch.equal(again["rows"], train_told["rows"])


@pytest.mark.slow
def test_two_ranks_share_what_is_missing_and_both_get_everything(
    train: ImageSet, photo_tree: Path, tmp_path: Path, desk: Desk, finish: Callable[..., list[int]]
) -> None:
    def run(cache: Path | str, result: str) -> list[dict]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
        assert finish(*(start(photo_tree, "train", cache, tmp_path / result, RANK=str(n), **place) for n in range(2))) == [0, 0]
        return [torch.load(tmp_path / f"{result}.{n}") for n in range(2)]

    fresh = desk.ask_afresh(train).tensors["backbone"]
    half = tmp_path / "half"
    first = run(half, "first")
    assert [one["calls"] for one in first] == [3, 3] and all(torch.equal(one["rows"], fresh) for one in first)
    train.samples[2].path.write_bytes(train.samples[2].path.read_bytes() + b"\n")
    second, third = run(half, "second"), run(half, "third")
    assert [one["calls"] for one in second] == [1, 0] and [one["calls"] for one in third] == [0, 0]
    assert all(torch.equal(one["rows"], fresh) for one in (*second, *third))
    assert third[0]["cached"] and third[1]["cached"]
    assert all(torch.allclose(one["rows"], fresh, atol=1e-5) for one in run("none", "plain"))


def make_rows(numbers: list[int], seconds: float = 0.5) -> shards.Rows:
    keys = [number.to_bytes(32, "little") for number in numbers]
    return shards.Rows(keys, {"head": torch.tensor(numbers).float()[:, None] * torch.ones(3)}, seconds)


def test_small_files_are_merged_and_none_of_their_rows_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(shards.MOST_SMALL):
        shards.append_rows(tmp_path, make_rows([number, number + 1], seconds=1 + number))
    shards.merge_shards(tmp_path)
    assert len(shards.list_shards(tmp_path)) == shards.MOST_SMALL
    shards.append_rows(tmp_path, make_rows([100]))
    shards.append_rows(tmp_path, shards.Rows([bytes(32)], {"other": torch.zeros(1, 2)}, 1.0))
    shards.merge_shards(tmp_path)
    assert len(shards.list_shards(tmp_path)) == 2  # that of other outputs stays
    wanted = {number.to_bytes(32, "little") for number in (1, 4, 8, 100)}
    (found,) = shards.read_kept_rows(tmp_path, wanted)
    assert set(found.keys) == wanted and len(found.keys) == 4
    assert [int.from_bytes(key, "little") for key in found.keys] == found.tensors["head"][:, 2].tolist()
    monkeypatch.setattr(shards, "SMALL", 1)
    shards.append_rows(tmp_path, make_rows([200]))
    before = shards.list_shards(tmp_path)
    monkeypatch.setattr(shards, "MOST_SMALL", 0)
    shards.merge_shards(tmp_path)
    assert shards.list_shards(tmp_path) == before  # large ones are left alone


def test_writers_and_mergers_at_once_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_SMALL", 2)

    def write(start: int) -> None:
        for number in range(start, start + 60, 3):
            shards.append_rows(tmp_path, make_rows([number, number + 1, number + 2]))
            shards.merge_shards(tmp_path)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (0, 30, 100)))  # the first two write some of the same
    wanted = {number.to_bytes(32, "little") for number in (*range(90), *range(100, 160))}
    found = list(shards.read_kept_rows(tmp_path, wanted))
    assert {key for rows in found for key in rows.keys} == wanted
    for rows in found:
        assert [int.from_bytes(key, "little") for key in rows.keys] == rows.tensors["head"][:, 1].tolist()


def test_a_file_that_another_process_merges_while_it_is_listed_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [shards.append_rows(tmp_path, make_rows([number])) for number in range(3)]
    monkeypatch.setattr(shards, "MOST_SMALL", 0)
    real, merged = shards.list_shards, []

    def list_then_merge(folder: Path) -> list[Path]:
        found = real(folder)
        if not merged:
            merged.append(True)
            shards.merge_shards(folder)
            assert not any(path.exists() for path in paths)
        return found

    monkeypatch.setattr(shards, "list_shards", list_then_merge)
    wanted = {number.to_bytes(32, "little") for number in range(3)}
    found = list(shards.read_kept_rows(tmp_path, wanted))
    assert {key for rows in found for key in rows.keys} == wanted and shards.list_kept_keys(tmp_path) == wanted
