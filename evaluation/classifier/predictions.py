"""What a classifier said of every picture, for people and programs: a table, a JSON file, sheets of pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from datasets.class_names import NUMBER
from datasets.files import decode
from datasets.images import ImageSet
from evaluation.reports.sheet import SIDE, Cell, draw_sheet
from runtime import files
from runtime.names.spelling import show_name

COLUMNS = 8  # pictures in a line of a sheet


@dataclass(frozen=True)
class NamedPredictions:
    """N pictures in order, with labels by the classifier's numbers or none; `probabilities` [N, K] of its answer."""

    images: ImageSet
    names: tuple[str, ...]
    probabilities: Tensor

    def best(self, count: int) -> tuple[Tensor, Tensor]:
        """The `count` most probable classes of each picture and their probabilities, both [N, count], best first."""
        found = self.probabilities.topk(min(count, len(self.names)), dim=1)
        return found.indices, found.values

    def truth(self, index: int) -> str:
        """The name of a picture's label, "" where it has none."""
        label = self.images.samples[index].label
        return "" if label is None else self.names[label]

    def wrong(self) -> list[int]:
        """Labelled pictures whose prediction is another class, the surest first."""
        surest, answers = self.probabilities.max(dim=1)
        missed = ((self.images.labels >= 0) & (answers != self.images.labels)).nonzero().flatten()
        return missed[surest[missed].argsort(descending=True, stable=True)].tolist()


def write_predictions_csv(path: Path, found: NamedPredictions, top: int) -> None:
    """predictions.csv: a line for each picture, in order."""
    classes, shares = found.best(top)
    more = [name for place in range(2, classes.shape[1] + 1) for name in (f"class_{place}", f"probability_{place}")]
    with files.open_table(path) as writer:
        writer.writerow(["path", "label", "predicted", "probability", "correct", *more])
        for index, sample in enumerate(found.images.samples):
            told = [cell for number, share in zip(classes[index].tolist(), shares[index].tolist())
                    for cell in (found.names[number], f"{share:.6f}")]
            correct = "" if sample.label is None else int(sample.label == int(classes[index, 0]))
            writer.writerow([sample.key, found.truth(index), *told[:2], correct, *told[2:]])


def write_predictions_json(path: Path, found: NamedPredictions, top: int, *, about: dict[str, object]) -> None:
    """predictions.json: `about` (which classifier, which view, what was skipped), the classes, a record a picture."""
    classes, shares = found.best(top)
    records = [
        {"path": sample.key, "label": found.truth(index) or None,
         "top": [{"class": found.names[number], "index": number, "probability": round(share, 6)}
                 for number, share in zip(classes[index].tolist(), shares[index].tolist())]}
        for index, sample in enumerate(found.images.samples)]
    content = about | {"classes": list(found.names), "predictions": records}
    files.write_json(path, content, json.JSONEncoder(indent=1, ensure_ascii=False))


def draw_predictions(found: NamedPredictions, chosen: Sequence[int], title: str, crop_bottom: int = 0) -> Image.Image:
    """A sheet of some pictures under their prediction: green frames right, red wrong (with the label), grey unknown."""
    surest, answers = found.probabilities.max(dim=1)
    cells = []
    for index in chosen:
        label, answer = found.images.samples[index].label, int(answers[index])
        caption = f"{float(surest[index]):.2f} {caption_name(found.names[answer])}"
        missed = label is not None and label != answer
        caption += f"\nis {caption_name(found.truth(index))}" if missed else ""
        cells.append(Cell(index, caption, not missed, judged=label is not None))

    def open_image(index: int) -> Image.Image:
        return decode(found.images.samples[index].path, crop_bottom, size_hint=2 * SIDE)

    return draw_sheet(cells, COLUMNS, open_image, title)


def caption_name(name: str) -> str:
    """A class name as captions have it, which have little room: without a leading number, with spaces."""
    return show_name(NUMBER.sub("", name).replace("_", " ") or name)


def pick_evenly(count: int, most: int) -> list[int]:
    """At most `most` of `count` places, evenly from the first on."""
    shown = min(count, most)
    return [place * count // shown for place in range(shown)]


def accuracy(found: NamedPredictions) -> float | None:
    """The share of right predictions among labelled pictures, None without labels."""
    labelled = found.images.labels >= 0
    if not bool(labelled.any()):
        return None
    right = found.probabilities.argmax(dim=1)[labelled] == found.images.labels[labelled]
    return float(right.to(torch.float64).mean())
