"""Keys and values of maps: what Python gives and takes, and the bytes that the kernel keeps."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from fastbpf.errors import LayoutError
from fastbpf.maps.cpus import possible_cpus
from fastbpf.maps.types import BARE, KEYLESS, OF_OBJECTS, PER_CPU, RINGS, STORAGE, Layout
from fastbpf.record import FieldType, Struct
from fastbpf.record.types import INTEGERS, Number

if TYPE_CHECKING:
    from fastbpf import _native
    from fastbpf.maps.spec import MapSpec

__all__ = ["NOT_PACKED", "Element", "Refused", "getter", "key_of", "packer", "value_of"]

# What a packer raises for what its element may still take, or refuses in words.
NOT_PACKED = (struct.error, TypeError, OverflowError)


class Element(Protocol):
    """A key or a value."""

    def pack(self, value: Any, /) -> bytes:
        """The bytes of what Python gives; LayoutError for what does not fit."""

    def unpack(self, data: bytes, /) -> Any:
        """What Python takes for these bytes."""


def key_of(spec: MapSpec) -> Element:
    """How the keys of such a map are written and read."""
    if spec.type in RINGS:
        return Refused(f"{_shown(spec)} has no elements, but records: use {RINGS[spec.type]}(map, Struct)")
    if spec.type in BARE:
        return Refused(f"{_shown(spec)} has no elements, but memory: use map.memory")
    if spec.key is None:
        does = "push, pop and peek" if spec.type != "bloom_filter" else "add, and ask with `in`"
        return Refused(f"{_shown(spec)} has no keys: {does if spec.type in KEYLESS else 'the kernel tells of none'}")
    if spec.type in STORAGE:
        return _Descriptor(spec.key, f"a key of {_shown(spec)} is {STORAGE[spec.type]}")
    return _layout(spec.key)


def value_of(spec: MapSpec) -> Element:
    """How the values of such a map are written and read."""
    if spec.value is None:
        return Refused(f"{_shown(spec)} has no values")
    if spec.type in PER_CPU:
        return _PerCpu(_layout(spec.value), spec.value.size)
    if spec.type == "stack_trace":
        return _Addresses(f"{_shown(spec)} is written by the kernel, where a program calls get_stackid; del makes room")
    if spec.type in OF_OBJECTS and isinstance(spec.value, FieldType):
        what = f"a value of {_shown(spec)} is {OF_OBJECTS[spec.type]}"
        return _Descriptor(spec.value, what, numbers=spec.type not in {"prog_array", "array_of_maps", "hash_of_maps"})
    return _layout(spec.value)


def packer(element: Element) -> Callable[[Any], bytes]:
    """What packs as the element does, but may raise NOT_PACKED: of a number with no call in between."""
    return element.packer if isinstance(element, _Number) else element.pack


def getter(native: _native.Map, element: Element) -> Callable[[bytes], Any]:
    """What looks up a packed key: the value, None where there is none."""
    if isinstance(element, _Number) and element.is_integer:
        return partial(native.lookup_number, element.is_signed)

    def get(key: bytes) -> Any:
        data = native.lookup(key)
        return None if data is None else element.unpack(data)

    return get


def _shown(spec: MapSpec) -> str:
    return f"<fastbpf.Map {spec.name or '(no name)'}: {spec.type}>"


def _layout(layout: Layout) -> Element:
    if isinstance(layout, Number):
        return _Number(layout)
    return layout if isinstance(layout, FieldType) else _Record(layout)


class _Number:
    # Without the calls in between: most keys and values are one number.
    def __init__(self, kind: Number) -> None:
        self._kind = kind
        self._struct = struct.Struct(kind._format)
        self.packer = self._struct.pack
        # Of the processor's order.
        self.is_integer = kind.code in INTEGERS
        self.is_signed = kind.code.startswith("i")

    def pack(self, value: Any) -> bytes:
        try:
            return self.packer(value)
        except NOT_PACKED:
            return self._kind.pack(value)

    def unpack(self, data: bytes) -> Any:
        return self._struct.unpack(data)[0]


class _Record:
    def __init__(self, layout: type[Struct]) -> None:
        self._layout = layout
        self.unpack = layout.unpack

    def pack(self, value: Any) -> bytes:
        layout = self._layout
        if isinstance(value, tuple) and len(value) == len(layout.fields):
            value = layout(**dict(zip(layout.fields, value, strict=True)))
        if not isinstance(value, layout):
            fields = ", ".join(layout.fields)
            raise LayoutError(f"{value!r} is not a {layout.__name__}, nor a tuple of its fields ({fields})")
        return value.pack()


class _PerCpu:
    # A value for each possible CPU, each rounded up to 8 bytes.
    def __init__(self, one: Element, size: int) -> None:
        self._one = one
        self._size = size
        self._stride = size + -size % 8

    def pack(self, value: Any) -> bytes:
        values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
        if values is None or len(values) != possible_cpus():
            raise LayoutError(f"{value!r}: give a list of {possible_cpus()} values, one for each possible CPU")
        return b"".join(self._one.pack(one).ljust(self._stride, b"\0") for one in values)

    def unpack(self, data: bytes) -> Any:
        return [self._one.unpack(data[at : at + self._size]) for at in range(0, len(data), self._stride)]


class _Addresses:
    def __init__(self, why: str) -> None:
        self._why = why

    def pack(self, _: Any) -> NoReturn:
        raise LayoutError(self._why)

    def unpack(self, data: bytes) -> Any:
        return [address for (address,) in struct.iter_unpack("=Q", data) if address]


class _Descriptor:
    # Of an object of the kernel, whose number is what is read.
    def __init__(self, kind: Layout, what: str, *, numbers: bool = True) -> None:
        self._element = _layout(kind)
        self._what = what
        self._numbers = numbers
        self.unpack = self._element.unpack

    def pack(self, value: Any) -> bytes:
        if isinstance(value, int) and not isinstance(value, bool) and self._numbers:
            return self._element.pack(value)
        if not hasattr(value, "fileno"):
            raise LayoutError(f"{value!r}: {self._what}")
        return self._element.pack(int(value.fileno()))


class Refused:
    """What a map does not have."""

    def __init__(self, why: str) -> None:
        self._why = why

    def pack(self, _: Any) -> NoReturn:
        """Says what there is instead."""
        raise LayoutError(self._why)

    def unpack(self, _: bytes) -> NoReturn:
        """Likewise."""
        raise LayoutError(self._why)
