"""What instructions do to numbers (RFC 9669 §4.1 and §4.3), on unsigned 64-bit values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op

if TYPE_CHECKING:
    from collections.abc import Callable

M32: Final = (1 << 32) - 1
M64: Final = (1 << 64) - 1


def signed(value: int, bits: int) -> int:
    """The number that the low bits are in two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _quotient(a: int, b: int) -> int:
    return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else 0


def _remainder(a: int, b: int) -> int:
    return a - _quotient(a, b) * b if b else a


def _reversed(a: int, bits: int) -> int:
    size = bits // 8
    return int.from_bytes((a & (1 << bits) - 1).to_bytes(size, "little"), "big")


# name: (a, b, bits) -> result, of which `compute` keeps the low bits
_OPERATIONS: Final[dict[str, Callable[[int, int, int], int]]] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "mul": lambda a, b, _: a * b,
    "div": lambda a, b, _: a // b if b else 0,
    "mod": lambda a, b, _: a % b if b else a,
    "sdiv": lambda a, b, bits: _quotient(signed(a, bits), signed(b, bits)),
    "smod": lambda a, b, bits: _remainder(signed(a, bits), signed(b, bits)),
    "or": lambda a, b, _: a | b,
    "and": lambda a, b, _: a & b,
    "xor": lambda a, b, _: a ^ b,
    "lsh": lambda a, b, bits: a << (b & bits - 1),
    "rsh": lambda a, b, bits: a >> (b & bits - 1),
    "arsh": lambda a, b, bits: signed(a, bits) >> (b & bits - 1),
    "extend": lambda a, b, _: signed(a, b),  # b: how many bits there are to extend
    "swap": lambda a, b, _: _reversed(a, b),
}

# the upper four bits of an arithmetic opcode; division, modulo and mov have more to them
NAMES: Final = {
    op.ADD: "add",
    op.SUB: "sub",
    op.MUL: "mul",
    op.DIV: "div",
    op.OR: "or",
    op.AND: "and",
    op.LSH: "lsh",
    op.RSH: "rsh",
    op.MOD: "mod",
    op.XOR: "xor",
    op.ARSH: "arsh",
}


def compute(name: str, bits: int, a: int, b: int) -> int:
    """The result of an operation in 64 or 32 bits; 32-bit ones take the low halves and leave the upper half 0."""
    mask = M64 if bits == 64 else M32
    return _OPERATIONS[name](a & mask, b & mask, bits) & mask


_COMPARISONS: Final[dict[str, Callable[[int, int, int], bool]]] = {
    "eq": lambda a, b, _: a == b,
    "gt": lambda a, b, _: a > b,
    "ge": lambda a, b, _: a >= b,
    "set": lambda a, b, _: bool(a & b),
    "sgt": lambda a, b, bits: signed(a, bits) > signed(b, bits),
    "sge": lambda a, b, bits: signed(a, bits) >= signed(b, bits),
}

# the upper four bits of a conditional jump: a comparison, and whether the jump is taken where it holds
JUMPS: Final = {
    op.JEQ: ("eq", True),
    op.JNE: ("eq", False),
    op.JGT: ("gt", True),
    op.JLE: ("gt", False),
    op.JGE: ("ge", True),
    op.JLT: ("ge", False),
    op.JSET: ("set", True),
    op.JSGT: ("sgt", True),
    op.JSLE: ("sgt", False),
    op.JSGE: ("sge", True),
    op.JSLT: ("sge", False),
}


def holds(name: str, bits: int, a: int, b: int) -> bool:
    """Whether a comparison holds, of 64 bits or of the low 32."""
    mask = M64 if bits == 64 else M32
    return _COMPARISONS[name](a & mask, b & mask, bits)
