"""per_image.bin: what a run knew of every image in every epoch, such as how sure its teacher was; read by tools.atlas.

A line of JSON names the columns; records of one length follow. Rows wait in memory until a checkpoint is saved, and
those that came after it are cut off when a killed run goes on, so the file always stands where the checkpoint does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime import distributed
from runtime.errors import ConfigError
from runtime.files import write_atomically, write_bytes
from runtime.lines import append_bytes

NAME = "per_image.bin"
FORMAT = "plumage per-image log 1"
PLACE = [["step", "<u4"], ["epoch", "<u2"], ["image", "<u4"]]  # what every record begins with

Records = NDArray[np.void]


class ImageLog:
    """Per-image numbers of the steps since the last save, on every rank; the main process writes those of all."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.head: list[list[str]] = []
        self.unread: list[tuple[Records, list[str], Tensor]] = []
        self.waiting: list[Records] = []

    def start(self, step: int) -> None:
        """Leave what was logged before optimiser step `step`: the rest of a killed run is made anew."""
        if self.path.is_file():
            content = self.path.read_bytes()
            kept = cut_records(content, step)
            if kept != content:
                write_bytes(self.path, kept)

    def add(self, step: int, epoch: int, index: Tensor, numbers: Mapping[str, Tensor]) -> None:
        """Remember numbers [B] of the images `index` [B]: those with a point in float16, counts and ids in 32 bits.

        They stay on their device until `read`.
        """
        if not numbers:
            return
        self.head = self.head or [*PLACE, *([name, choose_kind(values)] for name, values in numbers.items())]
        records = np.empty(len(index), as_type(self.head))
        records["step"], records["epoch"], records["image"] = step, epoch, index.cpu().numpy()
        table = torch.stack([values.detach().float() for values in numbers.values()])
        self.unread.append((records, list(numbers), table))

    def read(self) -> None:
        """Fetch all that was remembered since the last time from the device, in one go."""
        if not self.unread:
            return
        tables = torch.cat([table.flatten() for _, _, table in self.unread]).cpu().numpy()
        for records, names, _ in self.unread:
            table, tables = np.split(tables, [len(names) * len(records)])
            for name, values in zip(names, table.reshape(len(names), -1), strict=True):
                records[name] = values
            self.waiting.append(records)
        self.unread = []

    def write(self) -> None:
        """Append what was remembered since the last time; every rank calls it."""
        self.read()
        if not self.head:
            return
        shares = distributed.gather_objects(b"".join(records.tobytes() for records in self.waiting))
        self.waiting = []
        if distributed.is_main():
            append_records(self.path, encode_head(self.head), b"".join(shares))


def append_records(path: Path, head: bytes, content: bytes) -> None:
    """Add records; a file that another release began with other columns is moved aside, and that is said."""
    if not path.is_file() or not path.stat().st_size:
        return write_bytes(path, head + content)
    with open(path, "rb") as file:
        same = file.read(len(head)) == head
    if same:
        return append_bytes(path, content)
    aside = path.with_name(f"earlier.{path.name}")
    print(f"note: {path} has other columns than this run logs now; it is {aside.name} from here on", file=sys.stderr)
    write_atomically(path, lambda draft: draft.write_bytes(head + content), keep=aside)


def choose_kind(values: Tensor) -> str:
    """NumPy's word for the numbers of a column."""
    return "<f2" if values.is_floating_point() else "<u4"


def as_type(head: list[list[str]]) -> np.dtype[np.void]:
    """The type of a record."""
    return np.dtype([(name, kind) for name, kind in head])


def encode_head(head: list[list[str]]) -> bytes:
    """The file's first line."""
    return json.dumps({"format": FORMAT, "columns": head}).encode() + b"\n"


def split_log(content: bytes) -> tuple[bytes, Records]:
    """First line and whole records of a log; raises ValueError for any other content."""
    line, _, body = content.partition(b"\n")
    told: Any = json.loads(line)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(f"its first line does not say {FORMAT!r}")
    kind = as_type(told["columns"])
    return line + b"\n", np.frombuffer(body, kind, count=len(body) // kind.itemsize)


def cut_records(content: bytes, step: int) -> bytes:
    """What a log held before optimiser step `step`; nothing where there was nothing, or the file is no log."""
    try:
        head, records = split_log(content)
    except (ValueError, KeyError, TypeError):
        return b""
    kept = records[records["step"] < step]
    return head + kept.tobytes() if len(kept) else b""


@dataclass(frozen=True)
class ImageHistory:
    """What a run logged of N images in E epochs: `columns` by name, float32 [E, N], NaN where an image did not come.

    `epochs` [E] counts from 0. An image that came twice in an epoch has the mean; of ids, the later one.
    """

    epochs: list[int]
    columns: dict[str, NDArray[np.float32]]


def read_image_log(path: Path, images: int) -> ImageHistory:
    """The log of a run over `images` images; raises ConfigError where there is none or it is of other images."""
    if not path.is_file():
        raise ConfigError(f"there is no {path}: only runs of LEAD with a teacher log what they knew of each image, and "
                          "only since this release. Train again, or name another run")
    try:
        _, records = split_log(path.read_bytes())
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no log of images ({error}); train again, or name another run") from error
    if not len(records):
        raise ConfigError(f"{path} holds no record: the run ended before its first checkpoint; go on with --resume")
    if int(records["image"].max()) >= images:
        raise ConfigError(f"{path} knows {int(records['image'].max()) + 1} images, but the data set has {images}: it "
                          "has changed since, or --root names another")
    return arrange_records(records, images)


def arrange_records(records: Records, images: int) -> ImageHistory:
    """Records as tables of epochs and images."""
    epochs, rows = np.unique(records["epoch"], return_inverse=True)
    shape, image = (len(epochs), images), records["image"]
    seen = np.zeros(shape)
    np.add.at(seen, (rows, image), 1)
    columns = {}
    for name in (records.dtype.names or ())[len(PLACE):]:
        table = np.zeros(shape)
        if records[name].dtype.kind == "f":
            np.add.at(table, (rows, image), records[name])
            table = table / np.maximum(seen, 1)
        else:
            table[rows, image] = records[name]
        columns[name] = np.where(seen > 0, table, np.nan).astype(np.float32)
    return ImageHistory(epochs.tolist(), columns)
