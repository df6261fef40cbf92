"""results.jsonl: one line per number ever measured, with everything needed to know what it means."""

from __future__ import annotations

import codecs
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import timm
import torch

from runtime import VERSION
from runtime.errors import ConfigError
from runtime.lines import append_line
from runtime.side_files import Shape, check_shape, parse_json

Row = dict[str, Any]  # a line of a ledger in plain JSON types; `read_measurements` checks what tables need of it
DELETE = "delete the line"
BREAK = "it holds two rows: put a line break between them"
# What the tables of rows need, by kind; whatever else older and newer versions wrote is left alone.
NETWORK = {"task": str, "split": str, "dataset_sha256": str, "weights": str, "weights_sha256": str, "arch": str,
           "feature": str, "input": str, "view": str, "size": int, "centred": bool, "images_per_second": float,
           "metrics": {str: (float, None)}, "epoch": str, "method": str, "label?": str, "details?": dict}
_MEANS = {f"{name}{end}": float for name in ("rank1", "rank5", "map", "knn", "top1") for end in ("", "_low", "_high")}
_GAIN = {"mean": float, "low": float, "high": float, "excludes_zero": bool}
STUDY = {"task": str, "label": str, "images": int, "images_per_second": float, "metrics": _MEANS,
         "details": {"against": {str: {str: _GAIN}}, "processing": str, "seeds": list, "trained_with_seed": bool}}
NEEDED: dict[str, Shape] = {"study": STUDY, "sort": {}, "audit": {}, "naming": {}, "text": {},
                            "classify": {**NETWORK, "metrics": {"top1": float}}}


def _versions() -> dict[str, str]:
    return {"plumage": VERSION, "torch": torch.__version__, "timm": timm.__version__,
            "python": platform.python_version()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Result:
    """A measurement and its protocol.

    `kind` linear, retrieval, metric, classify, zero-shot, text, sort, audit, naming or study; `weights` as the user
    named them, `weights_sha256` what they were; `feature` backbone, masked, head or a branch of logits; `input` full
    image or crop; `view` the recipe, `size` its pixels; `centred` the training mean was subtracted; `epoch` last or
    best of the classifier ("" without one); `selection` what chose rates and epochs; `metrics` shares in [0, 1];
    `label` what tables call the network.
    """

    kind: str
    task: str
    dataset_sha256: str
    split: str
    images: int
    weights: str
    weights_sha256: str
    arch: str
    feature: str
    input: str
    view: str
    size: int
    centred: bool
    seed: int
    precision: str
    images_per_second: float
    metrics: dict[str, float]
    epoch: str = ""
    selection: str = ""
    method: str = ""
    label: str = ""
    details: Row = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=_versions)
    date: str = field(default_factory=_now)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types."""
        return asdict(self)


def append_result(path: str | Path, row: dict[str, object]) -> None:
    """Add one line to a results.jsonl, made with its folder if need be: all of it or nothing, never within another.

    Raises StopTraining when the disk refuses.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    append_line(path, json.dumps(row, sort_keys=True))


def read_results(path: str | Path) -> list[Row]:
    """All rows of a results.jsonl, oldest first; [] for no such file. Raises ConfigError naming a broken line."""
    return [row for _, row in _read_lines(Path(path))]


def read_measurements(path: str | Path) -> list[Row]:
    """The same, with all that tables need in every row; raises ConfigError naming a line that lacks some of it."""
    found = list(_read_lines(Path(path)))
    for source, row in found:
        check_shape(row, {"kind": str}, source=source, remedy=DELETE, error=ConfigError)
        check_shape(row, NEEDED.get(row["kind"], NETWORK), source=source, remedy=DELETE, error=ConfigError)
    return [row for _, row in found]


def _read_lines(path: Path) -> Iterator[tuple[str, Row]]:
    """Where each line stands, in words, and its content; a kill may have cut one off within a letter."""
    if not path.is_file():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); fix its permissions") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{path} is not text in UTF-8; save it again as such")
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            source, remedy = f"{path}, line {number}", BREAK if b"}{" in line else DELETE
            yield source, parse_json(line, dict, source=source, remedy=remedy, error=ConfigError)
