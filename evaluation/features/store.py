"""A folder of embeddings: embeddings.npy (rows), ids.csv (which image each row is) and meta.json (how they were made).

`embedding.py` writes it, meta.json last: with it, the folder is complete. Large ones lie in shards instead of the first
two files (`forms.py`), which `sharding.py` writes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from datasets.images import ImageSet
from evaluation.features.contents import identify_files
from evaluation.features.forms import FORMS, Listed, ShardedVectors, Vectors, list_shard_files
from evaluation.features.subject import Subject
from runtime.errors import ConfigError, DataError, refuse
from runtime.files import hash_file
from runtime.names.spelling import unspell
from runtime.requirements import list_missing
from runtime.side_files import read_json

CHUNK = 65536  # embeddings checked at a time
FORMAT = "plumage-embeddings"
PIECES = "pieces"
DATES, CONTENTS, CENTRE = "dates_sha256", "contents_sha256", "centre"
LISTED = ("images", "images_sha256", DATES)  # what changes with the photographs, and not with how they are seen
HASHES = {"rows_sha256": "embeddings.npy", "ids_sha256": "ids.csv"}
FORM, SHARD_SIZE, SHARDS = "form", "shard_size", "shards"
META = {"images": int, "dim?": int, "images_per_second?": float, f"{CENTRE}?": [float],
        f"{FORM}?": str, f"{SHARD_SIZE}?": int, f"{SHARDS}?": [{"rows": int, "sha256": {str: str}}],
        **{f"{name}?": str for name in HASHES}}


@dataclass(frozen=True)
class Embeddings:
    """Unit `vectors` [N, D] float32, read from disk as needed; `keys` and `classes` ("" = none) name their images.

    `contents` are what these are made of (`contents.hash_images`), "" in folders of earlier releases.
    """

    vectors: Vectors
    keys: list[str]
    classes: list[str]
    contents: list[str]
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

    Files of other dates may be copies of the same: where nothing else differs their `contents` are hashed. Folders of
    earlier releases know neither.
    """
    other = [name for name, value in facts.items() if known.get(name, value if name == DATES else None) != value]
    if other == [DATES]:
        return [] if CONTENTS in known and known[CONTENTS] == contents() else ["the photographs"]
    return [name for name in other if name != DATES]


def read_embeddings_meta(folder: Path) -> dict[str, object]:
    """meta.json of a folder of embeddings; raises DataError when it is none."""
    return read_json(folder / "meta.json", META, remedy=f"delete {folder} and run tools.embed again")


def read_embeddings(folder: str | Path) -> Embeddings:
    """The embeddings of a complete folder; raises DataError for anything else."""
    folder = Path(folder)
    if (folder / PIECES / "meta.json").is_file():
        raise DataError(f"{folder}: tools.embed was stopped while it replaced these files; run it again, and it "
                        "finishes them")
    if not (folder / "meta.json").is_file():
        raise DataError(f"{folder} holds no finished embeddings (no meta.json); make them with "
                        f"python -m tools.embed IMAGES --pretrained NAME --out {folder}")
    meta = read_embeddings_meta(folder)
    try:
        vectors, listed = _read_shards(folder, meta) if SHARDS in meta else _read_whole(folder)
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(f"{folder} cannot be read ({error}); delete it and run tools.embed again") from error
    check_stored_embeddings(vectors, folder)
    if not len(vectors) == len(listed.keys) == meta["images"]:
        raise DataError(f"{folder} does not fit together: {len(vectors)} vectors, {len(listed.keys)} lines in ids.csv, "
                        f"{meta['images']} images in meta.json; delete it and run tools.embed again")
    changed = [file for file, digest in list_hashes(meta).items() if digest != hash_file(folder / file)]
    if changed:
        raise DataError(f"{folder}: {' and '.join(changed[:3])} changed after tools.embed wrote it; delete the folder "
                        "and run tools.embed again")
    return Embeddings(vectors, listed.keys, listed.classes, listed.contents, meta)


def list_hashes(meta: Mapping[str, object]) -> dict[str, str]:
    """sha256 of every file that meta.json tells of, by name."""
    shards = cast("list[dict[str, dict[str, str]]]", meta.get(SHARDS, []))
    return {**{file: cast(str, meta[name]) for name, file in HASHES.items() if name in meta},
            **{file: digest for shard in shards for file, digest in shard["sha256"].items()}}


def describe_files(meta: Mapping[str, object]) -> str:
    """What a folder consists of, in words."""
    shards = cast("list[dict[str, dict[str, str]]]", meta.get(SHARDS, []))
    if not shards:
        return "embeddings.npy, ids.csv, meta.json"
    return f"{len(shards)} shard{'s' * (len(shards) > 1)} from {', '.join(shards[0]['sha256'])} on, meta.json"


def _read_whole(folder: Path) -> tuple[Vectors, Listed]:
    """Raises OSError or ValueError for broken files, as the next one."""
    vectors = np.load(folder / "embeddings.npy", mmap_mode="c")  # torch wants what it may write to
    with open(folder / "ids.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    if any(line.get("path") is None or line.get("class") is None for line in table):
        raise ValueError("ids.csv lacks a column path or class")
    keys, classes = ([unspell(line[column]) for line in table] for column in ("path", "class"))
    return vectors, Listed(keys, classes, [line.get("content") or "" for line in table])


def _read_shards(folder: Path, meta: Mapping[str, object]) -> tuple[Vectors, Listed]:
    form = FORMS.get(str(meta.get(FORM)))
    if form is None:
        raise ValueError(f"meta.json tells of shards of {meta.get(FORM)!r}, but only {' and '.join(FORMS)} are known")
    need_form(form.name)
    shards = cast("list[dict[str, int]]", meta[SHARDS])
    vectors, listed = ShardedVectors(folder, form, [shard["rows"] for shard in shards]), Listed([], [], [])
    for number in range(len(shards)):
        listed.extend(form.read_listed(folder, number))
    return vectors, listed


def need_form(name: str) -> None:
    """Raise ConfigError where a form's package is not installed."""
    refuse(list_missing("pyarrow") if name == "parquet" else [])


def check_stored_embeddings(vectors: Vectors, folder: Path) -> None:
    """Raise DataError for anything but finite float32 vectors [N, D]; a memory map is read piece by piece."""
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise DataError(f"{folder}/embeddings.npy holds {vectors.dtype} {list(vectors.shape)}, not float32; delete "
                        "the folder and run tools.embed again")
    for start in range(0, len(vectors), CHUNK):
        bad = np.flatnonzero(~np.isfinite(vectors[start : start + CHUNK]).all(axis=1))
        if len(bad):
            raise DataError(f"{folder}: embeddings hold NaN or infinity, first in row {start + bad[0]}; delete the "
                            "folder and run tools.embed again, with another network if need be")


def refuse_foreign_embeddings(folder: Path) -> None:
    """Raise ConfigError where embeddings lie that no tools.embed is at work on: they are not ours to overwrite."""
    found = [name for name in ("embeddings.npy", "ids.csv") if (folder / name).exists()]
    found += [path.name for path in list_shard_files(folder)]
    if found and not (folder / PIECES).is_dir():
        raise ConfigError(f"{folder} holds {' and '.join(found[:3])} but no meta.json, so how they were made is "
                          "unknown; give another --out, or move them away")
