"""What instructions work on: registers, addresses, numbers, maps; and the rules each of them must meet.

>>> fp - 8, r6 + 24
(fp - 8, r6 + 24)
"""

from __future__ import annotations

from fastbpf.asm.refusal import OperandError, is_map, show
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class MapObject(Protocol):
        """Anything that stands for a map: a MapSpec, or a live Map."""

        @property
        def __bpf_map__(self) -> bool: ...


class Register(Value):
    """A 64-bit register: r0 holds results, r1 to r5 arguments, r6 to r9 survive calls, r10 (fp) ends the stack frame.

    Adding a number to a register, or taking one from it, gives an `Address`.
    """

    __match_args__ = ("number",)
    __slots__ = __match_args__
    number: int

    def __init__(self, number: int) -> None:
        if type(number) is not int or not 0 <= number <= 10:
            raise AsmError(f"{here()}: there is no register {number!r}; they are numbered 0 to 10")
        fill(self, "number", number)

    def __add__(self, offset: int) -> Address:
        return Address(self, 0) + offset

    def __sub__(self, offset: int) -> Address:
        return Address(self, 0) - offset

    def __repr__(self) -> str:
        return "fp" if self.number == 10 else f"r{self.number}"


class Address(Value):
    """A register plus an offset in bytes: `fp - 8` is the highest 8-byte place of the stack. Only calls take one."""

    __match_args__ = ("base", "offset")
    __slots__ = __match_args__
    base: Register
    offset: int

    def __init__(self, base: Register, offset: int) -> None:
        fill(self, "base", base)
        fill(self, "offset", offset)

    def __add__(self, offset: int) -> Address:
        if isinstance(offset, bool) or not isinstance(offset, int):
            return NotImplemented
        return Address(self.base, self.offset + offset)

    def __sub__(self, offset: int) -> Address:
        if isinstance(offset, bool) or not isinstance(offset, int):
            return NotImplemented
        return Address(self.base, self.offset - offset)

    def __repr__(self) -> str:
        return f"{self.base} {'-' if self.offset < 0 else '+'} {abs(self.offset)}"


REGISTERS: Final = tuple(Register(number) for number in range(11))
r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 = REGISTERS
fp: Final = r10


def register(value: object) -> int:
    """The number of a register."""
    if type(value) is Register:
        return value.number
    raise OperandError(f"{show(value)} is not a register; registers are r0 to r10, and fp which is r10{_hint(value)}")


def writable(value: object) -> int:
    """The number of a register that programs may write."""
    number = value.number if type(value) is Register else register(value)
    if number == 10:
        raise OperandError("r10 (fp) cannot be written; it always holds the end of the stack frame")
    return number


def integer(value: object, what: str = "a number") -> int:
    """A Python int. A bool or a float is a slip of the pen."""
    if type(value) is int:
        return value
    if isinstance(value, bool | type) or not hasattr(value, "__index__"):
        raise OperandError(f"{show(value)} is not {what}{_hint(value)}")
    return int(value.__index__())


def within(value: object, low: int, high: int, what: str) -> int:
    """An int of a range, both ends included. `what` names it in the error: "the offset"."""
    number = value if type(value) is int else integer(value, f"an integer, which {what} must be")
    if not low <= number <= high:
        raise OperandError(f"{what} must be from {low} to {high}, not {number}")
    return number


def offset16(value: object) -> int:
    """The offset of a load or a store, in bytes."""
    return within(value, -(1 << 15), (1 << 15) - 1, "the offset")


def signed32(value: object, remedy: str) -> int:
    """A number that a 64-bit instruction carries: 32 bits, which the kernel extends by their sign."""
    number = value if type(value) is int else integer(value, "a register or a number")
    if not -(1 << 31) <= number < 1 << 31:
        raise OperandError(
            f"{number} does not fit: a 64-bit instruction carries a number of -2**31 to 2**31 - 1; {remedy}"
        )
    return number


def is_upper_half(value: object) -> bool:
    """Whether it is a number of 32 bits that would be another one when it is extended by its sign."""
    return isinstance(value, int) and 1 << 31 <= value < 1 << 32


def bits32(value: object, remedy: str) -> int:
    """A number that a 32-bit instruction carries, written signed or unsigned; comes back signed."""
    number = value if type(value) is int else integer(value, "a register or a number")
    if not -(1 << 31) <= number < 1 << 32:
        raise OperandError(
            f"{number} does not fit: a 32-bit instruction carries a number of -2**31 to 2**32 - 1; {remedy}"
        )
    return number - (1 << 32) if number >= 1 << 31 else number


def symbol(value: str) -> str:
    """The name of a function or a variable of the kernel."""
    if value.isidentifier() and value.isascii():
        return value
    raise OperandError(f"{show(value)} cannot be the name of a function or a variable of the kernel")


def bits64(value: object) -> int:
    """A number of 64 bits, written signed or unsigned; comes back signed."""
    number = integer(value)
    if not -(1 << 63) <= number < 1 << 64:
        raise OperandError(f"{number} does not fit into 64 bits: -2**63 to 2**64 - 1")
    return number - (1 << 64) if number >= 1 << 63 else number


def label_name(value: object) -> str:
    """The name of a label: any text but none at all."""
    if isinstance(value, str) and value:
        return value
    raise OperandError(f'{show(value)} cannot name a label; that is text, such as "exit"')


def target(value: object, bits: int) -> tuple[str | None, int]:
    """Where a branch goes: to a label, or over a number of slots."""
    if isinstance(value, str):
        return label_name(value), 0
    return None, within(value, -(1 << bits - 1), (1 << bits - 1) - 1, "a distance that is not the name of a label")


def map_object(value: object) -> object:
    """A map, for the loads that name one."""
    if is_map(value):
        return value
    raise OperandError(f"{show(value)} is not a map; give a MapSpec or a Map")


def _hint(value: object) -> str:
    if type(value) is Address:
        base, offset = value.base, value.offset
        return f" (only a call takes an address; elsewhere: mov(r2, {base}), add(r2, {offset}))"
    if is_map(value):
        return " (ld_map loads a map into a register)"
    return ""
