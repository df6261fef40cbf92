"""A linear probe from encoder to files: features, rates, classifier, accuracies, curves, confusion."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.images import ImageSet, need_classes
from datasets.views.recipes import View
from engine.results_folder import append_to
from engine.workflows.report.facts import describe_evaluation
from engine.workflows.report.page import refresh_pages, try_to_write, write_page
from evaluation.features.subject import Subject, check_classes, homes
from evaluation.ledger import Result
from evaluation.metrics.linear import LinearClassifier, LinearPlan, fit_augmented, predict
from evaluation.metrics.probe import RATES, Outcome, Split, probe_cached
from evaluation.options import ProbeOptions
from evaluation.reports.figure import count_powers, label_text, load_pyplot
from evaluation.reports.run.facts import RunFacts
from runtime import distributed
from runtime.errors import ConfigError
from runtime.files import open_table, write_atomically

SEED_RATE = 30.0
SEED_FALLS = (60, 80)


@dataclass(frozen=True)
class Probe:
    """The data of a probe and its answer."""

    subject: Subject
    classes: tuple[str, ...]
    train: Split
    test: Split
    centre: Tensor | None
    outcome: Outcome


def run_probe(subject: Subject, options: ProbeOptions) -> Probe:
    """Train the classifier that the flags ask for; raises DataError or ConfigError before anything is computed."""
    train, test = subject.images("train", "learned"), subject.images("test", "learned")
    check_classes(train, options.num_classes)
    need_classes(train)
    check_classes(test, options.num_classes)
    plan = make_probe_plan(options)
    centre = subject.centre()
    splits = read_features(subject, train, centre), read_features(subject, test, centre)
    if options.protocol == "seed":
        outcome = probe_augmented(subject, *splits, centre, single_rate(options), plan)
    else:
        outcome = probe_cached(*splits, tuple(options.lr or RATES), plan, options.hold_out)
    return Probe(subject, train.classes, *splits, centre, outcome)


def make_probe_plan(options: ProbeOptions) -> LinearPlan:
    """The schedule: x0.1 at `--schedule` (60 % and 80 % of the epochs unless given), or a cosine.

    The public LEAD protocol has 60 and 80, and counts epochs from 1: the 60th is trained at the lower rate.
    """
    if options.cos:
        return LinearPlan(options.epochs, options.batch_size, None, seed=options.seed)
    public = options.protocol == "seed"
    usual = SEED_FALLS if public else (round(0.6 * options.epochs), round(0.8 * options.epochs))
    falls = usual if options.schedule is None else options.schedule
    return LinearPlan(options.epochs, options.batch_size, tuple(fall - public for fall in falls), seed=options.seed)


def single_rate(options: ProbeOptions) -> float:
    """The one rate of the augmented protocol; raises ConfigError for several."""
    if options.lr and len(options.lr) > 1:
        raise ConfigError(f"--protocol seed trains with one rate, not {len(options.lr)}; give one --lr, or none for 30")
    return options.lr[0] if options.lr else SEED_RATE


def read_features(subject: Subject, images: ImageSet, centre: Tensor | None) -> Split:
    """Features and labels of the labelled images of a split."""
    features = subject.extract(images)
    known = features.labels >= 0
    embeddings = subject.embeddings(features, centre)[known.to(subject.device)]
    return Split(images, embeddings, features.labels[known].to(subject.device), features.images_per_second)


def probe_augmented(
    subject: Subject, train: Split, test: Split, centre: Tensor | None, rate: float, plan: LinearPlan
) -> Outcome:
    """The public LEAD protocol: random crops and flips anew in every epoch, the best epoch chosen on test."""
    view = View(subject.view.source, "probe", subject.view.size)
    known = train.images.labels >= 0
    with tqdm(total=plan.epochs * len(train.images), unit="img", desc="augmented probe", file=sys.stderr,
              disable=not distributed.is_main(), mininterval=0.5) as bar:

        def draw(epoch: int) -> Tensor:
            return subject.embeddings(subject.extract(train.images, view=view, epoch=epoch, bar=bar), centre)[known]

        fitted = fit_augmented(draw, train.labels, test.features, test.labels, classes=len(train.images.classes),
                               rate=rate, plan=plan)
    return Outcome(fitted, rate, fitted.tested[-1], fitted.tested[fitted.best_epoch - 1], "given", "TEST images",
                   {"TEST top-1": [seen.top1 for seen in fitted.tested]})


def write_probe(probe: Probe, folder: Path, options: ProbeOptions, *, keep: bool = True) -> None:
    """Print the accuracies; classifiers, confusion.csv, curves.png, report.html and two rows of results.jsonl.

    The rows are of the last and of the best epoch; the page of the encoder's run is made anew.

    Without `keep` the folder cannot be written to, and accuracies are all there is.

    Raises ConfigError for the folder of the encoder itself, whose model_last.pth a classifier would replace.
    """
    if probe.subject.folder is not None and folder.resolve() == probe.subject.folder.resolve():
        raise ConfigError(f"--results-dir {folder} holds the encoder; give the probe a folder of its own")
    print(tell_probe(probe))
    append_to(homes(folder, probe.subject, keep), *(row.to_dict() for row in make_rows(probe, options)))
    if keep:
        write_probe_files(probe, folder)
        try_to_write(lambda: write_page(folder, describe_probe(probe, options)), folder)
        print(f"  written to {folder}")
    refresh_pages(homes(folder, probe.subject, keep=False))


def describe_probe(probe: Probe, options: ProbeOptions) -> RunFacts:
    """What report.html says of a probe."""
    fitted = probe.outcome.fitted
    charts = {"training loss of the classifier": {"loss": fitted.losses}, "top-1": probe.outcome.curves}
    return describe_evaluation("main_linear.py", probe.subject, options,
                               {"train": probe.train.images, "test": probe.test.images}, charts)


def write_probe_files(probe: Probe, folder: Path) -> None:
    """Classifiers, table and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = probe.outcome
    for name, classifier in (("last", outcome.fitted.last), ("best", outcome.fitted.best)):
        write_atomically(folder / f"model_{name}.pth", partial(save_linear_classifier, probe, classifier))
    write_confusion(folder / "confusion.csv", probe)
    draw_probe_curves(folder / "curves.png", outcome)


