"""Arrow IPC, as a file and as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from .gathered import GatheredSink, Handle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .output import Output
    from .sink import Exported

# The schema is written first, and again in an IPC file's footer; the accounting is known last. So the schema's metadata
# holds this many blanks, in which it is written when the file is closed: JSON does not mind blanks at its end.
_ROOM: Final = 1024
_BLANKS: Final = b"fastbpf.stats follows" + b" " * (_ROOM - 21)
# What a batch has besides its buffers, and its place in a file's footer.
_BATCH_HEAD: Final = 4096
_BATCH_END: Final = 64


class IpcFileSink(GatheredSink):
    """The IPC file format, which can be read from anywhere in it; text is plain."""

    _new = staticmethod(pa.ipc.new_file)

    def __init__(self, outputs: list[Output], schema: Exported, metadata: Mapping[str, str]) -> None:
        super().__init__(outputs, metadata)
        plain = [field.with_type(_plain(field.type)) for field in pa.schema(schema)]
        self._schema: Any = pa.schema(plain, {**self._metadata, "fastbpf.stats": _BLANKS})
        self._writer = self._new(Handle(self._output), self._schema)
        self._groups = 0

    def _sizes(self, table: Any) -> Iterator[int]:
        # Of plain text the size is not known before; of the rest it is that of the buffers.
        yield sum(pa.ipc.get_record_batch_size(batch) + _BATCH_HEAD for batch in self._batches(table))

    def _batches(self, table: Any) -> Any:
        return table.cast(self._schema).combine_chunks().to_batches()

    def _end_size(self) -> int:
        return self.END + len(self._schema.serialize()) + (self._groups + 1) * _BATCH_END

    def _write_group(self, table: Any) -> None:
        for batch in self._batches(table):
            self._writer.write_batch(batch)
            self._groups += 1

    def _end(self, stats: str) -> None:
        self._writer.close()
        filled = stats.encode().ljust(_ROOM)
        for start, size in self._schemas():
            at = self._output.read(size, start).find(_BLANKS)
            self._output.overwrite(filled, start + at)

    # Where the schema stands, and in how many bytes. A file ends with its footer, the footer's size and "ARROW1".
    def _schemas(self) -> list[tuple[int, int]]:
        end = self._output.tell()
        size = int.from_bytes(self._output.read(4, end - 10), "little")
        return [(8, len(self._schema.serialize())), (end - 10 - size, size)]


class IpcStreamSink(IpcFileSink):
    """The IPC stream format, which is read from front to back; text is plain."""

    _new = staticmethod(pa.ipc.new_stream)

    def _schemas(self) -> list[tuple[int, int]]:
        return [(0, len(self._schema.serialize()))]


def _plain(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)))
    return kind
