"""Layouts of ctypes structures."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record.bits import Bits
from fastbpf.record.layout import Layout
from fastbpf.record.nested import Nested, NestedArray
from fastbpf.record.sized import char, raw
from fastbpf.record.struct import placed
from fastbpf.record.types import Number, bool8, f32, f64, integer

if TYPE_CHECKING:
    from fastbpf.record.struct import Struct
    from fastbpf.record.types import FieldType

# The letters of ctypes' simple types (Modules/_ctypes).
_SIGNED: Final = frozenset("bhilq")
_UNSIGNED: Final = frozenset("BHILQ")
_POINTERS: Final = frozenset("PzZ")


def read(cls: Any) -> type[Struct]:
    """The layout of a ctypes structure."""
    if not isinstance(cls, type) or not issubclass(cls, ctypes.Structure):
        raise LayoutError(f"{cls!r} is no ctypes structure; give a subclass of ctypes.Structure")
    fields: dict[str, FieldType] = {}
    offsets = {}
    # A structure that extends another lists its own fields only.
    listed = [field for base in reversed(cls.__mro__) for field in vars(base).get("_fields_", ())]
    for name, kind, *width in listed:
        where = f"{cls.__name__}.{name}"
        member = getattr(cls, name)
        offsets[name] = member.offset
        fields[name] = _bits(member.size, kind, where) if width else _type(kind, where)
    layout = Layout(fields, offsets, ctypes.sizeof(cls), ctypes.alignment(cls), fixed=True)
    return placed(cls.__name__, layout)


def _type(kind: Any, where: str) -> FieldType:
    if issubclass(kind, ctypes.Structure):
        return Nested(read(kind))
    if issubclass(kind, ctypes.Union):
        raise LayoutError(
            f"{where}: nothing tells which member of the union {kind.__name__} is meant; make the field "
            f"ctypes.c_ubyte * {ctypes.sizeof(kind)}, and in a subclass of the Struct give it the type fb.union(tag, …)"
        )
    if issubclass(kind, ctypes.Array):
        return _array(kind, where)
    # A pointer, to data or to a function.
    if not issubclass(kind, ctypes._SimpleCData):
        return integer(ctypes.sizeof(kind), signed=False)
    letter = kind._type_
    if letter == "c":
        return char[1]
    if letter == "?":
        return bool8
    if letter in _POINTERS:
        return integer(ctypes.sizeof(kind), signed=False)
    swapped = _swapped(kind)
    if letter in _SIGNED | _UNSIGNED:
        return integer(ctypes.sizeof(kind), signed=letter in _SIGNED, swapped=swapped)
    if letter in "fd":
        number = f32 if letter == "f" else f64
        return number.be if swapped else number
    raise LayoutError(f"{where}: {kind.__name__} has no column; keep it as ctypes.c_ubyte * {ctypes.sizeof(kind)}")


def _array(kind: Any, where: str) -> FieldType:
    count, element = kind._length_, kind._type_
    while issubclass(element, ctypes.Array):
        # Rows of text are no text.
        if getattr(element._type_, "_type_", None) == "c":
            return raw[ctypes.sizeof(kind)]
        count, element = count * element._length_, element._type_
    if getattr(element, "_type_", None) == "c" and issubclass(element, ctypes._SimpleCData):
        return char[count]
    one = _type(element, where)
    if isinstance(one, Nested):
        return NestedArray(one.struct, count)
    if one is bool8:
        return integer(1, signed=False)[count]
    return one[count]


def _bits(size: int, kind: Any, where: str) -> Bits:
    # How ctypes tells it: the width, and the lowest bit of the number that the field is read as.
    base, width, bit = _type(kind, where), size >> 16, size & 0xFFFF
    if not isinstance(base, Number):
        raise LayoutError(f"{where}: {kind.__name__} has no bits to take")
    # Before Python 3.14, where it goes on in the unit of another type.
    if bit + width > 8 * base.size:
        raise LayoutError(
            f"{where}: ctypes reads {width} bits of {kind.__name__} from bit {bit} on, which it has not; "
            f"give the bitfields before it the same type, or use fb.bits, which follows C compilers"
        )
    return Bits(base, width, bit=bit)


def _swapped(kind: Any) -> bool:
    other = "__ctype_be__" if sys.byteorder == "little" else "__ctype_le__"
    return getattr(kind, other, None) is kind
