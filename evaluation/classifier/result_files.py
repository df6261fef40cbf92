"""eval_results.txt and infer_results.txt: one line a metric, as the plug-in module's public code writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation.classifier.classify import Predictions
from evaluation.classifier.positions import DEPTHS
from evaluation.metrics.classification import TopScores, score_branches
from evaluation.metrics.ensembles import find_global
from runtime.files import write_text

EVALUATION, INFERENCE = "eval_results.txt", "infer_results.txt"


def name_metrics(predictions: Predictions) -> dict[str, float]:
    """Shares by the public code's names: `layer1-top-1`, `layer1-top-3`, ..., `combiner-top-3`, `highest-1`, ...

    With a selector also `select_layer1-top-1`, `drop_layer1-top-1`, ...: shares of its positions, not of images.
    Branches that the public code does not have (`cls`, `dist`, `average`) have a top-5 as well.
    """
    scores = score_branches(predictions.branches, predictions.labels)
    together = find_global(predictions.logits)
    depths = dict.fromkeys(together, (1, 3)) | {name: (1, 3, 5) for name in predictions.logits if name not in together}
    metrics = {f"{name}-top-{depth}": take_depth(scores[name], depth)
               for name, chosen in depths.items() for depth in chosen}
    known = predictions.labels >= 0
    metrics |= {f"{name}-top-{depth}": shares[known, place].double().mean().item()
                for name, shares in predictions.positions.items() for place, depth in enumerate(DEPTHS)}
    return metrics | {name: scores[name].top1 for name in predictions.ensembles}


def take_depth(scores: TopScores, depth: int) -> float:
    """Top-1, top-3 or top-5."""
    return {1: scores.top1, 3: scores.top3, 5: scores.top5}[depth]


def find_best(metrics: Mapping[str, float]) -> str:
    """The highest of all top-1 (positions' too) and highest-x, which the public code reports: an optimist's choice."""
    return max((name for name in metrics if name.endswith("-top-1") or name.startswith("highest-")),
               key=lambda name: metrics[name])


def write_results(path: Path, predictions: Predictions, facts: Mapping[str, object], title: str) -> None:
    """The results file of predictions on labelled images, whole or not at all; `facts` go into its head.

    ANSWER is the network's own prediction, BEST_ACC what the public code reports. Percent with three decimals.
    """
    metrics = name_metrics(predictions)
    chosen = {"ANSWER": f"{predictions.answer}-top-1", "BEST_ACC": find_best(metrics)}
    head = [f"[{title}]", *(f"{name}: {value}" for name, value in facts.items())]
    lines = [*head, f"Samples: {len(predictions.keys)}", "",
             *(f"    {name} {100 * value:.3f}%" for name, value in metrics.items()), "",
             *(f"{role}: {name} {100 * metrics[name]:.3f}%" for role, name in chosen.items())]
    write_text(path, "\n".join(lines) + "\n")
