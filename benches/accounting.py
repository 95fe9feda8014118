"""Where 100 million events went: happened = delivered + queued + lost + missed + dropped, to the last one."""

from __future__ import annotations

import time

import fastbpf as fb
from benches.calls import FIELDS, PROBE, Calls
from benches.harness import OURS, Effort, Result, say


def run(effort: Effort) -> Result:
    count = effort.scaled(50_000_000, 200_000)
    error = 0
    notes = []
    # Once as it is meant, once with a buffer and a reader that cannot keep up.
    for buffer, pause, background in (("8MiB", 0.0, True), ("64KiB", 0.005, False)):
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
        known = stats.delivered + stats.queued + (stats.lost or 0) + (stats.missed or 0) + stats.dropped
        error += abs(happened - known)
        notes.append(
            f"buffer of {buffer}: {happened:,} = {stats.delivered:,} delivered + {stats.queued:,} queued"
            f" + {stats.lost:,} lost + {stats.missed} missed + {stats.dropped} dropped"
        )
        say(f"  {notes[-1]}")
    result = Result("accounting", f"of {2 * count:,} events, those that nobody accounts for", "events", {OURS: error})
    result.below("events", error, 0)
    result.notes = notes
    return result
