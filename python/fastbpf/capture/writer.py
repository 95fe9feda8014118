"""Writing captures."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

from fastbpf.record import Struct, whole_record
from fastbpf.sinks.sink import Sink

from . import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf import _native
    from fastbpf.sinks.output import Output

RECORD: Final = Struct.of("Record", {"record": whole_record})
"""The layout with which a stream gives each record whole, as it stands in the ring: what a capture is made of."""

CLOCKS: Final = struct.Struct("<qqq")


class CaptureSink(Sink):
    """A capture that batches of a stream of `RECORD`s are written to.

    Args:
        outputs: what `CaptureSink.claim(path, force=False)` gave.
        record: the layout of the records.
        metadata: what was traced, and where.
    """

    def __init__(self, outputs: list[Output], record: type[Struct], metadata: Mapping[str, str]) -> None:
        super().__init__(outputs, metadata)
        self._number = 0
        self._output.write(frames.MAGIC)
        layout = {"columns": record.columns(), "size": record.size}
        self._frame(frames.HEAD, json.dumps({"layout": layout, **self._metadata}).encode())

    def _take(self, batch: _native.RecordBatch) -> None:
        from fastbpf import _native

        clocks = CLOCKS.pack(*_native.clock_offsets())
        data = _bytes(batch)
        if self._output.reserve(len(data) + len(clocks) + frames.OVERHEAD + self.END):
            self._frame(frames.DATA, clocks, data)
            self.rows += len(batch)
        else:
            self._split(batch)

    def _end(self, stats: str) -> None:
        self._frame(frames.DONE, stats.encode())

    def _frame(self, kind: bytes, *parts: bytes | memoryview) -> None:
        self._output.write(frames.header(kind, self._number, *parts))
        for part in parts:
            self._output.write(part)
        self._number += 1


def _bytes(batch: _native.RecordBatch) -> memoryview:
    # The values of a binary column stand one after another: between the first offset and the last are the ring's bytes.
    import pyarrow as pa

    column: Any = pa.record_batch(batch).column(0)
    _, offsets, values = column.buffers()
    place = memoryview(offsets).cast("i")[column.offset : column.offset + len(column) + 1]
    return memoryview(values)[place[0] : place[-1]]
