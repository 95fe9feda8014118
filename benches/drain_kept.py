"""From a full ring to one table that is kept: fresh memory on both sides."""

from __future__ import annotations

from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.records import RECORDS, FullRing, Libbpf, drained_kept, reader

LIBBPF = "libbpf C, new arrays"


def run(effort: Effort) -> Result:
    notes = []
    sides = {}
    libbpf = None
    with FullRing() as ours, FullRing() as theirs, reader(ours) as stream:

        def fastbpf() -> float:
            ours.fill()
            return drained_kept(stream)

        try:
            libbpf = Libbpf(theirs)
            sides[LIBBPF] = libbpf.drain_kept
        except MissingPeerError as error:
            notes.append(str(error))
        sides[OURS] = fastbpf
        medians = take_turns(sides, effort, rounds=4 * effort.rounds + 1)
        if libbpf:
            libbpf.close()
    result = Result("drain_kept", f"the same {RECORDS:,} records, kept as one table", "ns/event", medians, notes=notes)
    result.ratio(LIBBPF, 0.9)
    return result
