"""Maps in the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.elements import Refused, key_of, value_of
from fastbpf.maps.types import ALIKE, ENDLESS, OF_OBJECTS, QUEUES, SPARSE
from fastbpf.privileges import remedied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from fastbpf import _native
    from fastbpf.maps.atomics import Atomics
    from fastbpf.maps.info import MapInfo
    from fastbpf.maps.memory import Memory
    from fastbpf.maps.spec import MapSpec
    from fastbpf.maps.types import Layout
    from fastbpf.maps.variables import Variables

__all__ = ["Map"]

_NONE: Final = object()
_NOT_SUPPORTED: Final = {errno.EOPNOTSUPP, errno.EINVAL, 524}  # 524: ENOTSUPP, which is the kernel's own
# BPF_ANY, BPF_NOEXIST and BPF_EXIST, include/uapi/linux/bpf.h
_FLAGS: Final = {"any": 0, "noexist": 1, "exist": 2}


class Map(MutableMapping[Any, Any]):
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
        self._key = key_of(spec)
        self._value = value_of(spec)
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
            data = self._native.lookup(self._key.pack(key))
        except KernelError as error:
            raise self._told(error, key) from None
        if data is None:
            raise KeyError(key)
        return self._value.unpack(data)

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
            raise self._told(error, key) from None
        if not there:
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._key, Refused):
            self._key.pack(None)
        key = self._next(None)
        # A hash that changes meanwhile may send the walk back to its start; it ends after as many keys as there can be.
        for _ in count() if self.spec.type in ENDLESS else range(self.spec.max_entries or possible_cpus()):
            if key is None:
                return
            if self.spec.type not in SPARSE or self._native.lookup(key) is not None:
                yield self._key.unpack(key)
            key = self._next(key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value there; where there is none, `default`, which is put there. Nothing is overwritten meanwhile."""
        while True:
            try:
                return self[key]
            except KeyError:
                pass
            try:
                self._write(key, default, "noexist")
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                return default

    def update(self, other: Any = (), /, *, flags: str = "any", **more: Any) -> None:
        """Writes each element of a mapping, or of pairs of key and value, one after the other.

        Args:
            other: the elements.
            more: elements whose keys are these names.
            flags: "any"; "noexist" refuses keys that are there (EEXIST), "exist" those that are not (KeyError).
        """
        if flags not in _FLAGS:
            raise LayoutError(f"flags={flags!r}: give one of {', '.join(_FLAGS)}")
        pairs: Iterable[tuple[Any, Any]] = other.items() if isinstance(other, Mapping) else other
        for key, value in (*pairs, *more.items()):
            self._write(key, value, flags)

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
            return MutableMapping.pop(self, key) if default is _NONE else MutableMapping.pop(self, key, default)
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
            self._native.update(key, data, _FLAGS[flags])
        except KernelError as error:
            if error.errno == errno.ENOENT and flags == "exist":
                raise KeyError(shown) from None
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
