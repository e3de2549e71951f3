"""Memory: how many windows fit into what is really free, and giving back what is not needed."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

M_ARENA_MAX = -8  # glibc's malloc.h
M_MMAP_THRESHOLD = -3
MIB = 1024 * 1024
WINDOW_MIB = {"tiny": 45, "base": 70, "small": 140, "medium": 260, "large": 420}  # encoder activations and search
CPU_BATCH = 2  # more windows hardly decode faster on a CPU, and base then stays under 600 MB in all
GPU_BATCH = 16


def free_bytes() -> int:
    """Return the memory that this process may still take: the machine's, or its control group's where that is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit.isdigit():
            used = int((group / "memory.current").read_text())
            free = min(free, max(0, int(limit) - used))
    except OSError:
        pass  # no control group, or not version 2
    return free


def peak_memory(process: int | None = None) -> int:
    """Return the largest resident memory in bytes that a process has had.

    On Linux from ``/proc``, where the figure begins anew with each program: what ``getrusage`` and ``wait4`` say also
    counts the process that started it, as it was when they parted.

    Args:
        process: Its number; None is this process. Of another one nothing is known except on Linux while it runs: 0.
    """
    try:
        text = Path(f"/proc/{process or 'self'}/status").read_text(encoding="ascii", errors="replace")
        return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    if process is not None:
        return 0
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def batch_size(model_name: str, device: str) -> int:
    """Choose how many windows to decode together.

    On a CPU half of the free memory is used at most. GPU memory can't be asked for through CTranslate2, so there the
    batch starts large and is halved when memory runs out.
    """
    if device != "cpu":
        return GPU_BATCH
    size = next((mib for name, mib in WINDOW_MIB.items() if name in model_name), WINDOW_MIB["large"])
    return max(1, min(CPU_BATCH, free_bytes() // 2 // (size * MIB)))


def limit_arenas() -> None:
    """Ask the C library to keep few heaps; each thread's own heap would hold on to the largest block it ever had.

    Only glibc has this; elsewhere nothing happens.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, 2)


def hold_little() -> None:
    """Ask the C library for one heap, and to give every block of 128 KiB or more back to the system once it is free.

    glibc stops doing so by itself for sizes that were freed once: fewer calls, and tens of MB that are held for later.
    CTranslate2, if it is not loaded yet, is asked to do without MKL, whose buffers on Intel processors take
    15 MB; what CT2_USE_MKL says already stays.
    """
    os.environ.setdefault("CT2_USE_MKL", "0")
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, 128 * 1024)


def give_back() -> None:
    """Return freed memory to the system now; a batch leaves some 100 MB behind that glibc would keep."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
