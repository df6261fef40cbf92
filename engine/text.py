"""Class descriptions become a text tensor: CSV in, unit rows out, with a manifest that says what they were made of."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.images import DataError
from engine.checkpoint import write_atomically
from models.teachers import ClipTeacher

COLUMNS = ["class name", "description"]
CONTEXT = 77  # tokens that CLIP reads, start and end included


@dataclass(frozen=True)
class Description:
    """One class: its name and what the eye can check."""

    name: str
    text: str


@dataclass(frozen=True)
class Manifest:
    """What a text tensor was made of: model and its weights, template, aggregation, shape, hashes of both files."""

    model: str
    weights_sha256: str
    template: str
    aggregate: str
    shape: list[int]
    classes: list[str]
    csv_sha256: str
    tensor_sha256: str


def read_descriptions(path: Path) -> list[Description]:
    """The rows of a `class name,description` file, blank lines skipped; raises DataError naming every bad line."""
    if not path.is_file():
        raise DataError(f"{path}: no such file of descriptions")
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    if not lines or [cell.strip().lower() for cell in lines[0]] != COLUMNS:
        raise DataError(f"{path}: the first line must be `{','.join(COLUMNS)}`")
    rows = [(number, line) for number, line in enumerate(lines[1:], start=2) if any(cell.strip() for cell in line)]
    names = [line[0].strip().casefold() for _, line in rows]
    bad = [f"line {number} has {len(line)} cells" for number, line in rows if len(line) != 2]
    bad += [f"line {number} has an empty cell" for number, line in rows if not all(cell.strip() for cell in line)]
    bad += [f"line {number} repeats {line[0]!r}" for at, (number, line) in enumerate(rows) if names[at] in names[:at]]
    if bad or not rows:
        raise DataError(f"{path}: {'; '.join(bad) or 'no rows'}")
    return [Description(line[0].strip(), line[1].strip()) for _, line in rows]


def encode_descriptions(
    teacher: ClipTeacher, rows: list[Description], template: str = "{description}", aggregate: str = "whole"
) -> Tensor:
    """Unit rows float32 [C, D]. `template` may hold {name} and {description}.

    "sentences" encodes each sentence apart, averages and normalises again, so that nothing is cut at 77 tokens.
    """
    texts = [template.format(name=row.name, description=row.text) for row in rows]
    if aggregate == "whole":
        return teacher.encode_text(texts)
    parts = [[part.strip() for part in text.split(". ") if part.strip()] for text in texts]
    rows = teacher.encode_text([part for some in parts for part in some])
    return torch.stack([F.normalize(some.mean(dim=0), dim=0) for some in rows.split([len(some) for some in parts])])


def write_text_tensor(
    source: Path, out: Path, teacher: ClipTeacher, *, model: str, template: str = "{description}",
    aggregate: str = "whole",
) -> Tensor:
    """Encode a CSV into `out` (float16 [C, D]) with `out`.json beside it; returns the unit rows."""
    descriptions = read_descriptions(source)
    rows = encode_descriptions(teacher, descriptions, template, aggregate)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda path: torch.save(rows.half(), path))
    manifest = Manifest(model, teacher.fingerprint(), template, aggregate, list(rows.shape),
                        [row.name for row in descriptions], hash_file(source), hash_file(out))
    text = json.dumps(asdict(manifest), indent=1) + "\n"
    write_atomically(out.with_suffix(".json"), lambda path: path.write_text(text))
    return rows


def count_cut(teacher: ClipTeacher, texts: list[str]) -> int:
    """How many texts are longer than CLIP's context, so that their end is not read."""
    # The tokenizer cuts at the context: a text that fills it was, or may just have been, cut.
    return int((teacher.tokenizer(texts) != 0).sum(dim=1).eq(CONTEXT).sum())


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
