"""Maps: what programs keep, and what carries their events."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import KernelError, LayoutError
from fastbpf.names import check_name
from fastbpf.privileges import remedied, with_memlock
from fastbpf.record import FieldType, Struct, raw, spin_lock, u32, u64

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from fastbpf import _native

__all__ = ["Map", "MapSpec", "possible_cpus"]

# enum bpf_map_type, include/uapi/linux/bpf.h, in its order
_NAMES: Final = """
unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array
"""
_KNOWN: Final = """
hash array lru_hash percpu_hash percpu_array lru_percpu_hash ringbuf perf_event_array prog_array stack_trace
array_of_maps
"""
_TYPES: Final = {name: _NAMES.split().index(name) for name in _KNOWN.split()}
# Their keys are numbers from 0 on, or what the kernel gives.
_NUMBERED: Final = {"array", "percpu_array", "perf_event_array", "prog_array", "stack_trace", "array_of_maps"}
_PER_CPU: Final = {"percpu_array", "percpu_hash", "lru_percpu_hash", "percpu_cgroup_storage"}
# Their values are descriptors of the kernel's objects, of which they keep the object.
_OF_OBJECTS: Final = {
    "perf_event_array": "a perf event's descriptor",
    "prog_array": "a Program",
    "array_of_maps": "a Map",
    "hash_of_maps": "a Map",
}
# What is refused with EINVAL.
_ALIKE: Final = {
    "prog_array": "all its programs are of one type, that of who calls them",
    "array_of_maps": "all its maps have one type, sizes and flags",
    "hash_of_maps": "all its maps have one type, sizes and flags",
}

_RDONLY_PROG: Final = 1 << 7  # BPF_F_RDONLY_PROG: programs cannot write to it (5.2)

Layout = FieldType | type[Struct]


@dataclass(frozen=True)
class MapSpec:
    """What a map is to be: a description that touches no kernel.

    Args:
        type: "hash", "array", "lru_hash", "percpu_hash", "percpu_array", "lru_percpu_hash", "ringbuf",
            "perf_event_array", "prog_array", "stack_trace" or "array_of_maps", the kernel's names.
        key: the key's type; that of arrays and stack traces is `fb.u32`, a ring buffer has none.
        value: the value's type, a field type or a `Struct`, which may have one `fb.spin_lock`; that of stack traces is
            `fb.u64[N]`, N addresses at most (kernel.perf_event_max_stack); ring buffers, perf events, programs and
            maps have none.
        max_entries: how many entries; for a ring buffer its size in bytes, a power of two and a multiple of the page;
            for perf events one for each possible CPU unless it is given.
        name: at most 15 of A-Z a-z 0-9 _ and ., shown by bpftool.
        flags: BPF_F_… bits of the kernel.
        inner: for an array of maps, what those maps are like; the size of ring buffers may differ from it.

    >>> import fastbpf as fb
    >>> fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10_240, name="counts")
    MapSpec(type='hash', key=fb.u32, value=fb.u64, max_entries=10240, name='counts', flags=0, inner=None)

    Source: include/uapi/linux/bpf.h, enum bpf_map_type.
    """

    type: str
    key: Layout | None = None
    value: Layout | None = None
    max_entries: int = 0
    name: str = ""
    flags: int = 0
    inner: MapSpec | None = None

    # A map operand of fastbpf.asm.
    __bpf_map__ = True

    def __post_init__(self) -> None:
        _check_type(self.type)
        check_name(self.name)
        for what in ("max_entries", "flags"):
            number = getattr(self, what)
            if isinstance(number, bool) or not isinstance(number, int):
                raise LayoutError(f"{what}={number!r}: give a whole number")
        if self.type == "array_of_maps" and not isinstance(self.inner, MapSpec):
            raise LayoutError(f"inner={self.inner!r}: say what the maps of an array_of_maps are like, as a MapSpec")
        if self.type != "array_of_maps" and self.inner is not None:
            raise LayoutError(f"a {self.type} map holds no maps; leave out inner=")
        if self.type == "ringbuf":
            if self.key is not None or self.value is not None:
                raise LayoutError("a ring buffer has no key and no value; give its records' layout to fb.RingBuffer")
            page = 4096
            if self.max_entries < page or self.max_entries & (self.max_entries - 1):
                raise LayoutError(
                    f"a ring buffer of {self.max_entries} bytes: the size has to be a power of two of at least a page",
                )
        else:
            if self.type in _NUMBERED and self.key is None:
                object.__setattr__(self, "key", u32)
            if self.type in _OF_OBJECTS and self.value is None:
                object.__setattr__(self, "value", u32)
            for what in ("key", "value"):
                kind = getattr(self, what)
                if not isinstance(kind, FieldType) and not (isinstance(kind, type) and issubclass(kind, Struct)):
                    raise LayoutError(
                        f"the {what} of a {self.type} map is a type such as fb.u64 or a Struct, not {kind!r}"
                    )
            if self.type in _NUMBERED and self.key != u32:
                raise LayoutError(f"the key of a {self.type} map is fb.u32, not {self.key!r}")
            if self.type in _OF_OBJECTS and self.value != u32:
                raise LayoutError(f"a value of a {self.type} map is {_OF_OBJECTS[self.type]}; leave out {self.value!r}")
            if self.type == "stack_trace" and not _is_addresses(self.value):
                raise LayoutError(f"a value of a stack_trace map is addresses, such as fb.u64[127], not {self.value!r}")
            _lock(self.value)
        if self.type == "perf_event_array" and self.max_entries == 0:
            return
        if not 0 < self.max_entries < 1 << 32:
            raise LayoutError(f"max_entries={self.max_entries}: a map has from 1 to {(1 << 32) - 1} entries")

    def create(self) -> Map:
        """Makes the map in the kernel.

        Raises:
            KernelError: with the errno and what to do.
        """
        from fastbpf import _native

        key, value = (0 if kind is None else kind.size for kind in (self.key, self.value))
        kind, entries, flags = _TYPES[self.type], self.max_entries or possible_cpus(), self.flags
        lock = _lock(self.value)
        # The kernel only looks at it.
        with nullcontext() if self.inner is None else self.inner.create() as example:
            inner = None if example is None else example._native
            try:
                native = with_memlock(
                    lambda: _native.Map(kind, key, value, entries, flags, self.name, possible_cpus(), lock, inner),
                )
            except KernelError as error:
                if lock is not None and error.errno == errno.EOPNOTSUPP:
                    text = f"the kernel takes no locks in values of {self.type} maps; hash and array maps may have them"
                    raise KernelError(errno.EOPNOTSUPP, text) from None
                raise remedied(error) from None
        return Map(self, native)


class Map(MutableMapping[Any, Any]):
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
        if self.spec.type not in _PER_CPU:
            return value.unpack(data)
        stride = value.size + -value.size % 8
        return [value.unpack(data[at : at + value.size]) for at in range(0, len(data), stride)]

    def __setitem__(self, key: Any, value: Any) -> None:
        _, layout = self._layouts()
        if self.spec.type in _PER_CPU:
            stride = layout.size + -layout.size % 8
            values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
            if values is None or len(values) != possible_cpus():
                raise LayoutError(f"{value!r}: give a list of {possible_cpus()} values, one for each possible CPU")
            data = b"".join(_pack(layout, one).ljust(stride, b"\0") for one in values)
        elif self.spec.type in _OF_OBJECTS:
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
            if error.errno == errno.EINVAL and (why := _ALIKE.get(self.spec.type)):
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
            if self.spec.type not in _ALIKE or self._native.lookup(key) is not None:
                yield layout.unpack(key)
            key = self._native.next_key(key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _layouts(self) -> tuple[Layout, Layout]:
        if self.spec.key is None or self.spec.value is None:
            raise LayoutError(f"{self!r} has no elements; read it with fb.RingBuffer(map, Struct)")
        return self.spec.key, self.spec.value

    def _descriptor(self, value: Any) -> int:
        if self.spec.type == "perf_event_array" and isinstance(value, int):
            return value
        if not hasattr(value, "fileno"):
            raise LayoutError(f"{value!r}: a value of {self!r} is {_OF_OBJECTS[self.spec.type]}")
        return int(value.fileno())

    def _key(self, key: Any) -> bytes:
        return _pack(self._layouts()[0], key)


def read_only(content: bytes) -> Map:
    """Makes a map of one value that nobody can change any more: what code names by `ReadOnly`. Linux 5.2."""
    made = MapSpec("array", value=raw[len(content)], max_entries=1, name=".rodata", flags=_RDONLY_PROG).create()
    try:
        made._native.update(bytes(4), content, 0)
        made._native.freeze()
    except KernelError as error:
        made.close()
        raise remedied(error) from None
    return made


def check_given(named: MapSpec, given: object) -> None:
    """Refuses a map that cannot stand for what code names: another type, or keys or values of another size."""
    if not isinstance(given, Map):
        raise LayoutError(f"maps={{{named.name!r}: {given!r}}}: give a map that exists; MapSpec.create() makes one")
    if _shape(given.spec) != _shape(named):
        raise LayoutError(
            f"the code names {named.name!r}, {_shape(named)}; the map that is given is {_shape(given.spec)}; "
            f"give one that is like the code's MapSpec"
        )
    # Instructions reach into the only element of an array, and of no larger one.
    if named.type == "array" and named.max_entries == 1 != given.spec.max_entries:
        raise LayoutError(
            f"the code names {named.name!r}, an array of one element; the map that is given has "
            f"{given.spec.max_entries}; give one that is like the code's MapSpec"
        )


def _is_addresses(value: Layout | None) -> bool:
    return isinstance(value, FieldType) and (value == u64 or (value.size > 8 and value == u64[value.size // 8]))


# Where its values have their lock, which the kernel has to be told (kernel/bpf/btf.c, btf_parse_fields).
def _lock(value: Layout | None) -> int | None:
    if value is None or isinstance(value, FieldType):
        return 0 if value == spin_lock else None
    locks = [name for name, kind in value.fields.items() if kind == spin_lock]
    if len(locks) > 1:
        raise LayoutError(f"{value.__name__} has {len(locks)} locks, {' and '.join(locks)}; a value of a map has one")
    return value.offset(locks[0]) if locks else None


# What an instruction depends on.
def _shape(spec: MapSpec) -> str:
    article = "an" if spec.type.startswith("a") else "a"
    if spec.key is None or spec.value is None:
        return f"{article} {spec.type}"
    if spec.inner is not None:
        return f"{article} {spec.type}, each {_shape(spec.inner)}"
    key, value = ("1 byte" if kind.size == 1 else f"{kind.size} bytes" for kind in (spec.key, spec.value))
    return f"{article} {spec.type} with keys of {key} and values of {value}"


def _check_type(name: object) -> None:
    if name in list(_TYPES):
        return
    there = f"there are {', '.join(_TYPES)}"
    if name in _NAMES.split()[1:]:
        raise LayoutError(f"fastbpf has no {name} maps yet; {there}")
    near = get_close_matches(str(name), _TYPES)
    raise LayoutError(f"there is no map type {name!r}; {f'did you mean {near[0]!r}?' if near else there}")


def _pack(layout: Layout, value: Any) -> bytes:
    if isinstance(layout, FieldType):
        return layout.pack(value)
    if not isinstance(value, layout):
        raise LayoutError(f"{value!r} is not a {layout.__name__}")
    return value.pack()


@cache
def possible_cpus() -> int:
    """How many CPUs this machine could have: per-CPU maps have a value for each of them, online or not."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(ranges.replace(",", "-").split("-")[-1]) + 1
