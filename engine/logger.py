"""What a run says: one JSON line a step and an epoch, a progress bar, TensorBoard and W&B where asked and installed."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.loader import Batch
from evaluation.image_log import ImageLog
from runtime.files import flush, write_bytes
from runtime.lines import append_line

BINS = 10
NEWLINE = b"\n"


class Meter:
    """Running means and histograms, kept in the checkpoint so that a resumed epoch logs what a whole one would."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.bins: dict[str, list[int]] = {}

    def add(self, values: dict[str, float]) -> None:
        """Count one observation of each value."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def count(self, samples: Mapping[str, Tensor]) -> None:
        """Sort per-sample numbers [B] in [0, 1] into ten equal bins."""
        for name, values in samples.items():
            found = torch.histc(values.float().cpu().clamp(0, 1), bins=BINS, min=0.0, max=1.0).long().tolist()
            self.bins[name] = [a + b for a, b in zip(self.bins.get(name, [0] * BINS), found)]

    def histograms(self) -> dict[str, list[float]]:
        """Shares of the samples in each bin, as `<name>_histogram`."""
        return {f"{name}_histogram": [round(some / max(sum(bins), 1), 4) for some in bins]
                for name, bins in self.bins.items()}

    def means(self) -> dict[str, float]:
        """The mean of each name so far."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def state_dict(self) -> dict[str, dict]:
        """All that was counted."""
        return {"sums": dict(self.sums), "counts": dict(self.counts), "bins": dict(self.bins)}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take it back."""
        self.sums, self.counts, self.bins = dict(state["sums"]), dict(state["counts"]), dict(state["bins"])


class Logger:
    """Writes `log.jsonl` always; `sinks` adds "tensorboard" or "wandb" (whose key comes from its own environment only).

    A logger that is not `active` (ranks above 0) does nothing, but for its part in `images`, see there.
    """

    def __init__(self, folder: Path, *, sinks: tuple[str, ...] = (), active: bool = True, name: str = "run") -> None:
        self.active = active
        self.path, self.images = folder / "log.jsonl", ImageLog(folder)
        self.asked, self.folder, self.name = sinks, folder, name
        self.sinks: list[Callable[[str, dict[str, float], int], object]] = []
        self.open = False

    def start(self, position: int = 0, step: int = 0) -> None:
        """Begin to write, after the first `position` bytes: what a killed run wrote after its checkpoint goes.

        A log that is not the one which the checkpoint of `step` knew is not cut there: its lines up to that step stay.
        """
        if self.active:
            self.open = True
            cut_log(self.path, position, step)
            self.sinks += [open_sink(sink, self.folder, self.name) for sink in self.asked]  # now: a plan opens none
            self.images.start(step)

    def write(self, kind: str, row: Mapping[str, object]) -> None:
        """Add one line; numbers that JSON has no word for are written as null. Raises StopTraining on a full disk."""
        if not self.open:
            return
        safe = {key: value if is_sayable(value) else None for key, value in row.items()}
        append_line(self.path, json.dumps({"kind": kind, **safe}), sync=False)
        numbers = {key: value for key, value in safe.items() if isinstance(value, (int, float)) and key != "step"}
        step = row.get("step", 0)
        assert isinstance(step, int)
        for sink in self.sinks:
            sink(kind, numbers, step)

    def position(self) -> int:
        """Size of the log in bytes, on the disk."""
        if not self.open or not self.path.exists():
            return 0
        flush(self.path)
        return self.path.stat().st_size

    def close(self) -> None:
        """Nothing is written any more."""
        self.open = False


def cut_log(path: Path, position: int, step: int) -> None:
    """Leave what stood in a log when the checkpoint of `step` was made at `position` bytes; what is missing is said."""
    content = path.read_bytes() if path.exists() else b""
    if content[:position].endswith(b"\n") and len(content) >= position and ends_at(content[:position], step):
        kept = content[:position]
    elif position == 0:
        kept = b""
    else:
        kept = b"".join(line for line in content.splitlines(keepends=True) if 0 <= find_step(line) <= step)
        short = len(content) < position
        what = f"is shorter than the {position} bytes that" if short else "was changed and is not what"
        print(f"note: {path} {what} the checkpoint knew; training goes on, and the log keeps the "
              f"{kept.count(NEWLINE)} lines up to step {step} that are there", file=sys.stderr)
    if kept != content:
        write_bytes(path, kept)


def ends_at(content: bytes, step: int) -> bool:
    """Whether the last line is of this step or of one before it."""
    return 0 <= find_step(content.splitlines()[-1]) <= step


def find_step(line: bytes) -> int:
    """The optimiser step of a line (0 where it names none), -1 for what is no whole line of a log."""
    try:
        return int(json.loads(line).get("step", 0))
    except (ValueError, AttributeError, TypeError):
        return -1


def is_sayable(value: object) -> bool:
    """False for NaN and infinities, for which JSON has no word."""
    return not isinstance(value, float) or math.isfinite(value)


def open_sink(sink: str, folder: Path, name: str) -> Callable[[str, dict[str, float], int], object]:
    """A function (kind, numbers, step) that forwards to TensorBoard or W&B."""
    if sink == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder / "tensorboard")

        def forward(kind: str, row: dict[str, float], step: int) -> None:
            for key, value in row.items():
                writer.add_scalar(f"{kind}/{key}", value, step)

        return forward
    import wandb

    run = wandb.init(project="plumage", name=name, dir=folder)
    return lambda kind, row, step: run.log({f"{kind}/{key}": value for key, value in row.items()}, step=step)


def progress(total: int, *, initial: int, text: str, active: bool) -> tqdm:
    """A bar over the images of an epoch: rate and time to go come with it; silent on other ranks."""
    return tqdm(total=total, initial=initial, desc=text, unit="img", disable=not active, file=sys.stderr,
                mininterval=1.0, dynamic_ncols=True)


class TimeLeft:
    """How long all steps of a run still take, by those since `step`: monitors and saving in between are part of it."""

    def __init__(self, step: int, steps: int) -> None:
        self.first, self.steps = step, steps
        self.began = time.perf_counter()

    def say(self, step: int) -> str:
        """In hours, minutes and seconds once `step` steps are done; "?" before the first."""
        done = step - self.first
        if not done:
            return "?"
        return tqdm.format_interval((self.steps - step) * (time.perf_counter() - self.began) / done)


class WaitTimer:
    """Iterates a loader and knows which share of the time went into waiting for it."""

    def __init__(self, loader: Iterable[Batch]) -> None:
        self.begin = time.perf_counter()
        self.waited = 0.0
        self.stream = iter(loader)

    def __next__(self) -> Batch:
        start = time.perf_counter()
        batch = next(self.stream)
        self.waited += time.perf_counter() - start
        return batch

    def share(self) -> float:
        """Share of the time since the start that was spent waiting, in [0, 1]."""
        return self.waited / max(time.perf_counter() - self.begin, 1e-9)

    def speed(self, images: int) -> dict[str, float]:
        """Numbers for the log: seconds, images a second over all ranks, and the waiting share."""
        seconds = time.perf_counter() - self.begin
        rate = images / max(seconds, 1e-9)
        return {"seconds": round(seconds, 3), "images_per_second": round(rate, 2), "data_wait": round(self.share(), 4)}
