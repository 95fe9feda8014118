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
from fastbpf.record import FieldType

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
        # What drain() took out of the kernel and nobody got.
        self._interrupted: list[Reading] = []

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
        self._interrupted.clear()
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
