"""A map's elements as Arrow tables."""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.cpus import cpu_numbers
from fastbpf.maps.types import PER_CPU, RINGS
from fastbpf.record import FieldType, spin_lock, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from fastbpf import _native
    from fastbpf.maps.map import Map
    from fastbpf.maps.types import Layout

    Fields = list[tuple[str, int, str]]

Reduce = Literal["sum", "max", "min", "mean"]

# They have no keys, and give a value only to whom they leave it.
QUEUES: Final = {"queue", "stack"}
# EOPNOTSUPP, and ENOTSUPP, which is the kernel's own.
_UNSUPPORTED: Final = {errno.EOPNOTSUPP, 524}


class Reading:
    """A read of a map, which happens while batches are asked for. What cannot be read is refused before."""

    def __init__(self, map: Map, reduce: Reduce | None = None, *, rows: int | None = None, drain: bool = False) -> None:
        spec = map.spec
        if rows is not None and (type(rows) is not int or rows < 1):
            raise LayoutError(f"rows={rows!r}: give a whole number of at least 1")
        if reduce is not None and spec.type not in PER_CPU:
            raise LayoutError(f"reduce={reduce!r} makes the values of several CPUs one; {map!r} has one of each")
        if spec.value is None or spec.type in RINGS:
            raise LayoutError(f"{map!r} has no elements, but records: use {RINGS[spec.type]}(map, Struct)")
        if spec.type in QUEUES and not drain:
            raise LayoutError(f"{map!r} shows no values but the next, peek(); drain() takes them all out")
        stack_trace = spec.type == "stack_trace" and isinstance(spec.value, FieldType)
        key, value = (
            _fields(spec.key, "key"),
            _fields(stack[spec.value.size // 8] if stack_trace else spec.value, "value"),
        )
        unlocked = [field for field in value if field[2] != spin_lock.code]
        cpu = ["cpu"] if spec.type in PER_CPU and reduce is None else []
        names = _names([name for name, *_ in key], cpu, [name for name, *_ in unlocked])
        self._map, self._drain = map, drain
        self._native = map._native.read(
            key, unlocked, names, cpu_numbers(), reduce, locked=len(unlocked) < len(value), drain=drain, rows=rows
        )

    @property
    def schema(self) -> pa.Schema:
        """Of the batches."""
        import pyarrow as pa

        return pa.schema(self._native)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        return (pa.record_batch(batch) for batch in self.native())

    def native(self) -> Iterator[_native.RecordBatch]:
        """The batches as the native module has them."""
        with self._told():
            yield from self._native

    def table(self) -> pa.Table:
        """All batches; after an interruption, those that were read before and the rest."""
        import pyarrow as pa

        with self._told():
            return pa.Table.from_batches([pa.record_batch(batch) for batch in self._native.read_all()], self.schema)

    def stream(self, requested_schema: object) -> object:
        """Batches as an Arrow stream, in its capsule."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self.schema, iter(self)).__arrow_c_stream__(requested_schema)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except KernelError as error:
            if self._drain and error.errno in {*_UNSUPPORTED, errno.EINVAL}:
                text = f"the kernel cannot drain {self._map!r}; it takes elements out of hashes, queues and stacks"
            elif error.errno in _UNSUPPORTED:
                text = f"the kernel does not tell what is in {self._map!r}"
            else:
                raise
            raise KernelError(error.errno, text) from None


def drained(map: Map) -> pa.Table:
    """All elements, taken out of the map. What an interrupted call took, the next one begins with."""
    reading = map._interrupted.pop() if map._interrupted else Reading(map, drain=True)
    try:
        return reading.table()
    except BaseException:
        map._interrupted.append(reading)
        raise


def _fields(layout: Layout | None, name: str) -> Fields:
    if layout is None:
        return []
    return [(name, 0, layout.code)] if isinstance(layout, FieldType) else layout.columns()


# The columns' names: those that would be there twice tell where they are from.
def _names(key: list[str], cpu: list[str], value: list[str]) -> list[str]:
    twice = {name for name, count in Counter([*key, *cpu, *value]).items() if count > 1}
    for clashing in (twice, {*key, *value}):
        names = [f"key_{name}" if name in clashing else name for name in key] + cpu
        names += [f"value_{name}" if name in clashing else name for name in value]
        if len(set(names)) == len(names):
            break
    return names
