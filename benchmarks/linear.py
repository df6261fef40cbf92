"""A 100-epoch linear probe on features taken once against one that runs the network every epoch.

The plain side is timed over one epoch and multiplied. Ours is the whole of it: train and test features, six learning
rates compared on held-out images, the final classifier and its test.

    python -m benchmarks.linear --quick
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import timm
import torch
import torch.nn.functional as F

from benchmarks.photos import save_photos
from benchmarks.reference.linear import PlainPhotos, PlainProbe
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from datasets.images import ImageSet, scan
from datasets.views.recipes import View
from evaluation.features.extract import extract
from evaluation.metrics.linear import Accuracy, LinearPlan, choose_rate, fit, score_classifier
from evaluation.metrics.probe import RATES
from models.backbones import build_backbone
from models.encoder import Encoder
from runtime.ranges import BATCH, COUNT, EPOCHS, SIDE, WIDTH

GUARDED = 8  # images of the reference's pass that is watched


def make_sets(folder: Path, count: int, classes: int) -> tuple[ImageSet, ImageSet]:
    """As many training as test photographs, at least two a class."""
    for split in ("train", "test"):
        save_photos(folder / split, count, classes=min(classes, count // 2))
    return scan(folder, "train"), scan(folder, "test")


def plain_set(images: ImageSet, size: int, *, train: bool) -> PlainPhotos:
    """The same photographs for the plain probe."""
    return PlainPhotos([sample.path for sample in images.samples], images.labels.tolist(), size, train=train)


def probe(encoder: Encoder, train: ImageSet, test: ImageSet, args: argparse.Namespace) -> Accuracy:
    """All that main_linear.py does before it writes files; as many classes as asked, most of them may be absent."""
    view, plan = View("full", "eval", args.size), LinearPlan(args.epochs)
    found = [extract(encoder.outputs, images, view, batch_size=args.batch) for images in (train, test)]
    rows = [F.normalize(features.tensors["backbone"], dim=1) for features in found]
    choice = choose_rate(rows[0], found[0].labels, args.classes, RATES, plan)
    fitted = fit(rows[0], found[0].labels, args.classes, choice.rate, plan, choice.epoch)
    return score_classifier(fitted.last, rows[1], found[1].labels)


def guard(report: Report, plain: PlainProbe, args: argparse.Namespace) -> None:
    """The reference's look at a batch against the bare network."""
    count = min(args.batch, args.count, GUARDED)
    images, bare = torch.randn(count, 3, args.size, args.size), make_network(args)
    report.check_reference("backbone", len(images), lambda: plain.look(images),
                           torch.no_grad()(lambda: bare(images)))


def make_network(args: argparse.Namespace) -> torch.nn.Module:
    """timm's network with global pooling, frozen."""
    return timm.create_model(args.arch, num_classes=0).eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Time both over the same photographs."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--count", type=COUNT, help="photographs of each split (default 256, 16 with --quick)")
    add("--batch", type=BATCH, default=64, help="images of a forward pass")
    add("--size", type=SIDE, default=224, help="pixels of a side")
    add("--arch", default="resnet50", help="timm name")
    add("--classes", type=WIDTH, default=200, help="width of the classifiers")
    add("--epochs", type=EPOCHS, default=100, help="epochs of the probe")
    args, report = start_benchmark(parser, argv, "linear")
    args.count = args.count or (16 if args.quick else 256)
    encoder = Encoder(build_backbone(args.arch)).eval().to(memory_format=torch.channels_last)
    plain = PlainProbe(make_network(args), encoder.backbone.num_features, args.classes, args.batch)
    guard(report, plain, args)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        train, test = make_sets(Path(folder), args.count, args.classes)
        plain_train, plain_test = plain_set(train, args.size, train=True), plain_set(test, args.size, train=False)
        theirs, own = time_both(lambda: plain.run_epoch(plain_train, plain_test),
                              lambda: probe(encoder, train, test, args), args.rounds, warm=not args.quick)
    report.add("OURS seconds", own)
    return report.finish(args.epochs * theirs / own)


if __name__ == "__main__":
    sys.exit(main())
