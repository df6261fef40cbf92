"""A finished study: its estimates and paired differences, and the files that keep them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from benchmarks.studies.networks import (
    HOLD_OUT,
    METRICS,
    NEIGHBOURS,
    TEMPERATURE,
    ImageScores,
    NetworkScores,
    SplitPair,
)
from benchmarks.studies.options import StudyRow
from evaluation.ledger import Result, append_result
from evaluation.metrics import bootstrap
from evaluation.metrics.bootstrap import Estimate
from runtime.files import open_table, write_atomically
from runtime.names.safe import safe_name

Estimates = dict[str, list[Estimate]]


@dataclass(frozen=True)
class Study:
    """Rows, and for each of them the scores of every seed; a frozen network's are the same for all seeds.

    `against` are the labels of the rows that all others are compared with; `seed` is that of probe and bootstrap.
    """

    task: str
    pair: SplitPair
    rows: tuple[StudyRow, ...]
    by_seed: tuple[tuple[NetworkScores, ...], ...]
    seeds: tuple[int, ...]
    against: tuple[str, ...]
    draws: int
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return safe_name(self.task, room=16)

    @cached_property
    def scores(self) -> ImageScores:
        """[R, S, 5, M] by METRICS, NaN where an image cannot be a query."""
        return np.stack([np.stack([one.scores for one in seeds]) for seeds in self.by_seed])

    def scored(self, metric: str) -> ImageScores:
        """[R, S, M'] of a metric, over the images that can be queries."""
        values = self.scores[:, :, METRICS.index(metric)]
        return values[:, :, ~np.isnan(values).any(axis=(0, 1))]

    @cached_property
    def estimates(self) -> Estimates:
        """By metric, one for each row."""
        return {metric: bootstrap.estimate(self.scored(metric), draws=self.draws, seed=self.seed) for metric in METRICS}

    @cached_property
    def differences(self) -> dict[str, Estimates]:
        """By label of `against`, then by metric: one for each row, the row minus that one."""
        places = {label: [row.label for row in self.rows].index(label) for label in self.against}
        estimate = partial(bootstrap.estimate_paired_differences, draws=self.draws, seed=self.seed)
        return {label: {metric: estimate(self.scored(metric), place) for metric in METRICS}
                for label, place in places.items()}


def write_study(study: Study, out: Path) -> None:
    """<task>.csv, <task>_pairs.csv, <task>.npz (every image's scores), and a row each in results.jsonl."""
    out.mkdir(parents=True, exist_ok=True)
    write_estimates(study, out / f"{study.name}.csv")
    write_differences(study, out / f"{study.name}_pairs.csv")
    keys = [sample.key for sample in study.pair.test.samples]
    write_atomically(out / f"{study.name}.npz", lambda draft: np.savez_compressed(
        draft, verdicts=study.scores, metrics=METRICS, seeds=study.seeds, rows=[row.label for row in study.rows],
        keys=keys, labels=study.pair.test.labels.numpy()))
    for place in range(len(study.rows)):
        append_result(out / "results.jsonl", make_result(study, place).to_dict())


def write_estimates(study: Study, path: Path) -> None:
    """One line a row: the means over seeds and images, with the ends of their intervals."""
    names = [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    with open_table(path) as writer:
        writer.writerow(["row", "source", "features", "images_per_second", *names])
        for place, row in enumerate(study.rows):
            numbers = list_metrics(study, place)
            writer.writerow([row.label, row.source, row.describe(), f"{speed(study, place):.2f}",
                             *(f"{numbers[name]:.6f}" for name in names)])


def write_differences(study: Study, path: Path) -> None:
    """One line for each pair and metric: row minus reference, its interval, and whether that excludes 0."""
    with open_table(path) as writer:
        writer.writerow(["against", "row", "metric", "difference", "low", "high", "excludes_zero"])
        for reference, by_metric in study.differences.items():
            for place, row in enumerate(study.rows):
                for metric, found in by_metric.items() if row.label != reference else ():
                    one = found[place]
                    numbers = (f"{number:.6f}" for number in (one.mean, one.low, one.high))
                    writer.writerow([reference, row.label, metric, *numbers, int(one.excludes_zero)])


def list_metrics(study: Study, place: int) -> dict[str, float]:
    """A row's means by metric, and the ends of the intervals as <metric>_low and <metric>_high."""
    found = {metric: estimates[place] for metric, estimates in study.estimates.items()}
    return {f"{metric}{end}": number for metric, one in found.items()
            for end, number in (("", one.mean), ("_low", one.low), ("_high", one.high))}


def speed(study: Study, place: int) -> float:
    """Images per second of a row, the median over seeds."""
    return float(np.median([one.images_per_second for one in study.by_seed[place]]))


def make_result(study: Study, place: int) -> Result:
    """The ledger's row, paired differences included."""
    row, by_seed, test = study.rows[place], study.by_seed[place], study.pair.test
    per_seed = {metric: [float(mean) for mean in study.scored(metric)[place].mean(axis=1)] for metric in METRICS}
    against = {reference: {metric: {**asdict(found[place]), "excludes_zero": found[place].excludes_zero}
                           for metric, found in by_metric.items()}
               for reference, by_metric in study.differences.items() if reference != row.label}
    details = {
        "seeds": list(study.seeds), "trained_with_seed": "{seed}" in row.source, "per_seed": per_seed,
        "interval": "95 % percentile bootstrap over test images and seeds, paired", "draws": study.draws,
        "against": against, "processing": row.describe(), "pca": row.pca, "train_images": len(study.pair.train),
        "retrieval": "leave-one-out in test, full ranking", "knn_protocol": "train to test", "knn_k": NEIGHBOURS,
        "knn_t": TEMPERATURE, "hold_out": HOLD_OUT, "weights_by_seed": [one.sha256 for one in by_seed],
    }
    return Result(kind="study", task=study.task, dataset_sha256=test.fingerprint(), split="test", images=len(test),
                  weights=row.source, weights_sha256=by_seed[0].sha256, arch=by_seed[0].arch, feature=row.feature,
                  input="full", view="eval", size=row.size, centred=row.centred, seed=study.seed, precision="fp32",
                  images_per_second=round(speed(study, place), 2), metrics=list_metrics(study, place), epoch="last",
                  selection="learning rate of the probe: a held-out fifth of train", label=row.label, details=details)
