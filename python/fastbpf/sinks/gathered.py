"""Sinks that write many rows at once, through pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from .errors import SinkFull
from .sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastbpf import _native

    from .output import Output

# A group of rows for each millisecond makes files that are slow to read: so many are gathered, or so many bytes.
_ROWS: Final = 131_072
_BYTES: Final = 64 << 20
# Small batches hold more memory than their rows take: so many are copied together.
_SMALL: Final = 64


class Handle:
    """An output as pyarrow wants its files. Once it is discarded, a writer that still lives writes to nowhere."""

    closed = False

    def __init__(self, output: Output) -> None:
        self._output = output
        self._nowhere = 0

    def write(self, data: bytes | memoryview) -> int:
        """Appends all of `data`."""
        if self._output.closed:
            self._nowhere += len(data)
            return len(data)
        return self._output.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._output.tell() + self._nowhere

    def writable(self) -> bool:
        """Yes."""
        return True

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """The output is closed by its owner."""


class GatheredSink(Sink):
    """Gathers batches and writes them in groups of at least 131,072 rows (or 64 MiB, or what there is at the end)."""

    def __init__(self, outputs: list[Output], metadata: Mapping[str, str]) -> None:
        super().__init__(outputs, metadata)
        self._pieces: list[Any] = []
        self._fresh: list[Any] = []
        self._gathered = self._size = 0

    def _take(self, batch: _native.RecordBatch) -> None:
        piece = pa.record_batch(batch)
        self._fresh.append(piece)
        self._gathered += len(piece)
        self._size += piece.nbytes
        if self._gathered >= _ROWS or self._size >= _BYTES:
            self._flush()
        elif len(self._fresh) >= _SMALL:
            self._pieces += pa.Table.from_batches(self._fresh).unify_dictionaries().combine_chunks().to_batches()
            self._fresh = []

    def _flush(self) -> None:
        if not self._gathered:
            return
        table = pa.Table.from_batches([*self._pieces, *self._fresh])
        self._pieces, self._fresh, self._gathered, self._size = [], [], 0, 0
        while table.num_rows:
            rows = self._fitting(table)
            if not rows:
                raise SinkFull(self.path, self.rows)
            self._write_group(table.slice(0, rows))
            self.rows += rows
            table = table.slice(rows)

    # How many of these rows find room, with room left for the end of the file.
    def _fitting(self, table: Any) -> int:
        rows: int = table.num_rows
        while rows:
            for size in self._sizes(table.slice(0, rows)):
                if self._output.reserve(size + self._end_size()):
                    return rows
            rows //= 2
        return 0

    def _sizes(self, table: Any) -> Iterator[int]:
        # What writing this table takes at most: first guesses that are quick, then those that are close.
        raise NotImplementedError

    def _end_size(self) -> int:
        # What the end of the file takes at most after one more group.
        raise NotImplementedError

    def _write_group(self, table: Any) -> None:
        raise NotImplementedError
