"""The type of a field, and those that are one number: integers, floats, truth, times."""

from __future__ import annotations

import struct
import sys
from typing import Any, Final

from fastbpf.errors import LayoutError

__all__ = ["FieldType"]
__all__ += ["be16", "be32", "be64", "bool8", "boottime", "duration", "f32", "f64", "ktime", "spin_lock", "tai"]
__all__ += ["i8", "i16", "i32", "i64", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"]


class FieldType:
    """The type of one field: how many bytes it takes, and which column it becomes.

    >>> import fastbpf as fb
    >>> fb.u64[20]
    fb.u64[20]
    >>> fb.u64[20].size, fb.u64[20].align
    (160, 8)
    """

    __slots__ = ("_name", "align", "code", "size")

    def __init__(self, code: str, size: int, align: int, name: str | None = None) -> None:
        self.code: Final = code
        self.size: Final = size
        self.align: Final = align
        self._name: Final = f"fb.{code}" if name is None else name

    def __repr__(self) -> str:
        return self._name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldType) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __getitem__(self, count: int) -> FieldType:
        raise LayoutError(
            f"{self!r} cannot be an array; arrays are made of integers, floats, Structs, and by fb.char and fb.raw"
        )

    def pack(self, value: Any) -> bytes:
        r"""The value as the kernel keeps it, `size` bytes.

        >>> import fastbpf as fb
        >>> fb.u16.pack(513), fb.be16.pack(513)
        (b'\x01\x02', b'\x02\x01')
        >>> fb.u8.pack(300)
        Traceback (most recent call last):
            ...
        fastbpf.errors.LayoutError: 300 does not fit into fb.u8
        """
        return self._pack(value)

    def unpack(self, data: bytes) -> Any:
        """The value that `pack` made these bytes from.

        >>> import fastbpf as fb
        >>> fb.char[16].unpack(b"bash".ljust(16, bytes(1)))
        'bash'
        """
        return self._unpack(data)

    def pack_into(self, data: bytearray, offset: int, value: Any) -> None:
        """Writes the value where the field begins; of a bitfield, its own bits and no others."""
        data[offset : offset + self.size] = self.pack(value)

    def _pack(self, value: Any) -> bytes:
        raise NotImplementedError

    def _unpack(self, data: bytes) -> Any:
        raise NotImplementedError

    def _refusal(self, value: object) -> LayoutError:
        return LayoutError(f"{value!r} does not fit into {self!r}")


class Number(FieldType):
    """A type of one number, which the struct module packs."""

    __slots__ = ("_format",)

    def __init__(self, code: str, packing: str, name: str | None = None) -> None:
        size = struct.calcsize(packing)
        super().__init__(code, size, size, name)
        self._format: Final = packing

    @property
    def be(self) -> Number:
        """The same in the network's byte order. The kernel's names of the unsigned ones are fb.be16, be32 and be64.

        >>> import fastbpf as fb
        >>> fb.u16.be, fb.i32.be
        (fb.be16, fb.i32.be)
        """
        swapped = PLAIN.get(f"{self.code}be")
        if swapped is None:
            raise LayoutError(f"{self!r} has no byte order to choose; integers and floats of several bytes have")
        return swapped

    def __getitem__(self, count: int) -> FieldType:
        return Numbers(self, count) if self.code in PLAIN else super().__getitem__(count)

    def _pack(self, value: Any) -> bytes:
        try:
            return struct.pack(self._format, value)
        except (struct.error, TypeError, OverflowError):
            raise self._refusal(value) from None

    def _unpack(self, data: bytes) -> Any:
        return struct.unpack(self._format, data)[0]


class Numbers(FieldType):
    """A fixed number of integers or floats."""

    __slots__ = ("_format", "element")

    def __init__(self, element: Number, count: int) -> None:
        check_count(element.code, count)
        super().__init__(f"{element.code}[{count}]", element.size * count, element.align, f"{element!r}[{count}]")
        self.element: Final = element
        self._format: Final = f"{element._format[0]}{count}{element._format[1]}"

    def _pack(self, value: Any) -> bytes:
        try:
            return struct.pack(self._format, *value)
        except (struct.error, TypeError, OverflowError):
            raise self._refusal(value) from None

    def _unpack(self, data: bytes) -> tuple[Any, ...]:
        return struct.unpack(self._format, data)


def check_count(code: str, count: int) -> int:
    if type(count) is not int or not 0 < count <= 1 << 20:
        raise LayoutError(f"{code}[{count!r}]: the count has to be a whole number from 1 to {1 << 20}")
    return count


u8: Final = Number("u8", "=B")
u16: Final = Number("u16", "=H")
u32: Final = Number("u32", "=I")
u64: Final = Number("u64", "=Q")
i8: Final = Number("i8", "=b")
i16: Final = Number("i16", "=h")
i32: Final = Number("i32", "=i")
i64: Final = Number("i64", "=q")
f32: Final = Number("f32", "=f")
f64: Final = Number("f64", "=d")
# The kernel's names for them.
s8, s16, s32, s64 = i8, i16, i32, i64
be16: Final = Number("u16be", ">H", "fb.be16")
be32: Final = Number("u32be", ">I", "fb.be32")
be64: Final = Number("u64be", ">Q", "fb.be64")
bool8: Final = Number("bool", "=?", "fb.bool8")
# u64 nanoseconds of CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_TAI → timestamp[ns, UTC]; how long something took.
ktime: Final = Number("ktime", "=Q")
boottime: Final = Number("boottime", "=Q")
tai: Final = Number("tai", "=Q")
duration: Final = Number("duration", "=Q")
# A struct bpf_spin_lock, for programs that change a value of a map together (Linux 5.1); 0 here, and not a column.
spin_lock: Final = Number("spin_lock", "=I")

_SWAPPED: Final = (
    Number(f"{kind.code}be", f">{kind._format[1]}", f"{kind!r}.be") for kind in (i16, i32, i64, f32, f64)
)
INTEGERS: Final = {kind.code: kind for kind in (u8, u16, u32, u64, i8, i16, i32, i64)}
# Integers and floats in both byte orders: what arrays are made of.
PLAIN: Final = {**INTEGERS, **{kind.code: kind for kind in (f32, f64, be16, be32, be64, *_SWAPPED)}}


def is_integer(kind: object) -> bool:
    return isinstance(kind, Number) and kind.code.removesuffix("be") in INTEGERS


def integer(size: int, *, signed: bool, swapped: bool = False) -> Number:
    # In this machine's byte order, or in the other one.
    if swapped and sys.byteorder == "big":
        raise LayoutError("a little-endian integer on a big-endian machine has no column; keep it as fb.raw[N]")
    return PLAIN[f"{'i' if signed else 'u'}{8 * size}{'be' if swapped and size > 1 else ''}"]


# As text of the record's tail, other elements: made by the tracer for __data_loc arrays.
_TAIL_ELEMENTS: Final = {**{name: f"{name}[]" for name in INTEGERS}, "bytes": "bytes[]"}


def tail(element: str) -> FieldType:
    # A list (or bytes) of any length in the record's tail, found as text[N] is.
    return Number(_TAIL_ELEMENTS[element], "=I")
