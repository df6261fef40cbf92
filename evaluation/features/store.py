"""A folder of embeddings: embeddings.npy (rows), ids.csv (which image each row is) and meta.json (how they were made).

They are computed piece by piece. A finished piece is kept until all are, so that a run that was killed goes on where it
stopped; several processes (torchrun) share every piece. meta.json is written last: with it, the folder is complete.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.images import ImageSet
from evaluation.features.cache import remove_cache
from evaluation.features.contents import hash_contents, identify_files
from evaluation.features.subject import Subject
from runtime import distributed
from runtime.errors import ConfigError, DataError
from runtime.files import hash_file, open_table, write_json
from runtime.names.spelling import unspell
from runtime.side_files import read_json

CHUNK = 65536  # embeddings checked at a time
FORMAT = "plumage-embeddings"
PIECES = "pieces"
DATES, CONTENTS = "dates_sha256", "contents_sha256"
HASHES = {"rows_sha256": "embeddings.npy", "ids_sha256": "ids.csv"}
META = {"images": int, "dim?": int, "images_per_second?": float, **{f"{name}?": str for name in HASHES}}

Memmap = np.memmap[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Embeddings:
    """Unit `vectors` [N, D] float32, read from disk as needed; `keys` and `classes` ("" = none) name their images."""

    vectors: NDArray[np.float32]
    keys: list[str]
    classes: list[str]
    meta: dict[str, object]


def describe_embeddings(subject: Subject, images: ImageSet) -> dict[str, object]:
    """What embeddings depend on: two folders with the same can be searched in each other."""
    return {"weights_sha256": subject.sha256, "arch": subject.encoder.backbone.arch,
            "feature": subject.feature, "input": subject.view.source, "view": subject.view.recipe,
            "size": subject.view.size, "centred": subject.centred, "precision": subject.precision,
            "crop_bottom": subject.crop_bottom, "unit_rows": True, "split": images.split, "images": len(images),
            "images_sha256": images.fingerprint(), DATES: identify_files(images, subject.crops)}


def find_differences(
    known: Mapping[str, object], facts: Mapping[str, object], contents: Callable[[], str] = str
) -> list[str]:
    """What of `facts` is not as in `known`, by name.

    Files of other dates may be copies of the same: their `contents` are hashed then. Folders of earlier releases know
    neither.
    """
    other = [name for name, value in facts.items() if known.get(name, value if name == DATES else None) != value]
    if DATES in other and known.get(CONTENTS) == contents():
        other.remove(DATES)
    return ["the photographs" if name == DATES else name for name in other]


def write_embeddings(subject: Subject, images: ImageSet, folder: Path, piece: int = 4096) -> dict[str, object]:
    """Write the folder for the images, in their order, `piece` images at a time; returns what stands in meta.json.

    A complete folder of the same is left alone; raises ConfigError for one of anything else.
    """
    facts = {"format": FORMAT, **describe_embeddings(subject, images)}
    read = partial(hash_contents, images, subject.crops)
    done = distributed.broadcast_object(_read_finished(folder, facts, read) if distributed.is_main() else None)
    if done is not None:
        return done
    contents = read() if distributed.is_main() else ""  # before they are looked at, so that a later change is seen
    centre = subject.centre()
    keeping = replace(subject, caches=(folder / PIECES,))
    shown = tqdm(total=len(images), unit="img", desc=f"embeddings of {images.split}", file=sys.stderr,
                 disable=not distributed.is_main(), mininterval=0.5)
    target: Memmap | None = None
    seconds = 0.0
    for start in range(0, len(images), piece):
        part = replace(images, samples=images.samples[start : start + piece])
        features = keeping.extract(part, bar=shown)
        if features.cached:
            shown.update(len(part))
        seconds += len(part) / features.images_per_second
        if distributed.is_main():
            vectors = subject.embeddings(features, centre).cpu().numpy()
            target = _open_draft(folder, len(images), vectors.shape[1]) if target is None else target
            target[start : start + len(part)] = vectors
    shown.close()
    if distributed.is_main():
        assert target is not None  # there are images
        _finish(folder, target, images, facts | {"weights": subject.source, CONTENTS: contents,
                                                 "images_per_second": round(len(images) / seconds, 2)})
    distributed.barrier()
    return read_embeddings_meta(folder)


def read_embeddings_meta(folder: Path) -> dict[str, object]:
    """meta.json of a folder of embeddings; raises DataError when it is none."""
    return read_json(folder / "meta.json", META, remedy=f"delete {folder} and run tools.embed again")


def read_embeddings(folder: str | Path) -> Embeddings:
    """The embeddings of a complete folder; raises DataError for anything else."""
    folder = Path(folder)
    if not (folder / "meta.json").is_file():
        raise DataError(f"{folder} holds no finished embeddings (no meta.json); make them with "
                        f"python -m tools.embed IMAGES --pretrained NAME --out {folder}")
    meta = read_embeddings_meta(folder)
    try:
        vectors = np.load(folder / "embeddings.npy", mmap_mode="c")  # torch wants what it may write to
        with open(folder / "ids.csv", newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        if any(line.get("path") is None or line.get("class") is None for line in table):
            raise ValueError("ids.csv lacks a column path or class")
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(f"{folder} cannot be read ({error}); delete it and run tools.embed again") from error
    check_stored_embeddings(vectors, folder)
    if not len(vectors) == len(table) == meta["images"]:
        raise DataError(f"{folder} does not fit together: {len(vectors)} vectors, {len(table)} lines in ids.csv, "
                        f"{meta['images']} images in meta.json; delete it and run tools.embed again")
    changed = [file for name, file in HASHES.items() if name in meta and meta[name] != hash_file(folder / file)]
    if changed:
        raise DataError(f"{folder}: {' and '.join(changed)} changed after tools.embed wrote it; delete the folder and "
                        "run tools.embed again")
    keys, classes = ([unspell(line[column]) for line in table] for column in ("path", "class"))
    return Embeddings(vectors, keys, classes, meta)


def check_stored_embeddings(vectors: NDArray[np.float32], folder: Path) -> None:
    """Raise DataError for anything but finite float32 vectors [N, D]; a memory map is read piece by piece."""
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise DataError(f"{folder}/embeddings.npy holds {vectors.dtype} {list(vectors.shape)}, not float32; delete "
                        "the folder and run tools.embed again")
    for start in range(0, len(vectors), CHUNK):
        bad = np.flatnonzero(~np.isfinite(vectors[start : start + CHUNK]).all(axis=1))
        if len(bad):
            raise DataError(f"{folder}: embeddings hold NaN or infinity, first in row {start + bad[0]}; delete the "
                            "folder and run tools.embed again, with another network if need be")


def _read_finished(
    folder: Path, facts: dict[str, object], contents: Callable[[], str]
) -> dict[str, object] | None:
    path = folder / "meta.json"
    if not path.is_file():
        refuse_foreign_embeddings(folder)
        return None
    found = read_embeddings_meta(folder)
    other = find_differences(found, facts, contents)
    if other:
        raise ConfigError(f"{folder} holds embeddings made otherwise ({', '.join(other)} differ); "
                          "give another --out, or delete the folder")
    return found


def refuse_foreign_embeddings(folder: Path) -> None:
    """Raise ConfigError where embeddings lie that no tools.embed is at work on: they are not ours to overwrite."""
    found = [name for name in ("embeddings.npy", "ids.csv") if (folder / name).exists()]
    if found and not (folder / PIECES).is_dir():
        raise ConfigError(f"{folder} holds {' and '.join(found)} but no meta.json, so how they were made is unknown; "
                          "give another --out, or move them away")


def _open_draft(folder: Path, count: int, width: int) -> Memmap:
    folder.mkdir(parents=True, exist_ok=True)
    return open_memmap(folder / "embeddings.npy.draft", mode="w+", dtype=np.float32, shape=(count, width))


def _finish(folder: Path, target: Memmap, images: ImageSet, meta: dict[str, object]) -> None:
    target.flush()
    os.replace(folder / "embeddings.npy.draft", folder / "embeddings.npy")
    with open_table(folder / "ids.csv") as writer:
        writer.writerow(["row", "path", "class"])
        for row, sample in enumerate(images.samples):
            writer.writerow([row, sample.key, "" if sample.label is None else images.classes[sample.label]])
    hashes = {name: hash_file(folder / file) for name, file in HASHES.items()}
    write_json(folder / "meta.json", {**meta, "dim": target.shape[1], **hashes})
    remove_cache(folder / PIECES)
