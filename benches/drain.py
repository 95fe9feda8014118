"""From a full ring to column batches that are let go one after another."""

from __future__ import annotations

from benches.harness import OURS, Effort, MissingPeerError, Result, Turns, medians, turns
from benches.records import RECORDS, Driven, FullRing, Libbpf, aya, bcc, drained, reader

BCC = "bcc, rows"
AYA = "aya, columns"
LIBBPF = "libbpf C, columns"


def run(effort: Effort) -> Result:
    notes: list[str] = []
    with FullRing() as first, FullRing() as second, FullRing() as third:
        # Where the pages of a ring lie changes the time by up to a fifth: each side reads both.
        measured = [_turns(first, second, third, notes, effort), _turns(second, first, None, notes, effort)]
    result = Result(
        "drain", f"a full ring of {RECORDS:,} records of 48 bytes, batch by batch", "ns/event", medians(*measured)
    )
    result.notes = list(dict.fromkeys(notes))
    result.ratio(LIBBPF, 0.6)
    result.speedup(BCC, 150)
    return result


def _turns(ours: FullRing, theirs: FullRing, others: FullRing | None, notes: list[str], effort: Effort) -> Turns:
    peers: list[Libbpf | Driven] = []
    with reader(ours) as stream:

        def fastbpf() -> float:
            ours.fill()
            return drained(stream)

        sides = {}
        try:
            peers.append(libbpf := Libbpf(theirs))
            sides[LIBBPF] = libbpf.drain
        except MissingPeerError as error:
            notes.append(str(error))
        sides[OURS] = fastbpf
        try:
            # aya expects a ring that nobody has read: its own, once.
            if others and not effort.smoke:
                peers.append(rust := aya(others))
                sides[AYA] = rust.drain
        except MissingPeerError as error:
            notes.append(str(error))
        measured = turns(sides, effort, rounds=2 * effort.rounds)
        try:
            if not effort.smoke:
                peers.append(rows := bcc(theirs))
                measured[BCC] = turns({BCC: rows.drain, OURS: fastbpf}, effort, rounds=effort.rounds // 2)[BCC]
        except MissingPeerError as error:
            notes.append(str(error))
        for peer in peers:
            peer.close()
    return measured
