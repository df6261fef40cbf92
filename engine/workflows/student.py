"""A student trained under given prototypes and measured, by the very code of main_pretrain.py and main_retrieval.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.workflows.build import build
from engine.workflows.pretrain.system import PRETRAIN
from engine.workflows.retrieval import make_retrieval_row, run_search, write_search
from evaluation.features.subject import open_subject
from evaluation.ledger import append_result
from evaluation.metrics.zero_shot import zero_shot
from evaluation.options import SearchOptions
from evaluation.retrieval.found import Search
from runtime.files import write_atomically


@dataclass(frozen=True)
class StudentPlan:
    """What all students of a comparison share: where to, the user's `flags` of main_pretrain.py, options over them.

    `search` are the options of main_retrieval.py, but for the network.
    """

    folder: Path
    flags: tuple[str, ...]
    options: Mapping[str, object]
    search: SearchOptions
    device: torch.device


def train_student(
    plan: StudentPlan, key: str, title: str, rows: Tensor, temperature: float, classes: Tensor | None
) -> dict[str, float]:
    """Pre-train with prototypes `rows` [M, D], search the test split, and add a row to the plan's results.jsonl.

    `classes` [C, D] are rows in label order for zero-shot accuracy, None where they mean no classes.
    """
    folder, tensor = plan.folder / "runs" / key, plan.folder / "tensors" / f"{key}.pt"
    tensor.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(tensor, lambda draft: torch.save(rows.cpu(), draft))
    options = PRETRAIN.command.parse(plan.flags, **plan.options, text_load=str(tensor), temperature=temperature,
                                     results_dir=str(folder), plan=None)  # --plan would stop
    build(PRETRAIN, options, plan.device).train()
    return measure_student(plan, folder, title, classes)


def measure_student(plan: StudentPlan, folder: Path, title: str, classes: Tensor | None) -> dict[str, float]:
    """Retrieval, kNN and zero-shot accuracy of a finished run; {} where the images have no labels."""
    asked = replace(plan.search, pretrained=str(folder), label=title)
    search = run_search(open_subject(asked, plan.device, asked.batch_size), asked)
    write_search(search, folder / "retrieval", asked)
    if search.measured is None:
        return {}
    row = make_retrieval_row(search, search.measured, asked)
    append_result(plan.folder / "results.jsonl", row.to_dict())
    found = {name: row.metrics[name] for name in ("map", "rank1", "knn")}
    return found if classes is None else found | score_by_text(plan, search, classes)


def score_by_text(plan: StudentPlan, search: Search, classes: Tensor) -> dict[str, float]:
    """Zero-shot accuracy of the student's head by class rows [C, D]; a row of its own in results.jsonl."""
    subject = search.subject.by_head()
    features = subject.extract(search.images)
    found = zero_shot(subject.embeddings(features, None), classes, search.labels)
    numbers = {"zeroshot": found.top1, "zeroshot5": found.top5}
    row = subject.result("zero-shot", search.images, features.images_per_second, numbers)
    append_result(plan.folder / "results.jsonl", row.to_dict())
    return numbers
