"""What a map is to be."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from dataclasses import dataclass

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.map import Map
from fastbpf.maps.types import NUMBERED, OF_OBJECTS, RINGS, TYPES, Layout, article, check_type
from fastbpf.names import check_name
from fastbpf.privileges import remedied, with_memlock
from fastbpf.record import FieldType, Struct, spin_lock, u32, u64

__all__ = ["MapSpec"]


@dataclass(frozen=True)
class MapSpec:
    """What a map is to be: a description that touches no kernel.

    Args:
        type: "hash", "array", "lru_hash", "percpu_hash", "percpu_array", "lru_percpu_hash", "ringbuf", "user_ringbuf",
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
        check_type(self.type)
        check_name(self.name)
        for what in ("max_entries", "flags"):
            number = getattr(self, what)
            if isinstance(number, bool) or not isinstance(number, int):
                raise LayoutError(f"{what}={number!r}: give a whole number")
        if self.type == "array_of_maps" and not isinstance(self.inner, MapSpec):
            raise LayoutError(f"inner={self.inner!r}: say what the maps of an array_of_maps are like, as a MapSpec")
        if self.type != "array_of_maps" and self.inner is not None:
            raise LayoutError(f"a {self.type} map holds no maps; leave out inner=")
        if self.type in RINGS:
            if self.key is not None or self.value is not None:
                raise LayoutError(
                    f"a ring buffer has no key and no value; give its records' layout to {RINGS[self.type]}"
                )
            page = 4096
            if self.max_entries < page or self.max_entries & (self.max_entries - 1):
                raise LayoutError(
                    f"a ring buffer of {self.max_entries} bytes: the size has to be a power of two of at least a page",
                )
        else:
            if self.type in NUMBERED and self.key is None:
                object.__setattr__(self, "key", u32)
            if self.type in OF_OBJECTS and self.value is None:
                object.__setattr__(self, "value", u32)
            for what in ("key", "value"):
                kind = getattr(self, what)
                if not isinstance(kind, FieldType) and not (isinstance(kind, type) and issubclass(kind, Struct)):
                    raise LayoutError(
                        f"the {what} of a {self.type} map is a type such as fb.u64 or a Struct, not {kind!r}"
                    )
            if self.type in NUMBERED and self.key != u32:
                raise LayoutError(f"the key of a {self.type} map is fb.u32, not {self.key!r}")
            if self.type in OF_OBJECTS and self.value != u32:
                what = f"a value of {article(self.type)} {self.type} map is {OF_OBJECTS[self.type]}"
                raise LayoutError(f"{what}; leave out {self.value!r}")
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
        kind, entries, flags = TYPES[self.type], self.max_entries or possible_cpus(), self.flags
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
