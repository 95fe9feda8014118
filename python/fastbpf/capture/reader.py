"""Reading captures."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import Error, StreamError
from fastbpf.stream import Stats

from . import frames
from .frames import CaptureError, Frames
from .writer import CLOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native

# What the columns of one batch take at most, whatever the layout says.
_BATCH_BYTES: Final = 256 << 20


class Capture:
    """The batches of a capture, read once; an Arrow stream for polars, duckdb, pandas … `replay` opens one.

    The file is closed at its end, or by `close`.

    `header` is what the capture says of itself, `stats` its accounting, once it was read to the end.

    Raises:
        CaptureError: while reading, where the file is damaged; every batch before that place has been given.
    """

    def __init__(self, path: str | os.PathLike[str], max_rows: int = 65_536) -> None:
        from fastbpf import _native

        self.path = os.fspath(path)
        self.stats: Stats | None = None
        self.ended = False
        self.closed = False
        self._file = Path(path).open("rb")  # noqa: SIM115  # closed by close()
        try:
            self._frames = Frames(self._file, self.path)
            first = self._frames.next()
            self.header, self._columns, self._size = _read_header(first, self._frames, self.path)
            most = max(1, min(max_rows, _BATCH_BYTES // max(self._size, 1)))
            try:
                self._decoder = _native.Decoder(self._columns, self._size, most)
            except (Error, OverflowError) as error:
                raise self._frames.broken(f"its layout is none: {error}", first) from None
        except BaseException:
            self._file.close()
            raise
        self._ready: deque[_native.RecordBatch] = deque()
        self._failure: CaptureError | None = None
        self._rows = 0
        self._taken = False

    def __repr__(self) -> str:
        return f"<fastbpf.Capture {self.path}: {self.header.get('fastbpf.probe', '?')}>"

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch."""
        import pyarrow as pa

        return pa.schema(self)

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
        while not self._ready and not self.ended and not self._failure:
            self._advance()
        if self._ready:
            batch = self._ready.popleft()
            if len(batch) > most:
                self._ready.appendleft(batch.slice(most, len(batch)))
                batch = batch.slice(0, most)
            return batch
        if self._failure:
            raise self._failure
        return None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        while (batch := self.next_batch()) is not None:
            yield pa.record_batch(batch)

    def read(self) -> pa.Table:
        """All of it, as one table."""
        import pyarrow as pa

        return pa.Table.from_batches(self, self.schema)

    def __arrow_c_schema__(self) -> object:
        from fastbpf import _native

        return _native.record_schema(self._columns, self._size)

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
            self._keep([self._decoder.finish()])

    def _decode(self, frame: frames.Frame) -> None:
        if len(frame.payload) < CLOCKS.size:
            raise self._frames.broken("the frame is too short", frame)
        clocks = CLOCKS.unpack_from(frame.payload)
        try:
            self._keep(self._decoder.decode(frame.payload[CLOCKS.size :], clocks))
        except Error as error:
            raise self._frames.broken(str(error), frame) from None

    def _finish(self, frame: frames.Frame) -> None:
        self._keep([self._decoder.finish()])
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
        self.ended = True

    def _keep(self, batches: list[Any]) -> None:
        for batch in batches:
            if batch is not None:
                self._rows += len(batch)
                self._ready.append(batch)


def replay(path: str | os.PathLike[str], *, max_rows: int = 65_536) -> Capture:
    """Decodes a capture that `fastbpf record` made: equal batches, on any machine of its byte order.

    Raises:
        CaptureError: the file is no capture, or one that cannot be decoded here.
        OSError: the file cannot be read.
    """
    return Capture(path, max_rows)


def _read_header(
    frame: frames.Frame, source: Frames, name: str
) -> tuple[dict[str, Any], list[tuple[str, int, str]], int]:
    if frame.kind != frames.HEAD:
        raise source.broken(f"the first frame is {frame.kind!r}, not the header", frame)
    told = _json(frame, source)
    order = told.get("fastbpf.byte_order")
    if order != sys.byteorder:
        text = f"{name} was recorded on a {order}-endian machine; replay it on one, this one is {sys.byteorder}-endian"
        raise CaptureError(text, frame.number, frame.offset)
    try:
        size = int(told["layout"]["size"])
        columns = [(str(field), int(offset), str(kind)) for field, offset, kind in told["layout"]["columns"]]
    except (KeyError, TypeError, ValueError):
        raise source.broken("the header tells no layout", frame) from None
    return told, columns, size


def _json(frame: frames.Frame, source: Frames) -> dict[str, Any]:
    try:
        told = json.loads(frame.payload)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise source.broken("the frame is not the JSON that it should be", frame)
    return told
