"""The maps of an object: its own, and those that hold its global variables."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps import Map, MapSpec, possible_cpus
from fastbpf.maps.cpus import cpu_slots
from fastbpf.maps.found import key_layout, value_layout
from fastbpf.maps.types import MMAPABLE, RDONLY_PROG, TYPES, type_name, type_number
from fastbpf.privileges import remedied, with_memlock
from fastbpf.record import u32

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbpf import _native
    from fastbpf.record.btf import Types

__all__ = ["ObjectMap", "created", "spec"]

_PAGE: Final = 4096


@dataclass(frozen=True)
class ObjectMap(MapSpec):
    """A map of an object of a type that `MapSpec` does not have, or one that holds global variables.

    `type` is the kernel's name, or its number where it is newer than fastbpf; `content` what variables are at first.
    """

    content: bytes = b""

    def __post_init__(self) -> None:
        """Takes what the object says: the kernel is the judge of it."""

    def create(self) -> Map:
        """Makes the map in the kernel, with the variables that it holds.

        Raises:
            KernelError: with the errno and what to do.
        """
        from fastbpf import _native

        return _made(self, self.name, _native.Map, None)


def spec(types: Types, name: str, numbers: list[int], key: Any, value: Any, content: bytes) -> MapSpec:
    """A map as the native module tells it."""
    number, key_size, value_size, max_entries, flags = numbers
    kind = type_name(number)
    key_type, value_type = key_layout(types, kind, key, key_size), value_layout(types, kind, value, value_size)
    told = (kind, key_type, value_type, max_entries, name[:15], flags)
    if not content and kind in TYPES:
        with suppress(LayoutError):
            return MapSpec(*told)
    # Variables are read and written where they are.
    told = (*told[:5], flags | MMAPABLE) if content else told
    return ObjectMap(*told, content=content)


def created(load: _native.Load, name: str, one: MapSpec, content: bytes | None) -> Map:
    """Makes a map of an object that is being loaded, with other content if some is given."""
    return _made(one, name, lambda *definition: load.create_map(name, *definition), content)


def _made(one: MapSpec, name: str, make: Callable[..., _native.Map], content: bytes | None) -> Map:
    number = type_number(one.type)
    key, value = (0 if kind is None else kind.size for kind in (one.key, one.value))
    definition = number, key, value, _entries(one)

    def of(flags: int) -> Map:
        return Map(one, with_memlock(lambda: make(*definition, flags, one.name, possible_cpus())))

    try:
        try:
            made = of(one.flags)
        except KernelError as error:
            # Before Linux 5.5 there was no such flag.
            if error.errno != errno.EINVAL or not one.flags & MMAPABLE:
                raise
            made = of(one.flags & ~MMAPABLE)
    except KernelError as error:
        told = KernelError(error.errno or 0, f"map {name!r} ({one.type}): {error}")
        raise remedied(told) from None
    first = content if content is not None else getattr(one, "content", b"")
    try:
        if any(first):
            made._native.update(bytes(u32.size), first, 0)
        if first and one.flags & RDONLY_PROG:
            made._native.freeze()
    except KernelError as error:
        made.close()
        raise remedied(error) from None
    return made


# As libbpf has it: a perf buffer for each CPU, and a ring of whole pages, a power of two.
def _entries(one: MapSpec) -> int:
    if one.type == "perf_event_array" and not one.max_entries:
        return cpu_slots()
    if one.type in {"ringbuf", "user_ringbuf"}:
        return max(_PAGE, 1 << (one.max_entries - 1).bit_length())
    return one.max_entries
