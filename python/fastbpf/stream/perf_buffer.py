"""Perf buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps import Map
from fastbpf.privileges import remedied
from fastbpf.stream.checks import manner, size_in_bytes
from fastbpf.stream.counters import Counter
from fastbpf.stream.layouts import SAMPLE, Layouts, sequence_places
from fastbpf.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.record import Struct

__all__ = ["PerfBuffer"]


class PerfBuffer(Stream):
    """A stream of what programs write with `call.perf_event_output` to a `MapSpec("perf_event_array")`.

    There is a buffer for each CPU that is online, also for those that come online later. The kernel stamps each record
    with its time and CPU, whatever the program writes: the columns `ts` and `cpu`, or `sample_ts` and `sample_cpu`
    where the record has those names itself.

    `Stats.lost` is what the program counted (`lost`), or gaps in its sequence (`sequence`), or else what the kernel
    counted: events that found no room, exactly since 6.0, and before that those after which another event found room.
    The kernel's count does not see what a program sent from a CPU without a buffer, or past the end of the map: only
    the helper's return value tells the program (-ENOENT, -E2BIG).

    Args:
        array: the map. Its entries for this machine's CPUs are this stream's until it is closed.
        record: as for `RingBuffer`; a record may be longer than its layout, since the kernel pads what it hands over.
        tag: as for `RingBuffer`.
        buffer: size of each CPU's buffer, in bytes or as text ("256KiB"), rounded up to a power of two of pages.
        overwrite: the newest events take the place of the oldest, and the stream gives what is there when it is read,
            as in `read(seconds=0)`: a flight recorder. Meanwhile output is paused. What was overwritten is not counted.
        ordered: events in the order of the kernel's times, as for `RingBuffer`.
        look_back: as for `RingBuffer`.
        max_rows: as for `RingBuffer`.
        max_latency: as for `RingBuffer`; the kernel makes itself heard when half a buffer is full, and a few events are
            found by the clock, after 10 ms at most.
        background: as for `RingBuffer`; a stream that overwrites is read by whoever asks.
        overflow: as for `RingBuffer`.
        decode: as for `RingBuffer`.
        lost: as for `RingBuffer`.
        sequence: as for `RingBuffer`.

    Raises:
        LayoutError: the map is no perf_event_array, or has no entry for a CPU; a layout that cannot be.
        StreamError: another stream of this process reads the map.
        KernelError: the kernel refused.

    Kernel 4.4. Source: perf_event_open(2), kernel/events/ring_buffer.c, bpf-helpers(7) (bpf_perf_event_output).
    """

    def __init__(
        self,
        array: Map,
        record: type[Struct] | Mapping[int, type[Struct]],
        *,
        tag: str | None = None,
        buffer: int | str = "256KiB",
        overwrite: bool = False,
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

        if not isinstance(array, Map):
            raise TypeError(f"load the program or create() the map first: a stream reads a Map, not {array!r}")
        if array.spec.type != "perf_event_array":
            raise LayoutError(f"{array!r} is not a perf_event_array; make one with MapSpec('perf_event_array')")
        layouts = Layouts(record, tag, SAMPLE)
        size = size_in_bytes(buffer, 4096, 1 << 30, "a perf buffer")
        how = manner(
            max_rows=max_rows,
            max_latency=max_latency,
            background=background and not overwrite,
            overflow=overflow,
            ordered=ordered,
            look_back=look_back,
            decode=decode,
        )
        places = sequence_places(layouts.types, sequence, lost)
        self._counter = Counter(lost)
        # The native module is told of losses where the program does not count them.
        self._counts = lost is None
        counts = lost is None and sequence is None
        try:
            native = _native.Stream.perf_buffers(
                array.fileno(), size, overwrite, layouts.tables, layouts.tagged, places, counts, how
            )
        except KernelError as error:
            raise remedied(error) from None
        self._open(native, [layouts], how)

    def pause(self) -> None:
        """Lets programs write no more: what they send is lost, and counted by the kernel. Linux 4.7.

        Source: perf_event_open(2), PERF_EVENT_IOC_PAUSE_OUTPUT.
        """
        self._native.pause(True)

    def resume(self) -> None:
        """Lets programs write again."""
        self._native.pause(False)

    def _lost(self) -> int | None:
        return 0 if self._counts else self._counter.read()

    def _settle(self) -> None:
        self._counter.settle()
