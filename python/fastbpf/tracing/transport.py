"""How a trace's records leave the kernel: through one ring buffer, one for each CPU, or perf buffers.

What finds no room is counted by the program, which alone knows of all of it: the kernel's own counts miss what is sent
to a CPU without a buffer.

Their instructions find the context in r6 and the record in r9, and use r0 to r5. They go to "done" when the record is
sent, and to the label of a reason when it is not.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from fastbpf.asm import *
from fastbpf.errors import KernelError
from fastbpf.maps import MapSpec
from fastbpf.maps.cpus import cpu_slots
from fastbpf.privileges import remedied
from fastbpf.record import u64
from fastbpf.tracing import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from fastbpf import _native
    from fastbpf.asm.assembly import Part
    from fastbpf.asm.operands import Register
    from fastbpf.maps import Map
    from fastbpf.stream.checks import Manner
    from fastbpf.stream.layouts import Layouts

    # Gives so many bytes of the stack, by their offset from its top.
    Aside = Callable[[int], int]

__all__ = ["PerfBuffers", "Ring", "RingPerCpu", "Transport", "choose_transport"]

_CURRENT_CPU: Final = 0xFFFF_FFFF  # BPF_F_CURRENT_CPU, include/uapi/linux/bpf.h

# Why an event found no room, as `Trace.lost_by_reason` calls it. The program has a label for each.
NO_ROOM: Final = "no room"
NO_BUFFER: Final = "no buffer"
OTHER: Final = "other"


class Ring:
    """One ring buffer."""

    # Whether events come about as they happened, without a reader that puts them in order.
    in_order = True
    # The program counts in entry 0 of the array `counters`, in this order.
    reasons: tuple[str, ...] = (NO_ROOM,)

    def __init__(self, size: int) -> None:
        self.events = MapSpec("ringbuf", max_entries=size, name="events")
        self.counters = _counters(self.reasons)

    def reserve(self, size: int, aside: Aside) -> Iterator[Part]:
        """Makes r9 room in the ring, where the record is written to be read."""
        ring = yield from self._ring(aside)
        yield call.ringbuf_reserve(ring, size, 0)
        yield jeq(r0, 0, NO_ROOM)
        yield mov(r9, r0)

    def submit(self) -> Iterator[Part]:
        """Sends what was written there."""
        yield call.ringbuf_submit(r9, 0)
        yield ja("done")

    def output(self, length: Register | int, aside: Aside) -> Iterator[Part]:
        """Sends a copy of the record."""
        ring = yield from self._ring(aside)
        yield call.ringbuf_output(ring, r9, length, 0)
        yield jslt(r0, 0, NO_ROOM)
        yield ja("done")

    def _ring(self, _: Aside) -> Generator[Part, None, MapSpec | Register]:
        yield from ()
        return self.events

    def open(self, maps: Mapping[str, Map], layouts: Layouts, how: Manner) -> _native.Stream:
        """Reads what the program with these maps will write."""
        return _open_rings([maps["events"]], layouts, how)


class RingPerCpu(Ring):
    """A ring buffer for each CPU that is online, so that producers share no lock; what others send is counted."""

    in_order = False
    reasons = (NO_ROOM, NO_BUFFER)

    def __init__(self, size: int) -> None:
        self._one = MapSpec("ringbuf", max_entries=_share(size), name="events_of_cpu")
        self.events: MapSpec = MapSpec("array_of_maps", max_entries=cpu_slots(), name="events", inner=self._one)
        self.counters = _counters(self.reasons)

    def _ring(self, aside: Aside) -> Generator[Part, None, MapSpec | Register]:
        at = aside(8)
        yield call.get_smp_processor_id()
        yield stxw(r10, at, r0)
        yield call.map_lookup_elem(self.events, r10 + at)
        yield jeq(r0, 0, NO_BUFFER)
        return r0

    def open(self, maps: Mapping[str, Map], layouts: Layouts, how: Manner) -> _native.Stream:
        """Makes the rings: the array and the stream keep them."""
        from fastbpf import _native

        with ExitStack() as stack:
            rings = {cpu: stack.enter_context(self._one.create()) for cpu in _native.online_cpus()}
            for cpu, ring in rings.items():
                maps["events"][cpu] = ring
            return _open_rings(list(rings.values()), layouts, how)


class PerfBuffers:
    """A perf buffer for each CPU that is online, also for those that come online later: kernels before 5.8."""

    in_order = False
    reasons: tuple[str, ...] = (NO_ROOM, NO_BUFFER, OTHER)

    def __init__(self, size: int) -> None:
        self._each = _share(size)
        self.events = MapSpec("perf_event_array", name="events")
        self.counters = _counters(self.reasons)

    def output(self, length: Register | int, _: Aside) -> Iterator[Part]:
        """Sends a copy of the record, which the kernel wraps into a sample."""
        yield call.perf_event_output(r6, self.events, _CURRENT_CPU, r9, length)
        yield jeq(r0, 0, "done")
        yield jeq(r0, -errno.ENOSPC, NO_ROOM)
        yield jeq(r0, -errno.ENOENT, NO_BUFFER)
        yield ja(OTHER)

    def open(self, maps: Mapping[str, Map], layouts: Layouts, how: Manner) -> _native.Stream:
        """The buffers; the program counts, and the kernel need not."""
        from fastbpf import _native

        events = maps["events"].fileno()
        try:
            return _native.Stream.perf_buffers(events, self._each, False, layouts.tables, None, None, False, how)
        except KernelError as error:
            raise remedied(error) from None


def _open_rings(rings: list[Map], layouts: Layouts, how: Manner) -> _native.Stream:
    from fastbpf import _native

    try:
        return _native.Stream.rings([ring.fileno() for ring in rings], layouts.tables, None, None, how)
    except KernelError as error:
        raise remedied(error) from None


def _counters(reasons: tuple[str, ...]) -> MapSpec:
    kind: Any = u64[len(reasons)]
    return MapSpec("array", value=kind, max_entries=1, name="counters")


# A CPU's part of a buffer, as large as buffers come: a power of two of pages.
def _share(size: int) -> int:
    from fastbpf import _native

    part = -(-size // len(_native.online_cpus()))
    return max(kernel.page(), 1 << (part - 1).bit_length())


Transport = Ring | PerfBuffers


def choose_transport(size: int, shards: str | None) -> Transport:
    """What this kernel has, with `size` bytes in all."""
    if not kernel.has_ring_buffers():
        return PerfBuffers(size)
    return Ring(size) if shards is None else RingPerCpu(size)
