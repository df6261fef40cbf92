"""Maps kept on disk: the same boxes, fewer passes, nothing left behind, no run lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest
import torch

import DDT.descriptors as descriptors
from datasets.layouts.listing import Sample
from DDT.__main__ import main
from DDT.descriptors import MapBatch, Samples
from DDT.directions.principal import Moments, project
from DDT.localize import Frame
from DDT.scratch import Scratch
from runtime.errors import ConfigError

Words = Callable[..., list[str]]
BATCHES = [tuple(Sample(Path(name), name, None) for name in names) for names in ("ab", "cd", "e")]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each forward pass of a run took."""
    counts, read_maps = [], descriptors.read_maps

    def count(backbone, pixels, reading):  # noqa: ANN001, ANN202
        counts.append(len(pixels))
        return read_maps(backbone, pixels, reading)

    monkeypatch.setattr(descriptors, "read_maps", count)
    return counts


def read_boxes(folder: Path) -> bytes:
    return (folder / "bird_crop/boxes.csv").read_bytes() + (folder / "bird_crop/cuts.csv").read_bytes()


def compute(batches: Sequence[Samples]) -> Iterator[MapBatch]:
    """Maps that depend on nothing but the keys, in the layout of `channels_last` networks."""
    for batch in batches:
        keys = tuple(sample.key for sample in batch)
        generator = torch.Generator().manual_seed(ord(keys[0]))
        maps = torch.randn(len(keys), 5, 3, 2, generator=generator).to(memory_format=torch.channels_last)
        yield MapBatch(keys, maps, [Frame(10, 20)] * len(keys))


def refuse(batches: Sequence[Samples]) -> Iterator[MapBatch]:
    raise AssertionError(f"computed again: {batches}")
    yield


