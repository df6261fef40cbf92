"""What an export consists of before it is written: files in memory, a way to run them, words for the card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import numpy as np

from engine.workflows.export.pixels import SHAPES, read_square
from engine.workflows.export.subject import Exportable
from runtime import VERSION

Run = Callable[[np.ndarray], dict[str, np.ndarray]]  # pixels as the file takes them -> outputs by name
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Package:
    """Files by name, how they are run, what `pixels` they take, the lines that load them, and a remark.

    `full` runs the same in float32, where the files are quantised.
    """

    files: dict[str, bytes]
    run: Run
    pixels: str
    lines: tuple[str, ...]
    remark: str
    full: Run | None = None

    def describe_sizes(self) -> str:
        """The files and their sizes."""
        return ", ".join(f"{name} ({len(content) / 1e6:.1f} MB)" for name, content in self.files.items())


def list_facts(exportable: Exportable, pixels: str) -> dict[str, object]:
    """What travels in every file: what goes in, what comes out, the names of the classes."""
    square, size = read_square(exportable.view), exportable.view.size
    return {
        "plumage": VERSION, "kind": exportable.kind, "arch": exportable.arch, "method": exportable.method,
        "weights_sha256": exportable.sha256, "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "outputs": list(exportable.chosen), "unit": exportable.unit, "pixels": SHAPES[pixels].format(size),
        "mean": exportable.mean, "std": exportable.std, "size": size, "view": exportable.view.recipe,
        "resize": asdict(square), "crop_bottom": exportable.crop_bottom, "class_names": list(exportable.names)}


def as_texts(facts: dict[str, object]) -> dict[str, str]:
    """Facts as files hold them: JSON, but for what is text already."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def name_results(exportable: Exportable) -> str:
    """The outputs as the left side of an assignment that takes a list apart."""
    names = [name if exportable.kind != "encoder" or len(exportable.chosen) > 1 else "embeddings"
             for name in exportable.chosen]
    return ", ".join(names) + "," * (len(names) == 1)
