"""Maps in the kernel."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.dictionary import Dictionary
from fastbpf.maps.tables import Reading, drained
from fastbpf.maps.types import ALIKE, OF_OBJECTS, PER_CPU, RINGS, Layout
from fastbpf.maps.watch import Watch, wait_for
from fastbpf.maps.write import Report, delete_rows, update_rows
from fastbpf.record import FieldType
from fastbpf.record.tables import is_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native
    from fastbpf.maps.spec import MapSpec
    from fastbpf.maps.tables import Reduce

__all__ = ["Map"]


class Map(Dictionary):
    """A map in the kernel that this process owns; it goes when this is closed and no program uses it.

    Elements are read and written as a dictionary's; per-CPU values are lists, one for each possible CPU. Into a
    prog_array go programs, `map[3] = program`, and what is read is the number (`Program.id`) of the program there; it
    is emptied when the map is closed. Into a perf_event_array go descriptors of perf events; into maps of maps go
    maps, and what is read is `Map.id`. Stack traces are lists of addresses, which only programs
    write.

    Source: bpf(2), BPF_MAP_LOOKUP_ELEM and its siblings.
    """

    __bpf_map__ = True

    def __init__(self, spec: MapSpec, native: _native.Map) -> None:
        self.spec = spec
        self._native = native
        # What drain() took out of the kernel and nobody got, for it was interrupted.
        self._taken: list[pa.RecordBatch] = []

    def __repr__(self) -> str:
        return f"<fastbpf.Map {self.spec.name or '(no name)'}: {self.spec.type}>"

    # A map is an object of the kernel, not a value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def id(self) -> int:
        """The kernel's number for this map, as bpftool shows it."""
        return self._native.id()

    def fileno(self) -> int:
        """The file descriptor, which stays this object's."""
        return self._native.fileno()

    def close(self) -> None:
        """Lets go of the map; a second time does nothing."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, key: Any) -> Any:
        try:
            data = self._native.lookup(self._key(key))
        except KernelError as error:
            if error.errno == 524:  # ENOTSUPP, which is the kernel's own
                raise KernelError(524, f"the kernel does not tell what is in {self!r}") from None
            raise
        if data is None:
            raise KeyError(key)
        _, value = self._layouts()
        if self.spec.type == "stack_trace":
            return [address for (address,) in struct.iter_unpack("=Q", data) if address]
        if self.spec.type not in PER_CPU:
            return value.unpack(data)
        stride = value.size + -value.size % 8
        return [value.unpack(data[at : at + value.size]) for at in range(0, len(data), stride)]

    def __setitem__(self, key: Any, value: Any) -> None:
        _, layout = self._layouts()
        if self.spec.type in PER_CPU:
            stride = layout.size + -layout.size % 8
            values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
            if values is None or len(values) != possible_cpus():
                raise LayoutError(f"{value!r}: give a list of {possible_cpus()} values, one for each possible CPU")
            data = b"".join(_pack(layout, one).ljust(stride, b"\0") for one in values)
        elif self.spec.type in OF_OBJECTS:
            data = _pack(layout, self._descriptor(value))
        elif self.spec.type == "stack_trace":
            raise LayoutError(f"{self!r} is written by the kernel, where a program calls get_stackid; del makes room")
        else:
            data = _pack(layout, value)
        try:
            self._native.update(self._key(key), data, 0)
        except KernelError as error:
            if error.errno == errno.E2BIG:
                text = f"{self!r} is full or has no index {key!r}: it has room for {self.spec.max_entries} entries"
                raise KernelError(errno.E2BIG, text) from None
            if error.errno == errno.EINVAL and (why := ALIKE.get(self.spec.type)):
                text = f"{self!r} does not take {value!r}: {why}"
                raise KernelError(errno.EINVAL, text) from None
            raise

    def __delitem__(self, key: Any) -> None:
        if not self._native.delete(self._key(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        layout, _ = self._layouts()
        # A hash that changes meanwhile may send the walk back to its start; it ends after as many keys as there can be.
        key = self._native.next_key(None)
        for _ in range(self.spec.max_entries or possible_cpus()):
            if key is None:
                return
            # Where there is no program or map, there is a key all the same.
            if self.spec.type not in ALIKE or self._native.lookup(key) is not None:
                yield layout.unpack(key)
            key = self._native.next_key(key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the tables.

        A plain key is the column `key`, a plain value `value`; a `Struct` gives its fields' names. Names that both have
        get `key_` and `value_` in front. A map with values of each CPU has a column `cpu` between the two.

        >>> import fastbpf as fb
        >>> with fb.MapSpec("percpu_hash", key=fb.ipv4, value=fb.u64, max_entries=10).create() as packets:
        ...     print(packets.schema.names)
        ['key', 'cpu', 'value']
        """
        return Reading(self).schema

    def to_arrow(self, reduce: Reduce | None = None) -> pa.Table:
        """All elements as one table.

        Read the fastest way that the kernel has for the map: memory that is mapped (arrays with BPF_F_MMAPABLE), batch
        commands (Linux 5.6; of other maps than hashes and arrays later), or one element after another. What is in the
        map during the whole read is in the table once; what is added or deleted meanwhile may be missing.

        Args:
            reduce: "sum", "max", "min" or "mean" make one row of the values that an element has on all possible CPUs.
                Sums are 64 bits wide, integers modulo 2^64; means are floats, of durations durations. Without it there
                is a row for each CPU.

        >>> import fastbpf as fb
        >>> with fb.MapSpec("array", value=fb.u64, max_entries=3).create() as counts:
        ...     counts[1] = 7
        ...     counts.to_arrow().to_pydict()
        {'key': [0, 1, 2], 'value': [0, 7, 0]}

        Raises:
            LayoutError: a reduce= that is none or does not suit a field; a queue or stack, which `drain` reads.
            KernelError: the kernel does not let this map be read (errno 524), or, with errno.EAGAIN, keys are deleted
                so fast that a walk from key to key does not get to its end.
            StreamError: the map was closed meanwhile.

        Source: bpf(2); kernel/bpf/hashtab.c, __htab_map_lookup_and_delete_batch; kernel/bpf/syscall.c,
        generic_map_lookup_batch.
        """
        return Reading(self, reduce).table()

    def batches(self, rows: int = 65_536, reduce: Reduce | None = None) -> Iterator[pa.RecordBatch]:
        """The same, a batch of at most `rows` rows after another: the map is read while they are asked for.

        >>> import fastbpf as fb
        >>> with fb.MapSpec("array", value=fb.u64, max_entries=5).create() as counts:
        ...     [len(batch) for batch in counts.batches(rows=2)]
        [2, 2, 1]

        Raises:
            LayoutError, KernelError, StreamError: as `to_arrow` does.
        """
        return iter(Reading(self, reduce, rows=rows))

    def drain(self) -> pa.Table:
        """Takes all elements out of the map, as one table: each is either in the table or still in the map.

        Hashes (Linux 5.6), and queues and stacks (Linux 4.20), whose values come as they are popped, at most as many as
        there is room for. What a call took that ended with an exception, also Ctrl-C, the next one begins with; a
        process that is killed takes with it what it took.

        >>> import fastbpf as fb
        >>> with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10).create() as counts:
        ...     counts[5] = 7
        ...     counts.drain().to_pydict(), dict(counts)
        ({'key': [5], 'value': [7]}, {})

        Raises:
            KernelError: the kernel cannot drain maps of this type; nothing was taken.
            StreamError: the map was closed meanwhile.

        Source: bpf(2), BPF_MAP_LOOKUP_AND_DELETE_BATCH and BPF_MAP_LOOKUP_AND_DELETE_ELEM.
        """
        return drained(self)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return Reading(self).stream(requested_schema)

    def update(self, other: Any = (), /, *, flags: str = "any", **values: Any) -> Any:
        """Writes many elements: those of a dictionary, or the rows of a table, of which it gives a `Report`.

        All rows are checked before the first is written, so that a refusal writes none. Then they go in order, by the
        kernel's batch commands where it has them; the kernel may refuse some (a full map, a key that is there with
        `flags="new"`), and these are in `Report.failed`, while the others are written. After Ctrl-C, or an error of the
        kernel that concerns the map, the first rows are in it.

        Args:
            other: whatever speaks Arrow's interface (tables and batches of pyarrow, frames of polars and pandas), with
                the columns that `to_arrow` gives: `key` and `value`, or the fields of a Struct, names that clash with
                key_ and value_ in front; others are left out. Per-CPU maps take the long form, a row for each key and
                possible CPU, with the column `cpu`. Times are the clock's own nanoseconds.
            flags: "any"; "new" for keys that are not there yet; "existing" for those that are.
            values: of a dictionary, as `dict.update` takes them.

        >>> import fastbpf as fb, pyarrow as pa
        >>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=2).create()
        >>> report = counts.update(pa.table({"key": [1, 2, 3], "value": [10, 20, 30]}))
        >>> report.done, report.failed.to_pylist()
        (2, [{'row': 2, 'errno': 7, 'why': 'the map is full, or has no such index'}])

        Raises:
            LayoutError: a column that is missing, or of a type that the field does not take; with the first such row, a
                null, or a value that does not fit.
            KernelError: the map is frozen or read-only, or not for elements.

        Linux 5.6 for batches. Source: bpf(2), BPF_MAP_UPDATE_BATCH; kernel/bpf/syscall.c, generic_map_update_batch.
        """
        if is_table(other):
            return update_rows(self, other, flags)
        return super().update(other, **values)

    def delete(self, keys: Any) -> Report:
        """Deletes the elements whose keys a table has, and gives a `Report`: keys that were not there are in `failed`.

        Args:
            keys: whatever speaks Arrow's interface, with the key's columns (see `update`); others are left out.

        Raises:
            LayoutError: see `update`.
            KernelError: the map is frozen, or elements of this type of map cannot be deleted.

        Linux 5.6 for batches. Source: bpf(2), BPF_MAP_DELETE_BATCH; kernel/bpf/syscall.c, generic_map_delete_batch.
        """
        return delete_rows(self, keys)

    def watch(self, every: float = 1.0, *, rates: bool = False) -> Watch:
        """Reads the map again and again: an iterator of batches, each the whole map with what has changed.

        To the columns of `to_arrow` come `time`, when the read began (`watch_time` where the map has a `time`), and for
        each integer and float of the value NAME_change: now minus the last read, null in the first batch. A key that
        was not there the last time has changed by its whole value; one that is gone is not in the batch. Integers
        change by an int64, which is right across the end of a 64-bit counter too.

        Args:
            every: seconds from one read to the next. Reads that take longer follow each other.
            rates: NAME_rate, too: the change in a second, by the time that has really passed.

        >>> import fastbpf as fb
        >>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10).create()
        >>> with counts.watch(every=0.1) as batches:
        ...     for batch in batches:
        ...         print(batch.select(["key", "value", "value_change"]).to_pylist())
        ...         if 7 in counts:
        ...             break
        ...         counts[7] = 100
        []
        [{'key': 7, 'value': 100, 'value_change': 100}]

        Raises:
            LayoutError: the map cannot be read without taking its values out, or has no elements.
            StreamError: the map was closed meanwhile.
        """
        return Watch(self, every, rates=rates)

    def wait_for(self, key: Any, timeout: float | None = None) -> Any:
        """The value there, as soon as there is one; the kernel is asked up to 50 ms after it came.

        Args:
            key: the key.
            timeout: seconds to wait; None waits for ever.

        Raises:
            TimeoutError: nobody wrote it in time.
            StreamError: the map was closed meanwhile.
        """
        return wait_for(self, key, timeout)

    def _layouts(self) -> tuple[Layout, Layout]:
        if self.spec.key is None or self.spec.value is None:
            raise LayoutError(f"{self!r} has no elements, but records: use {RINGS[self.spec.type]}(map, Struct)")
        return self.spec.key, self.spec.value

    def _descriptor(self, value: Any) -> int:
        if self.spec.type == "perf_event_array" and isinstance(value, int):
            return value
        if not hasattr(value, "fileno"):
            raise LayoutError(f"{value!r}: a value of {self!r} is {OF_OBJECTS[self.spec.type]}")
        return int(value.fileno())

    def _key(self, key: Any) -> bytes:
        return _pack(self._layouts()[0], key)


def _pack(layout: Layout, value: Any) -> bytes:
    if isinstance(layout, FieldType):
        return layout.pack(value)
    if not isinstance(value, layout):
        raise LayoutError(f"{value!r} is not a {layout.__name__}")
    return value.pack()
