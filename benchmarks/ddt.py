"""Fit and crop with ResNet-50 at 448 pixels against five forward passes at batch 1 and a PCA over all descriptors.

    python -m benchmarks.ddt --quick
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor, nn

from benchmarks.photos import save_photos
from benchmarks.reference.ddt import crop_plain, fit_plain, read_image, read_map, save_plain
from benchmarks.timing import Report, compare, make_parser, start
from datasets.images import ImageSet, scan
from DDT.boxes import RowLog
from DDT.crops import CropWriter
from DDT.descriptors import Reading, stream_maps
from DDT.policy import Policy
from DDT.stages import Rule, find_boxes, fit_direction, localise
from models.backbones import Backbone, build_backbone

CPU = torch.device("cpu")


class PlainMaps(nn.Module):
    """A bare timm network's last map, from standardised images."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        return self.net.forward_features(images)


def make_backbone(args: argparse.Namespace) -> Backbone:
    """The network as `python -m DDT` prepares it; random weights, the same for both sides."""
    torch.manual_seed(0)
    return build_backbone(args.arch).eval().to(memory_format=torch.channels_last)


def make_reading(args: argparse.Namespace) -> Reading:
    """How ours reads images."""
    return Reading(size=args.size, batch_size=args.batch)


def run_plain(network: nn.Module, paths: Sequence[Path], size: int, folder: Path) -> None:
    """Fit, then find and write every crop."""
    direction = fit_plain(network, paths, size)
    for path in paths:
        save_plain(path, crop_plain(network, path, size, direction), folder / path.name)


def run_ours(backbone: Backbone, images: ImageSet, reading: Reading, folder: Path) -> None:
    """The command's two stages, into a fresh folder."""
    folder.mkdir()
    samples, log, rule = images.samples, RowLog(folder), Rule(Policy("square"))
    with contextlib.redirect_stderr(io.StringIO()):
        direction = fit_direction(backbone, samples, reading, CPU)
        maps = stream_maps(backbone, samples, reading, device=CPU)
        done = log.recover([])
        with CropWriter(folder, crop_bottom=0, threads=1) as writer:
            localise(find_boxes(maps, samples, direction, rule, reading), samples, done, log, writer)


def guard(report: Report, network: nn.Module, bare: nn.Module, path: Path, size: int) -> None:
    """The reference's forward pass at batch 1 against the bare network."""
    images, _ = read_image(path, size)
    report.check_reference("forward", 1, lambda: read_map(network, images),
                           torch.no_grad()(lambda: bare.forward_features(images)))


def measure_peak(args: argparse.Namespace, images: int) -> float:
    """Peak memory (kilobytes on Linux) of a process that fits `images` photographs."""
    command = [sys.executable, str(Path(__file__).resolve()), "--peak-of", str(images), "--arch", args.arch,
               "--size", str(args.size), "--batch", str(args.batch), "--threads", str(args.threads)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def tell_peak(args: argparse.Namespace) -> int:
    """The other process: fit, and print its own peak."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        save_photos(Path(folder), args.peak_of)
        fit_direction(make_backbone(args), scan(folder).samples, make_reading(args), CPU)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Time both over the same photographs, then measure the fit's memory at one and at four times the images."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--count", type=int, help="photographs (default 64, 8 with --quick)")
    add("--batch", type=int, help="images of a forward pass of ours (default 16, 8 with --quick)")
    add("--size", type=int, default=448, help="pixels of a side")
    add("--arch", default="resnet50", help="timm name")
    add("--peak-of", type=int, help=argparse.SUPPRESS)
    args, report = start(parser, argv, "ddt")
    args.batch = args.batch or (8 if args.quick else 16)
    if args.peak_of:
        return tell_peak(args)
    count = args.count or (8 if args.quick else 64)
    backbone = make_backbone(args)
    network = PlainMaps(make_backbone(args).net).to(memory_format=torch.contiguous_format)
    bare = build_backbone(args.arch).eval()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, images = save_photos(folder / "photos", count), scan(folder / "photos")
        (folder / "plain").mkdir()
        guard(report, network, bare.net, paths[0], args.size)
        places = (folder / f"out{number}" for number in itertools.count())
        theirs, own = compare(lambda: run_plain(network, paths, args.size, folder / "plain"),
                              lambda: run_ours(backbone, images, make_reading(args), next(places)),
                              args.rounds, warm=not args.quick)
    report.add("OURS images/s", count / own)
    base = 2 * args.batch
    report.add("MEMORY", measure_peak(args, 4 * base) / measure_peak(args, base))
    return report.finish(theirs / own)


if __name__ == "__main__":
    sys.exit(main())
