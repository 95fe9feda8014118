"""The CPUs that per-CPU maps have values for."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def possible_cpus() -> int:
    """How many CPUs this machine could have: per-CPU maps have a value for each of them, online or not."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(ranges.replace(",", "-").split("-")[-1]) + 1
