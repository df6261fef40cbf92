"""The atlas as one page that needs no server and no network: numbers in it, thumbnails in it or beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor

from datasets.images import ImageSet
from evaluation.atlas.boxes import JudgedBox
from evaluation.atlas.sprites import COLUMNS, ROWS, Sprites
from evaluation.atlas.trajectories import Trajectories, find_favourites, list_examples, thin_epochs
from evaluation.audit.label_errors import LabelDoubts
from evaluation.image_log import ImageHistory
from evaluation.reports.html import embed_picture, embed_scripts, embed_style, render
from runtime.files import write_bytes, write_text
from runtime.names.spelling import show_name

NAME, SHEETS = "atlas.html", "sprites"
WITHIN = 3_000_000  # bytes of thumbnails that still lie in the page itself
MISSING = 255  # where an image did not come in an epoch
CURVES = ("entropy", "student_entropy", "agreement", "contrast", "distill")


@dataclass(frozen=True)
class Atlas:
    """What is known of N training images. `near` and `before` int64 [N, k]: nearest others after and before training.

    `names` are the prototypes' where rows of text have names, () otherwise; `boxes` None where crops tell none;
    `doubts` None without labels; `before` None where the start was not asked for.
    """

    images: ImageSet
    history: ImageHistory
    trajectories: Trajectories
    sprites: Sprites
    near: Tensor
    before: Tensor | None = None
    boxes: Sequence[JudgedBox | None] | None = None
    doubts: LabelDoubts | None = None
    names: tuple[str, ...] = ()


def write_atlas(folder: Path, atlas: Atlas, title: str, lead: str) -> Path:
    """atlas.html in `folder`, with sprites/ beside it where the thumbnails are large; the page's path."""
    sheets = lay_sheets(folder, atlas.sprites.sheets)
    data = {"sheets": sheets, **describe_images(atlas), **describe_prototypes(atlas), **describe_scores(atlas)}
    write_text(folder / NAME, render("atlas", title=title, lead=lead, data=embed_json(data),
                                     style=embed_style("atlas.css"), script=embed_scripts("rows.js", "atlas.js")))
    return folder / NAME


def lay_sheets(folder: Path, sheets: Sequence[bytes]) -> list[str]:
    """Addresses of the sheets, from the page: files beside it, or for a few of them the pictures themselves."""
    if sum(map(len, sheets)) <= WITHIN:
        return [embed_picture(sheet) for sheet in sheets]
    (folder / SHEETS).mkdir(parents=True, exist_ok=True)
    names = [f"{SHEETS}/{number:04d}.jpg" for number in range(len(sheets))]
    for name, sheet in zip(names, sheets):
        write_bytes(folder / name, sheet, sync=False)
    return names


def describe_images(atlas: Atlas) -> dict[str, Any]:
    """Files, labels, frames, curves and neighbours; curves as a byte an image and epoch, 254 = 1."""
    images, sprites = atlas.images, atlas.sprites
    curves = {name: thin_epochs(atlas.history.columns[name]) for name in CURVES}
    return {
        "files": [show_name(sample.key) for sample in images.samples],
        "classes": [show_name(name) for name in images.classes], "labels": images.labels.tolist(),
        "side": sprites.side, "columns": COLUMNS, "rows": ROWS,
        "frames": [size for frame in sprites.frames for size in (frame.width, frame.height)],
        "epochs": [atlas.history.epochs[0] + 1, atlas.history.epochs[-1] + 1], "points": len(curves["entropy"]),
        "curves": {name: encode_array(as_bytes(table)) for name, table in curves.items()},
        "near": pack_neighbours(atlas.near), "before": pack_neighbours(atlas.before),
        "kept": atlas.near.shape[1]}


def describe_prototypes(atlas: Atlas) -> dict[str, Any]:
    """Which prototypes teacher and student took for an image's nearest, and what these are."""
    teacher, student = (find_favourites(atlas.history.columns[name]) for name in ("teacher", "student"))
    examples = list_examples(teacher, atlas.trajectories.entropy)
    met = sorted({prototype for images in (teacher, student) for found in images for prototype, _ in found})
    known = {prototype: {"name": name_prototype(atlas.names, prototype), "images": examples.get(prototype, [])}
             for prototype in met}
    return {"teacher": shorten(teacher), "student": shorten(student), "prototypes": known}


def name_prototype(names: Sequence[str], prototype: int) -> str:
    """Its name, or its number, from 1."""
    return show_name(names[prototype]) if prototype < len(names) else f"prototype {prototype + 1}"


def describe_scores(atlas: Atlas) -> dict[str, Any]:
    """What the page sorts and filters by: None for what was not looked at."""
    told, doubts = atlas.trajectories, atlas.doubts
    scores = {"sure": told.sure_disagreement, "fall": told.fall, "studentFall": told.student_fall,
              "contrast": told.contrast, "distill": told.distill}
    found: dict[str, Any] = {"scores": {name: round_all(values) for name, values in scores.items()},
                             "disagrees": told.disagrees.astype(int).tolist(), "boxes": None, "doubts": None}
    if atlas.boxes is not None:
        found["boxes"] = [None if box is None else [[round(share, 4) for share in box.corners], "; ".join(box.faults),
                                                    round(box.suspicion, 3)] for box in atlas.boxes]
    if doubts is not None:
        found["doubts"] = {"doubt": round_all(doubts.doubt.numpy()), "suggested": doubts.suggested.tolist(),
                           "flagged": doubts.flagged.int().tolist()}
    return found


def shorten(favourites: Sequence[Sequence[tuple[int, float]]]) -> list[list[float]]:
    """Ids and shares one after the other."""
    return [[number for prototype, share in found for number in (prototype, round(share, 2))] for found in favourites]


def round_all(values: NDArray[np.float32]) -> list[float | None]:
    """Three digits; None for NaN."""
    return [None if value != value else round(value, 3) for value in values.tolist()]


def as_bytes(table: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Numbers in [0, 1] as 0 to 254, NaN as 255."""
    scaled = np.round(np.clip(np.nan_to_num(table), 0, 1) * (MISSING - 1))
    return np.where(np.isnan(table), MISSING, scaled).astype(np.uint8)


def encode_array(values: NDArray[Any]) -> str:
    """Base64 of an array's bytes."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def pack_neighbours(near: Tensor | None) -> str | None:
    """Neighbours as 32-bit numbers of the page's byte order."""
    return None if near is None else encode_array(near.numpy().astype("<i4"))


def embed_json(data: Mapping[str, Any]) -> Markup:
    """JSON that may stand in a page: no sign of it can end the element."""
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
