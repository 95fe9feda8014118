"""What the consumer itself takes while a process makes traced calls as fast as it can, and events are only counted."""

from __future__ import annotations

import time

import fastbpf as fb
from benches.calls import FIELDS, PROBE, Calls, traced_by_c
from benches.harness import OURS, Effort, Result, take_turns

EACH_MS = "C, drains every 1 ms"


def run(effort: Effort) -> Result:
    count = effort.scaled(5_000_000, 100_000)

    def by_c() -> float:
        traced = traced_by_c("1ms", Calls(count))
        return 100 * traced.consumer_ns / 1e9 / traced.called.seconds

    def fastbpf() -> float:
        rows = 0
        with Calls(count) as calls, fb.trace(PROBE, *FIELDS, pid=calls.pid) as events:
            before = time.process_time()
            calls.go()
            for batch in events:
                rows += batch.num_rows
                if rows + (events.stats.lost or 0) >= count:
                    break
            used = time.process_time() - before
            return 100 * used / calls.result().seconds

    medians = take_turns({EACH_MS: by_c, OURS: fastbpf}, effort)
    result = Result("consumer", f"CPU of the consumer during {count:,} calls at full rate", "% of a core", medians)
    result.below("% of a core", result.ours, 10)
    return result
