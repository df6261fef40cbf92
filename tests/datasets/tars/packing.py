"""Archives for tests: as webdataset's writer makes them, and trees of folders as tar packs them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def encode(seed: int = 0, form: str = "PNG") -> bytes:
    """A small noisy picture."""
    pixels = np.random.RandomState(seed).randint(0, 255, (12, 16, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def pack(path: Path, members: Mapping[str, bytes | str | int] | Sequence[tuple[str, bytes]], **how: object) -> Path:
    """A tar of these members in this order; a number is the seed of a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(path, "w", **how) as archive:
        for name, told in pairs:
            content = told.encode() if isinstance(told, str) else encode(told) if isinstance(told, int) else told
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pack_tree(root: Path, folder: Path, archives: int, *, top: str = "") -> list[Path]:
    """The files of a tree dealt out to archives in turn, as shuffled shards are: data-0000.tar, data-0001.tar, ..."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [pack(folder / f"data-{number:04d}.tar",
                 [(top + path.relative_to(root).as_posix(), path.read_bytes()) for path in files[number::archives]])
            for number in range(archives)]
