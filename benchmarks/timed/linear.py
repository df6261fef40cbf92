"""The two sides of benchmarks/linear.py, and what is timed of them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import timm
import torch
import torch.nn.functional as F

from benchmarks.linear import LinearTimingOptions
from benchmarks.photos import save_photos
from benchmarks.reference.linear import PlainPhotos, PlainProbe
from benchmarks.timing import Report, start_benchmark, time_both
from datasets.images import ImageSet, scan
from datasets.views.recipes import View
from evaluation.features.extract import extract
from evaluation.metrics.linear import Accuracy, LinearPlan, choose_rate, fit, score_classifier
from evaluation.metrics.probe import RATES
from models.backbones import build_backbone
from models.encoder import Encoder

GUARDED = 8  # images of the reference's pass that is watched


def make_sets(folder: Path, count: int, classes: int) -> tuple[ImageSet, ImageSet]:
    """As many training as test photographs, at least two a class."""
    for split in ("train", "test"):
        save_photos(folder / split, count, classes=min(classes, count // 2))
    return scan(folder, "train"), scan(folder, "test")


def plain_set(images: ImageSet, size: int, *, train: bool) -> PlainPhotos:
    """The same photographs for the plain probe."""
    return PlainPhotos([sample.path for sample in images.samples], images.labels.tolist(), size, train=train)


def probe(encoder: Encoder, train: ImageSet, test: ImageSet, options: LinearTimingOptions) -> Accuracy:
    """All that main_linear.py does before it writes files; as many classes as asked, most of them may be absent."""
    view, plan = View("full", "eval", options.size), LinearPlan(options.epochs)
    found = [extract(encoder.outputs, images, view, batch_size=options.batch, device=options.device)
             for images in (train, test)]
    rows = [F.normalize(features.tensors["backbone"].to(options.device), dim=1) for features in found]
    labels = [features.labels.to(options.device) for features in found]
    choice = choose_rate(rows[0], labels[0], options.classes, RATES, plan)
    fitted = fit(rows[0], labels[0], options.classes, choice.rate, plan, choice.epoch)
    return score_classifier(fitted.last, rows[1], labels[1])


def guard(report: Report, plain: PlainProbe, options: LinearTimingOptions) -> None:
    """The reference's look at a batch against the bare network."""
    count = min(options.batch, options.count, GUARDED)
    images, bare = torch.randn(count, 3, options.size, options.size).to(options.device), make_network(options)
    report.check_reference("backbone", len(images), lambda: plain.look(images),
                           torch.no_grad()(lambda: bare(images)))


def make_network(options: LinearTimingOptions) -> torch.nn.Module:
    """timm's network with global pooling, frozen."""
    return timm.create_model(options.arch, num_classes=0).eval().to(options.device)


def time_probes(options: LinearTimingOptions) -> int:
    """Time both over the same photographs."""
    report = start_benchmark(options, "linear")
    encoder = Encoder(build_backbone(options.arch)).eval().to(options.device).to(memory_format=torch.channels_last)
    plain = PlainProbe(make_network(options), encoder.backbone.num_features, options.classes, options.batch)
    guard(report, plain, options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        train, test = make_sets(Path(folder), options.count, options.classes)
        plain_train, plain_test = plain_set(train, options.size, train=True), plain_set(test, options.size, train=False)
        theirs, own = time_both(lambda: plain.run_epoch(plain_train, plain_test),
                                lambda: probe(encoder, train, test, options), options.rounds, warm=not options.quick)
    report.add("OURS seconds", own)
    return report.finish(options.epochs * theirs / own)
