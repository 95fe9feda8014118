"""Layouts of structured numpy dtypes."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from fastbpf.errors import LayoutError
from fastbpf.record.layout import Layout
from fastbpf.record.nested import Nested, NestedArray
from fastbpf.record.sized import Chars, char, raw
from fastbpf.record.struct import placed
from fastbpf.record.types import bool8, duration, f32, f64, integer, u8

if TYPE_CHECKING:
    from fastbpf.record.struct import Struct
    from fastbpf.record.types import FieldType


def read(dtype: Any, name: str) -> type[Struct]:
    """The layout of a structured dtype."""
    if getattr(dtype, "fields", None) is None or dtype.subdtype is not None:
        raise LayoutError(f'{dtype!r} is no structured dtype; give one with fields, np.dtype([("pid", "u4")])')
    fields: dict[str, FieldType] = {}
    offsets = {}
    for field in dtype.names:
        kind, offset, *_ = dtype.fields[field]
        fields[field] = _type(kind, f"{name}.{field}", field)
        offsets[field] = offset
    align = dtype.alignment if dtype.isalignedstruct else 1
    return placed(name, Layout(fields, offsets, dtype.itemsize, align, fixed=True))


def _type(dtype: Any, where: str, name: str) -> FieldType:
    if dtype.subdtype is not None:
        element, shape = dtype.subdtype
        return _array(_type(element, where, name), math.prod(shape), where)
    if dtype.fields is not None:
        return Nested(read(dtype, name))
    other = ">" if sys.byteorder == "little" else "<"
    match dtype.kind, dtype.itemsize:
        case "u" | "i", size:
            return integer(size, signed=dtype.kind == "i", swapped=dtype.byteorder == other)
        case "f", 4 | 8:
            number = f32 if dtype.itemsize == 4 else f64
            return number.be if dtype.byteorder == other else number
        case "b", _:
            return bool8
        case "S", size if size:
            return char[size]
        case "V", size if size:
            return raw[size]
        case "m", _ if dtype == "m8[ns]":
            return duration
        case "M", _:
            remedy = "times of the kernel are u8 nanoseconds of a clock: give fb.ktime or fb.boottime in a Struct"
        case "m", _:
            remedy = "durations are nanoseconds, m8[ns]"
        case "U", _:
            remedy = "text of the kernel is bytes, S16"
        case _:
            remedy = f"keep its bytes, V{dtype.itemsize or 8}"
    raise LayoutError(f"{where}: {dtype!r} has no column; {remedy}")


def _array(element: FieldType, count: int, where: str) -> FieldType:
    if isinstance(element, Nested):
        return NestedArray(element.struct, count)
    if element is bool8:
        return u8[count]
    if isinstance(element, Chars):
        return raw[element.size * count]
    try:
        return element[count]
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None
