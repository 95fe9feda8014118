"""The time of day in a BPF program, by the best helper that a kernel has. There is none for CLOCK_REALTIME itself.

sudo python examples/wall_clock.py
"""

import time
from datetime import UTC, datetime

import fastbpf as fb
from fastbpf import helpers
from fastbpf.asm import *
from fastbpf.blocks import time as clocks

# The best first: TAI follows when the time of day is set or slewed, the others go on from what it was at load.
CHOICES = {"tai": time.CLOCK_TAI, "boot": time.CLOCK_BOOTTIME, "monotonic": time.CLOCK_MONOTONIC}

seen = fb.MapSpec("array", value=fb.u64, max_entries=1, name="seen")


def best_clock(kernel: str | fb.KernelVersion) -> str:
    """The best clock that programs on that kernel can read."""
    return next(name for name in CHOICES if helpers.compatible(clocks.CLOCKS[name], "socket_filter", kernel))


def stamp(clock: str) -> Code:
    """Writes nanoseconds since 1970 into the map."""
    ahead = time.time_ns() - time.clock_gettime_ns(CHOICES[clock])
    return assemble(
        clocks.now(r6, clock),
        const(r1, ahead),
        add(r6, r1),
        ld_map_value(r1, seen, 0),
        stxdw(r1, 0, r6),
        mov(r0, 0),
        exit_(),
    )


def main() -> None:
    for kernel in (fb.KernelVersion.running(), "5.15", "5.4"):
        clock = best_clock(kernel)
        with fb.ProgramSpec("socket_filter", stamp(clock), name="wall_clock").load() as program:
            program.test_run(bytes(64))
            told, now = program.maps["seen"][0], time.time_ns()
        when = datetime.fromtimestamp(told / 1e9, UTC)
        print(f"Linux {kernel}: {clocks.CLOCKS[clock]} says {when:%F %T.%f}, {(now - told) / 1e6:.3f} ms before Python")


if __name__ == "__main__":
    main()
