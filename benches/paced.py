"""What tracing costs at an ordinary rate: 10,000 calls a second, where each event could wake its consumer."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

import fastbpf as fb
from benches.calls import FIELDS, PROBE, Calls, traced_by_c
from benches.harness import OURS, Effort, Result, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 10_000
POLL = "libbpf ring_buffer__poll"
NO_WAKEUP = "C, NO_WAKEUP, every 1 ms"

_BPF = {"x86_64": 321, "aarch64": 280}
_ENABLE_STATS = 32


@contextmanager
def run_time_statistics() -> Iterator[None]:
    """The kernel measures programs while the descriptor of BPF_ENABLE_STATS is open, and no longer."""
    attributes = ctypes.create_string_buffer(4)  # BPF_STATS_RUN_TIME
    fd = ctypes.CDLL(None, use_errno=True).syscall(_BPF[platform.machine()], _ENABLE_STATS, attributes, 4)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "the kernel does not switch on run-time statistics")
    try:
        yield
    finally:
        os.close(fd)


def run(effort: Effort) -> Result:
    def paced() -> Calls:
        return Calls(count=effort.scaled(2 * RATE, RATE // 5), rate=RATE)

    def by_c(mode: str, *, wakeup: bool) -> float:
        with run_time_statistics():
            return traced_by_c(mode, paced(), wakeup=wakeup).run_ns

    def fastbpf() -> float:
        with run_time_statistics(), paced() as calls, fb.trace(PROBE, *FIELDS, pid=calls.pid) as events:
            calls.go()
            while calls.running:
                events.next_batch(timeout=0.05)
            info = events.program.info
            return info.run_time_ns / info.run_cnt

    sides = {
        POLL: lambda: by_c("poll", wakeup=True),
        NO_WAKEUP: lambda: by_c("1ms", wakeup=False),
        OURS: fastbpf,
    }
    medians = take_turns(sides, effort)
    result = Result("paced", f"run time of the BPF program at {RATE:,} events a second", "ns/event", medians)
    result.ratio(POLL, 1 / 30)
    return result
