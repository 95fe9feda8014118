"""Where 100 million events went, or `--events`: happened = delivered + queued + lost + missed + dropped, exactly."""

from __future__ import annotations

import time

import fastbpf as fb
from benches.calls import FIELDS, PROBE, Calls
from benches.harness import OURS, Effort, Result, say
from benches.numbered import Numbered


def known(stats: fb.Stats) -> int:
    return stats.delivered + stats.queued + (stats.lost or 0) + (stats.missed or 0) + stats.dropped


def told(what: str, happened: int, stats: fb.Stats) -> str:
    return (
        f"{what}: {happened:,} = {stats.delivered:,} delivered + {stats.queued:,} queued"
        f" + {stats.lost:,} lost + {stats.missed} missed + {stats.dropped:,} dropped"
    )


def traced(count: int, buffer: str, pause: float, *, background: bool) -> tuple[int, fb.Stats]:
    """The calls of a process, traced."""
    taken = 0
    with Calls(count) as calls:
        with fb.trace(PROBE, *FIELDS, pid=calls.pid, buffer=buffer, background=background) as events:
            calls.go()
            while calls.running:
                batch = events.next_batch(timeout=0.05)
                taken += len(batch) if batch else 0
                time.sleep(pause)
            happened = calls.result().count
        # What is still in the buffer stays there, and is counted as queued.
        stats = events.stats
    assert taken == stats.delivered, (taken, stats)
    return happened, stats


def produced(count: int, transport: str, overflow: str, size: int, pause: float) -> tuple[int, fb.Stats]:
    """Events of two CPUs at once, as fast as a program can make them."""
    taken = 0
    with Numbered(transport, size) as numbered:
        with numbered.stream(overflow=overflow) as events:
            producers = numbered.start(count)
            while any(one.is_alive() for one in producers):
                batch = events.next_batch(timeout=0.05)
                taken += len(batch) if batch else 0
                time.sleep(pause)
        stats = events.stats
        happened = numbered.happened
    assert taken == stats.delivered, (taken, stats)
    return happened, stats


def run(effort: Effort) -> Result:
    count = effort.scaled(effort.events, 800_000)
    found = []
    # As it is meant, and with a buffer and a reader that cannot keep up.
    for buffer, pause, background in (("8MiB", 0.0, True), ("64KiB", 0.005, False)):
        found.append((f"buffer of {buffer}", *traced(count // 8, buffer, pause, background=background)))
        say(f"  {told(*found[-1])}")
    # Two producers, with a reader that keeps up, one that is slow, and one for whom the newest or oldest is dropped.
    ways = [
        ("block", 4 << 20, 0.0),
        ("block", 64 << 10, 0.02),
        ("drop_newest", 4 << 20, 0.5),
        ("drop_oldest", 4 << 20, 0.5),
    ]
    for transport in ("ring", "perf"):
        for overflow, size, pause in ways:
            what = f"two producers, {transport} of {size >> 10} KiB, {overflow}, a look each {pause:g} s"
            found.append((what, *produced(count * 3 // 32, transport, overflow, size, pause)))
            say(f"  {told(*found[-1])}")
    happened = sum(one[1] for one in found)
    error = sum(abs(one[1] - known(one[2])) for one in found)
    result = Result("accounting", f"of {happened:,} events, those that nobody accounts for", "events", {OURS: error})
    result.below("events", error, 0)
    result.notes = [told(*one) for one in found]
    return result
