"""Sinks: files that batches go into. The file's name says its form.

========== ==================== ===================================================================================
Suffix     Form                 Where the accounting stands
========== ==================== ===================================================================================
.parquet   Parquet, zstd        the footer's key-value metadata
.arrow     Arrow IPC file       the schema's metadata, which the footer holds
.arrows    Arrow IPC stream     the schema's metadata, which the file begins with
.ndjson    a JSON object a line FILE.stats.json
.csv       comma-separated      FILE.stats.json
========== ==================== ===================================================================================

The accounting is `fastbpf.stats` (JSON: the stream's `Stats`, and `rows`, how many of them this file holds), beside
`fastbpf.version`, `fastbpf.probe` and whatever else the writer was told.

Text forms: times are ISO 8601 in UTC with nine digits and Z, 64-bit integers are JSON numbers, binary is hexadecimal,
lists are JSON arrays (in CSV as text), null is null or an empty field. In both IPC forms text is plain, never
dictionary-encoded: an IPC file takes one dictionary a column, and a stream's differ from batch to batch.

A file gets its name when it is whole, and not before: a process that is killed leaves no half of one. When the disk
fills, the file is closed with what found room, and `SinkFull` tells how many rows that is.

>>> claim("events.xlsx")
Traceback (most recent call last):
    ...
fastbpf.sinks.errors.SinkError: events.xlsx has to end in one of .parquet, .arrow, .arrows, .ndjson, .csv
"""

from __future__ import annotations

import errno
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import SinkError, SinkFull
from .output import Output

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from .sink import Exported, Sink

__all__ = ["FORMS", "Claim", "Output", "SinkError", "SinkFull", "claim", "open_sink"]

_HOMES: Final = {
    ".parquet": ("parquet", "ParquetSink"),
    ".arrow": ("ipc", "IpcFileSink"),
    ".arrows": ("ipc", "IpcStreamSink"),
    ".ndjson": ("text", "NdjsonSink"),
    ".csv": ("text", "CsvSink"),
}
FORMS: Final = tuple(_HOMES)
"""The suffixes that a sink's file may have."""


class Claim:
    """A place for a file that is known to be free and writable; `open` makes a sink of it, `discard` gives it up."""

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        suffix = Path(path).suffix
        if suffix not in _HOMES:
            raise SinkError(errno.EINVAL, f"{path} has to end in one of {', '.join(FORMS)}")
        module, name = _HOMES[suffix]
        # Now, and not when events are waiting: pyarrow takes its time.
        self._make = getattr(import_module(f"{__name__}.{module}"), name)
        self._outputs: list[Output] = self._make.claim(path, force=force)

    def open(self, schema: Exported, metadata: Mapping[str, str] | None = None) -> Sink:
        """The sink, for batches of this schema; `metadata` is kept in the file, each key with "fastbpf." in front."""
        sink: Sink = self._make(self._outputs, schema, metadata or {})
        return sink

    def discard(self) -> None:
        """Gives the place up; nothing of it stays."""
        for output in self._outputs:
            output.discard()


def claim(path: str | os.PathLike[str], *, force: bool = False) -> Claim:
    """Makes sure that a file of this name can be written, before anything begins.

    Args:
        path: the file; its suffix says the form.
        force: replace a file that exists; until the new one is whole, the old one stays.

    Raises:
        SinkError: unknown suffix, a file that exists, a folder that is not there or may not be written to.
    """
    return Claim(path, force=force)


def open_sink(
    path: str | os.PathLike[str], schema: Exported, metadata: Mapping[str, str] | None = None, *, force: bool = False
) -> Sink:
    """A sink for batches of `schema` (what has `__arrow_c_schema__`); `write` batches, then `close` with the stats.

    Raises like `claim`.
    """
    return claim(path, force=force).open(schema, metadata)
