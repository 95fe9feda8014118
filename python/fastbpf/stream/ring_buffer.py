"""Ring buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbpf.errors import KernelError
from fastbpf.maps import Map
from fastbpf.privileges import remedied
from fastbpf.stream.checks import manner
from fastbpf.stream.counters import Counter
from fastbpf.stream.layouts import Layouts, sequence_places
from fastbpf.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbpf.record import Struct

__all__ = ["RingBuffer"]


class RingBuffer(Stream):
    """A stream of the records in a ring buffer (`MapSpec("ringbuf")`), decoded as `record` says.

    Args:
        ring: the map, or several of one program's, such as one for each CPU.
        record: the layout that the program writes; where it writes several, `{1: First, 2: Second}`, and the stream
            gives batches of each.
        tag: the field, at one place in all of them, that holds the number of a record's type.
        ordered: events in the order of their first time field, each given `look_back` seconds after it happened, so
            that those of other buffers are there; `Stats.late` counts those that were not.
        max_rows: a batch has at most so many rows.
        max_latency: seconds that events gather for at most before a waiting reader gets them.
        background: a thread of fastbpf's drains the buffer, so that a slow reader costs no events; False decodes on
            the reader's thread, when it asks.
        overflow: what happens when 64 MiB of batches wait for their reader: "block" leaves events in the buffer, which
            fills; "drop_newest" and "drop_oldest" throw away, and count.
        decode: False keeps records whole, as they stand in the buffer, for `Capture.record`.
        lost: where the program counts events that found no room: an array map, whose entry 0 is the count (of per-CPU
            arrays the sum), or `(map, "field")` where its value is a `Struct`, as a program's globals are.
        sequence: the integer field that the program counts up for each event, also for those that find no room; or
            `("seq", "cpu")` where each value of the second field has a count of its own. Gaps are then `Stats.lost`.

    Raises:
        LayoutError: the map is no ring buffer, or one that overwrites (6.19); a layout that cannot be.
        StreamError: another stream of this process reads the map.
        KernelError: the kernel refused.

    Kernel 5.8. Source: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst.
    """

    def __init__(
        self,
        ring: Map | Sequence[Map],
        record: type[Struct] | Mapping[int, type[Struct]],
        *,
        tag: str | None = None,
        ordered: bool = False,
        look_back: float = 0.01,
        max_rows: int = 131_072,
        max_latency: float = 0.001,
        background: bool = True,
        overflow: str = "block",
        decode: bool = True,
        lost: Map | tuple[Map, str] | None = None,
        sequence: str | tuple[str, str] | None = None,
    ) -> None:
        from fastbpf import _native

        rings: list[Any] = list(ring) if isinstance(ring, list | tuple) else [ring]
        for one in rings:
            if not isinstance(one, Map):
                raise TypeError(f"load the program or create() the map first: a stream reads a Map, not {one!r}")
        if not rings or len({one.id for one in rings}) < len(rings):
            raise ValueError("give one or more ring buffers, each once")
        layouts = Layouts(record, tag)
        how = manner(
            max_rows=max_rows,
            max_latency=max_latency,
            background=background,
            overflow=overflow,
            ordered=ordered,
            look_back=look_back,
            decode=decode,
        )
        places = sequence_places(layouts.types, sequence, lost)
        self._counter = Counter(lost)
        try:
            fds = [one.fileno() for one in rings]
            native = _native.Stream.rings(fds, layouts.tables, layouts.tagged, places, how)
        except KernelError as error:
            raise remedied(error) from None
        self._open(native, [layouts], how)
        self._sequenced = sequence is not None

    def _lost(self) -> int | None:
        counted = self._counter.read()
        return 0 if counted is None and self._sequenced else counted

    def _settle(self) -> None:
        self._counter.settle()
