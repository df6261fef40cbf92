"""Maps that the fit computed, kept on disk until the boxes are found: every image goes through the network once."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from DDT.descriptors import MapBatch, Samples
from DDT.localize import Frame

FREE_SHARE = 0.5  # of the free disk: the results need some too
GIGABYTE = 10**9


@dataclass(frozen=True)
class Place:
    """Where the maps of a batch lie in the file, as float32 [B, h, w, C], and what else is known about the batch."""

    offset: int
    shape: tuple[int, ...]
    checksum: int
    device: torch.device
    frames: list[Frame]


class Scratch:
    """A file without a name in `folder`: the system frees it when the run ends, however it ends. A context manager.

    It takes at most `limit` bytes and half of the free disk; 0 keeps nothing. The disk may fail or fill up: then
    nothing is kept any more, which costs time and changes no result.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.places: dict[tuple[str, ...], Place] = {}
        self.file: BufferedRandom | None = None
        self.room, self.end, self.full = 0.0, 0, False
        if limit > 0:
            with self._surviving():
                self.room = min(limit, FREE_SHARE * shutil.disk_usage(folder).free)
                self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - close() closes it

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk back and forget everything."""
        self.places.clear()
        if self.file is not None:
            with contextlib.suppress(OSError):  # buffered bytes may have no room, and are not needed
                self.file.close()
        self.file = None

    def record(self, batches: Iterable[MapBatch]) -> Iterator[MapBatch]:
        """The same batches, kept in passing as long as there is room."""
        for batch in batches:
            self._keep(batch)
            yield batch

    def recall(
        self, batches: Sequence[Samples], compute: Callable[[Sequence[Samples]], Iterator[MapBatch]]
    ) -> Iterator[MapBatch]:
        """Maps of all batches in order: those that were kept as the very same batch, the others computed."""
        kept = [list_keys(batch) in self.places for batch in batches]
        computed = compute([batch for batch, known in zip(batches, kept) if not known])
        for number, (batch, known) in enumerate(zip(batches, kept)):
            found = self._read(list_keys(batch)) if known else next(computed)
            if found is None:  # the disk failed
                yield from compute(batches[number:])
                return
            yield found

    def _keep(self, batch: MapBatch) -> None:
        """Append one batch, if it fits; the first that does not ends the keeping."""
        if self.file is None or self.full:
            return
        rows = batch.maps.permute(0, 2, 3, 1).contiguous().cpu()
        content = view_bytes(rows)
        self.full = self.end + len(content) > self.room
        if self.full:
            images = sum(len(place.frames) for place in self.places.values())
            tqdm.write(f"scratch: {self.room / GIGABYTE:.3g} GB hold the maps of {images} images, the rest go through "
                       "the network again; --scratch sets the limit, half of the free disk is another")
            return
        place = Place(self.end, tuple(rows.shape), zlib.crc32(content), batch.maps.device, batch.frames)
        with self._surviving():
            self.file.write(content)
            self.file.flush()
            self.end += len(content)
            self.places[batch.keys] = place

    def _read(self, keys: tuple[str, ...]) -> MapBatch | None:
        """One batch as it was kept, to the last bit; None when the disk does not give it back."""
        with self._surviving():
            place = self.places[keys]
            assert self.file is not None  # else there would be no places
            rows = torch.empty(place.shape)
            self.file.seek(place.offset)
            if self.file.readinto(view_bytes(rows)) < rows.nbytes or zlib.crc32(view_bytes(rows)) != place.checksum:
                raise OSError("other bytes came back than were written")
            return MapBatch(keys, rows.to(place.device).permute(0, 3, 1, 2), place.frames)
        return None

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        """A disk that fails ends the keeping, not the run."""
        try:
            yield
        except OSError as error:
            self.close()
            tqdm.write(f"scratch: {error}; no maps are kept, the images go through the network again")


def list_keys(batch: Samples) -> tuple[str, ...]:
    """What a batch is known by."""
    return tuple(sample.key for sample in batch)


def view_bytes(rows: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return rows.numpy().data.cast("B")
