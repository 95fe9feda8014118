"""From the command to its first row on stdout."""

from __future__ import annotations

from time import perf_counter

from benches.calls import FIELDS, PROBE, Calls, fastbpf_command, running
from benches.harness import OURS, Effort, MissingPeerError, Result, find, take_turns

BPFTRACE = "bpftrace"


def seconds(command: list[str]) -> float:
    start = perf_counter()
    with running(command) as process:
        assert process.stdout
        while True:
            line = process.stdout.readline()
            assert line, f"{command[0]} ended without a row"
            if "calls" in line:
                return perf_counter() - start


def run(effort: Effort) -> Result:
    notes = []
    with Calls(rate=10_000) as calls:
        calls.go()
        pid = str(calls.pid)
        ours = [fastbpf_command(), "trace", PROBE, "-f", ",".join(FIELDS), "-p", pid, "-n", "1"]
        sides = {OURS: lambda: seconds(ours)}
        try:
            if not effort.smoke:
                script = f'{PROBE} /pid == {pid}/ {{ printf("%llu %d %d %s\\n", nsecs, pid, tid, comm); exit(); }}'
                theirs = [find("bpftrace"), "-B", "none", "-e", script]
                sides[BPFTRACE] = lambda: seconds(theirs)
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort)
    result = Result("first_row", "until the first traced call is printed", "s", medians, notes=notes)
    result.below("s", result.ours, 0.5)
    return result
