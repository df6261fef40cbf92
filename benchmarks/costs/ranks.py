"""What a step costs on one process and on several, one thread each: the same images, the same batch, in turns.

    python -m benchmarks.costs.ranks
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.costs.scaling import name_processor
from benchmarks.photos import save_photos
from benchmarks.timing import BenchmarkOptions, parse_benchmark, start_benchmark
from runtime.errors import ConfigError, StopTraining
from runtime.options import flag
from runtime.ranges import BATCH, COUNT, whole_number

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4  # of a run; the first, in which everything is warm for the first time, does not count


@dataclass(frozen=True, kw_only=True)
class RanksOptions(BenchmarkOptions):
    """How much each run does, and the most processes that are tried."""

    batch: int = flag(16, BATCH, "images of a step, of all processes together")
    images: int = flag(96, COUNT, "photographs")
    ranks: int = flag(2, whole_number(2, 10**6), "processes; 1 and this number are compared")


def time_run(photos: Path, folder: Path, ranks: int, options: RanksOptions) -> float:
    """Median seconds of a step of MoCo with ResNet-18 at 112 px, over the epochs of a run of so many processes."""
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    words = ["--root", photos, "--results-dir", folder, "--method", "moco", "-a", "resnet18", "--pretrained", "none",
             "--size", "112", "--epochs", EPOCHS, "--batch-size", options.batch, "--moco-k", "64", "--threads", "1",
             "--num-workers", "0", "--precision", "fp32", "--monitor-every", "0", "--crop-root", "none", "--device",
             options.device]
    done = subprocess.run([sys.executable, *starter, ROOT / "main_pretrain.py", *map(str, words)], text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    if done.returncode:
        raise StopTraining(f"a run of {ranks} processes ended with {done.returncode}: {done.stderr[-2000:]}")
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = [row["seconds"] for row in rows if row["kind"] == "speed"][1:]
    return statistics.median(seconds) / (options.images // options.batch)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse_benchmark(__doc__, RanksOptions, argv)
    if options.images < options.batch:
        raise ConfigError(f"--images {options.images} fill no step of --batch {options.batch}; give more")
    start_benchmark(options, "ranks")
    print(name_processor(), flush=True)
    taken: dict[int, list[float]] = {1: [], options.ranks: []}
    with tempfile.TemporaryDirectory() as place:
        save_photos(Path(place, "photos"), options.images, width=160, height=120)
        for turn in range(options.rounds):
            for ranks, seconds in taken.items():
                seconds.append(time_run(Path(place, "photos"), Path(place, f"{turn}_{ranks}"), ranks, options))
    first, several = (statistics.median(seconds) for seconds in taken.values())
    print(f"a step of {options.batch} images: {first:.3f} s on 1 process, {several:.3f} s on {options.ranks}: "
          f"{several / first:.2f} of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
