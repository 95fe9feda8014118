"""Where the nanoseconds of `drain` go: the same full ring, read with ever more of the record's columns."""

from __future__ import annotations

from time import thread_time_ns

import fastbpf as fb
from benches.harness import OURS, Effort, Result, take_turns
from benches.records import RECORDS, FullRing, Record, drained


def only(*names: str) -> type[fb.Struct]:
    """The record, with no columns but these."""

    class Part(Record):
        @classmethod
        def columns(cls) -> list[tuple[str, int, str]]:
            return [column for column in super().columns() if column[0] in names]

    return Part


def run(effort: Effort) -> Result:
    parts = [("pid",), ("ts",), ("comm",), ("pid", "cpu"), ("ts", "pid", "cpu", "a", "b")]
    sides = {}
    with FullRing() as ring:

        def part(record: type[fb.Struct]) -> float:
            # A stream for each: it goes on where the one before has stopped.
            ring.fill()
            with fb.RingBuffer(ring.map, record, background=False) as stream:
                start = thread_time_ns()
                drained(stream)
                return (thread_time_ns() - start) / RECORDS

        for names in parts:
            sides[" + ".join(names)] = lambda names=names: part(only(*names))
        sides[OURS] = lambda: part(Record)
        medians = take_turns(sides, effort, rounds=2 * effort.rounds)
    return Result("breakdown", "drain with some columns only, CPU time", "ns/event", medians)
