"""What the blocks about data share: places in memory, what a call leaves alone, the arguments of a call, labels."""

from __future__ import annotations

from collections.abc import Iterable

from fastbpf.asm import *
from fastbpf.asm import opcode as op
from fastbpf.asm.assembly import Piece
from fastbpf.asm.operands import REGISTERS, offset16, within
from fastbpf.asm.refusal import OperandError, nearest, show
from fastbpf.blocks.block import Block, on_stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from fastbpf.asm.assembly import Part

    #: Where data is: `fp - 16`, `r6 + 8`, or r6 for r6 + 0.
    Place: TypeAlias = Address | Register
    #: A number, or the register that holds it.
    Operand: TypeAlias = Register | int

_SIZES = {op.B: 1, op.H: 2, op.W: 4, op.DW: 8}

#: What a call writes or leaves undefined.
BY_CALLS = (r0, r1, r2, r3, r4, r5)


def place(value: object, size: int, align: int = 1, *, what: str = "the place") -> Address:
    """`size` bytes at an address. On the stack they must be within it, and aligned."""
    address = Address(value, 0) if type(value) is Register else value
    if type(address) is not Address:
        raise OperandError(f"{show(value)} is not an address; {what} is written fp - 16, or r6 + 8")
    if address.base == fp:
        on_stack(address, size, align, what=what)
    else:
        offset16(address.offset)
        offset16(address.offset + size - 1)
    return address


def size_of(value: object, most: int = 1 << 15, what: str = "the size") -> int:
    """A number of bytes, at least one."""
    return within(value, 1, most, what)


def extent(address: Address, size: int) -> tuple[int, int] | None:
    """The bytes of the stack that `size` bytes at an address are, None if they are elsewhere."""
    return (address.offset, address.offset + size) if address.base == fp else None


def apart(written: Address, size: int, what: str, key: object, count: int) -> None:
    """Refuse a place that the block writes before it reads the key, and that holds a part of it."""
    at = place(key, count)
    if at.base == written.base and at.offset < written.offset + size and written.offset < at.offset + count:
        raise OperandError(f"{what} of {size} bytes at {written} lies over the key of {count} bytes at {at}")


def survives(value: object, what: str) -> None:
    """Refuse a register, or an address by one, that the block needs after a call, and a call loses."""
    base = value.base if type(value) is Address else value
    if base in BY_CALLS:
        raise OperandError(f"{what} is needed after a call, which loses {base}; keep it in r6 to r9")


def numeric(value: object, what: str, instead: str) -> None:
    """Refuse fp where a register holds a number: it is the end of the stack."""
    if value == fp:
        raise OperandError(f"{what} is a number, and fp is an address; {instead}")


def moved(dst: Register) -> tuple[Instruction, ...]:
    """What brings the result of a call from r0 to where it is wanted."""
    return () if dst == r0 else (mov(dst, r0),)


def one_of(value: object, choices: Mapping[str, object], what: str) -> str:
    """One of a few words."""
    if isinstance(value, str) and value in choices:
        return value
    guess = nearest(value, choices) if isinstance(value, str) else ""
    raise OperandError(f"{show(value)} is no {what}; there are {', '.join(map(show, choices))}{guess}")


def settled(parts: Iterable[Part]) -> tuple[Instruction | Label | Piece, ...]:
    """The parts in one row, so that they can be looked at before they are assembled."""
    row: list[Instruction | Label | Piece] = []
    for part in parts:
        if isinstance(part, Instruction | Label | Piece):
            row.append(part)
        elif isinstance(part, str) or not isinstance(part, Iterable):
            raise OperandError(f"{show(part)} is not an instruction, a label, or an iterable of them")
        else:
            row += settled(part)
    return tuple(row)


def instructions(parts: Iterable[object]) -> Iterator[Instruction]:
    """The instructions of settled parts, those within pieces too."""
    for part in parts:
        if isinstance(part, Instruction):
            yield part
        elif isinstance(part, Piece):
            yield from instructions(settled(part.parts))


def written(parts: Iterable[object]) -> set[Register]:
    """The registers that settled parts write or leave undefined."""
    return {register for insn in instructions(parts) for register in _written(insn)}


def mentioned(parts: Iterable[object]) -> set[Register]:
    """The registers that settled parts read or write."""
    named = {REGISTERS[number] for insn in instructions(parts) for number in (insn.dst, insn.src) if number < 10}
    return named | written(parts)


def goals(parts: Iterable[object]) -> set[str | None]:
    """The labels that settled parts go to."""
    return {insn.label for insn in instructions(parts)}


def stores(parts: Iterable[object]) -> tuple[int, int] | None:
    """The range of the stack that the blocks among settled parts, and the stores at fp, write."""
    ranges: list[tuple[int, int] | None] = []
    for part in parts:
        if isinstance(part, Block):
            ranges.append(part.stack)
        elif isinstance(part, Piece):
            ranges.append(stores(settled(part.parts)))
        elif isinstance(part, Instruction) and part.opcode & 7 in (op.ST, op.STX) and part.dst == fp.number:
            ranges.append((part.off, part.off + _SIZES[part.opcode & 0x18]))
    found = [one for one in ranges if one]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _written(insn: Instruction) -> tuple[Register, ...]:
    code = insn.opcode & 7
    if insn.opcode == op.CALLS or (code == op.LD and insn.opcode != op.WIDE):
        return BY_CALLS  # packet loads use them up as calls do
    if code in (op.LD, op.LDX, op.ALU, op.ALU64):
        return (REGISTERS[insn.dst],)
    if code == op.STX and insn.opcode & 0xE0 == op.ATOMIC:
        if insn.kind == atomic_cmpxchg(r1, 0, r1).kind:
            return (r0,)
        if insn.imm == load_acquire(r1, r1, 0).imm:
            return (REGISTERS[insn.dst],)
        return (REGISTERS[insn.src],) if insn.imm & 1 else ()
    return ()
