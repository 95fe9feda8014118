"""NDJSON and CSV, written by the native module without pyarrow."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from .sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf import _native

    from .output import Output
    from .sink import Exported


class TextSink(Sink):
    """A form of text; its accounting stands in a file of its own beside it."""

    @classmethod
    def files(cls, path: str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
        """FILE, and FILE.stats.json."""
        return [path, f"{os.fspath(path)}.stats.json"]

    def __init__(self, outputs: list[Output], schema: Exported, metadata: Mapping[str, str]) -> None:
        super().__init__(outputs, metadata)
        self._schema = schema

    def _take(self, batch: _native.RecordBatch) -> None:
        data = self._text(batch)
        if self._output.reserve(len(data)):
            self._output.write(data)
            self.rows += len(batch)
        else:
            self._split(batch)

    def _text(self, batch: _native.RecordBatch) -> bytes:
        raise NotImplementedError

    def _end(self, stats: str) -> None:
        told = {"fastbpf.stats": json.loads(stats), **self._metadata}
        self._outputs[1].write(json.dumps(told, indent=2).encode() + b"\n")


class NdjsonSink(TextSink):
    """A JSON object a line."""

    def _text(self, batch: _native.RecordBatch) -> bytes:
        return batch.to_ndjson()


class CsvSink(TextSink):
    """Comma-separated values as RFC 4180 has them, with the columns' names in the first line."""

    def _text(self, batch: _native.RecordBatch) -> bytes:
        return batch.to_csv(self._output.tell() == 0)

    def _end(self, stats: str) -> None:
        if self._output.tell() == 0:
            import csv
            import io

            import pyarrow as pa

            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(pa.schema(self._schema).names)
            self._output.write(line.getvalue().encode())
        super()._end(stats)
