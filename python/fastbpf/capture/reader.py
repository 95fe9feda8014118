"""Reading captures."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbpf.errors import Error, StreamError
from fastbpf.stream import Stats
from fastbpf.stream.checks import check_whole
from fastbpf.stream.stats import accounting
from fastbpf.stream.stream import Exported

from . import frames
from .frames import CaptureError, Frames
from .writer import DATA_HEAD, RUN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native
    from fastbpf.stream import Stream
    from fastbpf.stream.layouts import Source


class Capture:
    """The batches of a capture, read once; an Arrow stream for polars, duckdb, pandas … `replay` opens one.

    They are those that the live stream would have given: of each type of record its table, with the same schema. The
    file is closed at its end, or by `close`.

    `header` is what the capture says of itself, `names` its types of record, `stats` its accounting, once it was read
    to the end.

    Raises:
        CaptureError: while reading, where the file is damaged; every batch before that place has been given.
    """

    def __init__(self, path: str | os.PathLike[str], max_rows: int = 131_072) -> None:
        from fastbpf import _native

        check_whole(max_rows, 1, 1 << 24, f"max_rows={max_rows!r}: a batch has from 1 to {1 << 24} rows")
        self.path = os.fspath(path)
        self.stats: Stats | None = None
        self.ended = False
        self.closed = False
        self._file = Path(path).open("rb")  # noqa: SIM115  # closed by close()
        try:
            self._frames = Frames(self._file, self.path)
            first = self._frames.next()
            self.header, sources = _read_header(first, self._frames, self.path)
            try:
                self._decoder = _native.Decoder(sources, max_rows)
            except (Error, OverflowError, TypeError) as error:
                raise self._frames.broken(f"its layout is none: {error}", first) from None
        except BaseException:
            self._file.close()
            raise
        self.names = self._decoder.names()
        self._ready: deque[_native.RecordBatch] = deque()
        self._failure: CaptureError | None = None
        # Whether the whole file was read; there may be batches that were not taken yet.
        self._read = False
        self._rows = 0
        self._taken = False

    @staticmethod
    def record(
        stream: Stream,
        path: str | os.PathLike[str],
        *,
        seconds: float | None = None,
        rows: int | None = None,
        force: bool = False,
    ) -> int:
        """Writes what happens in the next `seconds`, or the next `rows` events, or until the stream ends, to a capture.

        The stream stays open: what it has not given yet can go into another capture. An exception, Ctrl-C too, ends the
        capture; it is whole then.

        >>> import fastbpf as fb
        >>> with fb.RingBuffer(ring, {1: Open, 2: Exit}, tag="kind", decode=False) as stream:  # doctest: +SKIP
        ...     fb.Capture.record(stream, "events.fbpf", seconds=5)
        >>> tables = fb.replay("events.fbpf").read_all()  # doctest: +SKIP

        Args:
            stream: any, made with `decode=False`.
            path: the file, usually NAME.fbpf; it gets its name when it is whole.
            seconds: a time.
            rows: a number of events.
            force: replace a file that exists.

        Returns:
            How many records are in the capture.

        Raises:
            StreamError: the stream decodes its records.
            SinkError: the file exists, or cannot be written.
            SinkFull: the disk filled; the file is whole and holds what found room.
        """
        from .writer import record

        return record(stream, path, seconds=seconds, rows=rows, force=force)

    def __repr__(self) -> str:
        return f"<fastbpf.Capture {self.path}: {self.header.get('fastbpf.probe') or ', '.join(self.names)}>"

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch.

        Raises:
            StreamError: the capture has several types of record, see `schemas`.
        """
        import pyarrow as pa

        return pa.schema(self)

    @property
    def schemas(self) -> dict[str, pa.Schema]:
        """The Arrow schema of each type of record, by its name."""
        import pyarrow as pa

        found = zip(self.names, self.exported(), strict=True)
        return {name: pa.schema(exported) for name, exported in found}

    def exported(self) -> list[Exported]:
        """The schema of each type of record for whoever takes Arrow's capsules, in the order of `names`."""
        return [Exported(capsule) for capsule in self._decoder.schemas()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        self.closed = True
        self._file.close()

    def next_batch(
        self, timeout: float | None = None, *, least: int = 1, most: int = sys.maxsize
    ) -> _native.RecordBatch | None:
        """The next batch in the native form, None at the end (`ended` is then true); as `Stream.next_batch`."""
        del timeout, least  # nothing is waited for
        if self.closed:
            raise StreamError("this capture is closed; replay it anew")
        while not self._ready and not self._read and not self._failure:
            self._advance()
        if self._ready:
            batch = self._ready.popleft()
            if len(batch) > most:
                self._ready.appendleft(batch.slice(most, len(batch)))
                batch = batch.slice(0, most)
            return batch
        if self._failure:
            raise self._failure
        self.ended = True
        return None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        while (batch := self.next_batch()) is not None:
            yield pa.record_batch(batch)

    def read(self) -> pa.Table:
        """All of it, as one table.

        Raises:
            StreamError: the capture has several types of record: `read_all` gives a table of each.
        """
        self.__arrow_c_schema__()
        return next(iter(self.read_all().values()))

    def read_all(self) -> dict[str, pa.Table]:
        """All of it, as a table of each type of record, by its name. The schemas' metadata has the accounting."""
        import pyarrow as pa

        batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in self.names}
        while (batch := self.next_batch()) is not None:
            batches[self.names[batch.table]].append(pa.record_batch(batch))
        counted = accounting(self.stats) if self.stats else {}
        told = {
            name: schema.with_metadata({**(schema.metadata or {}), **counted}) for name, schema in self.schemas.items()
        }
        return {name: pa.Table.from_batches(own, told[name]) for name, own in batches.items()}

    def __arrow_c_schema__(self) -> object:
        if len(self.names) > 1:
            names = ", ".join(self.names)
            raise StreamError(
                f"this capture has several types of record ({names}), and a table has one: iterate it, or read_all()"
            )
        return self._decoder.schemas()[0]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow as pa

        if self._taken:
            raise StreamError("this capture was read already; replay it anew")
        self._taken = True
        return pa.RecordBatchReader.from_batches(self.schema, iter(self)).__arrow_c_stream__(requested_schema)

    # Reads one frame. What is wrong with it is told after the batches before it.
    def _advance(self) -> None:
        try:
            frame = self._frames.next()
            if frame.kind == frames.DATA:
                self._decode(frame)
            elif frame.kind == frames.DONE:
                self._finish(frame)
            else:
                raise self._frames.broken(f"there is no kind of frame {frame.kind!r}", frame)
        except CaptureError as error:
            self._file.close()
            self._failure = error
            self._keep(end=True)

    def _decode(self, frame: frames.Frame) -> None:
        payload, size = frame.payload, DATA_HEAD.size
        if len(payload) < size:
            raise self._frames.broken("the frame is too short", frame)
        *offsets, count = DATA_HEAD.unpack_from(payload)
        start = size + count * RUN.size
        if start > len(payload):
            raise self._frames.broken(f"the frame has no room for {count} runs", frame)
        clocks = (offsets[0], offsets[1], offsets[2])
        for source, length in RUN.iter_unpack(payload[size:start]):
            if length > len(payload) - start:
                raise self._frames.broken("the frame ends before its runs", frame)
            try:
                self._decoder.decode(source, payload[start : start + length], clocks)
            except Error as error:
                raise self._frames.broken(str(error), frame) from None
            finally:
                self._keep(end=False)
            start += length
        if start < len(payload):
            raise self._frames.broken("the frame goes on behind its runs", frame)

    def _finish(self, frame: frames.Frame) -> None:
        self._keep(end=True)
        told = _json(frame, self._frames)
        try:
            stats, rows = Stats(**{name: told[name] for name in Stats._fields}), told["rows"]
        except KeyError as error:
            raise self._frames.broken(f"the accounting lacks {error}", frame) from None
        if rows != self._rows:
            raise self._frames.broken(f"the accounting has {rows} rows, the capture {self._rows}", frame)
        self._frames.finish()
        self._file.close()
        # A recorder keeps texts whole: what is cut is cut here.
        self.stats = stats._replace(cut=stats.cut + self._decoder.cuts)
        self._read = True

    def _keep(self, *, end: bool) -> None:
        for batch in self._decoder.take(end):
            self._rows += len(batch)
            self._ready.append(batch)


