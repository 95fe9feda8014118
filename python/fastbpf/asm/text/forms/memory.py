"""Loads and stores: `r1 = *(u64 *)(r2 +8)`, `*(u32 *)(r10 -8) = 5`, and those from the packet."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text import words
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, bits32, half, offset, signed32, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread


@form(r"REG = \* \( ([us])(8|16|32|64) \* \) PLACE")
def _load(unread: Unread, dst: str, sign: str, bits: str, base: str, off: str | None) -> Instruction:
    if sign == "s" and bits == "64":
        raise StatementError("s64", "a load of 64 bits is one of u64")
    into = whole(dst) if sign == "s" else half(dst, bits)
    mode = op.MEM if sign == "u" else op.MEMSX
    return unread.make(op.LDX | mode | words.BY_BITS[bits], into, whole(base), offset(off))


@form(r"\* \( BITS \) PLACE = REG")
def _store(unread: Unread, bits: str, base: str, off: str | None, src: str) -> Instruction:
    return unread.make(op.STX | op.MEM | words.BY_BITS[bits], whole(base), half(src, bits), offset(off))


@form(r"\* \( BITS \) PLACE = NUM")
def _store_number(unread: Unread, bits: str, base: str, off: str | None, value: str) -> Instruction:
    imm = signed32(value, "; load it into a register and store that") if bits == "64" else bits32(value)
    return unread.make(op.ST | op.MEM | words.BY_BITS[bits], whole(base), 0, offset(off), imm)


@form(r"REG = \* \( BITS \) skb \[ NUM \]")
def _packet(unread: Unread, dst: str, bits: str, off: str) -> Instruction:
    return unread.make(op.LD | op.ABS | _packet_size(dst, bits), imm=bits32(off))


@form(r"REG = \* \( BITS \) skb \[ AT \]")
def _packet_indirect(unread: Unread, dst: str, bits: str, src: str, off: str | None) -> Instruction:
    # LLVM leaves the number away, which bytes in the line show
    imm = bits32(off) if off else unread.field("imm")
    return unread.make(op.LD | op.IND | _packet_size(dst, bits), 0, whole(src), imm=imm)


def _packet_size(dst: str, bits: str) -> int:
    if dst not in ("r0", "w0"):
        raise StatementError(dst, "a load from the packet goes into r0")
    if bits == "64":
        raise StatementError("u64", "a load from the packet takes u8, u16 or u32")
    return words.BY_BITS[bits]
