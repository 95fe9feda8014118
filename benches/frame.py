"""From a command to a polars frame of its calls: what people do with bpftrace today is print JSON and read it again."""

from __future__ import annotations

import io
import subprocess
import time

import polars as pl

import fastbpf as fb
from benches.calls import FIELDS, PROBE, Calls, calls_command
from benches.harness import BUILD, OURS, Effort, MissingPeerError, Result, find, take_turns

BPFTRACE = "bpftrace JSON"


def run(effort: Effort) -> Result:
    count = effort.scaled(500_000, 20_000)
    notes: list[str] = []

    def fastbpf() -> float:
        start = time.perf_counter()
        with Calls(count) as calls, fb.trace(PROBE, *FIELDS, pid=calls.pid) as events:
            calls.go()
            frame = pl.from_arrow(events.read(rows=count))
        took = time.perf_counter() - start
        assert frame.shape == (count, len(FIELDS)), frame.shape
        return took

    lost = 0

    def bpftrace() -> float:
        nonlocal lost
        file = BUILD / "calls.json"
        text = r"{\"ts\":%llu,\"pid\":%d,\"tid\":%d,\"comm\":\"%s\"}\n"
        program = f'{PROBE} /pid == cpid/ {{ printf("{text}", nsecs, pid, tid, comm); }}'
        command = [find("bpftrace"), "-o", str(file), "-e", program, "-c", " ".join(calls_command(count))]
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        lines = [line for line in file.read_bytes().splitlines() if line.startswith(b"{")]
        frame = pl.read_ndjson(io.BytesIO(b"\n".join(lines)))
        took = time.perf_counter() - start
        lost = max(lost, count - frame.height)
        file.unlink()
        return took

    sides = {OURS: fastbpf}
    try:
        if not effort.smoke:
            find("bpftrace")
            sides[BPFTRACE] = bpftrace
    except MissingPeerError as error:
        notes.append(str(error))
    medians = take_turns(sides, effort)
    if lost:
        notes.append(f"{BPFTRACE} lost up to {lost:,} of {count:,} events")
    return Result("frame", f"until a polars frame of {count:,} calls is there", "s", medians, notes=notes)
