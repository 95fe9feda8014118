"""Where the nanoseconds of `drain` go: the same full ring, read with ever more of the record's columns.

CPU time of the thread, which a busy machine does not stretch.
"""

from __future__ import annotations

from contextlib import ExitStack
from time import thread_time_ns
from typing import TYPE_CHECKING

from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns
from benches.records import FullRing, Libbpf, Record, drained, reader

if TYPE_CHECKING:
    from collections.abc import Callable

    import fastbpf as fb

LIBBPF = "libbpf C, all columns"
PARTS = ("pid", "ts", "comm", "pid cpu", "ts pid cpu a b")


def only(*names: str) -> type[fb.Struct]:
    """The record, with no columns but these."""

    class Part(Record):
        @classmethod
        def columns(cls) -> list[tuple[str, int, str]]:
            return [column for column in super().columns() if column[0] in names]

    return Part


def run(effort: Effort) -> Result:
    with ExitStack() as stack:

        def side(record: type[fb.Struct]) -> Callable[[], float]:
            ring = stack.enter_context(FullRing())
            stream = stack.enter_context(reader(ring, record))

            def measure() -> float:
                ring.fill()
                return drained(stream, thread_time_ns)

            return measure

        sides = {names: side(only(*names.split())) for names in PARTS} | {OURS: side(Record)}
        notes = []
        try:
            libbpf = Libbpf(stack.enter_context(FullRing()))
            stack.callback(libbpf.close)
            sides[LIBBPF] = lambda: libbpf.drain(thread_time_ns)
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort, rounds=2 * effort.rounds)
    return Result("breakdown", "drain with some columns only, CPU time", "ns/event", medians, notes=notes)
