"""Streams: endless sources of record batches, iterated, or read for a time or a number of rows."""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections import deque
from contextlib import suppress
from numbers import Integral, Real
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from fastbpf.errors import KernelError, LayoutError, StreamError
from fastbpf.maps import Map
from fastbpf.privileges import remedied
from fastbpf.record import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native

__all__ = ["RingBuffer", "Stats", "Stream", "Taken"]


class Stats(NamedTuple):
    """Where the events went: happened = delivered + queued + lost + missed + dropped.

    received: read from the buffer; delivered: handed out in batches; queued: read and not handed out yet.
    lost: found no room in the buffer, as the program counted them; None where the program does not count.
    missed: the kernel did not run the program, which was busy on that CPU; None where the kernel does not tell.
    dropped: thrown away by the stream, which never does so unless told. cut: texts longer than their column takes.
    bytes: of the buffer; batches: handed out; wakeups: looks at the buffer.
    """

    received: int
    delivered: int
    queued: int
    lost: int | None
    missed: int | None
    dropped: int
    cut: int
    bytes: int
    batches: int
    wakeups: int


class Stream:
    """An endless source of `pyarrow.RecordBatch`es. Iterate it, `read` a table, or `take` a bounded Arrow stream.

    `ended` is true once a reader has come to the end: everything that happened before `stop` was given. Closing is safe
    from another thread: a reader that waits gets `StreamError` at once.
    """

    def __init__(self, native: _native.RingStream, max_rows: int) -> None:
        self._native = native
        self._max_rows = max_rows
        # Batches that an interrupted read had taken: they come first again.
        self._returned: deque[_native.RecordBatch] = deque()
        self._closed = False
        # Held while this is stopped or closed, so that nobody sees it half done; never while a reader waits.
        self._lock = RLock()
        # A descriptor whose readiness ends the stream: a traced command's.
        self._until: int | None = None
        self.ended = False
        _streams.add(self)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch."""
        import pyarrow as pa

        return pa.schema(self._native)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def stats(self) -> Stats:
        """Where the events went so far; final after `close`."""
        with self._lock:
            received, delivered, size, batches, wakeups, cut = self._native.statistics()
            lost, missed = self._lost(), self._missed()
        return Stats(received, delivered, received - delivered, lost, missed, 0, cut, size, batches, wakeups)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        batch = self.next_batch()
        if batch is None:
            raise StopIteration
        return _to_pyarrow(batch)

    def next_batch(
        self, timeout: float | None = None, *, least: int = 1, most: int = sys.maxsize
    ) -> _native.RecordBatch | None:
        """The next batch in the native form, which needs no pyarrow; None after `timeout` seconds, or at the end.

        `ended` tells which of the two. `least` rows are waited for (or a full batch), not more than `most` are given.
        """
        if self._returned:
            batch = self._returned.popleft()
            if len(batch) > most:
                self._returned.appendleft(batch.slice(most, len(batch)))
                batch = batch.slice(0, most)
            return batch
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found, why = self._native.next(left, least, most, self._until)
            if found is not None:
                return found
            if why != "until":
                self.ended = why == "end"
                return None
            self.stop()

    def read(self, *, seconds: float | None = None, rows: int | None = None) -> pa.Table:
        """What happens in the next `seconds`, or the next `rows` events, whichever comes first, as one table.

        Fewer when the stream ends. What an interrupted read had taken is not lost: the next one begins with it.
        """
        import pyarrow as pa

        _check_bounds(seconds, rows)
        batches: list[_native.RecordBatch] = []
        try:
            batches.extend(self._bounded(seconds, rows))
        except BaseException:
            self._returned.extendleft(reversed(batches))
            raise
        return pa.Table.from_batches([_to_pyarrow(batch) for batch in batches], self.schema)

    def take(self, *, seconds: float | None = None, rows: int | None = None) -> Taken:
        """The same as `read`, as an Arrow stream that is read once, while it happens, for polars, duckdb or pandas.

        The time begins with the first read.
        """
        _check_bounds(seconds, rows)
        return Taken(self, seconds, rows)

    def _bounded(self, seconds: float | None, rows: int | None) -> Iterator[_native.RecordBatch]:
        deadline = None if seconds is None else time.monotonic() + seconds
        left = sys.maxsize if rows is None else rows
        timeout: float | None = None
        try:
            while left > 0:
                if deadline is not None and timeout != 0.0:
                    timeout = max(0.0, deadline - time.monotonic())
                    if timeout == 0.0:
                        # What happened by now is read to its end; events go on happening, and do not belong to it.
                        self._native.hold(True)
                batch = self.next_batch(timeout, least=min(left, self._max_rows), most=left)
                if batch is None:
                    return
                left -= len(batch)
                yield batch
        finally:
            self._native.hold(False)

    def stop(self) -> None:
        """Ends the input: programs of this stream are detached. What happened before can still be read, to the end."""
        with self._lock:
            self._detach()
            self._native.stop()

    def close(self) -> None:
        """Ends the stream: detaches, counts what was not read, frees the buffers. A second time does nothing.

        After an interruption it does what was left.
        """
        with self._lock:
            if self._closed:
                return
            try:
                self._detach()
            finally:
                try:
                    self._native.close()
                finally:
                    self._settle()
            self._closed = True

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise TypeError(
            "this stream has no end; take(seconds=5) or take(rows=1000) of it is an Arrow stream that has one"
        )

    # What a stream with programs of its own knows and does besides.

    def _lost(self) -> int | None:
        return None

    def _missed(self) -> int | None:
        return None

    def _detach(self) -> None:
        pass

    def _settle(self) -> None:
        pass

    def _forget(self) -> None:
        # In a forked child, which has nothing to close: lets go of what would keep the parent's programs attached. A
        # thread that is not there any more may have held the lock.
        self._lock = RLock()
        self._closed = True


class Taken:
    """A part of a stream, as an Arrow stream that can be read once (the Arrow PyCapsule interface)."""

    def __init__(self, stream: Stream, seconds: float | None, rows: int | None) -> None:
        self._stream = stream
        self._bounds = (seconds, rows)
        self._taken = False

    def __arrow_c_schema__(self) -> object:
        return self._stream.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow as pa

        if self._taken:
            raise StreamError("this part of the stream was read already; take another")
        self._taken = True
        batches = (_to_pyarrow(batch) for batch in self._stream._bounded(*self._bounds))
        return pa.RecordBatchReader.from_batches(self._stream.schema, batches).__arrow_c_stream__(requested_schema)


class RingBuffer(Stream):
    """A stream of the records in a ring buffer (`MapSpec("ringbuf")`), decoded as `record` says.

    Args:
        ring: the map.
        record: the layout that the program writes.
        max_rows: a batch has at most so many rows.
        max_latency: seconds that events gather for at most before a waiting reader gets them.
        background: a thread of fastbpf's drains the buffer, so that a slow reader costs no events; False decodes on
            the reader's thread, when it asks.
        lost: an array map whose entry 0 the program counts up for each event that found no room.

    Kernel 5.8. Source: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst.
    """

    def __init__(
        self,
        ring: Map,
        record: type[Struct],
        *,
        max_rows: int = 65_536,
        max_latency: float = 0.001,
        background: bool = True,
        lost: Map | None = None,
    ) -> None:
        from fastbpf import _native

        if not isinstance(ring, Map):
            raise TypeError(f"load the program or create() the map first: a stream reads a Map, not {ring!r}")
        if Struct not in getattr(record, "__mro__", ()):
            raise LayoutError(f"a record's layout is a Struct, not {record!r}")
        check_whole(max_rows, 1, 1 << 24, f"max_rows={max_rows!r}: a batch has from 1 to {1 << 24} rows")
        _check_seconds(max_latency, 3600, f"max_latency={max_latency!r}: give seconds, from 0 to 3600")
        # The counter's map while this is open, what it said afterwards: the map may go, and count for others.
        self._counter = lost
        self._counted: int | None = None
        try:
            native = _native.RingStream(ring.fileno(), record.columns(), record.size, max_rows, max_latency, background)
        except KernelError as error:
            raise remedied(error) from None
        super().__init__(native, max_rows)

    def _lost(self) -> int | None:
        if self._counter is None:
            return self._counted
        value: Any = self._counter[0]
        return sum(value) if isinstance(value, list) else int(value)

    def _settle(self) -> None:
        # Unknown when the map went first.
        with suppress(StreamError):
            self._counted = self._lost()
        self._counter = None


def _to_pyarrow(batch: _native.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch(batch)


def _check_bounds(seconds: float | None, rows: int | None) -> None:
    if seconds is None and rows is None:
        raise ValueError("a stream has no end: say how much of it, seconds=5 or rows=1000")
    if seconds is not None:
        _check_seconds(seconds, sys.float_info.max, f"seconds={seconds!r}: give a number that is not negative")
    if rows is not None:
        check_whole(rows, 0, sys.maxsize, f"rows={rows!r}: give a whole number from 0 to {sys.maxsize}")


def check_whole(value: object, least: int, most: int, told: str) -> None:
    """Refuses, in the words `told`, what is no whole number of the range."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(told)
    if not least <= int(value) <= most:
        raise ValueError(told)


def _check_seconds(value: Any, most: float, told: str) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number:
        raise TypeError(told)
    if not 0 <= value <= most:
        raise ValueError(told)


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def _in_child() -> None:
    for stream in list(_streams):
        # Whatever is wrong with one, the others are let go too.
        with suppress(Exception):
            stream._forget()


os.register_at_fork(after_in_child=_in_child)
