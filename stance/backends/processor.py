"""What the processor offers to this process."""

from __future__ import annotations

import os
from pathlib import Path


def available_threads() -> int:
    """The CPUs that this process may use, by affinity and by the container's quota; at least 1."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        cpus = os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, period = quota.read_text().split()
        if limit != "max":
            cpus = min(cpus, max(1, round(int(limit) / int(period))))
    return max(1, cpus)


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself; where it does not, it is many times slower than float32."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
