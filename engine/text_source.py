"""Text as the tools are given it: a CSV that is encoded on the spot, or a tensor with what is known of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine.class_names import name_key
from engine.evaluate.text_audit import Reading
from engine.prepare import name_text_files
from engine.text import encode_descriptions, fill_template, read_descriptions, read_so_far, split_sentences
from engine.text_tensor import TextRows, load_text, read_manifest
from models.teachers import ClipTeacher
from runtime.files import hash_file


def open_text(path: Path, teacher: ClipTeacher, args: argparse.Namespace) -> TextRows:
    """Rows of a CSV by the template and aggregation of `args`, or of a tensor; raises DataError or WeightsError."""
    if path.suffix.lower() != ".csv":
        return load_text(path, teacher=teacher)
    descriptions = read_descriptions(path)
    rows = encode_descriptions(teacher, descriptions, args.template, args.aggregate)
    return TextRows(path, rows, tuple(row.name for row in descriptions))


def read_texts(
    path: Path, teacher: ClipTeacher, args: argparse.Namespace, names: Sequence[str]
) -> tuple[Reading, ...]:
    """How CLIP reads the text behind each row, in the order of `names`; () where nobody knows it any more."""
    source, template, whole = path, args.template, args.aggregate == "whole"
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
        return tuple(Reading(row.name, text, max(teacher.count_tokens(some)), "")
                     for row, text, some in zip(chosen, texts, parts))
    lengths = teacher.count_tokens(texts)
    return tuple(Reading(row.name, text, tokens, _lost(text, teacher) if tokens > teacher.context else "")
                 for row, text, tokens in zip(chosen, texts, lengths))


def _lost(text: str, teacher: ClipTeacher) -> str:
    return text[len(read_so_far(text, teacher)):].strip()
