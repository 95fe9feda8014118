"""Bitfields."""

from __future__ import annotations

import operator
import sys
from typing import Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record.types import INTEGERS, FieldType, Number, bool8, integer

__all__ = ["bits"]


class Bits(FieldType):
    """Some bits of an integer. Made by `fb.bits`.

    `base` is what was declared, `storage` the integer that is read, `bit` the lowest bit in it, counted from its least
    significant one.
    """

    __slots__ = ("base", "bit", "storage", "width")

    def __init__(self, base: Number, width: int, storage: Number | None = None, bit: int = 0) -> None:
        self.base: Final = base
        self.width: Final = width
        self.storage: Final = storage or base
        self.bit: Final = bit
        size = self.storage.size
        super().__init__(f"{self.storage.code}:{bit}:{width}", size, base.align, f"fb.bits({base!r}, {width})")

    def placed(self, position: int, total: int) -> tuple[int, Bits]:
        """Where to read what C puts at that bit of a struct of `total` bytes: the storage's offset, and its type.

        On big-endian machines C fills each unit from its most significant bit.
        """
        first, end = position // 8, -(-(position + self.width) // 8)
        for size in sorted((1, 2, 4, 8), key=lambda size: (size != self.base.size, size)):
            # The aligned unit, which C means; in packed structs any bytes that hold the bits.
            for offset in (first - first % size, *range(max(0, end - size), first + 1)):
                if end <= offset + size <= total:
                    bit = position - 8 * offset
                    bit = bit if sys.byteorder == "little" else 8 * size - bit - self.width
                    return offset, Bits(self.base, self.width, self._storage(size), bit)
        raise LayoutError(
            f"{self!r} at bit {position} of {total} bytes: no integer of 1, 2, 4 or 8 bytes in the struct holds the "
            f"bits; keep them as fb.raw[N]"
        )

    def _storage(self, size: int) -> Number:
        return self.base if size == self.base.size else integer(size, signed=self.base.code.startswith("i"))

    def _pack(self, value: Any) -> bytes:
        data = bytearray(self.size)
        self.pack_into(data, 0, value)
        return bytes(data)

    def pack_into(self, data: bytearray, offset: int, value: Any) -> None:
        try:
            number = operator.index(value)
        except TypeError:
            raise self._refusal(value) from None
        least, most = (-(1 << self.width - 1), 1 << self.width - 1) if self._signed else (0, 1 << self.width)
        if not least <= number < most:
            raise self._refusal(value)
        mask = (1 << self.width) - 1
        there = int.from_bytes(data[offset : offset + self.size], self._order)
        there = there & ~(mask << self.bit) | (number & mask) << self.bit
        data[offset : offset + self.size] = there.to_bytes(self.size, self._order)

    def _unpack(self, data: bytes) -> Any:
        number = int.from_bytes(data, self._order) >> self.bit & (1 << self.width) - 1
        if self._signed and number >> self.width - 1:
            number -= 1 << self.width
        return bool(number) if self.base is bool8 else number

    @property
    def _signed(self) -> bool:
        return self.storage.code.startswith("i")

    @property
    def _order(self) -> Any:
        return "big" if self.storage.code.endswith("be") else sys.byteorder


def bits(base: FieldType, width: int) -> Bits:
    """A bitfield: `width` bits of an integer, next to the bitfield before it as C compilers (gcc, clang) lay them out.

    Its column has the type of the integer; `fb.bits(fb.bool8, 1)` is true or false.

    >>> import fastbpf as fb
    >>> class Flags(fb.Struct):
    ...     version: fb.bits(fb.u8, 4)
    ...     length: fb.bits(fb.u8, 4)
    ...     delta: fb.bits(fb.i16, 12)
    >>> Flags.size, Flags.columns()
    (4, [('version', 0, 'u8:0:4'), ('length', 0, 'u8:4:4'), ('delta', 2, 'i16:0:12')])
    >>> Flags(version=4, length=5, delta=-1).pack().hex()
    '5400ff0f'

    Raises:
        LayoutError: a base that is no integer of this machine's byte order, more bits than it has.
    """
    if not isinstance(base, Number) or base.code not in {*INTEGERS, "bool"}:
        raise LayoutError(
            f"fb.bits({base!r}, {width!r}): bits are taken from an integer such as fb.u32, or of fb.bool8"
        )
    most = 1 if base is bool8 else 8 * base.size
    if type(width) is not int or not 0 < width <= most:
        raise LayoutError(f"fb.bits({base!r}, {width!r}): give 1 to {most} bits")
    return Bits(base, width)