class FailingFile:
    """A file whose second write or read fails, or gives back one wrong bit."""

    def __init__(self, file: IO[bytes], trouble: str) -> None:
        self.file, self.trouble, self.calls = file, trouble, 0

    def write(self, content: memoryview) -> int:
        return self.try_it("write", content)

    def readinto(self, content: memoryview) -> int:
        return self.try_it("read", content)

    def try_it(self, what: str, content: memoryview) -> int:
        concerned = self.trouble == what or (self.trouble, what) == ("other bytes", "read")
        self.calls += concerned
        if concerned and self.calls == 2 and self.trouble != "other bytes":
            raise OSError(28, "No space left on device")
        done = self.file.write(content) if what == "write" else self.file.readinto(content)
        if concerned and self.calls == 2:
            content[0] ^= 1
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def equal(found: list[MapBatch], expected: list[MapBatch]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(a.keys == b.keys and a.frames == b.frames and torch.equal(a.maps, b.maps) for a, b in pairs)


def test_every_image_goes_through_the_network_once(tmp_path: Path, words: Words, passes: list[int]) -> None:
    main(words(tmp_path / "kept", "--no-crops", "--batch-size", 5))
    assert sum(passes) == 36
    main(words(tmp_path / "twice", "--no-crops", "--batch-size", 5, "--scratch", 0))
    assert sum(passes) == 36 + 24 + 24 + 36, "once for the features, once for the groups, once for the boxes"
    passes.clear()
    main(words(tmp_path / "one", "--no-crops", "--batch-size", 5, "--scratch", 0, "--directions", 1))
    assert sum(passes) == 24 + 36
    assert read_boxes(tmp_path / "kept") == read_boxes(tmp_path / "twice")
    names = ("boxes.csv", "boxes.png", "cuts.csv", "ddt.json", "fit.npz")
    assert tuple(sorted(path.name for path in (tmp_path / "kept/bird_crop").iterdir())) == names


def test_groups_are_the_same_without_scratch(tmp_path: Path, words: Words) -> None:
    given = ("--no-crops", "--directions", 2)
    main(words(tmp_path / "kept", *given))
    main(words(tmp_path / "computed", *given, "--scratch", 0))
    for name in ("boxes.csv", "cuts.csv"):
        kept, computed = ((tmp_path / folder / "bird_crop" / name).read_bytes() for folder in ("kept", "computed"))
        assert kept == computed
    assert {line.split(",")[6] for line in kept.decode().splitlines()[1:]} == {"1", "2"}


def test_a_flat_folder_is_read_once(photo_tree: Path, tmp_path: Path, words: Words, passes: list[int]) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photo_tree.rglob("*.jpg"):
        path.rename(flat / f"{path.parent.parent.name}_{path.name}")
    main(words(tmp_path / "out", "--no-crops", "--root", flat))
    assert sum(passes) == len(list(flat.iterdir())) == 36


def test_a_small_limit_keeps_what_fits(
    tmp_path: Path, words: Words, passes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    main(words(tmp_path / "twice", "--no-crops", "--scratch", 0))
    passes.clear()
    main(words(tmp_path / "some", "--no-crops", "--scratch", 0.0001))  # 3 batches of 4 maps of 8 KiB
    assert sum(passes) == 24 + (24 - 12) + (36 - 12)
    assert "hold the maps of 12 images" in capsys.readouterr().out
    assert read_boxes(tmp_path / "some") == read_boxes(tmp_path / "twice")


@pytest.mark.parametrize("trouble", ["open", "write", "read", "other bytes"])
def test_a_failing_disk_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    make_file, computed = tempfile.TemporaryFile, []

    def fail(**options: object) -> FailingFile:
        if trouble == "open":
            raise OSError(30, "Read-only file system")
        return FailingFile(make_file(**options), trouble)

    def count(batches: Sequence[Samples]) -> Iterator[MapBatch]:
        for batch in compute(batches):
            computed.append(batch.keys)
            yield batch

    monkeypatch.setattr("DDT.scratch.tempfile.TemporaryFile", fail)
    with Scratch(tmp_path, 1e6) as scratch:
        assert equal(list(scratch.record(compute(BATCHES[:2]))), list(compute(BATCHES[:2])))
        assert equal(list(scratch.recall(BATCHES, count)), list(compute(BATCHES)))
        assert scratch.file is None and not scratch.places
    assert capsys.readouterr().out.count("scratch: ") == 1
    again = {"open": ["ab"], "write": ["ab"], "read": [], "other bytes": []}[trouble]
    assert ["".join(keys) for keys in computed] == [*again, "cd", "e"]


def test_nothing_is_seen_of_it_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Scratch(tmp_path, 1e6) as scratch:
        for _ in scratch.record(compute(BATCHES)):
            assert not list(tmp_path.iterdir())
        file = scratch.file
        raise KeyboardInterrupt
    assert file.closed and not scratch.places and not list(tmp_path.iterdir())


def test_the_same_maps_come_back(tmp_path: Path) -> None:
    expected = list(compute(BATCHES))
    with Scratch(tmp_path, 1e6) as scratch:
        assert equal(list(scratch.record(compute(BATCHES))), expected)
        assert equal(list(scratch.recall(BATCHES, refuse)), expected)
        # Another slicing of the same images may give other last bits: it is computed.
        other = [BATCHES[1], BATCHES[0][:1], BATCHES[0][1:], BATCHES[2]]
        assert equal(list(scratch.recall(other, compute)), list(compute(other)))
    assert equal(list(scratch.recall(BATCHES, compute)), expected)


@pytest.mark.parametrize("shape", [(3, 40, 4, 4), (1, 40, 4, 4), (3, 40, 1, 1), (1, 40, 1, 1), (2, 1, 3, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_indicators_do_not_depend_on_the_layout(
    tmp_path: Path, shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
    samples = tuple(Sample(Path(str(number)), str(number), None) for number in range(len(maps)))
    batch = MapBatch(tuple(sample.key for sample in samples), maps, [Frame(9, 9)] * len(maps))
    moments = Moments()
    moments.update(torch.randn(50, *shape[1:], generator=torch.Generator().manual_seed(1)))
    direction = moments.direction()
    with Scratch(tmp_path, 1e6) as scratch:
        list(scratch.record([batch]))
        (found,) = scratch.recall([samples], refuse)
    assert torch.equal(project(found.maps, direction), project(maps, direction))


@pytest.mark.parametrize("word", ["-1", "nan"])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, words: Words, word: str) -> None:
    with pytest.raises(ConfigError, match=f"--scratch is {word}"):
        main(words(tmp_path, "--scratch", word))
