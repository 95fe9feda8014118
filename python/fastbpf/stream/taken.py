"""A bounded part of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbpf.errors import StreamError

if TYPE_CHECKING:
    from fastbpf.stream.stream import Stream

__all__ = ["Taken"]


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
        batches = (pa.record_batch(batch) for batch in self._stream._bounded(*self._bounds))
        return pa.RecordBatchReader.from_batches(self._stream.schema, batches).__arrow_c_stream__(requested_schema)
