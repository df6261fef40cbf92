"""Where the object of a picture is, found when somebody asks, and kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from datasets.crops import Box
from datasets.layouts.listing import Sample
from DDT.descriptors import MapReading, prepare_backbone
from DDT.neighbours import locate_among
from desk.album import read_facts
from desk.desk import Desk
from evaluation.features.subject import Subject
from models.backbones import Backbone
from runtime.errors import ConfigError
from runtime.lines import append_line

COMPANY = 10  # nearest others that tell the object from its surroundings
SIZE = 448  # pixels at which DDT looks

Shares = list[float]


class Boxes:
    """Boxes by content, as shares of a picture's width and height; None where no object stands out.

    They are those of `--input crop` where the sorting looks at crops; else DDT finds them among each picture's nearest
    others, which takes about a second.
    """

    def __init__(self, folder: Path, desk: Desk, subject: Subject) -> None:
        self.path = folder / f"boxes{f'_{subject.crop_bottom}' if subject.crop_bottom else ''}.jsonl"
        self.desk, self.subject = desk, subject
        self.lock = threading.Lock()  # one at a time: the network keeps all cores busy
        self.known = read_boxes_found(self.path)
        self.network: Backbone | None = None

    def look_by(self, subject: Subject) -> None:
        """Find what is not known yet by another network."""
        with self.lock:
            self.subject, self.network = subject, None

    def find(self, index: int) -> Shares | None:
        """A picture's box; found now unless it is known."""
        content = self.desk.album.contents[index]
        with self.lock:
            if content not in self.known:
                self.known[content] = self._look(index)
                append_line(self.path, json.dumps({"picture": content, "box": self.known[content]}), sync=False)
            return self.known[content]

    def _look(self, index: int) -> Shares | None:
        return find_object(self.subject, self.desk.album.images.samples[index], lambda: self._locate(index))

    def _locate(self, index: int) -> Box | None:
        """Where DDT sees the object of a picture among its nearest others."""
        images, sorter = self.desk.album.images, self.desk.sorter
        if sorter is None:
            raise ConfigError("the photographs are still being looked at")
        others = sorter.cloud.near[index, :COMPANY].tolist()
        samples = tuple(images.samples[place] for place in (index, *others))
        if self.network is None:
            self.network = prepare_backbone(self.subject.encoder.backbone)
        return locate_among(self.network, plan_reading(self.subject), samples, self.subject.device)


def plan_reading(subject: Subject) -> MapReading:
    """How DDT looks at a picture and its company, all at once."""
    return MapReading(size=SIZE, crop_bottom=subject.crop_bottom, batch_size=1 + COMPANY)


def find_object(subject: Subject, sample: Sample, locate: Callable[[], Box | None]) -> Shares | None:
    """Where the object of a picture is: in the box of `--input crop`, else where it is located (in pixels) now."""
    facts = read_facts(sample.path)
    known = subject.crops.boxes if subject.crops is not None else None
    box = known[sample.key] if known is not None and sample.key in known else locate()
    height = facts.height - subject.crop_bottom  # of what is shown, and of what DDT sees
    return None if box is None else share_out(box, facts.width, height)


def share_out(box: Box, width: int, height: int) -> Shares:
    """A box in pixels as shares of the picture's sides: x1, y1, x2, y2."""
    wide, high = max(width, 1), max(height, 1)
    return [round(value, 4) for value in (box.x1 / wide, box.y1 / high, box.x2 / wide, box.y2 / high)]


def read_boxes_found(path: Path) -> dict[str, Shares | None]:
    """The boxes of a file of lines; one that a kill cut off is found again."""
    known: dict[str, Shares | None] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            known[row["picture"]] = row["box"]
        except (ValueError, KeyError, TypeError):
            continue
    return known
