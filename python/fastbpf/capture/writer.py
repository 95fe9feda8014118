"""Writing captures."""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import StreamError
from fastbpf.sinks.errors import SinkError, SinkFull
from fastbpf.sinks.sink import Sink
from fastbpf.stream.checks import check_bounds

from . import frames

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from fastbpf import _native
    from fastbpf.sinks.output import Output
    from fastbpf.stream import Stream

# The clocks' offsets, and how many runs of records follow.
DATA_HEAD: Final = struct.Struct("<qqqQ")
# The source of a run, and its bytes.
RUN: Final = struct.Struct("<II")
# Records of one frame, unless one alone is longer.
_MOST: Final = 16 << 20


class CaptureSink(Sink):
    """A capture that batches of a stream are written to, which was made with `decode=False`.

    Args:
        outputs: what `CaptureSink.claim(path, force=False)` gave.
        stream: whose batches they will be.
        metadata: what was traced, and where.

    Raises:
        StreamError: the stream decodes its records.
    """

    def __init__(self, outputs: list[Output], stream: Stream, metadata: Mapping[str, str]) -> None:
        super().__init__(outputs, metadata)
        sources = [
            {
                "buffer": buffer,
                "tables": [{"columns": columns, "size": size, "told": told} for columns, size, told in tables],
                "tag": tag,
            }
            for buffer, tables, tag in stream._sources()
        ]
        self._output.write(frames.MAGIC)
        # Where the last whole frame ends, the number of the next, and the rows so far.
        self._whole = (self._output.tell(), 0, 0)
        self._frame(frames.HEAD, 0, json.dumps({"sources": sources, **self._metadata}).encode())

    def _take(self, batch: _native.RecordBatch) -> None:
        parts = list(_parts(batch))
        size = sum(map(len, parts))
        if (size <= _MOST or len(batch) == 1) and self._output.reserve(size + frames.OVERHEAD + self.END):
            self._frame(frames.DATA, len(batch), *parts)
        else:
            self._split(batch)

    def _end(self, stats: str) -> None:
        self._frame(frames.DONE, 0, stats.encode())

    # Whatever interrupts it leaves whole frames.
    def _frame(self, kind: bytes, rows: int, *parts: bytes | memoryview) -> None:
        position, number, before = self._whole
        try:
            self._output.write(frames.header(kind, number, *parts))
            for part in parts:
                self._output.write(part)
            self._whole = (self._output.tell(), number + 1, before + rows)
        finally:
            position, _, self.rows = self._whole
            self._output.rewind(position)


def record(
    stream: Stream, path: str | os.PathLike[str], *, seconds: float | None, rows: int | None, force: bool
) -> int:
    """As `Capture.record` tells."""
    from fastbpf import system

    if seconds is not None or rows is not None:
        check_bounds(seconds, rows)
    stream._sources()
    metadata = system.identity()
    if probe := getattr(stream, "probe", None):
        metadata["probe"] = probe.text
    with CaptureSink(CaptureSink.claim(path, force=force), stream, metadata) as sink:
        try:
            _pass_on(stream, sink, seconds, rows)
        except SinkFull:
            pass  # close tells
        except SinkError:
            raise
        except BaseException:
            sink.close(stream.stats)
            raise
        sink.close(stream.stats)
        return sink.rows


def _pass_on(stream: Stream, sink: CaptureSink, seconds: float | None, rows: int | None) -> None:
    for batch in stream._bounded(seconds, rows):
        before = sink.rows
        try:
            sink.write(batch)
        except BaseException:
            stream._give_back(batch.slice(sink.rows - before, len(batch)))
            raise


# The payload of a batch's frame.
def _parts(batch: _native.RecordBatch) -> Iterator[bytes | memoryview]:
    import pyarrow as pa

    made: Any = pa.record_batch(batch)
    sources, records = made.columns
    # The values of a binary column stand one after another: between the first offset and the last are all the bytes.
    _, offsets, values = records.buffers()
    ends = memoryview(offsets).cast("i")[records.offset : records.offset + len(records) + 1]
    runs = list(_runs(sources, ends))
    yield DATA_HEAD.pack(*_clocks(made.schema.metadata), len(runs))
    yield b"".join(RUN.pack(*run) for run in runs)
    yield memoryview(values)[ends[0] : ends[-1]]


# Records of one source that follow each other, and their bytes.
def _runs(sources: Any, ends: memoryview) -> Iterator[tuple[int, int]]:
    import pyarrow.compute as pc

    encoded = pc.run_end_encode(sources)
    start = 0
    for source, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield source, ends[end] - ends[start]
        start = end


def _clocks(told: Mapping[bytes, bytes]) -> list[int]:
    found = re.findall(rb"-?[0-9]+", told[b"fastbpf.utc_offsets"])
    if len(found) != 3:
        raise StreamError("a batch does not tell its clocks' offsets")
    return [int(offset) for offset in found]