def save_linear_classifier(probe: Probe, classifier: LinearClassifier, path: Path) -> None:
    """A file that torch.load(weights_only=True) reads: weight [C, D], bias [C], class names, centre [D] or None."""
    meta = {"weights": probe.subject.source, "weights_sha256": probe.subject.sha256, "feature": probe.subject.feature,
            "arch": probe.subject.encoder.backbone.arch, "input": probe.subject.view.source,
            "view": probe.subject.view.recipe, "size": probe.subject.view.size, "lr": probe.outcome.rate}
    centre = probe.centre.cpu() if probe.centre is not None else None
    torch.save({"format": "plumage-classifier", "meta": json.dumps(meta), "classes": list(probe.classes),
                "centre": centre, "weight": classifier.weight.cpu(), "bias": classifier.bias.cpu()}, path)


def make_rows(probe: Probe, options: ProbeOptions) -> list[Result]:
    """The ledger's rows: the last epoch, then the best one with what chose it."""
    outcome, subject = probe.outcome, probe.subject
    tried = [outcome.rate] if options.protocol == "seed" else list(options.lr or RATES)
    details = {"protocol": options.protocol, "lr": outcome.rate, "rates_tried": tried, "epochs": options.epochs,
               "lr_selection": outcome.rate_selection, "batch_size": options.batch_size, "classes": len(probe.classes),
               "train_images": len(probe.train.labels)}
    rows = []
    for epoch, number, accuracy, selection in (
        ("last", options.epochs, outcome.last, "none"),
        ("best", outcome.fitted.best_epoch, outcome.best, outcome.best_selection),
    ):
        rows.append(subject.result("linear", probe.test.images, probe.test.speed,
                                   {"top1": accuracy.top1, "top5": accuracy.top5}, epoch=epoch, selection=selection,
                                   details={**details, "epoch_number": number}))
    return rows


def tell_probe(probe: Probe) -> str:
    """The result for people, in a few lines."""
    outcome, epoch = probe.outcome, probe.outcome.fitted.best_epoch
    return (f"linear probe of {probe.subject.describe()}\n"
            f"  {len(probe.train.labels)} train and {len(probe.test.labels)} test images, "
            f"{len(probe.classes)} classes, lr {outcome.rate:g} (chosen on: {outcome.rate_selection})\n"
            f"  last epoch      top-1 {outcome.last.top1:.2%}   top-5 {outcome.last.top5:.2%}\n"
            f"  epoch {epoch:<9} top-1 {outcome.best.top1:.2%}   top-5 {outcome.best.top5:.2%}   "
            f"(best on: {outcome.best_selection})")


def write_confusion(path: Path, probe: Probe) -> None:
    """Counts of test images by true class (rows) and guess of the last classifier (columns)."""
    count = len(probe.classes)
    guesses = predict(probe.outcome.fitted.last, probe.test.features)
    table = torch.bincount(probe.test.labels.cpu() * count + guesses, minlength=count * count).view(count, count)
    with open_table(path) as writer:
        writer.writerow(["true, guessed", *probe.classes])
        writer.writerows([name, *row] for name, row in zip(probe.classes, table.tolist()))


def draw_probe_curves(path: Path, outcome: Outcome) -> None:
    """Training loss and top-1 over epochs as a PNG."""
    pyplot = load_pyplot()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    left.plot(range(1, len(outcome.fitted.losses) + 1), outcome.fitted.losses)
    left.set(title=f"training loss, lr {outcome.rate:g}", xlabel="epoch", yscale="log")
    count_powers(left.yaxis)
    for name, values in outcome.curves.items():
        right.plot(range(1, len(values) + 1), values, label=label_text(name))
    right.set(title="top-1", xlabel="epoch")
    if outcome.curves:
        right.legend(fontsize=8, frameon=False)
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    write_atomically(path, lambda draft: figure.savefig(draft, dpi=110))
    pyplot.close(figure)
