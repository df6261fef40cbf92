"""The log of single images: what is written is read, a kill leaves it readable, a continued run cuts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.image_log import NAME, ImageLog, read_image_log
from runtime.errors import ConfigError


def log_epoch(log: ImageLog, step: int, epoch: int, order: list[int], entropy: float) -> None:
    """Two steps over the images in this order; an image's number is its own, its id is ten times it."""
    for part in (order[: len(order) // 2], order[len(order) // 2:]):
        index = torch.tensor(part)
        log.add(step, epoch, index, {"entropy": index / 8 + entropy, "teacher": 10 * index})
        step += 1


def test_what_is_written_is_read_by_epoch_and_image(tmp_path: Path) -> None:
    log = ImageLog(tmp_path)
    log_epoch(log, 0, 0, [3, 1, 0, 2], 0.0)
    assert not log.path.exists(), "rows wait for a checkpoint"
    log.write()
    log_epoch(log, 2, 1, [2, 0], 0.5)
    log.write()
    found = read_image_log(log.path, 5)
    assert found.epochs == [0, 1]
    nan = np.nan
    expected = np.array([[0, 0.125, 0.25, 0.375, nan], [0.5, nan, 0.75, nan, nan]], np.float32)
    np.testing.assert_array_equal(found.columns["entropy"], expected)
    np.testing.assert_array_equal(found.columns["teacher"][0], [0, 10, 20, 30, nan])
    size = log.path.stat().st_size - log.path.read_bytes().index(b"\n") - 1
    assert size == 6 * 16, "step, epoch, image, a float16 and an id: 16 bytes an image and epoch"


def test_an_image_that_comes_twice_in_an_epoch_has_the_mean(tmp_path: Path) -> None:
    log = ImageLog(tmp_path)
    log.add(0, 0, torch.tensor([0, 0]), {"entropy": torch.tensor([0.25, 0.75])})
    log.write()
    assert read_image_log(log.path, 1).columns["entropy"].tolist() == [[0.5]]


def test_a_killed_run_is_readable_and_goes_on_at_its_checkpoint(tmp_path: Path) -> None:
    log = ImageLog(tmp_path)
    log_epoch(log, 0, 0, [0, 1], 0.0)
    log.write()
    saved = log.path.read_bytes()
    log_epoch(log, 2, 1, [1, 0], 0.25)
    log.write()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-5])  # the kill came within a record
    assert np.isnan(read_image_log(log.path, 2).columns["entropy"][1]).sum() == 1
    ImageLog(tmp_path).start(2)
    assert log.path.read_bytes() == saved
    again = ImageLog(tmp_path)
    log_epoch(again, 2, 1, [1, 0], 0.25)
    again.write()
    assert log.path.read_bytes() == whole
    ImageLog(tmp_path).start(0)
    assert log.path.read_bytes() == b"", "a new run begins a new log"


def test_columns_of_another_release_are_moved_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = ImageLog(tmp_path)
    log_epoch(log, 0, 0, [0, 1], 0.0)
    log.write()
    before = log.path.read_bytes()
    other = ImageLog(tmp_path)
    other.start(2)
    other.add(2, 1, torch.tensor([0]), {"gate": torch.tensor([0.5])})
    other.write()
    assert (tmp_path / f"earlier.{NAME}").read_bytes() == before and "other columns" in capsys.readouterr().err
    assert read_image_log(log.path, 1).columns["gate"].tolist() == [[0.5]]


@pytest.mark.parametrize(("content", "said"), [
    (None, "Train again"), (b"\x93NUMPY rubbish", "no log of images"), (b'{"format": "other"}\n', "no log of images")])
def test_what_is_no_log_is_refused_with_a_way_out(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / NAME
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_image_log(path, 3)


def test_a_log_of_more_images_than_there_are_is_refused(tmp_path: Path) -> None:
    log = ImageLog(tmp_path)
    log_epoch(log, 0, 0, [0, 7], 0.0)
    log.write()
    with pytest.raises(ConfigError, match="knows 8 images, but the data set has 3"):
        read_image_log(log.path, 3)


def test_the_main_process_writes_the_rows_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = [ImageLog(tmp_path), ImageLog(tmp_path)]
    for rank, log in enumerate(ranks):
        log.add(0, 0, torch.tensor([rank]), {"entropy": torch.tensor([rank / 2])})
        log.read()
    shares = [b"".join(records.tobytes() for records in log.waiting) for log in ranks]
    monkeypatch.setattr("runtime.distributed.gather_objects", lambda own: shares)
    monkeypatch.setattr("runtime.distributed.is_main", lambda: False)
    ranks[1].write()
    assert not ranks[1].path.exists() and not ranks[1].waiting
    monkeypatch.setattr("runtime.distributed.is_main", lambda: True)
    ranks[0].write()
    assert read_image_log(ranks[0].path, 2).columns["entropy"].tolist() == [[0, 0.5]]
