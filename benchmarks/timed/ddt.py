"""The two sides of benchmarks/ddt.py, and what is timed of them."""

from __future__ import annotations

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

import torch
from torch import Tensor, nn

from benchmarks.ddt import DdtTimingOptions
from benchmarks.photos import save_photos
from benchmarks.reference.ddt import crop_plain, fit_plain, read_image, read_map, save_plain
from benchmarks.timing import Report, start_benchmark, time_both
from datasets.images import ImageSet, scan
from DDT.boxes import RowLog
from DDT.crops import CropWriter
from DDT.descriptors import MapReading, choose_map_precision, prepare_backbone, slice_batches, stream_maps
from DDT.directions.grouped import GroupedDirections
from DDT.policy import Policy
from DDT.scratch import GIGABYTE, Scratch
from DDT.stages import Rule, find_boxes, fit_direction, localise
from models.backbones import Backbone, build_backbone
from models.network import TimmNetwork

SCRATCH = 10 * GIGABYTE  # the command's default


class PlainMaps(nn.Module):
    """A bare timm network's last map, from standardised images."""

    def __init__(self, net: TimmNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        return self.net.forward_features(images)


def make_backbone(options: DdtTimingOptions) -> Backbone:
    """The network with random weights, the same for both sides."""
    torch.manual_seed(0)
    return build_backbone(options.arch, device=options.device).eval()


def make_reading(options: DdtTimingOptions, backbone: Backbone) -> MapReading:
    """How ours reads images."""
    precision = choose_map_precision("auto", backbone.mean.device, backbone)
    return MapReading(size=options.size, batch_size=options.batch, precision=precision)


def run_plain(network: nn.Module, paths: Sequence[Path], size: int, folder: Path) -> None:
    """Fit, then find and write every crop."""
    direction = fit_plain(network, paths, size)
    for path in paths:
        save_plain(path, crop_plain(network, path, size, direction), folder / path.name)


def run_ours(backbone: Backbone, images: ImageSet, reading: MapReading, folder: Path) -> None:
    """The command's two stages, into a fresh folder."""
    folder.mkdir()
    batches = slice_batches([images.samples], reading.batch_size)
    compute = partial(stream_maps, backbone, reading, backbone.mean.device)
    log, rule = RowLog(folder), Rule(Policy("square"))
    with contextlib.redirect_stderr(io.StringIO()), Scratch(folder, SCRATCH) as scratch:
        direction = fit_direction(scratch.record(compute(batches)), len(images))
        directions = GroupedDirections.of_one(direction, len(images))
        found = find_boxes(scratch.recall(batches, compute), directions, rule, reading)
        done = log.recover([])
        with CropWriter(folder, crop_bottom=0, threads=1) as writer:
            localise(found, images.samples, done, log, writer)


def guard(report: Report, network: nn.Module, bare: TimmNetwork, path: Path, size: int) -> None:
    """The reference's forward pass at batch 1 against the bare network."""
    images, _ = read_image(path, size)
    report.check_reference("forward", 1, lambda: read_map(network, images),
                           torch.no_grad()(lambda: bare.forward_features(images.to(next(bare.parameters()).device))))


def measure_peak(options: DdtTimingOptions, images: int) -> float:
    """Peak memory (kilobytes) of a process that fits and crops `images` photographs."""
    file, threads = Path(__file__).resolve().parents[1] / "ddt.py", max(1, options.threads // 2)
    command = [sys.executable, str(file), "--peak-of", str(images), "--arch", options.arch, "--size", str(options.size),
               "--batch", str(options.batch), "--threads", str(threads), "--device", options.device]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def tell_peak(options: DdtTimingOptions, images: int) -> int:
    """The other process: do all of it, and print its own peak."""
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name, "photos")
        save_photos(photos, images)
        backbone = prepare_backbone(make_backbone(options))
        run_ours(backbone, scan(photos), make_reading(options, backbone), Path(name, "out"))
    print(read_own_peak())
    return 0


def read_own_peak() -> int:
    """This process's peak memory so far; getrusage's number comes from the parent where that was larger (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))


def time_ddt(options: DdtTimingOptions) -> int:
    """Time both over the same photographs, then measure the fit's memory at one and at four times the images."""
    report = start_benchmark(options, "ddt")
    if options.peak_of:
        return tell_peak(options, options.peak_of)
    count = options.count
    backbone, bare = prepare_backbone(make_backbone(options)), make_backbone(options)
    network = PlainMaps(make_backbone(options).net)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, images = save_photos(folder / "photos", count), scan(folder / "photos")
        (folder / "plain").mkdir()
        guard(report, network, bare.net, paths[0], options.size)
        places = (folder / f"out{number}" for number in itertools.count())
        theirs, own = time_both(lambda: run_plain(network, paths, options.size, folder / "plain"),
                                lambda: run_ours(backbone, images, make_reading(options, backbone), next(places)),
                                options.rounds, warm=not options.quick)
    report.add("OURS images/s", count / own)
    base = 2 * options.batch
    with ThreadPoolExecutor() as pool:  # memory, not time: side by side
        once, four_times = pool.map(partial(measure_peak, options), (base, 4 * base))
    report.add("MEMORY", four_times / once)
    return report.finish(theirs / own)
