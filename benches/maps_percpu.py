"""A per-CPU hash, its values summed."""

from __future__ import annotations

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.maps import LIBBPF, Libbpf, timed
from fastbpf.maps import possible_cpus


def run(effort: Effort) -> Result:
    entries, cpus = effort.scaled(200_000, 10_000), possible_cpus()
    sides, notes = {}, []
    with fb.MapSpec("percpu_hash", key=fb.u64, value=fb.u64, max_entries=entries).create() as map:
        value = b"".join(number.to_bytes(8, "little") for number in range(1, cpus + 1))
        for key in range(entries):
            map._native.update(key.to_bytes(8, "little"), value, 0)
        try:
            sides[LIBBPF] = Libbpf().sums_hash(map, entries, cpus)
        except MissingPeerError as error:
            notes.append(str(error))
        sides[OURS] = lambda: timed(lambda: map.to_arrow(reduce="sum"), entries)
        medians = take_turns(sides, effort, rounds=4 * effort.rounds + 1)
    work = f"a per-CPU hash of {entries:,} entries, summed"
    result = Result("maps_percpu", work, "ns/entry", medians, notes=notes)
    result.ratio(LIBBPF, 1.1)
    return result
