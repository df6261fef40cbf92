"""Fair timing: both sides take turns in the same process with the same threads, and medians are compared.

A machine that is busy with something else slows a round, not a side. The reference itself is watched: each of its
passes must reach `FAIR` of the bare network (or product, or decoder) timed alone, else the benchmark fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.flags.parser import Parser, add_options, gather_options
from runtime.allocator import keep_freed_memory
from runtime.devices import list_device_problems, use_threads
from runtime.errors import ConfigError, refuse
from runtime.options import Options, flag, switch
from runtime.ranges import whole_number
from runtime.words import device

Work = Callable[[], object]
Made = TypeVar("Made")
FAIR = 0.9
EXTRA_ROUNDS = 6  # a guard that fails is asked again: only a pass that is slow every time is slow


@dataclass
class Report:
    """The lines of one benchmark; `slow` names passes of the reference that fell behind the bare module."""

    name: str
    rounds: int
    slow: list[str] = field(default_factory=list)

    def check_reference(self, part: str, images: int, own: Work, bare: Work) -> None:
        """Print `REFERENCE part images/s` of a pass over `images`, compared with the bare module on the same images.

        The fastest rounds are compared: what else runs on the machine slows some rounds, a slow pass all of them. The
        first round may warm up: it is no fastest one.
        """
        seconds = interleave({"own": own, "bare": bare}, self.rounds, warm=False)
        for _ in range(EXTRA_ROUNDS):
            if min(seconds["bare"]) >= FAIR * min(seconds["own"]):
                break
            again = interleave({"own": own, "bare": bare}, 1, warm=False)
            seconds = {side: seconds[side] + again[side] for side in seconds}
        print(f"REFERENCE {part} {images / statistics.median(seconds['own']):.2f}", flush=True)
        share = min(seconds["bare"]) / min(seconds["own"])
        if share < FAIR:
            self.slow.append(f"{part} at {share:.2f} of the bare module")

    def add(self, word: str, value: float) -> None:
        """Print one `WORD value` line."""
        print(f"{word} {value:.3f}", flush=True)

    def finish(self, ratio: float) -> int:
        """Print the last line; the exit code is 1 when the reference was not fair."""
        if self.slow:
            print(f"the reference is too slow, the ratio means nothing: {'; '.join(self.slow)}", file=sys.stderr)
        print(f"RATIO {self.name} {ratio:.2f}", flush=True)
        return 1 if self.slow else 0


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """What every benchmark is told."""

    quick: bool = switch(False, "smaller samples, under a minute")
    device: str = flag("cpu", device, "where both sides run: cpu, cuda, cuda:N")
    threads: int = flag(2, whole_number(1, 1024), "CPU threads of both sides")
    rounds: int = flag(3, whole_number(3, 10**6), "how often each side is timed, at least 3")


Given = TypeVar("Given", bound=BenchmarkOptions)


def parse_benchmark(text: str | None, options: type[Given], argv: Sequence[str] | None) -> Given:
    """The options of a benchmark; ends the process with one message of all that is wrong."""
    parser = Parser(description=text)
    add_options(parser, options)
    found, problems = gather_options(parser, options, argv)
    try:
        problems.refuse()
        refuse(list_device_problems(found.device) if found.device != "cpu" else [])
    except ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    return found


def start_benchmark(options: BenchmarkOptions, name: str) -> Report:
    """Set the threads, the generator, and the allocator as every command has it: for both sides."""
    import torch  # not before it is asked: flags are read without it

    keep_freed_memory()
    use_threads(options.threads)
    torch.manual_seed(0)
    return Report(name, options.rounds)


def time_once(work: Work) -> float:
    """Seconds of wall-clock time, until a GPU that has a part in it is done."""
    wait_for_gpu()
    begin = time.perf_counter()
    work()
    wait_for_gpu()
    return time.perf_counter() - begin


def wait_for_gpu() -> None:
    """Until all that was asked of a GPU is done; at once where none was used."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def on_device(work: Callable[[], Made], where: str) -> Callable[[], Made]:
    """`work`, whose new tensors lie on a device: the plain sides name none."""
    import torch

    def placed() -> Made:
        with torch.device(where):
            return work()

    return work if where == "cpu" else placed


def interleave(works: Mapping[str, Work], rounds: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every work in every round, all works taking turns; `warm` runs each once before, uncounted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for counted in [False] * warm + [True] * rounds:
        for name, work in works.items():
            spent = time_once(work)
            if counted:
                seconds[name].append(spent)
    return seconds


def time_both(reference: Work, ours: Work, rounds: int, *, warm: bool = True) -> tuple[float, float]:
    """Median seconds of both sides."""
    seconds = interleave({"reference": reference, "ours": ours}, rounds, warm=warm)
    return statistics.median(seconds["reference"]), statistics.median(seconds["ours"])
