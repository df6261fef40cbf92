"""boxes.csv: one row an image, appended batch by batch, whole after any interruption.

`cuts.csv` beside it has the same form and keeps what boxes.csv has no column for: the cut boxes, empty masks, and the
group of images whose direction found the object.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.crops import Box
from DDT.directions.grouped import ONLY_GROUP, Membership
from DDT.localize import Frame
from runtime.files import write_text
from runtime.lines import append_line
from runtime.names.spelling import spell, unspell

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("path", *CORNERS, *(f"tight_{corner}" for corner in CORNERS), "cut_rate", "width", "height")
CUT_COLUMNS = ("path", *CORNERS, "empty", "group", "margin")
EARLIER_CUT_COLUMNS = CUT_COLUMNS[:-2]  # of releases with one direction for all


@dataclass(frozen=True)
class BoxRow:
    """What is known about one image, in pixels of the original.

    crop: the policy's training crop. tight: the mask's box. cut: the box of the cut rate.
    frame: the image's size, with rows dropped at the bottom. empty: the mask was empty, the boxes are a fallback.
    member: the group of images that it is in.
    """

    path: str
    crop: Box
    tight: Box
    cut: Box
    rate: float
    frame: Frame
    empty: bool = False
    member: Membership = ONLY_GROUP

    def cells(self) -> list[str]:
        """The row of boxes.csv."""
        sizes = [f"{self.rate:g}", str(self.frame.width), str(self.frame.height)]
        return [spell(self.path), *write_corners(self.crop), *write_corners(self.tight), *sizes]

    def cut_cells(self) -> list[str]:
        """The row of cuts.csv; groups are counted from 1 there."""
        member = [str(self.member.group + 1), f"{self.member.margin:.3f}"]
        return [spell(self.path), *write_corners(self.cut), str(int(self.empty)), *member]


def write_corners(box: Box) -> list[str]:
    """Four numbers, to a hundredth of a pixel."""
    return [str(round(float(value), 2)) for value in (box.x1, box.y1, box.x2, box.y2)]


def parse_box_row(cells: Sequence[str], cut_cells: Sequence[str]) -> BoxRow:
    """The row that both lines describe; ValueError when they are not whole or not of one image."""
    lengths = (len(CUT_COLUMNS), len(EARLIER_CUT_COLUMNS))
    if len(cells) != len(COLUMNS) or len(cut_cells) not in lengths or cells[0] != cut_cells[0]:
        raise ValueError(f"not a whole row: {cells}, {cut_cells}")
    numbers = [float(cell) for cell in cells[1:]]
    crop, tight, (rate, width, height) = Box(*numbers[:4]), Box(*numbers[4:8]), numbers[8:]
    cut = Box(*(float(cell) for cell in cut_cells[1:5]))
    frame, empty = Frame(int(width), int(height)), bool(int(cut_cells[5]))
    member = Membership(int(cut_cells[6]) - 1, float(cut_cells[7])) if cut_cells[6:] else ONLY_GROUP
    return BoxRow(unspell(cells[0]), crop, tight, cut, rate, frame, empty, member)


def format_lines(lines: Sequence[Sequence[str]]) -> str:
    """CSV text of rows of cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def read_cells(path: Path) -> list[list[str]]:
    """Rows of cells that end with a line break, without the header; nothing when the file is missing."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return list(csv.reader(io.StringIO(whole.decode("utf-8", errors="replace"), newline="")))[1:]


class RowLog:
    """The pair boxes.csv and cuts.csv of one folder, growing in the order of the images."""

    def __init__(self, folder: Path) -> None:
        self.boxes, self.cuts = folder / "boxes.csv", folder / "cuts.csv"

    def recover(self, keys: Sequence[str]) -> list[BoxRow]:
        """The finished rows: as many whole lines of both files as name the images `keys` in order; drop the rest."""
        rows = []
        for key, cells, cut_cells in zip(keys, read_cells(self.boxes), read_cells(self.cuts)):
            try:
                row = parse_box_row(cells, cut_cells)
            except ValueError:
                break
            if row.path != key:
                break
            rows.append(row)
        write_text(self.cuts, format_lines([CUT_COLUMNS, *(row.cut_cells() for row in rows)]))
        write_text(self.boxes, format_lines([COLUMNS, *(row.cells() for row in rows)]))
        return rows

    def add(self, rows: Sequence[BoxRow]) -> None:
        """Append finished images; boxes.csv comes last, since its lines mean that everything else is there."""
        if rows:
            append_line(self.cuts, format_lines([row.cut_cells() for row in rows]).removesuffix("\n"))
            append_line(self.boxes, format_lines([row.cells() for row in rows]).removesuffix("\n"))
