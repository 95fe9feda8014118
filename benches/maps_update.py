"""A table into a large hash map."""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np
import pyarrow as pa

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.maps import LIBBPF, Counters, Libbpf


def run(effort: Effort) -> Result:
    entries = effort.scaled(1_000_000, 10_000)
    rng = np.random.default_rng(1)
    keys = rng.permutation(entries).astype(np.uint64)
    rows = np.zeros(entries, [(name, {8: "u8", 4: "u4"}[kind.size]) for name, kind in Counters.fields.items()])
    for name in Counters.fields:
        rows[name] = rng.integers(0, 1 << 32, entries)
    table = pa.table({"key": keys, **{name: rows[name].copy() for name in Counters.fields}})
    spec = fb.MapSpec("hash", key=fb.u64, value=Counters, max_entries=entries)
    notes = []
    with spec.create() as map:
        sides = {OURS: lambda: _ours(map, table)}
        try:
            library = Libbpf()
            sides[LIBBPF] = lambda: library.updates_hash(map, keys, rows)
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort, rounds=2 * effort.rounds + 1)
    result = Result("maps_update", f"{entries:,} rows into a hash map, 8 + 32 bytes", "ns/entry", medians, notes=notes)
    result.ratio(LIBBPF, 1.1)
    return result


def _ours(map: fb.Map, table: pa.Table) -> float:
    start = perf_counter_ns()
    report = map.update(table)
    took = perf_counter_ns() - start
    if report.done != len(table):
        raise RuntimeError(f"{report.done} of {len(table)} rows were written")
    return took / len(table)
