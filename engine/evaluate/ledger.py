"""results.jsonl: one line per number ever measured, with everything needed to know what it means."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import timm
import torch

from engine.args import ConfigError
from runtime.lines import append_line

PLUMAGE = "1.0.0"


def _versions() -> dict[str, str]:
    return {"plumage": PLUMAGE, "torch": torch.__version__, "timm": timm.__version__,
            "python": platform.python_version()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Result:
    """A measurement and its protocol.

    `kind` linear, retrieval, metric, classify, zero-shot, text, sort or study; `weights` as the user named them,
    `weights_sha256` what they were; `feature` backbone, masked, head or a branch of logits; `input` full image or crop;
    `view` the recipe, `size` its pixels; `centred` the training mean was subtracted; `epoch` last or best of the
    classifier ("" without one); `selection` what chose rates and epochs; `metrics` shares in [0, 1]; `label` what
    tables call the network.
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
    details: dict[str, object] = field(default_factory=dict)
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


def read_results(path: str | Path) -> list[dict[str, object]]:
    """All rows of a results.jsonl, oldest first; [] for no such file. Raises ConfigError naming a broken line."""
    path = Path(path)
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, line {number}: not JSON ({error}); delete the line") from error
    return rows
