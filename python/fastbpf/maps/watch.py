"""A map that is read again and again: what has changed since the last time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import LayoutError
from fastbpf.maps.columns import columns
from fastbpf.maps.tables import Reading
from fastbpf.maps.types import PER_CPU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf.maps.map import Map

__all__ = ["Watch", "wait_for"]

# The kernel tells nobody of a map's changes, so it is asked again: soon at first, then less often.
_SOONEST: Final = 0.001
_LATEST: Final = 0.05


class Watch:
    """The batches of `Map.watch`: an iterator that never ends by itself; `close`, from any thread, ends it."""

    def __init__(self, map: Map, every: float, *, rates: bool) -> None:
        if type(every) not in {int, float} or not 0 <= every < threading.TIMEOUT_MAX:
            raise LayoutError(f"every={every!r}: give seconds, 0 or more")
        Reading(map)  # refuses what cannot be read
        self._map = map
        self._every = every
        self._rates = rates
        self._keys = len(columns(map)[0][0])
        self._last: pa.Table | None = None
        self._read_at = 0.0
        self._due = time.monotonic()
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._closed.wait(max(0.0, self._due - time.monotonic())):
            raise StopIteration
        now, at = time.time_ns(), time.monotonic()
        table = self._map.to_arrow()
        batch = self._told(table, now, at - self._read_at)
        # Where reading takes longer than `every`, one read follows another.
        self._due = max(self._due + self._every, time.monotonic())
        self._last, self._read_at = table, at
        return batch

    def close(self) -> None:
        """Ends it, while it waits too; the map stays open."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _told(self, table: pa.Table, now: int, elapsed: float) -> pa.RecordBatch:
        import pyarrow as pa
        import pyarrow.compute as pc

        names = table.column_names
        keys = self._keys + (self._map.spec.type in PER_CPU)
        moment = pa.array([now], pa.timestamp("ns", tz="UTC")).take(pa.nulls(len(table), pa.int64()).fill_null(0))
        told: dict[str, Any] = {_free("time", names): moment}
        told |= {name: _whole(table[name]) for name in names}
        before = None if self._last is None else _places(table, self._last, names[:keys])
        for name in names[keys:]:
            kind = table.schema.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                continue
            change = pa.nulls(len(table), pa.float64() if pa.types.is_floating(kind) else pa.int64())
            if before is not None and self._last is not None:
                # What was not there has counted from 0 on.
                last = _whole(self._last[name]).take(before).fill_null(0)
                change = _difference(told[name], last)
            told[_free(f"{name}_change", names)] = change
            if self._rates:
                told[_free(f"{name}_rate", names)] = pc.divide(change.cast(pa.float64()), max(elapsed, 1e-9))
        return pa.record_batch(told)


# Where the map has a column of that name, `watch` stands in front.
def _free(name: str, names: list[str]) -> str:
    while name in names:
        name = f"watch_{name}"
    return name


def wait_for(map: Map, key: Any, timeout: float | None) -> Any:
    """The value, once there is one."""
    if timeout is not None and (type(timeout) not in {int, float} or not timeout >= 0):
        raise LayoutError(f"timeout={timeout!r}: give seconds, or None to wait for ever")
    end = None if timeout is None else time.monotonic() + timeout
    pause = _SOONEST
    while True:
        try:
            return map[key]
        except KeyError:
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{map!r} has no {key!r} after {timeout} s") from None
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LATEST)


def _difference(now: pa.Array, last: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(now.type):
        return pc.subtract(now.cast(pa.float64()), last.cast(pa.float64()))
    wide = pa.uint64() if now.type == pa.uint64() else pa.int64()
    # Without a check: a counter that has passed its end goes on at its beginning.
    return pc.subtract(now.cast(wide), last.cast(wide)).view(pa.int64())


# For each row the place of the row with the same key in the table before, null where there is none.
def _places(table: pa.Table, before: pa.Table, names: list[str]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    both = pa.concat_tables([before.select(names), table.select(names)], promote_options="permissive")
    codes = pa.array([0]).take(pa.nulls(len(both), pa.int64()).fill_null(0))
    for column in (part for name in names for part in _parts(_whole(both[name]))):
        encoded = column.dictionary_encode("encode")
        pairs = pc.add(pc.multiply(codes, len(encoded.dictionary)), encoded.indices.cast(pa.int64()))
        codes = pairs.dictionary_encode().indices.cast(pa.int64())
    return pc.index_in(codes.slice(len(before)), value_set=codes.slice(0, len(before)))


# A key's column as columns that have a code for each value.
def _parts(column: pa.Array) -> list[pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return [column.dictionary_decode()]
    if pa.types.is_struct(kind):
        return [part for child in column.flatten() for part in _parts(child)]
    if pa.types.is_fixed_size_list(kind):
        return [part for at in range(kind.list_size) for part in _parts(pc.list_element(column, at))]
    return [column]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    whole = column.combine_chunks()
    # What pyarrow makes of no chunks and of one differs between its versions.
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
