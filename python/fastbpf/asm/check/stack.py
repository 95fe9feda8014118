"""The stack of a frame: 512 bytes below r10, of which each has been written or not.

Loads and stores stand at multiples of their size, so that none crosses a border of 8 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from fastbpf.asm.check.values import ANYTHING, NUMBERS, Leaf, Pointer, Term, any_number, truncate, vague

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbpf.asm.check.values import Number, Value


class _Mark:
    __slots__ = ()


#: a byte that a helper wrote: any number
WRITTEN: Final = _Mark()
#: a byte of which the check lost track: it may have been written, with whatever
LOST: Final = _Mark()

if TYPE_CHECKING:
    # a byte: not written, one of the marks, or which byte of a value of how many bytes
    Byte: TypeAlias = _Mark | tuple[Value, int, int] | None
    Eight: TypeAlias = Value | tuple[Byte, ...]

_UNWRITTEN: Final[tuple[Byte, ...]] = (None,) * 8


class Stack:
    """What a frame's stack holds, by its eights of bytes: a value of 8 bytes, or a tuple of 8 bytes."""

    __slots__ = ("_eights",)

    def __init__(self, eights: dict[int, Eight] | None = None) -> None:
        self._eights = eights or {}

    def copy(self) -> Stack:
        """The same, to be changed apart."""
        return Stack(self._eights.copy())

    def store(self, off: int, size: int, value: Value) -> None:
        """Writes the low bytes of a value."""
        place, first = divmod(off, 8)
        if size == 8:
            self._eights[place] = value
        else:
            self._put(place, first, [(value, index, size) for index in range(size)])

    def load(self, off: int, size: int) -> Value | None:
        """Reads a value; None if a byte of it has not been written."""
        place, first = divmod(off, 8)
        held = self._eights.get(place, _UNWRITTEN)
        if not isinstance(held, tuple) and size == 8:
            return held
        bytes = _bytes(held)[first : first + size]
        if None in bytes:
            return None
        if all(byte is WRITTEN for byte in bytes):
            # read again, it is the same
            number = any_number(8 * size)
            self.store(off, size, number)
            return number
        return _joined(bytes, size)

    def garbage(self, off: int, size: int) -> Number:
        """What is read where something has not been written: whatever stood there."""
        place, first = divmod(off, 8)
        held = _bytes(self._eights.get(place, _UNWRITTEN))[first : first + size]
        if any(byte is not None for byte in held):
            return vague((1 << 8 * size) - 1)
        number = any_number(8 * size)
        self.store(off, size, number)
        return number

    def holds_address(self, off: int) -> bool:
        """Whether the 8 bytes around a place are one address."""
        return type(self._eights.get(off >> 3)) is Pointer

    def unwritten(self, off: int, size: int) -> int | None:
        """The first of these bytes that has not been written."""
        for at in range(off, off + size):
            held = self._eights.get(at >> 3, _UNWRITTEN)
            if isinstance(held, tuple) and held[at & 7] is None:
                return at
        return None

    def fill(self, off: int, size: int) -> None:
        """A helper wrote these bytes."""
        self._mark(off, off + size, WRITTEN)

    def lose(self, start: int, end: int) -> None:
        """These bytes may have been written, or not."""
        self._mark(start, end, LOST)

    def replace(self, change: Callable[[Pointer], Value]) -> None:
        """Changes every address that the stack holds."""
        for place, held in self._eights.items():
            if type(held) is Pointer:
                self._eights[place] = change(held)

    def forget_numbers(self) -> None:
        """Makes every number on the stack one of which nothing is known."""
        for place, held in self._eights.items():
            if isinstance(held, tuple):
                self._eights[place] = tuple(
                    [
                        (vague(), 0, 8) if isinstance(byte, tuple) and isinstance(byte[0], NUMBERS) else byte
                        for byte in held
                    ]
                )
            elif isinstance(held, NUMBERS):
                self._eights[place] = vague()

    def told(self, tell: Callable[[Value], object]) -> Iterator[object]:
        """What the stack holds, for comparison with others."""
        for place in sorted(self._eights):
            held = self._eights[place]
            yield place
            if isinstance(held, tuple):
                yield tuple([(tell(byte[0]), *byte[1:]) if isinstance(byte, tuple) else byte for byte in held])
            else:
                yield tell(held)

    def _put(self, place: int, first: int, bytes: list[Byte]) -> None:
        held = list(_bytes(self._eights.get(place, _UNWRITTEN)))
        held[first : first + len(bytes)] = bytes
        self._eights[place] = tuple(held)

    def _mark(self, start: int, end: int, mark: _Mark) -> None:
        at = start
        while at < end:
            count = min(8 - (at & 7), end - at)
            self._put(at >> 3, at & 7, [mark] * count)
            at += count


def _bytes(held: Eight) -> tuple[Byte, ...]:
    return held if isinstance(held, tuple) else tuple([(held, index, 8) for index in range(8)])


def _joined(bytes: tuple[Byte, ...], size: int) -> Value:
    total = 0
    first = bytes[0]
    if isinstance(first, tuple) and isinstance(first[0], (Leaf, Term)):
        value: Number = first[0]
        # little-endian: the lowest bytes come first
        if first[1] == 0 and all(
            isinstance(byte, tuple) and byte[0] is value and byte[1] == at for at, byte in enumerate(bytes)
        ):
            return truncate(value, 8 * size)
    known = True
    for at, byte in enumerate(bytes):
        if byte is LOST or (isinstance(byte, tuple) and not isinstance(byte[0], NUMBERS)):
            return ANYTHING
        if isinstance(byte, tuple) and isinstance(byte[0], int):
            total |= (byte[0] >> 8 * byte[1] & 0xFF) << 8 * at
        else:
            known = False
    return total if known else vague((1 << 8 * size) - 1)
