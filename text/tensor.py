"""Text tensors and their manifests: written together, read together, and refused when they do not belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from datasets.class_names import match_rows
from datasets.images import ImageSet
from models.teachers.clip import ClipTeacher, read_text_tensor
from runtime import distributed
from runtime.errors import DataError, WeightsError
from runtime.files import hash_file, write_atomically, write_json
from runtime.side_files import read_json
from text.descriptions import PLAIN, encode_descriptions, read_descriptions

AGAIN = "encode the descriptions again (python -m tools.encode_text)"


@dataclass(frozen=True)
class Manifest:
    """What a text tensor was made of: model and weights of its text tower, template, aggregation, files' hashes."""

    model: str
    weights_sha256: str
    template: str
    aggregate: str
    shape: list[int]
    classes: list[str]
    csv: str
    csv_sha256: str
    tensor_sha256: str


MANIFEST = {"model": str, "weights_sha256": str, "template": str, "aggregate": str, "shape": [int], "classes": [str],
            "csv": str, "csv_sha256": str, "tensor_sha256": str}


@dataclass(frozen=True)
class TextRows:
    """Rows float32 [C, D] of a file, of length 1 unless asked for as stored, and the classes' names or ()."""

    path: Path
    rows: Tensor
    names: tuple[str, ...] = ()

    def order_by(self, classes: Sequence[str], data: str) -> TextRows:
        """The rows in the order of `classes`, which lend their names to rows without any.

        Raises DataError when names and classes differ, or nameless rows are not as many as classes.
        """
        if self.names:
            order = match_rows(self.names, classes, text=str(self.path), data=data)
            return TextRows(self.path, self.rows[order], tuple(self.names[index] for index in order))
        if len(self.rows) != len(classes):
            raise DataError(f"{self.path} has {len(self.rows)} rows without names, {data} has {len(classes)} classes; "
                            f"{AGAIN}, so that rows meet classes by name")
        return TextRows(self.path, self.rows, tuple(classes))


def write_text_tensor(
    source: Path, out: Path, teacher: ClipTeacher, *, model: str, template: str = PLAIN, aggregate: str = "whole"
) -> Tensor:
    """Encode a CSV into `out` (float16 [C, D]) with `out`.json beside it; returns the unit rows."""
    descriptions = read_descriptions(source)
    rows = encode_descriptions(teacher, descriptions, template, aggregate)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, lambda path: torch.save(rows.half(), path))
    manifest = Manifest(model, teacher.text_fingerprint(), template, aggregate, list(rows.shape),
                        [row.name for row in descriptions], source.name, hash_file(source), hash_file(out))
    write_json(out.with_suffix(".json"), asdict(manifest))
    return rows


def load_text(path: Path, *, width: int | None = None, teacher: ClipTeacher | None = None,
              rows: int | None = None, as_stored: bool = False) -> TextRows:
    """A text tensor checked against its manifest and the teacher that is to be guided by it; `as_stored` see
    `read_text_tensor`.

    Without a manifest (tensors of the public LEAD code) it is taken as is. Raises WeightsError naming all that differs.
    """
    manifest = read_manifest(path)
    faults = [] if manifest is None else find_tensor_faults(manifest, path, teacher)
    if faults:
        raise WeightsError(f"{path} is not to be trusted: {'; '.join(faults)}; {AGAIN}")
    tensor = read_text_tensor(path, rows=rows, width=width if teacher is None else teacher.dim, as_stored=as_stored)
    return TextRows(path, tensor, () if manifest is None else tuple(manifest.classes))


def order_rows(text: TextRows, images: ImageSet) -> Tensor:
    """The rows for pre-training: in the order of the class folders where both bear names, else as they are.

    The loss does not ask which row is whose; a row that belongs to no folder is a mistake all the same, unless the
    user says `--text-rows any`. Raises DataError.
    """
    if not (text.names and images.classes):
        return text.rows
    try:
        return text.order_by(images.classes, str(images.root)).rows
    except DataError as error:
        raise DataError(f"{error}, or train with rows that are not the folders' classes: --text-rows any") from error


