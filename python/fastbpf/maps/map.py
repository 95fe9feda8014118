"""Maps in the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.dictionary import Dictionary
from fastbpf.maps.elements import NOT_PACKED, Refused, getter, key_of, packer, value_of
from fastbpf.maps.tables import Reading, drained
from fastbpf.maps.types import ALIKE, ALWAYS_THERE, NUMBERED, OF_OBJECTS, QUEUES, SPARSE
from fastbpf.maps.watch import Watch, wait_for
from fastbpf.maps.write import FLAGS, Report, delete_rows, flag, update_rows
from fastbpf.privileges import remedied
from fastbpf.record.tables import is_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    import pyarrow as pa

    from fastbpf import _native
    from fastbpf.maps.atomics import Atomics
    from fastbpf.maps.info import MapInfo
    from fastbpf.maps.memory import Memory
    from fastbpf.maps.spec import MapSpec
    from fastbpf.maps.tables import Reduce
    from fastbpf.maps.types import Layout
    from fastbpf.maps.variables import Variables

__all__ = ["Map"]

_NONE: Final = object()
# How often the whole map may be walked before that is no use.
_MOST_ROUNDS: Final = 32
_NOT_SUPPORTED: Final = {errno.EOPNOTSUPP, errno.EINVAL, 524}  # 524: ENOTSUPP, which is the kernel's own


class Map(Dictionary):
    """A map in the kernel that this process owns; it goes when this is closed, and no program and no pin has it.

    Elements are read and written as a dictionary's; per-CPU values are lists, one for each possible CPU. Into a
    prog_array go programs, `map[3] = program`, and what is read is the number (`Program.id`) of the program there; it
    is emptied when the map is closed. Into a perf_event_array go descriptors of perf events, into other arrays what
    they are of: cgroup directories, sockets; into maps of maps go maps, and what is read is `Map.id`. Stack traces are
    lists of addresses, which only programs write. A key of an lpm_trie is a network, and a look-up finds the longest
    one that holds what is asked for. Storage of sockets, tasks, inodes and cgroups has descriptors for keys. Queues and
    stacks have `push`, `pop` and `peek`, bloom filters `add` and `in`.

    Source: bpf(2), BPF_MAP_LOOKUP_ELEM and its siblings.
    """

    __bpf_map__ = True

    def __init__(self, spec: MapSpec, native: _native.Map) -> None:
        self.spec = spec
        self._native = native
        # What drain() took out of the kernel and nobody got.
        self._interrupted: list[Reading] = []
        self._key = key_of(spec)
        self._value = value_of(spec)
        # What look-ups call, which are so short that each call counts.
        self._get, self._pack = getter(native, self._value), packer(self._key)
        self._memory: _native.Memory | None = None
        self._atomics: Atomics | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, key: Layout | None = None, value: Layout | None = None) -> Self:
        """A map that is pinned, whoever made it.

        Its layout is what its maker told the kernel (BTF): fields with their names. A map without that has bytes,
        `fb.raw[N]`.

        Args:
            path: where it is pinned, in a bpffs.
            key: another type of its keys, of the same size, which may say more.
            value: another type of its values, likewise.

        Raises:
            KernelError: there is nothing, or this process may not open it.
            LayoutError: what is pinned there is no map, or its keys or values have another size than the given types.
        """
        from fastbpf import _native

        name = os.fsencode(path)
        return cls._found(lambda: _native.Map.at(name, possible_cpus()), key, value)

    @classmethod
    def from_id(cls, id: int, *, key: Layout | None = None, value: Layout | None = None) -> Self:
        """The map with that number, as `Map.id` and bpftool have it; otherwise as `open`. Takes CAP_SYS_ADMIN."""
        from fastbpf import _native

        return cls._found(lambda: _native.Map.of_id(id, possible_cpus()), key, value)

    @classmethod
    def from_fd(cls, fd: int, *, key: Layout | None = None, value: Layout | None = None) -> Self:
        """The map that a descriptor is for, which stays the caller's; otherwise as `open`."""
        from fastbpf import _native

        return cls._found(lambda: _native.Map.of_fd(fd, possible_cpus()), key, value)

    @classmethod
    def from_name(cls, name: str, *, key: Layout | None = None, value: Layout | None = None) -> Self:
        """The only map of that name; otherwise as `from_id`. LayoutError where there is none, or several."""
        from fastbpf.maps.found import id_of

        return cls.from_id(id_of(name), key=key, value=value)

    @classmethod
    def _found(cls, get: Callable[[], _native.Map], key: Layout | None, value: Layout | None) -> Self:
        from fastbpf.maps.found import spec_of

        try:
            native = get()
        except KernelError as error:
            raise remedied(error) from None
        try:
            return cls(spec_of(native, key, value), native)
        except BaseException:
            native.close()
            raise

    def __repr__(self) -> str:
        return f"<fastbpf.Map {self.spec.name or '(no name)'}: {self.spec.type}>"

    # A map is an object of the kernel, not a value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def id(self) -> int:
        """The kernel's number for this map, as bpftool shows it."""
        return int(self._native.info()["id"])

    @property
    def info(self) -> MapInfo:
        """What the kernel knows of it now."""
        from fastbpf.maps.info import info_of

        return info_of(self._native)

    def fileno(self) -> int:
        """The file descriptor, which stays this object's."""
        return self._native.fileno()

    def close(self) -> None:
        """Lets go of the map; a second time does nothing."""
        self._interrupted.clear()
        self._unmap()
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Gives the map a path in a bpffs, where others find it, and which keeps it when this process is gone.

        `Map.open` opens it; removing the path (`unpin`, or rm) takes it away. A map may have several paths. Linux 4.4.

        Raises:
            KernelError: EEXIST for a path that is there already, EPERM for one that is in no bpffs.
        """
        name = os.fsencode(path)
        try:
            self._native.pin(name)
        except KernelError as error:
            if error.errno == errno.EPERM:
                remedy = (
                    "pins are in a bpffs (mount -t bpf bpf /sys/fs/bpf), and whoever pins may write to its directory"
                )
                raise KernelError(errno.EPERM, f"{error}; {remedy}") from None
            raise remedied(error) from None

    def unpin(self, path: str | os.PathLike[str]) -> None:
        """Removes a path that this map is pinned at; LayoutError when something else is.

        The map goes when nobody has it open any more.
        """
        with type(self).open(path) as other:
            if other.id != self.id:
                raise LayoutError(f"at {os.fspath(path)} is {other!r} with the number {other.id}, not {self!r}")
        Path(path).unlink()

    def freeze(self) -> None:
        """Takes the right to change elements by bpf(2) from every process, this one too; programs keep it. Linux 5.2.

        There is no way back. The verifier takes for constant what programs may not change either (BPF_F_RDONLY_PROG).
        """
        # The kernel freezes nothing that is mapped for writing.
        self._unmap()
        try:
            self._native.freeze()
        except KernelError as error:
            if error.errno not in {errno.EBUSY, errno.EPERM}:
                raise
            text = f"{self!r} is frozen already, or its memory is mapped for writing, or this process may not freeze it"
            raise KernelError(error.errno or 0, f"{text} (errno {error.errno})") from None

    def __getitem__(self, key: Any) -> Any:
        try:
            value = self._get(self._pack(key))
        except KernelError as error:
            raise self._told(error, key) from None
        except NOT_PACKED:
            value = self._get(self._key.pack(key))
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        try:
            if self.spec.type == "bloom_filter":
                return self._native.holds(self._value.pack(key))
            return self._native.lookup(self._key.pack(key)) is not None
        except KernelError as error:
            raise self._told(error, key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(key, value, "any")

    def __delitem__(self, key: Any) -> None:
        try:
            there = self._native.delete(self._key.pack(key))
        except KernelError as error:
            if error.errno == errno.EINVAL:
                text = f"elements of {self!r} cannot be deleted, only overwritten (errno {error.errno})"
                raise KernelError(errno.EINVAL, text) from None
            raise self._told(error, key) from None
        if not there:
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._key, Refused):
            self._key.pack(None)
        key = self._next(None)
        # Where the key at which the walk is gets deleted, the kernel begins again: what was given is passed then.
        given: set[bytes] = set()
        again = 0
        while key is not None:
            if key in given:
                again += 1
                if again > _MOST_ROUNDS * max(len(given), 1024):
                    text = f"keys of {self!r} are deleted faster than it can be walked; to_arrow() reads it at once"
                    raise KernelError(errno.EAGAIN, text)
            else:
                if self.spec.type not in NUMBERED:
                    given.add(key)
                if self.spec.type not in SPARSE or self._native.lookup(key) is not None:
                    yield self._key.unpack(key)
            key = self._next(key)

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
        there is room for. What a call took that ended with an exception, also Ctrl-C, the next one begins with, and
        goes on where that was; a process that is killed takes with it what it took.

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
                possible CPU, with the column `cpu`. Times are timestamps, or the clock's own nanoseconds.
            flags: "any"; "new" for keys that are not there yet; "existing" for those that are. Of a dictionary's
                elements the first that is refused ends it: KernelError (EEXIST), or KeyError.
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
            if values:
                raise LayoutError(
                    f"a table and {', '.join(values)}=: give the table first, and the rest in another call"
                )
            return update_rows(self, other, flags)
        flag(flags)
        pairs: Iterable[tuple[Any, Any]] = other.items() if isinstance(other, Mapping) else other
        for key, value in (*pairs, *values.items()):
            self._write(key, value, flags)
        return None

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

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value there; where there is none, `default`, which is put there. Nothing is overwritten meanwhile."""
        while True:
            try:
                return self[key]
            except KeyError:
                pass
            try:
                self._write(key, default, "any" if self.spec.type in ALWAYS_THERE else "new")
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                return default

    def pop(self, key: Any = _NONE, default: Any = _NONE) -> Any:
        """Removes an element and gives its value, at once where the kernel can: hashes since Linux 5.14.

        Of a queue the oldest value, of a stack the newest; IndexError when it is empty and there is no `default`. Of
        all else that of a key; KeyError when there is none and no `default`.
        """
        if self.spec.type in QUEUES and key is _NONE:
            data = self._native.take(b"")
            if data is None and default is _NONE:
                raise IndexError(f"{self!r} is empty")
            return default if data is None else self._value.unpack(data)
        packed = self._key.pack(key)
        try:
            data = self._native.take(packed)
        except KernelError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise self._told(error, key) from None
            return Dictionary.pop(self, key) if default is _NONE else Dictionary.pop(self, key, default)
        if data is None and default is _NONE:
            raise KeyError(key)
        return default if data is None else self._value.unpack(data)

    def push(self, value: Any) -> None:
        """Puts a value into a queue or onto a stack; KernelError (E2BIG) when it is full. Linux 4.20."""
        self._only(QUEUES, "push")
        self._put(b"", value, value)

    def peek(self) -> Any:
        """The value that `pop` would give, which stays; IndexError when there is none. Linux 4.20."""
        self._only(QUEUES, "peek")
        data = self._native.lookup(b"")
        if data is None:
            raise IndexError(f"{self!r} is empty")
        return self._value.unpack(data)

    def add(self, value: Any) -> None:
        """Puts a value into a bloom filter, so that `value in map` is True. Linux 5.16.

        It is True of a few values too that were never added, and there is no way to take one out.
        """
        self._only({"bloom_filter"}, "add")
        self._put(b"", value, value)

    def fetch_add(self, key: Any, amount: int = 1, *, field: str | None = None) -> int:
        """Adds to a number in a value, which wraps around, and gives what was there before; no change is lost by it.

        In array, hash and lru_hash maps; Linux 5.14, or 5.5 for arrays with BPF_F_MMAPABLE.

        Args:
            key: which element; KeyError when there is none.
            amount: what to add, less than 0 to subtract.
            field: which field of the value, if that is a `Struct`: one of `fb.u32`, `u64`, `i32`, `i64`.

        Raises:
            LayoutError: a map or a field that cannot be changed so.
        """
        was = self._changes().add(key, amount, field)
        if was is None:
            raise KeyError(key)
        return was

    def compare_exchange(self, key: Any, expected: int, value: int, *, field: str | None = None) -> bool:
        """Puts a number in a value if what is there is `expected`: whether it was. See `fetch_add`."""
        done = self._changes().exchange(key, expected, value, field)
        if done is None:
            raise KeyError(key)
        return done

    @property
    def memory(self) -> Memory:
        """The values of an array with BPF_F_MMAPABLE, one after another (Linux 5.5), or an arena (Linux 6.9).

        LayoutError for other maps.
        """
        from fastbpf.maps.memory import Memory

        if (native := self._shared()) is None:
            raise LayoutError(
                f"{self!r} shares no memory: arenas do, and arrays with the flag BPF_F_MMAPABLE (1 << 10)"
            )
        return Memory(native)

    @property
    def variables(self) -> Variables:
        """The fields of an array's only value as attributes: the global variables of a program, in its ".data" map.

        LayoutError for maps of other types, and of values without fields.
        """
        from fastbpf.maps.variables import Variables

        if self.spec.type != "array" or self.spec.max_entries != 1:
            raise LayoutError(
                f"{self!r} has no variables: an array of one element has, such as .data, .bss and .rodata"
            )
        return Variables([self])

    # One mapping for all who use it; None where the kernel has none.
    def _shared(self) -> _native.Memory | None:
        from fastbpf.maps.memory import mapped

        if self._memory is None:
            self._memory = mapped(self)
        return self._memory

    def _unmap(self) -> None:
        if self._atomics is not None:
            self._atomics.close()
        if self._memory is not None:
            self._memory.close()
        self._atomics = self._memory = None

    def _changes(self) -> Atomics:
        from fastbpf.maps.atomics import Atomics

        if self._atomics is None:
            self._atomics = Atomics(self)
        return self._atomics

    def _only(self, kinds: set[str], what: str) -> None:
        if self.spec.type not in kinds:
            raise LayoutError(f"{self!r} has no {what}: {' and '.join(sorted(kinds))} maps have it")

    def _next(self, key: bytes | None) -> bytes | None:
        try:
            return self._native.next_key(key)
        except KernelError as error:
            raise self._told(error, None) from None

    def _write(self, key: Any, value: Any, flags: str) -> None:
        self._put(self._key.pack(key), value, key, flags)

    def _put(self, key: bytes, value: Any, shown: Any, flags: str = "any") -> None:
        data = self._value.pack(value)
        try:
            self._native.update(key, data, FLAGS[flags])
        except KernelError as error:
            if error.errno == errno.ENOENT and flags == "existing":
                raise KeyError(shown) from None
            if error.errno == errno.EINVAL and flags != "any" and self.spec.type in ALWAYS_THERE:
                text = f"{self!r} takes no flags: its kernel code knows of no {flags!r} elements (errno {error.errno})"
                raise KernelError(errno.EINVAL, text) from None
            raise self._told(error, shown, value) from None

    # The kernel's number in words that fit the map.
    def _told(self, error: KernelError, key: Any, value: Any = _NONE) -> KernelError:
        number, kind = error.errno or 0, self.spec.type
        text = ""
        if number in {524, errno.EOPNOTSUPP}:
            text = f"the kernel does not tell what is in {self!r}"
        elif value is not _NONE and number in {errno.E2BIG, errno.ENOSPC}:
            text = f"{self!r} is full or has no index {key!r}: it has room for {self.spec.max_entries} entries"
        elif value is not _NONE and number == errno.EINVAL and kind in ALIKE:
            text = f"{self!r} does not take {value!r}: {ALIKE[kind]}"
        elif value is not _NONE and number == errno.EEXIST:
            text = f"{self!r} has {key!r} already (errno {number})"
        elif number == errno.EPERM:
            text = f"{self!r} is frozen, or was made or opened for reading or writing only (errno {number})"
        elif number == errno.EBADF:
            of = OF_OBJECTS.get(kind, "")
            text = f"{error}; {value if of else key!r} is no descriptor of what {self!r} is for"
        return KernelError(number, text) if text else error
