"""Fit and crop with ResNet-50 at 448 pixels: one pass an image, against six at batch 1 and a PCA over all descriptors.

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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path, the root is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor, nn

from benchmarks.photos import save_photos
from benchmarks.reference.ddt import crop_plain, fit_plain, read_image, read_map, save_plain
from benchmarks.timing import Report, make_parser, start_benchmark, time_both
from datasets.images import ImageSet, scan
from DDT.boxes import RowLog
from DDT.crops import CropWriter
from DDT.descriptors import MapReading, choose_map_precision, prepare_backbone, slice_batches, stream_maps
from DDT.policy import Policy
from DDT.scratch import GIGABYTE, Scratch
from DDT.stages import Rule, find_boxes, fit_direction, localise
from models.backbones import Backbone, build_backbone
from models.network import TimmNetwork
from runtime.ranges import BATCH, COUNT, SIDE

CPU = torch.device("cpu")
SCRATCH = 10 * GIGABYTE  # the command's default


class PlainMaps(nn.Module):
    """A bare timm network's last map, from standardised images."""

    def __init__(self, net: TimmNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        return self.net.forward_features(images)


def make_backbone(args: argparse.Namespace) -> Backbone:
    """The network with random weights, the same for both sides."""
    torch.manual_seed(0)
    return build_backbone(args.arch).eval()


def make_reading(args: argparse.Namespace, backbone: Backbone) -> MapReading:
    """How ours reads images."""
    return MapReading(size=args.size, batch_size=args.batch, precision=choose_map_precision("auto", CPU, backbone))


def run_plain(network: nn.Module, paths: Sequence[Path], size: int, folder: Path) -> None:
    """Fit, then find and write every crop."""
    direction = fit_plain(network, paths, size)
    for path in paths:
        save_plain(path, crop_plain(network, path, size, direction), folder / path.name)


def run_ours(backbone: Backbone, images: ImageSet, reading: MapReading, folder: Path) -> None:
    """The command's two stages, into a fresh folder."""
    folder.mkdir()
    batches, compute = slice_batches([images.samples], reading.batch_size), partial(stream_maps, backbone, reading, CPU)
    log, rule = RowLog(folder), Rule(Policy("square"))
    with contextlib.redirect_stderr(io.StringIO()), Scratch(folder, SCRATCH) as scratch:
        direction = fit_direction(scratch.record(compute(batches)), len(images))
        found = find_boxes(scratch.recall(batches, compute), direction, rule, reading)
        done = log.recover([])
        with CropWriter(folder, crop_bottom=0, threads=1) as writer:
            localise(found, images.samples, done, log, writer)


def guard(report: Report, network: nn.Module, bare: TimmNetwork, path: Path, size: int) -> None:
    """The reference's forward pass at batch 1 against the bare network."""
    images, _ = read_image(path, size)
    report.check_reference("forward", 1, lambda: read_map(network, images),
                           torch.no_grad()(lambda: bare.forward_features(images)))


def measure_peak(args: argparse.Namespace, images: int) -> float:
    """Peak memory (kilobytes) of a process that fits and crops `images` photographs."""
    command = [sys.executable, str(Path(__file__).resolve()), "--peak-of", str(images), "--arch", args.arch,
               "--size", str(args.size), "--batch", str(args.batch), "--threads", str(max(1, args.threads // 2))]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def tell_peak(args: argparse.Namespace) -> int:
    """The other process: do all of it, and print its own peak."""
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name, "photos")
        save_photos(photos, args.peak_of)
        backbone = prepare_backbone(make_backbone(args))
        run_ours(backbone, scan(photos), make_reading(args, backbone), Path(name, "out"))
    print(read_own_peak())
    return 0


def read_own_peak() -> int:
    """This process's peak memory so far; getrusage's number comes from the parent where that was larger (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))


def main(argv: Sequence[str] | None = None) -> int:
    """Time both over the same photographs, then measure the fit's memory at one and at four times the images."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--count", type=COUNT, help="photographs (default 64, 3 with --quick)")
    add("--batch", type=BATCH, help="images of a forward pass of ours (default 16, 3 with --quick)")
    add("--size", type=SIDE, default=448, help="pixels of a side")
    add("--arch", default="resnet50", help="timm name")
    add("--peak-of", type=COUNT, help=argparse.SUPPRESS)
    args, report = start_benchmark(parser, argv, "ddt")
    args.batch = args.batch or (3 if args.quick else 16)
    if args.peak_of:
        return tell_peak(args)
    count = args.count or (3 if args.quick else 64)
    backbone, bare = prepare_backbone(make_backbone(args)), make_backbone(args)
    network = PlainMaps(make_backbone(args).net)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, images = save_photos(folder / "photos", count), scan(folder / "photos")
        (folder / "plain").mkdir()
        guard(report, network, bare.net, paths[0], args.size)
        places = (folder / f"out{number}" for number in itertools.count())
        theirs, own = time_both(lambda: run_plain(network, paths, args.size, folder / "plain"),
                              lambda: run_ours(backbone, images, make_reading(args, backbone), next(places)),
                              args.rounds, warm=not args.quick)
    report.add("OURS images/s", count / own)
    base = 2 * args.batch
    with ThreadPoolExecutor() as pool:  # memory, not time: side by side
        once, four_times = pool.map(partial(measure_peak, args), (base, 4 * base))
    report.add("MEMORY", four_times / once)
    return report.finish(theirs / own)


if __name__ == "__main__":
    sys.exit(main())