def replay(path: str | os.PathLike[str], *, max_rows: int = 131_072) -> Capture:
    """Decodes a capture, of `fastbpf record` or `Capture.record`: equal batches, on any machine of its byte order.

    >>> import fastbpf as fb
    >>> with fb.replay("tests/data/openat.fbpf") as capture:
    ...     table = capture.read()
    >>> capture.names, capture.stats.lost, table.num_rows == capture.stats.delivered
    (['Record'], 0, True)

    Args:
        path: the file.
        max_rows: a batch has at most so many rows.

    Raises:
        CaptureError: the file is no capture, or one that cannot be decoded here.
        OSError: the file cannot be read.
    """
    return Capture(path, max_rows)


def _read_header(frame: frames.Frame, file: Frames, name: str) -> tuple[dict[str, Any], list[Source]]:
    if frame.kind != frames.HEAD:
        raise file.broken(f"the first frame is {frame.kind!r}, not the header", frame)
    told = _json(frame, file)
    order = told.get("fastbpf.byte_order")
    if order != sys.byteorder:
        text = f"{name} was recorded on a {order}-endian machine; replay it on one, this one is {sys.byteorder}-endian"
        raise CaptureError(text, frame.number, frame.offset)
    try:
        sources = [_read_source(source) for source in told["sources"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise file.broken("the header tells no layout", frame) from None
    if not sources:
        raise file.broken("the header names no source", frame)
    return told, sources


def _read_source(told: dict[str, Any]) -> Source:
    tables = [
        (
            [(str(field), int(offset), str(kind)) for field, offset, kind in table["columns"]],
            int(table["size"]),
            {str(key): str(value) for key, value in table["told"].items()},
        )
        for table in told["tables"]
    ]
    tag = told["tag"]
    if tag is not None:
        name, offset, width, numbers = tag
        tag = (str(name), int(offset), int(width), [(int(number), int(table)) for number, table in numbers])
    return str(told["buffer"]), tables, tag


def _json(frame: frames.Frame, file: Frames) -> dict[str, Any]:
    try:
        told = json.loads(frame.payload)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise file.broken("the frame is not the JSON that it should be", frame)
    return told
