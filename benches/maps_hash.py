"""A large hash map as a table."""

from __future__ import annotations

import json
import subprocess
from time import perf_counter_ns

import fastbpf as fb
from benches.harness import HERE, OURS, Effort, MissingPeerError, Result, find, system_python, take_turns
from benches.maps import LIBBPF, Counters, Libbpf, fill, timed

BCC = "bcc, items()"
BPFTOOL = "bpftool -j, parsed"


def run(effort: Effort) -> Result:
    entries = effort.scaled(700_000, 10_000)
    spec = fb.MapSpec("hash", key=fb.u64, value=Counters, max_entries=entries)
    sides, notes, slow = {}, [], {}
    with spec.create() as map:
        fill(map, entries, bytes(Counters.size))
        try:
            sides[LIBBPF] = Libbpf().reads_hash(map, entries, 8, Counters.size)
        except MissingPeerError as error:
            notes.append(str(error))
        sides[OURS] = lambda: timed(map.to_arrow, entries)
        medians = take_turns(sides, effort, rounds=2 * effort.rounds + 1)
        if not effort.smoke:
            for name, peer in ((BCC, _bcc), (BPFTOOL, _bpftool)):
                try:
                    slow[name] = peer(map, entries)
                except MissingPeerError as error:
                    notes.append(str(error))
    result = Result(
        "maps_hash", f"a hash map of {entries:,} entries, 8 + 32 bytes", "ns/entry", medians | slow, notes=notes
    )
    result.ratio(LIBBPF, 1.1)
    result.speedup(BCC, 8)
    result.speedup(BPFTOOL, 20)
    return result


# Each takes seconds: once.
def _bcc(map: fb.Map, entries: int) -> float:
    command = [system_python("bcc"), HERE / "peers/bcc_items.py", str(map.fileno())]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, pass_fds=[map.fileno()], check=False)
    if done.returncode:
        raise MissingPeerError(f"bcc cannot read the map: {done.stderr.strip()[-300:]}")
    count, took = done.stdout.split()
    if int(count) != entries:
        raise RuntimeError(f"bcc read {count} of {entries} entries")
    return int(took) / entries


def _bpftool(map: fb.Map, entries: int) -> float:
    command = [find("bpftool"), "-j", "map", "dump", "id", str(map.id)]
    start = perf_counter_ns()
    dump = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    took = perf_counter_ns() - start
    if len(dump) != entries:
        raise RuntimeError(f"bpftool read {len(dump)} of {entries} entries")
    return took / entries
