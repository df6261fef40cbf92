"""Memory that a step frees stays with the process, so that the next step need not ask the kernel for it again.

By default the GNU allocator takes every large tensor from the kernel and gives it back: the pages are zeroed and mapped
anew for each activation of each step, which costs a training step on the CPU up to a third of its time.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # mallopt's names for its settings, from malloc.h
LARGE, PAD = 2**31 - 1, 64 * 2**20  # bytes
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Tell the GNU allocator to reuse freed memory whatever its size; True when it was told.

    Nothing happens on other systems, and where the user has chosen: an allocator with LD_PRELOAD, or glibc's variables.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in CHOSEN):
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([tell(MMAP_THRESHOLD, LARGE), tell(TRIM_THRESHOLD, LARGE), tell(TOP_PAD, PAD)])
