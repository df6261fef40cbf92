"""Text as the tools are given it: a CSV that is encoded on the spot, or a tensor with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from datasets.class_names import name_key
from models.teachers.build import build_teacher
from models.teachers.clip import ClipTeacher
from models.weights.usual import usual_weights
from runtime.errors import ConfigError
from runtime.files import hash_file
from text.audit import TextReading
from text.descriptions import encode_descriptions, fill_template, read_descriptions, read_so_far, split_sentences
from text.options import ClipOptions, EncodingOptions
from text.tensor import TextRows, load_text, name_text_files, read_manifest


def open_text(path: Path, teacher: ClipTeacher, options: EncodingOptions) -> TextRows:
    """Rows of a CSV by the template and aggregation of `options`, or of a tensor; raises DataError or WeightsError."""
    if path.suffix.lower() != ".csv":
        return load_text(path, teacher=teacher)
    descriptions = read_descriptions(path)
    rows = encode_descriptions(teacher, descriptions, options.template, options.aggregate)
    return TextRows(path, rows, tuple(row.name for row in descriptions))


def read_texts(
    path: Path, teacher: ClipTeacher, options: EncodingOptions, names: Sequence[str]
) -> tuple[TextReading, ...]:
    """How CLIP reads the text behind each row, in the order of `names`; () where that is no longer known."""
    source, template, whole = path, options.template, options.aggregate == "whole"
    if path.suffix.lower() != ".csv":
        manifest, source = read_manifest(path), name_text_files(str(path))[1]
        if manifest is None or not source.is_file() or hash_file(source) != manifest.csv_sha256:
            return ()
        template, whole = manifest.template, manifest.aggregate == "whole"
    rows = {name_key(row.name): row for row in read_descriptions(source)}
    chosen = [rows[name_key(name)] for name in names]
    texts = [fill_template(template, row.name, row.text) for row in chosen]
    if not whole:  # read piece by piece, none of them too long
        parts = [split_sentences(row, template, teacher) for row in chosen]
        return tuple(TextReading(row.name, text, max(teacher.count_tokens(some)), "")
                     for row, text, some in zip(chosen, texts, parts))
    lengths = teacher.count_tokens(texts)
    return tuple(TextReading(row.name, text, tokens, _lost(text, teacher) if tokens > teacher.context else "")
                 for row, text, tokens in zip(chosen, texts, lengths))


def _lost(text: str, teacher: ClipTeacher) -> str:
    return text[len(read_so_far(text, teacher)):].strip()


def open_clip_teacher(
    options: ClipOptions, device: str | torch.device, *, command: str, precision: str = "fp32"
) -> ClipTeacher:
    """The CLIP that the flags name. Raises ConfigError with the one command to run when its weights are not here."""
    weights = options.teacher_weights or usual_weights(options.teacher_arch)
    named = weights is not None and weights.partition(":")[0] not in ("hub", "none", "package")
    if weights is None or (named and not Path(weights).expanduser().is_file()):
        absent = f" ({weights} does not exist)" * named
        raise ConfigError(
            f"text becomes numbers only through CLIP's weights, and those of {options.teacher_arch} are not on this "
            f"machine{absent}. Copy the file here (OpenAI's {options.teacher_arch}.pt, or open_clip's) and run\n"
            f"  {command} --teacher-weights {options.teacher_arch}.pt\n"
            "or let open_clip download it: --teacher-weights hub"
        )
    teacher = build_teacher(
        f"clip:{options.teacher_arch}", weights=weights, precision=precision, device=device,
        norm=options.teacher_norm, size=options.teacher_size or None)
    assert isinstance(teacher, ClipTeacher)  # it was asked for by that name
    return teacher
