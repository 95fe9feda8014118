"""What tracing costs the process that is traced: every call, with time, pid, tid and comm, into a Parquet file."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from benches.calls import EMPTY, FIELDS, PROBE, Called, Calls, calls_command, fastbpf_command, traced_by_c
from benches.harness import BUILD, OURS, Effort, MissingPeerError, Result, find, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

UNTRACED = "untraced"
NOTHING = "empty program"
EACH_MS = "C, drains every 1 ms"
POLL = "libbpf ring_buffer__poll"
BPFTRACE = "bpftrace printf"


def run(effort: Effort) -> Result:
    count = effort.scaled(2_000_000, 50_000)
    kept: dict[str, list[int]] = {EACH_MS: [], POLL: [], OURS: [], BPFTRACE: []}

    def untraced() -> float:
        with Calls(count) as calls:
            calls.go()
            return calls.result().nanoseconds

    def nothing() -> float:
        with EMPTY.load() as program, program.attach(PROBE):
            return untraced()

    def by_c(name: str, mode: str) -> Callable[[], float]:
        def side() -> float:
            traced = traced_by_c(mode, Calls(count))
            kept[name].append(traced.events)
            return traced.called.nanoseconds

        return side

    def fastbpf() -> float:
        file = BUILD / "calls.parquet"
        traced = [fastbpf_command(), "trace", PROBE, "-f", ",".join(FIELDS), "-o", str(file), "--force", "--"]
        done = subprocess.run([*traced, *calls_command(count)], capture_output=True, text=True, check=True)
        kept[OURS].append(pq.read_metadata(file).num_rows)
        file.unlink()
        return Called.told(done.stdout + done.stderr).nanoseconds

    def bpftrace() -> float:
        file = BUILD / "calls.txt"
        program = f'{PROBE} /pid == cpid/ {{ printf("%llu %d %d %s\\n", nsecs, pid, tid, comm); }}'
        command = [find("bpftrace"), "-o", str(file), "-e", program, "-c", " ".join(calls_command(count))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        with file.open("rb") as lines:
            kept[BPFTRACE].append(sum(line[:1].isdigit() for line in lines))
        file.unlink()
        return Called.told(done.stdout + done.stderr).nanoseconds

    sides = {UNTRACED: untraced, NOTHING: nothing, OURS: fastbpf}
    notes = []
    for names, peers in (((EACH_MS, POLL), (by_c(EACH_MS, "1ms"), by_c(POLL, "poll"))), ((BPFTRACE,), (bpftrace,))):
        try:
            if effort.smoke and bpftrace in peers:
                continue
            if bpftrace in peers:
                find("bpftrace")
            sides |= dict(zip(names, peers, strict=True))
        except MissingPeerError as error:
            notes.append(str(error))
    medians = take_turns(sides, effort)
    work = f"{count:,} getppid calls of one process, all traced to Parquet"
    result = Result("traced_process", work, "ns/call", medians)
    result.notes = notes
    for name, events in kept.items():
        if events and min(events) < count:
            result.notes.append(f"{name} lost up to {count - min(events):,} of {count:,} events")
    result.ratio(EACH_MS, 1.05)
    result.ratio(BPFTRACE, 1 / 20)
    result.below("rows lost", count - min(kept[OURS]), 0)
    return result
