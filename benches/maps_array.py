"""An array that is mapped, as a table, beside a memcpy of its values."""

from __future__ import annotations

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.maps import Libbpf, timed

MMAPABLE = 1 << 10
MEMCPY = "memcpy"


def run(effort: Effort) -> Result:
    entries = effort.scaled(10_000_000, 100_000)
    notes = []
    with fb.MapSpec("array", value=fb.u64, max_entries=entries, flags=MMAPABLE).create() as map:
        sides = {OURS: lambda: timed(map.to_arrow, entries)}
        try:
            library = Libbpf()
            sides[MEMCPY] = lambda: library.copies_array(map, 8 * entries) / entries
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort, rounds=4 * effort.rounds + 1)
    result = Result("maps_array", f"an array of {entries:,} u64, mapped", "ns/entry", medians, notes=notes)
    result.ratio(MEMCPY, 1 / 0.7)
    return result
