"""Rows of features by key, in files of a folder: a file is written whole and never changed; many small ones are merged.

Any number of processes may write at once, for nobody changes what another has written: rows that are met twice are the
same. A file that is not what was written is noted and removed, and its rows count as unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from runtime.files import write_bytes
from runtime.processes.voice import say_here

KEYS = "keys of the rows"
KEY_BYTES = 32
SMALL = 32 << 20  # bytes; smaller files are merged
MOST_SMALL = 8  # files


@dataclass(frozen=True)
class Rows:
    """Feature rows [n, ...] by name of n pictures, which have these `keys` (32 bytes each), and seconds for one."""

    keys: list[bytes]
    tensors: dict[str, Tensor]
    seconds: float

    def take(self, places: list[int]) -> Rows:
        """Some of the rows."""
        chosen = torch.tensor(places)
        return Rows([self.keys[place] for place in places],
                    {name: rows.index_select(0, chosen) for name, rows in self.tensors.items()}, self.seconds)

    def describe(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one row by name."""
        return {name: tuple(rows.shape[1:]) for name, rows in self.tensors.items()}


def read_kept_rows(folder: Path, wanted: Collection[bytes]) -> Iterator[Rows]:
    """The rows of a folder whose keys are wanted, each key once, file by file; damaged files are noted and removed."""
    missing = set(wanted)
    seen: set[Path] = set()
    # Asked again until nothing is new: another process may have merged files that were listed.
    while missing and (fresh := [path for path in list_shards(folder) if path not in seen]):
        seen.update(fresh)
        for path in fresh:
            found = _read_shard(path, missing)
            if found is not None:
                missing.difference_update(found.keys)
                yield found


def list_kept_keys(folder: Path) -> set[bytes]:
    """Keys of all rows of a folder, of which nothing else is read."""
    found: set[bytes] = set()
    for path in list_shards(folder):
        with suppress(OSError, SafetensorError, ValueError), safe_open(path, "pt") as file:
            found.update(_split_keys(file.get_tensor(KEYS)))
    return found


def append_rows(folder: Path, rows: Rows) -> Path:
    """A new file of the rows; raises OSError, SafetensorError or StopTraining where the disk refuses."""
    tensors = {name: value.contiguous() for name, value in rows.tensors.items()}
    tensors[KEYS] = torch.frombuffer(bytearray(b"".join(rows.keys)), dtype=torch.uint8).reshape(-1, KEY_BYTES)
    digest = _hash_tensors(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"shard-{digest[:32]}.safetensors"
    told = {"sha256": digest, "seconds": repr(rows.seconds)}
    write_bytes(path, save(tensors, metadata=told))  # `save_file` would put another file in place of the locked draft
    return path


def merge_shards(folder: Path) -> None:
    """Put many small files together; those that were merged are removed once their rows are in the new file."""
    small = [path for path in list_shards(folder) if _measure(path) < SMALL]
    if len(small) <= MOST_SMALL:
        return
    group: list[Path] = []
    for path in small:
        group.append(path)
        if sum(map(_measure, group)) >= SMALL:
            _merge(folder, group)
            group = []
    _merge(folder, group)


def list_shards(folder: Path) -> list[Path]:
    """The files of a folder, in a fixed order."""
    return sorted(folder.glob("shard-*.safetensors"))


def _measure(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return SMALL  # gone: another process has merged it


def _merge(folder: Path, paths: list[Path]) -> None:
    parts = [(path, rows) for path in paths if (rows := _read_shard(path)) is not None]
    fitting = [(path, rows) for path, rows in parts if rows.describe() == parts[0][1].describe()]
    if len(fitting) < 2:
        return
    keys = [key for _, rows in fitting for key in rows.keys]
    tensors = {name: torch.cat([rows.tensors[name] for _, rows in fitting]) for name in parts[0][1].tensors}
    seconds = sum(rows.seconds * len(rows.keys) for _, rows in fitting) / len(keys)
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    merged = append_rows(folder, Rows(keys, tensors, seconds).take(sorted(first.values())))
    for path, _ in fitting:
        if path != merged:
            path.unlink(missing_ok=True)


def _read_shard(path: Path, wanted: Collection[bytes] | None = None) -> Rows | None:
    """The wanted rows of a file (None: all), None where it has none of them, is gone, or is damaged."""
    try:
        with safe_open(path, "pt") as file:
            keys = _split_keys(file.get_tensor(KEYS))
            if wanted is not None and not any(key in wanted for key in keys):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            told = file.metadata() or {}
        if told["sha256"] == _hash_tensors(tensors):
            del tensors[KEYS]
            rows = Rows(keys, tensors, float(told["seconds"]))
            chosen = [place for place, key in enumerate(keys) if wanted is None or key in wanted]
            return rows if len(chosen) == len(keys) else rows.take(chosen)
        fault = "its content is not what was written"
    except FileNotFoundError:  # another process has merged it
        return None
    except OSError as error:
        say_here(f"note: {path} cannot be read ({error}); its features are computed anew")
        return None
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        fault = str(error)
    say_here(f"note: {path} is damaged ({fault}); its features are computed anew")
    with suppress(OSError):
        path.unlink()
    return None


def _split_keys(keys: Tensor) -> list[bytes]:
    """Keys [n, 32] as bytes; raises ValueError for what are none."""
    if keys.dtype != torch.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        raise ValueError(f"its keys are {keys.dtype} {list(keys.shape)}")
    text = keys.numpy().tobytes()
    return [text[start : start + KEY_BYTES] for start in range(0, len(text), KEY_BYTES)]


def _hash_tensors(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, rows in sorted(tensors.items()):
        digest.update(f"{name} {list(rows.shape)}\n".encode())
        digest.update(rows.contiguous().numpy().data)
    return digest.hexdigest()
