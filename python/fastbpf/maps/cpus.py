"""The CPUs that per-CPU maps have values for."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def possible_cpus() -> int:
    """How many CPUs this machine could have: per-CPU maps have a value for each of them, online or not."""
    return len(cpu_numbers())


def cpu_slots() -> int:
    """How many entries an array has that the possible CPUs' numbers, among which there may be gaps, are indexes of."""
    return cpu_numbers()[-1] + 1


@cache
def cpu_numbers() -> list[int]:
    """The numbers of the possible CPUs: the values of an element stand in this order, without gaps."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip().split(",")
    bounds = [part.split("-") for part in ranges]
    return [number for bound in bounds for number in range(int(bound[0]), int(bound[-1]) + 1)]
