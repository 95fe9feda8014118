"""Streams, iterated, or read for a time or a number of rows."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import weakref
from collections import deque
from contextlib import ExitStack, suppress
from threading import RLock
from typing import TYPE_CHECKING

from fastbpf.errors import StreamError
from fastbpf.stream.checks import Manner, check_bounds, manner
from fastbpf.stream.stats import Stats, accounting
from fastbpf.stream.taken import Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native
    from fastbpf.stream.layouts import Layouts, Source

__all__ = ["Stream"]


class Stream:
    """An endless source of `pyarrow.RecordBatch`es. Iterate it, `read` a table, or `take` a bounded Arrow stream.

    `RingBuffer`, `PerfBuffer` and `trace` make streams; `Stream([first, second])` makes one of several, which are its
    own from then on: records of one layout become one table. Where a stream carries several types of record, each batch
    is of one of them, whose name stands in its schema's metadata as `fastbpf.record`.

    With `decode=False` the records stay whole, as they stand in the buffers, for `Capture.record`: the columns are
    `source`, a number, and `record`. Streams that become one all decode, or none does.

    `ended` is true once a reader has come to the end: everything that happened before `stop` was given. Closing is safe
    from another thread: a reader that waits gets `StreamError` at once. `async for` reads without a thread of its own.

    Args:
        streams: those whose buffers are read, and whose programs are detached when this is closed.
        ordered: as for `RingBuffer`, and the following too.
        look_back: seconds.
        max_rows: rows.
        max_latency: seconds.
        background: whether a thread of fastbpf's reads.
        overflow: "block", "drop_newest" or "drop_oldest".
    """

    # A descriptor whose readiness ends the stream: a traced command's.
    _until: int | None

    def __init__(
        self,
        streams: Sequence[Stream],
        *,
        ordered: bool = False,
        look_back: float = 0.01,
        max_rows: int = 131_072,
        max_latency: float = 0.001,
        background: bool = True,
        overflow: str = "block",
    ) -> None:
        from fastbpf import _native

        parts = list(streams)
        for one in parts:
            if not isinstance(one, Stream):
                raise TypeError(f"a stream is made of streams, such as RingBuffer(map, Open), not of {one!r}")
        if not parts or len({id(one) for one in parts}) < len(parts):
            raise ValueError("give one or more streams, each once")
        how = manner(
            max_rows=max_rows,
            max_latency=max_latency,
            background=background,
            overflow=overflow,
            ordered=ordered,
            look_back=look_back,
            decode=parts[0]._decodes,
        )
        native = _native.Stream.combined([one._native for one in parts], how)
        self._open(native, [layouts for one in parts for layouts in one._layouts], how, parts)
        before = 0
        for one in parts:
            # What was read of it and given back.
            for batch in one._returned:
                table = self._names.index(one._names[batch.table]) if self._decodes else before + batch.table
                self._returned.append(batch.of_table(table))
            before += len(one._layouts)
            one._become_part()
        # A command that ends, ends the stream, if nothing else goes on in it.
        if len(parts) == 1:
            self._until = parts[0]._until

    def _open(
        self, native: _native.Stream, layouts: list[Layouts], how: Manner, parts: list[Stream] | None = None
    ) -> None:
        self._native = native
        # Of each of its sources, by their numbers, and the names of the tables that records go to.
        self._layouts = layouts
        self._names = native.names()
        self._decodes = how.decode
        self._max_rows = how.max_rows
        # Streams that this one was made of: their programs are its own.
        self._parts = parts or []
        # Batches that an interrupted read had taken: they come first again.
        self._returned: deque[_native.RecordBatch] = deque()
        self._closed = False
        self._background = how.background
        # Held while this is stopped or closed, so that nobody sees it half done; never while a reader waits.
        self._lock = RLock()
        self._until = None
        # Whether a task waits for the next batch.
        self._awaited = False
        self.ended = False
        _streams.add(self)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch.

        Raises:
            StreamError: the stream carries several types of record, see `schemas`.
        """
        import pyarrow as pa

        return pa.schema(self)

    @property
    def schemas(self) -> dict[str, pa.Schema]:
        """The Arrow schema of each type of record, by the names of their `Struct`s."""
        import pyarrow as pa

        found = zip(self._names, self._native.schemas(), strict=True)
        return {name: pa.schema(Exported(capsule)) for name, capsule in found}

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def stats(self) -> Stats:
        """Where the events went so far; final after `close`."""
        with self._lock:
            counts = self._native.statistics()
            lost, missed = self._lost(), self._missed()
        untold, lateness = counts.pop("lost"), counts.pop("lateness") / 1e9
        if lost is not None:
            lost += untold
        queued = counts["received"] - counts["delivered"] - counts["dropped"]
        return Stats(**counts, queued=queued, lost=lost, missed=missed, lateness=lateness)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        taken: list[_native.RecordBatch] = []
        with self._giving_back(taken):
            if self._next(taken, None, 1, sys.maxsize):
                return self._accounted(taken[0])
        raise StopIteration

    def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        batch = await self._awaited_batch()
        if batch is None:
            raise StopAsyncIteration
        return self._accounted(batch)

    def next_batch(
        self, timeout: float | None = None, *, least: int = 1, most: int = sys.maxsize
    ) -> _native.RecordBatch | None:
        """The next batch in the native form, which needs no pyarrow; None after `timeout` seconds, or at the end.

        `ended` tells which of the two. `least` rows are waited for (or a full batch), not more than `most` are given.
        """
        taken: list[_native.RecordBatch] = []
        with self._giving_back(taken):
            return taken[0] if self._next(taken, timeout, least, most) else None

    # Adds the next batch to a list: whoever is interrupted gives back what he has.
    def _next(self, to: list[_native.RecordBatch], timeout: float | None, least: int, most: int) -> bool:
        if self._returned:
            to.append(self._returned.popleft())
            if len(to[-1]) > most:
                self._returned.appendleft(to[-1].slice(most, len(to[-1])))
                to[-1] = to[-1].slice(0, most)
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            why = self._native.next(to, left, least, most, self._until)
            if not why:
                return True
            if why != "until":
                self.ended = why == "end"
                return False
            self.stop()

    def _giving_back(self, taken: list[_native.RecordBatch]) -> _GivingBack:
        return _GivingBack(self._returned, taken)

    # A task that is cancelled while it waits has taken nothing.
    async def _awaited_batch(self) -> _native.RecordBatch | None:
        if self._returned:
            return self._returned.popleft()
        if self._awaited:
            raise StreamError("another task waits for this stream's next batch; let one task read, and pass batches on")
        if not self._background:
            raise StreamError(
                "a stream with background=False, or one that overwrites, is read by whoever asks; tasks can wait for a "
                "stream with background=True"
            )
        self._awaited = True
        try:
            while True:
                batch, why = self._native.poll(1, sys.maxsize)
                if batch is not None:
                    return batch
                if why == "end":
                    self.ended = True
                    return None
                if await _readable(self._native.fileno(), self._until):
                    self.stop()
        finally:
            self._awaited = False

    def read(self, *, seconds: float | None = None, rows: int | None = None) -> pa.Table:
        """What happens in the next `seconds`, or the next `rows` events, whichever comes first, as one table.

        Fewer when the stream ends. What an interrupted read had taken is not lost: the next one begins with it.

        Raises:
            StreamError: the stream carries several types of record: `read_all` gives a table of each.
        """
        import pyarrow as pa

        schema = self.schema
        taken: list[_native.RecordBatch] = []
        with self._giving_back(taken):
            self._gather(taken, seconds, rows)
            told = {**(schema.metadata or {}), **self._accounting()}
            return pa.Table.from_batches([pa.record_batch(batch) for batch in taken], schema.with_metadata(told))

    def read_all(self, *, seconds: float | None = None, rows: int | None = None) -> dict[str, pa.Table]:
        """The same as `read`, as a table of each type of record, by the names of their `Struct`s."""
        import pyarrow as pa

        schemas = self.schemas
        taken: list[_native.RecordBatch] = []
        with self._giving_back(taken):
            self._gather(taken, seconds, rows)
            tables = {}
            for number, (name, schema) in enumerate(schemas.items()):
                own = [pa.record_batch(batch) for batch in taken if batch.table == number]
                told = {**(schema.metadata or {}), **self._accounting()}
                tables[name] = pa.Table.from_batches(own, schema.with_metadata(told))
            return tables

    def take(self, *, seconds: float | None = None, rows: int | None = None) -> Taken:
        """The same as `read`, as an Arrow stream that is read once, while it happens, for polars, duckdb or pandas.

        The time begins with the first read.
        """
        check_bounds(seconds, rows)
        self.__arrow_c_schema__()
        return Taken(self, seconds, rows)

    # What a capture keeps of it: each source's kind of buffer, types of record, and the tag that tells them apart.
    def _sources(self) -> list[Source]:
        if self._decodes:
            raise StreamError("a stream that decodes its records has none left to record; make it with decode=False")
        found = zip(self._native.sources(), self._layouts, strict=True)
        return [(buffer, layouts.tables, layouts.tagged) for buffer, layouts in found]

    # What was taken and not used is read again.
    def _give_back(self, batch: _native.RecordBatch) -> None:
        if len(batch):
            self._returned.appendleft(batch)

    def _gather(self, to: list[_native.RecordBatch], seconds: float | None, rows: int | None) -> None:
        check_bounds(seconds, rows)
        for _ in self._bounded(seconds, rows, to):
            pass

    # What is known of all events so far, which only grows: with each batch, for whoever keeps batches only.
    def _accounting(self) -> dict[bytes, bytes]:
        return accounting(self.stats)

    def _accounted(self, batch: _native.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        with self._lock:
            return pa.record_batch(self._native.accounted(batch, self._lost(), self._missed()))

    # Each batch, which is added to `to`, if that is given, before anything can interrupt.
    def _bounded(
        self, seconds: float | None, rows: int | None, to: list[_native.RecordBatch] | None = None
    ) -> Iterator[_native.RecordBatch]:
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
                taken: list[_native.RecordBatch] = [] if to is None else to
                if not self._next(taken, timeout, min(left, self._max_rows), left):
                    return
                batch = taken[-1]
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
        if len(self._names) > 1:
            names = ", ".join(self._names)
            raise StreamError(
                f"this stream carries several types of record ({names}), and a table has one: iterate it, or read_all()"
            )
        return self._native.schemas()[0]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise TypeError(
            "this stream has no end; take(seconds=5) or take(rows=1000) of it is an Arrow stream that has one"
        )

    # What a stream with programs of its own knows and does besides.

    # None where the program's count is not known. Gaps in sequence numbers come on top.
    def _lost(self) -> int | None:
        counts = [one._lost() for one in self._parts]
        return sum(count for count in counts if count is not None) if None not in counts else None

    def _missed(self) -> int | None:
        counts = [one._missed() for one in self._parts]
        return sum(count for count in counts if count is not None) if counts and None not in counts else None

    def _detach(self) -> None:
        for one in self._parts:
            one._detach()

    def _settle(self) -> None:
        with ExitStack() as stack:
            for one in self._parts:
                stack.callback(one._settle)

    def _become_part(self) -> None:
        self._closed = True

    def _forget(self) -> None:
        # In a forked child, which has nothing to close: lets go of what would keep the parent's programs attached. A
        # thread that is not there any more may have held the lock.
        self._lock = RLock()
        self._closed = True


# Batches come first again when the block that took them does not end well.
class _GivingBack:
    __slots__ = ("_taken", "_to")

    def __init__(self, to: deque[_native.RecordBatch], taken: list[_native.RecordBatch]) -> None:
        self._to = to
        self._taken = taken

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._to.extendleft(reversed(self._taken))


class Exported:
    """A schema as the Arrow PyCapsule interface hands it over."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_schema__(self) -> object:
        return self._capsule


# True when the second descriptor is readable.
async def _readable(fd: int, until: int | None) -> bool:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()

    def tell(ended: bool) -> None:  # noqa: FBT001  # add_reader gives it
        if not ready.done():
            ready.set_result(ended)

    loop.add_reader(fd, tell, False)
    try:
        if until is not None:
            loop.add_reader(until, tell, True)
        return await ready
    finally:
        loop.remove_reader(fd)
        if until is not None:
            loop.remove_reader(until)


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def _in_child() -> None:
    for stream in list(_streams):
        # Whatever is wrong with one, the others are let go too.
        with suppress(Exception):
            stream._forget()


os.register_at_fork(after_in_child=_in_child)
