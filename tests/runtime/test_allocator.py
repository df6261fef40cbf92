"""The allocator's settings reach the C library of a fresh process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import allocator

ROOT = Path(__file__).resolve().parents[2]
# A block far above the default mmap threshold is freed and asked for again: page faults tell whether it came back.
PROGRAM = """
import resource, sys, torch
from runtime.allocator import keep_freed_memory
told = keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(12): torch.ones(16 * 2**20)
before = faults()
for _ in range(12): torch.ones(16 * 2**20)
print(told, faults() - before)
"""


def run(**variables: str) -> tuple[bool, int]:
    """What a new process with these variables was told, and its page faults in twelve fills of 64 MB."""
    clean = {name: value for name, value in os.environ.items() if name not in allocator.CHOSEN}
    answer = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=clean | variables, check=True,
                            capture_output=True, text=True)
    told, faults = answer.stdout.split()
    return told == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_freed_memory_is_used_again():
    told, faults = run()
    left_alone, usual = run(MALLOC_TRIM_THRESHOLD_="131072")
    assert told and not left_alone
    assert faults < usual / 2


def test_nothing_happens_elsewhere(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
