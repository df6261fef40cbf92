"""Every benchmark runs both ways and prints its lines; what the numbers are is the machine's affair."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEP = ["--student", "resnet18", "--teacher", "vit_tiny_patch16_224", "--size", "64", "--batch", "2", "--dim", "32",
        "--classes", "10", "--queue", "64"]  # fmt: skip
LCR = ["--student", "resnet18", "--size", "64", "--batch", "2"]
DISTILL = ["--method", "distill", "--student", "deit_tiny_distilled_patch16_224", "--teacher", "resnet18", "--batch", "2"]
TINY = {
    "retrieval": ["--count", "300", "--width", "64"],
    "evaluate": ["--count", "300"],
    "linear": ["--arch", "resnet18", "--size", "64", "--count", "8", "--classes", "4", "--epochs", "3"],
    "loader": ["--count", "4"],
    "loader-archives": ["--count", "4", "--archives"],
    "ddt": ["--arch", "resnet18", "--size", "96", "--count", "4", "--batch", "2"],
    "metric_step": ["--student", "resnet18", "--size", "64", "--batch", "4"],
    "metric_step-loss": ["--part", "loss", "--batch", "16", "--repeats", "2"],
    "finetune_step-pim": ["--backbone", "resnet18", "--size", "64", "--batch", "4", "--fpn-size", "16", "--selects",
                          "32", "16", "8", "2"],
    "finetune_step-pim-ranking": ["--part", "ranking", "--batch", "2", "--repeats", "2"],
    "finetune_step-pim-gather": ["--part", "gather", "--batch", "2", "--repeats", "2", "--fpn-size", "8"],
    "finetune_step-distill": DISTILL,
    "finetune_step-distill-clean": [*DISTILL, "--teacher-view", "clean"],
    "pretrain_step": STEP,
    "pretrain_step-clean": [*STEP, "--teacher-view", "clean"],
    "pretrain_step-lcr-moco": ["--method", "lcr-moco", *LCR, "--queue", "64"],
    "pretrain_step-byol": ["--method", "byol", *LCR],
    "pretrain_step-lcr-byol-no-max-pool": ["--method", "lcr-byol", *LCR, "--max-pool", "false"],
}
PARTS = {
    "retrieval": ["REFERENCE product", "REFERENCE sort", "RATIO retrieval-copied-gallery"],
    "evaluate": ["REFERENCE product", "REFERENCE top-k", "PEAK GB", "PEAK-WITH-CLUSTERS GB",
                 "RATIO evaluate-without-clusters"],
    "linear": ["REFERENCE backbone"],
    "loader": ["REFERENCE decode-500x375", "RATIO loader-1200x900"],
    "loader-archives": ["RATIO read-in-order-warm", "RATIO read-shuffled-cold", "LOADER tars images/s"],
    "ddt": ["REFERENCE forward", "MEMORY"],
    "metric_step": ["REFERENCE student", "REFERENCE teacher", "BOUND"],
    "finetune_step-pim": ["REFERENCE backbone", "BOUND"],
    "finetune_step-pim-ranking": ["OURS milliseconds", "RATIO-OF-CONFIDENCES"],
    "finetune_step-pim-gather": ["OURS milliseconds"],
    "finetune_step-distill": ["REFERENCE student", "REFERENCE teacher", "BOUND"],
    "finetune_step-distill-clean": ["REFERENCE student", "BOUND"],
    "metric_step-loss": ["OURS milliseconds"],
    "pretrain_step": ["REFERENCE query", "REFERENCE key", "REFERENCE teacher", "BOUND"],
    "pretrain_step-clean": ["REFERENCE teacher", "BOUND"],
    "pretrain_step-lcr-moco": ["REFERENCE query", "REFERENCE key", "BOUND"],
    "pretrain_step-byol": ["REFERENCE query", "REFERENCE key", "BOUND"],
    "pretrain_step-lcr-byol-no-max-pool": ["REFERENCE query", "REFERENCE key", "BOUND"],
}


@pytest.mark.slow
@pytest.mark.parametrize("as_file", [False, True], ids=["module", "file"])
@pytest.mark.parametrize("name", TINY)
def test_lines(name: str, as_file: bool, tmp_path: Path) -> None:
    module = name.partition("-")[0]
    start = [str(ROOT / "benchmarks" / f"{module}.py")] if as_file else ["-m", f"benchmarks.{module}"]
    command = [sys.executable, *start, "--quick", "--threads", "1", *TINY[name]]
    done = subprocess.run(command, cwd=tmp_path if as_file else ROOT, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert lines and re.fullmatch(rf"RATIO {name} \d+\.\d+", lines[-1]), done.stderr
    for part in PARTS[name]:
        assert any(re.fullmatch(rf"{part} \d+\.\d+", line) for line in lines), lines
    # A busy machine may slow the reference's rounds and not the bare module's; then, and only then, it says so.
    assert done.returncode == ("the reference is too slow" in done.stderr)
