"""From a full ring to column batches that are let go one after another."""

from __future__ import annotations

from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.records import RECORDS, Driven, FullRing, Libbpf, aya, bcc, drained, reader

BCC = "bcc, rows"
AYA = "aya, columns"
LIBBPF = "libbpf C, columns"


def run(effort: Effort) -> Result:
    notes = []
    sides = {}
    peers: list[Libbpf | Driven] = []
    # aya remembers where it was: its ring is its own.
    with FullRing() as ours, FullRing() as theirs, FullRing() as third, reader(ours) as stream:

        def fastbpf() -> float:
            ours.fill()
            return drained(stream)

        try:
            peers.append(libbpf := Libbpf(theirs))
            sides[LIBBPF] = libbpf.drain
        except MissingPeerError as error:
            notes.append(str(error))
        sides[OURS] = fastbpf
        try:
            if not effort.smoke:
                peers.append(rust := aya(third))
                sides[AYA] = rust.drain
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort, rounds=4 * effort.rounds + 1)
        try:
            if not effort.smoke:
                peers.append(rows := bcc(theirs))
                medians |= take_turns({BCC: rows.drain, OURS: fastbpf}, effort) | {OURS: medians[OURS]}
        except MissingPeerError as error:
            notes.append(str(error))
        for peer in peers:
            peer.close()
    result = Result("drain", f"a full ring of {RECORDS:,} records of 48 bytes, batch by batch", "ns/event", medians)
    result.notes = notes
    result.ratio(LIBBPF, 0.6)
    result.speedup(BCC, 150)
    return result
