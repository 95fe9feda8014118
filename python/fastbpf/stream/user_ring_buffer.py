"""User ring buffers: the other direction, from a table to a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps import Map
from fastbpf.privileges import remedied
from fastbpf.record import Struct
from fastbpf.record.tables import reader
from fastbpf.stream.checks import check_seconds

if TYPE_CHECKING:
    from typing import Self

__all__ = ["UserRingBuffer"]


class UserRingBuffer:
    """The writer of a `MapSpec("user_ringbuf")`: a table's rows become records, which a program reads.

    The program calls `call.user_ringbuf_drain(ring, "label", …)`, and its subprogram at the label gets each record
    once, in order, as a dynptr. Records have the layout of `record`, and zeros between the fields.

    Each ring has one writer: another one in this process is refused, and several processes have to take turns. What was
    written stays in the ring when the writer is closed.

    Args:
        ring: the map.
        record: the layout. Its fields are integers and floats of both byte orders, bitfields, enums (numbers or names),
            ports (as numbers), times (timestamps, or the clock's own nanoseconds), `fb.bool8`, `fb.char[N]`,
            `fb.raw[N]`, addresses, structs, and arrays of numbers and structs.

    Raises:
        LayoutError: the map is no user ring buffer; a record that does not fit into it, or a field of another type.
        StreamError: this process writes to the map already.
        KernelError: the kernel refused.

    Linux 6.1. Source: kernel/bpf/ringbuf.c, bpf-helpers(7) (bpf_user_ringbuf_drain).
    """

    def __init__(self, ring: Map, record: type[Struct]) -> None:
        from fastbpf import _native

        if not isinstance(ring, Map):
            raise TypeError(f"load the program or create() the map first: records are written to a Map, not {ring!r}")
        if Struct not in getattr(record, "__mro__", ()):
            raise LayoutError(f"a record's layout is a Struct, not {record!r}")
        try:
            self._native = _native.UserRing(ring.fileno(), record.columns(), record.size)
        except KernelError as error:
            raise remedied(error) from None
        self._closed = False

    def write(self, rows: Any, *, timeout: float | None = 0.0) -> int:
        """Writes the rows of a table, and gives how many: all, or the first of them, which found room in time.

        The others are the caller's: `table[n:]`. All rows are checked before the first is written, so that a refusal
        writes none.

        Args:
            rows: whatever speaks Arrow's interface: tables and batches of pyarrow, frames of polars and pandas. The
                fields' columns are found by their names, others are left out. Text goes into `fb.char[N]` and becomes
                addresses; shorter text and bytes get zeros behind them.
            timeout: seconds to wait for room that programs make; None waits until all rows are written. A program that
                drains with BPF_RB_NO_WAKEUP is noticed after up to 100 ms.

        Raises:
            LayoutError: a column that is missing, or of a type that the field does not take; with the first such row, a
                null, or a value that does not fit.
            StreamError: the ring is closed, also by another thread meanwhile; or this process is a fork. Then, as after
                Ctrl-C, `written` tells how many rows went in.
        """
        if timeout is not None:
            check_seconds(timeout, float("inf"), f"timeout={timeout!r}: give seconds, or None to wait for all")
        return self._native.write(reader(rows), timeout)

    @property
    def written(self) -> int:
        """How many rows were written since this was made."""
        return self._native.written

    @property
    def unread(self) -> int:
        """Bytes in the ring that no program has read: of each record its size and 8, rounded up to 8."""
        return self._native.unread

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Lets go of the ring; what was written stays there. A `write` that waits gets `StreamError`."""
        self._closed = True
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
