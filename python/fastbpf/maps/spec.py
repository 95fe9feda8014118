"""What a map is to be."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.btf import types_of
from fastbpf.maps.cpus import cpu_slots, possible_cpus
from fastbpf.maps.map import Map
from fastbpf.maps.prefix import Prefix
from fastbpf.maps.types import (
    BARE,
    CONFIGURED,
    ENDLESS,
    FLAGS,
    KEYLESS,
    KEYS,
    NUMA_NODE,
    NUMBERED,
    OF_MAPS,
    OF_OBJECTS,
    RINGS,
    STORAGE,
    TYPES,
    VALUES,
    Layout,
    article,
    check_type,
)
from fastbpf.names import check_name
from fastbpf.privileges import remedied, with_memlock
from fastbpf.record import FieldType, Struct, i32, spin_lock, u32, u64

if TYPE_CHECKING:
    from fastbpf import _native

__all__ = ["MapSpec"]


@dataclass(frozen=True)
class MapSpec:
    """What a map is to be: a description that touches no kernel.

    Args:
        type: the kernel's name: "hash", "array", "lru_hash", "percpu_hash", "lpm_trie", "queue", "ringbuf" …; all but
            struct_ops and insn_array (docs/maps.md lists them).
        key: the key's type; that of arrays and stack traces is `fb.u32`, that of an lpm_trie what it holds networks of,
            such as `fb.ipv4`; ring buffers, queues, stacks, bloom filters and arenas have none, and that of storage is
            a descriptor.
        value: the value's type, a field type or a `Struct`, which may have one `fb.spin_lock`; that of stack traces is
            `fb.u64[N]`, N addresses at most (kernel.perf_event_max_stack); what is made of descriptors has one of its
            own, ring buffers and arenas have none.
        max_entries: how many entries; for a ring buffer its size in bytes, a power of two and a multiple of the page;
            for an arena pages; for perf events one for each possible CPU unless it is given; 0 for storage, which has
            as many as there are sockets, tasks, inodes or cgroups.
        name: at most 15 of A-Z a-z 0-9 _ and ., shown by bpftool.
        flags: BPF_F_… bits of the kernel; those without which it makes no such map are set.
        inner: for maps of maps, what those maps are like; the size of ring buffers may differ from it.
        numa_node: the node that its memory is to be on.
        map_extra: of a bloom filter how many hash functions it has, 5 unless told; of an arena its address.

    >>> import fastbpf as fb
    >>> counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10_240, name="counts")
    >>> counts.key, counts.value.size
    (fb.u32, 8)

    Source: include/uapi/linux/bpf.h, enum bpf_map_type.
    """

    type: str
    key: Layout | None = None
    value: Layout | None = None
    max_entries: int = 0
    name: str = ""
    flags: int = 0
    inner: MapSpec | None = None
    numa_node: int | None = None
    map_extra: int = 0

    # A map operand of fastbpf.asm.
    __bpf_map__ = True

    def __post_init__(self) -> None:
        check_type(self.type)
        check_name(self.name)
        for what in ("max_entries", "flags", "numa_node", "map_extra"):
            number = getattr(self, what)
            if (isinstance(number, bool) or not isinstance(number, int)) and (what, number) != ("numa_node", None):
                raise LayoutError(f"{what}={number!r}: give a whole number")
        if self.type in OF_MAPS and not isinstance(self.inner, MapSpec):
            which = f"say what the maps of {article(self.type)} {self.type} are like, as a MapSpec"
            raise LayoutError(f"inner={self.inner!r}: {which}")
        if self.type not in OF_MAPS and self.inner is not None:
            raise LayoutError(f"{article(self.type)} {self.type} map holds no maps; leave out inner=")
        for what, found in self._types().items():
            object.__setattr__(self, what, found)
        object.__setattr__(self, "flags", self.flags | FLAGS.get(self.type, 0))
        if self.numa_node is not None:
            object.__setattr__(self, "flags", self.flags | NUMA_NODE)
        self._check_entries()

    # Of key and value, with those that a type of maps has anyway.
    def _types(self) -> dict[str, Layout | None]:
        if self.type in BARE:
            if self.key is not None or self.value is not None:
                a, told = ("an arena", "it is memory") if self.type == "arena" else ("a ring buffer", "")
                told = told or f"give its records' layout to {RINGS[self.type]}"
                raise LayoutError(f"{a} has no key and no value; {told}")
            return {}
        if self.type in KEYLESS and self.key is not None:
            raise LayoutError(f"{article(self.type)} {self.type} map has no key; leave out {self.key!r}")
        keys = i32 if self.type in STORAGE else KEYS.get(self.type)
        found = {"key": self.key or keys, "value": self.value or VALUES.get(self.type)}
        for what, kind in found.items():
            missing = kind is None and what == "key" and self.type in KEYLESS
            if (
                not missing
                and not isinstance(kind, FieldType)
                and not (isinstance(kind, type) and issubclass(kind, Struct))
            ):
                which = f"the {what} of {article(self.type)} {self.type} map"
                raise LayoutError(f"{which} is a type such as fb.u64 or a Struct, not {kind!r}")
        key, value = found["key"], found["value"]
        if self.type in NUMBERED and key != u32:
            raise LayoutError(f"the key of {article(self.type)} {self.type} map is fb.u32, not {key!r}")
        if self.type in STORAGE and key != i32:
            raise LayoutError(
                f"a key of {article(self.type)} {self.type} map is {STORAGE[self.type]}; leave out {key!r}"
            )
        if self.type in OF_OBJECTS and value != VALUES[self.type]:
            what = f"a value of {article(self.type)} {self.type} map is {OF_OBJECTS[self.type]}"
            raise LayoutError(f"{what}; leave out {value!r}")
        if self.type == "stack_trace" and not _is_addresses(value):
            raise LayoutError(f"a value of a stack_trace map is addresses, such as fb.u64[127], not {value!r}")
        if self.type == "lpm_trie" and isinstance(key, FieldType) and not isinstance(key, Prefix):
            found["key"] = Prefix(key)
        _lock(value)
        return found

    def _check_entries(self) -> None:
        entries = self.max_entries
        if self.type in RINGS and (entries < 4096 or entries & (entries - 1)):
            raise LayoutError(
                f"a ring buffer of {entries} bytes: the size has to be a power of two of at least a page",
            )
        if self.type in ENDLESS:
            if entries:
                raise LayoutError(
                    f"max_entries={entries}: {article(self.type)} {self.type} map has as many as it takes; leave it out"
                )
            return
        if self.type == "perf_event_array" and entries == 0:
            return
        if not 0 < entries < 1 << 32:
            raise LayoutError(f"max_entries={entries}: a map has from 1 to {(1 << 32) - 1} entries")

    def create(self) -> Map:
        """Makes the map in the kernel, which is told the types of its keys and values (BTF) where it takes them.

        Raises:
            KernelError: with the errno and what to do.
        """
        # The kernel only looks at it.
        with nullcontext() if self.inner is None else self.inner.create() as example:
            inner = None if example is None else example._native
            types = types_of(self.key, self.value)
            # Without them it would make a map without the lock.
            needed = self.type in STORAGE or _lock(self.value) is not None
            try:
                return Map(self, self._made(types, inner))
            except KernelError as error:
                if types is None or needed:
                    raise self._told(error) from None
            try:
                return Map(self, self._made(None, inner))
            except KernelError as error:
                raise self._told(error) from None

    def _made(self, types: tuple[bytes, int, int] | None, inner: _native.Map | None) -> _native.Map:
        from fastbpf import _native

        key, value = (0 if kind is None else kind.size for kind in (self.key, self.value))
        endless = self.type in ENDLESS
        entries = self.max_entries if endless else self.max_entries or cpu_slots()
        numbers = TYPES[self.type], key, value, entries, self.flags, self.name, possible_cpus()
        node, extra = self.numa_node or 0, self.map_extra
        return with_memlock(
            lambda: _native.Map(*numbers, types=types, inner=inner, numa_node=node, extra=extra),
        )

    def _told(self, error: KernelError) -> KernelError:
        if error.errno == errno.EOPNOTSUPP and _lock(self.value) is not None:
            text = f"the kernel takes no locks in values of {self.type} maps; hash and array maps may have them"
            return KernelError(errno.EOPNOTSUPP, text)
        if error.errno == errno.EINVAL and self.type in CONFIGURED:
            text = f"{error}; kernels without {CONFIGURED[self.type]} have no {self.type} maps"
            return KernelError(errno.EINVAL, text)
        return remedied(error)


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