def read_manifest(tensor: Path) -> Manifest | None:
    """What lies beside a tensor, None for nothing; raises WeightsError for a manifest that cannot be read."""
    path = tensor.with_suffix(".json")
    if not path.is_file():
        return None
    content = read_json(path, MANIFEST, error=WeightsError,
                        remedy=f"it is no manifest of a text tensor: {AGAIN}, or move it away to take the tensor as "
                               "it is")
    if len(content["shape"]) != 2:
        raise WeightsError(f"{path}: 'shape' has {len(content['shape'])} numbers, not rows and columns; {AGAIN}")
    return Manifest(**{field.name: content[field.name] for field in fields(Manifest)})


def find_tensor_faults(manifest: Manifest, path: Path, teacher: ClipTeacher | None) -> list[str]:
    """In words, what contradicts the manifest: the file's bytes, its rows, the model that is in use now."""
    if path.is_file() and hash_file(path) != manifest.tensor_sha256:
        return [f"it is another file than {path.with_suffix('.json').name} describes"]
    faults = []
    if manifest.shape[0] != len(manifest.classes):
        faults.append(f"it has {manifest.shape[0]} rows for {len(manifest.classes)} class names")
    if teacher is not None and teacher.text_fingerprint() != manifest.weights_sha256:
        faults.append(f"it was made by {manifest.model} with weights {manifest.weights_sha256[:12]}, the teacher's "
                      f"text tower is {teacher.text_fingerprint()[:12]} (width {teacher.dim}, not {manifest.shape[1]})")
    return faults


def ensure_text_tensor(text_load: str, teacher: ClipTeacher, model: str) -> Path:
    """The tensor that `--text-load` means, encoded from its CSV when it is missing.

    Given the CSV itself, a tensor that was made of an older CSV or by another model is made again, its template kept.
    """
    tensor, source = name_text_files(text_load)
    if distributed.is_main():
        stale = is_stale(tensor, source, teacher, named=Path(text_load) == source)
        if stale:
            print(f"encoding {source} into {tensor}")
            old = read_manifest(tensor)
            how = {} if old is None else {"template": old.template, "aggregate": old.aggregate}
            write_text_tensor(source, tensor, teacher, model=model, **how)
    distributed.barrier()
    return tensor


def is_stale(tensor: Path, source: Path, teacher: ClipTeacher, *, named: bool) -> bool:
    """Whether the tensor must be made of `source` first; `named` says that the user gave the CSV, not the tensor.

    Raises WeightsError when a named CSV would overwrite a tensor of unknown origin.
    """
    if not tensor.is_file():
        return True
    manifest = read_manifest(tensor)
    if manifest is None and named:
        raise WeightsError(f"{tensor} is there already and no manifest says that it was made of {source}; give the "
                           "tensor itself to take it as it is, or move it away")
    if manifest is None or not source.is_file():
        return False
    changed = hash_file(source) != manifest.csv_sha256
    if changed and not named:
        print(f"note: {source} has changed since {tensor} was made of it; give the CSV to encode it again")
    return named and (changed or teacher.text_fingerprint() != manifest.weights_sha256)


def name_text_files(text_load: str) -> tuple[Path, Path]:
    """The tensor and the descriptions that `--text-load` means: either file may be named, the other follows from it."""
    given = Path(text_load)
    if given.suffix.lower() == ".csv":
        return Path("text_description_tensor") / f"{given.stem}_text_tensor.pt", given
    return given, Path("text_description") / f"{given.stem.removesuffix('_text_tensor')}.csv"


def missing_text(text_load: str) -> list[str]:
    """A problem line when there is neither a text tensor nor the descriptions that it could be made of."""
    tensor, source = name_text_files(text_load)
    if tensor.is_file() or source.is_file():
        return []
    return [f"--text-load {text_load}: no such text tensor, and no {source} to make it of. Make one with "
            "`python -m tools.encode_text FILE.csv --weights ViT-B-16.pt`, or take none for the vocabulary-free mode"]
