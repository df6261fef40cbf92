"""boxes.csv: what is written is read back, and what was cut short is dropped."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from datasets.crops import Box, read_boxes
from DDT.boxes import COLUMNS, BoxRow, RowLog
from DDT.directions.grouped import ONLY_GROUP, Membership
from DDT.localize import Frame
from runtime.errors import StopTraining

HEADER = "path,x1,y1,x2,y2,tight_x1,tight_y1,tight_x2,tight_y2,cut_rate,width,height"


def make_rows(count: int = 5) -> list[BoxRow]:
    """Rows with awkward names and fractions."""
    names = ["train/a b/ü, \"x\".jpg", "train/c/1.png"] + [f"test/c/{number}.jpg" for number in range(count)]
    boxes = [(Box(n, 2.0, n + 30.0, 40.0), Box(n + 1 / 3, 5, 22, 33.125), Box(n, 5, 22.77, 33)) for n in range(count)]
    return [BoxRow(name, *box, 0.85, Frame(100, 80), name.endswith("png"), Membership(place % 3, place / 8))
            for place, (name, box) in enumerate(zip(names, boxes))]


def test_columns(tmp_path: Path) -> None:
    log = RowLog(tmp_path)
    assert log.recover([]) == []
    assert log.boxes.read_text() == HEADER + "\n" and ",".join(COLUMNS) == HEADER


def test_round_trip(tmp_path: Path) -> None:
    rows, log = make_rows(), RowLog(tmp_path)
    log.recover([row.path for row in rows])
    log.add(rows[:2])
    log.add(rows[2:])
    before = log.boxes.read_bytes(), log.cuts.read_bytes()
    found = log.recover([row.path for row in rows])
    assert [row.path for row in found] == [row.path for row in rows]
    for row, back in zip(rows, found):
        assert (back.crop, back.rate, back.frame, back.empty) == (row.crop, row.rate, row.frame, row.empty)
        assert back.member == row.member
        assert vars(back.tight) == pytest.approx(vars(row.tight), abs=0.0051)
        assert vars(back.cut) == pytest.approx(vars(row.cut), abs=0.0051)
    assert (log.boxes.read_bytes(), log.cuts.read_bytes()) == before
    assert read_boxes(log.boxes) == {row.path: row.crop for row in rows}
    with open(log.boxes, newline="", encoding="utf-8") as file:
        assert [line["path"] for line in csv.DictReader(file)] == [row.path for row in rows]


@pytest.mark.parametrize("lost", [1, 7, 40, 90])
@pytest.mark.parametrize("name", ["boxes.csv", "cuts.csv"])
def test_half_written_lines_are_dropped(tmp_path: Path, lost: int, name: str) -> None:
    rows, log = make_rows(), RowLog(tmp_path)
    keys = [row.path for row in rows]
    log.recover(keys)
    log.add(rows)
    whole = log.boxes.read_bytes(), log.cuts.read_bytes()
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-lost])
    found = log.recover(keys)
    assert 0 < len(found) < len(rows) and [row.path for row in found] == keys[: len(found)]
    log.add(rows[len(found) :])
    assert (log.boxes.read_bytes(), log.cuts.read_bytes()) == whole


def test_rows_of_the_earlier_release_are_continued(tmp_path: Path) -> None:
    rows, log = make_rows(), RowLog(tmp_path)
    keys = [row.path for row in rows]
    log.recover([])
    log.add(rows[:3])
    lines = log.cuts.read_text().splitlines()
    assert lines[0] == "path,x1,y1,x2,y2,empty,group,margin" and lines[3].endswith(",3,0.250")
    log.cuts.write_text("".join(line.rpartition(",")[0].rpartition(",")[0] + "\n" for line in lines))
    found = log.recover(keys)
    assert [row.path for row in found] == keys[:3] and {row.member for row in found} == {ONLY_GROUP}
    log.add(rows[3:])
    assert len(log.recover(keys)) == 5 and log.cuts.read_text().splitlines()[1].endswith(",1,1.000")


def test_rows_of_other_images_are_dropped(tmp_path: Path) -> None:
    rows, log = make_rows(), RowLog(tmp_path)
    log.recover([])
    log.add(rows)
    keys = [row.path for row in rows]
    assert len(log.recover([*keys[:3], "else.jpg"])) == 3
    assert len(log.boxes.read_text().splitlines()) == 4


def test_a_batch_that_the_disk_refuses_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, log = make_rows(), RowLog(tmp_path)
    log.recover([])
    log.add(rows[:2])
    real = os.write

    def fill(handle: int, content: memoryview) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return real(handle, content[:-10])

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(StopTraining, match="No space left"):
        log.add(rows[2:])
    monkeypatch.undo()
    assert len(log.recover([row.path for row in rows])) == 2
