"""Arithmetic: `r1 += r2`, `w1 = 5`, `r1 = (s8)r2`."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text import words
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, bits32, bits64, number, number64, register, signed32, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread

_ALU = {sign: (code, 0) for code, sign in words.ALU.items()} | {sign: (code, 1) for code, sign in words.SIGNED.items()}
_SIGNS = r"(s?[/%]=|s?>>=|<<=|[-+*|&^]?=)"


@form(f"REG {_SIGNS} REG")
def _registers(unread: Unread, dst: str, sign: str, src: str) -> Instruction:
    if dst[0] != src[0]:
        raise StatementError(src, f"{dst} and {src} are of different widths; both are r, or both w")
    code, off = _ALU[sign]
    return unread.make(code | op.X | (op.ALU64 if dst[0] == "r" else op.ALU), register(dst), register(src), off)


@form(f"REG {_SIGNS} NUM")
def _number(unread: Unread, dst: str, sign: str, value: str) -> Instruction:
    code, off = _ALU[sign]
    if dst[0] == "w":
        return unread.make(code | op.ALU, register(dst), 0, off, bits32(value))
    if code == op.MOV and (unread.is_wide or not -(1 << 31) <= number64(value) < 1 << 31):
        return unread.make(op.WIDE, register(dst), imm=bits64(value))
    remedy = (
        f"; to keep the low 32 bits: w{dst[1:]} = w{dst[1:]}" if sign == "&=" and bits64(value) == 0xFFFFFFFF else ""
    )
    remedy = remedy or f"; load it into a register first: r0 = {value} ll"
    return unread.make(code | op.ALU64, register(dst), 0, off, signed32(value, remedy))


@form("REG = - REG")
def _negation(unread: Unread, dst: str, src: str) -> Instruction:
    if dst != src:
        raise StatementError(src, f"a register is negated in its place: {dst} = -{dst}")
    return unread.make(op.NEG | (op.ALU64 if dst[0] == "r" else op.ALU), register(dst))


@form(r"REG = \( s(8|16|32) \) REG")
def _sign_extension(unread: Unread, dst: str, bits: str, src: str) -> Instruction:
    if dst[0] != src[0] or (dst[0] == "w" and bits == "32"):
        raise StatementError(
            src, f"an extension is written r1 = (s{bits})r2" + ("" if bits == "32" else f" or w1 = (s{bits})w2")
        )
    return unread.make(op.MOV | op.X | (op.ALU64 if dst[0] == "r" else op.ALU), register(dst), register(src), int(bits))


@form("REG = (le|be|bswap)(16|32|64)~REG")
def _swap(unread: Unread, dst: str, order: str, bits: str, src: str) -> Instruction:
    if dst != src:
        raise StatementError(src, f"bytes are swapped in their place: {dst} = {order}{bits} {dst}")
    opcode = {"le": op.END | op.ALU, "be": op.END | op.X | op.ALU, "bswap": op.END | op.ALU64}[order]
    return unread.make(opcode, whole(dst), imm=int(bits))


@form(r"REG = addr_space_cast \( REG , NUM , NUM \)")
def _cast(unread: Unread, dst: str, src: str, to: str, origin: str) -> Instruction:
    upper, lower = (number(text, 0, 0xFFFF, "an address space") for text in (to, origin))
    imm = ((upper << 16 | lower) ^ 0x80000000) - 0x80000000
    return unread.make(op.MOV | op.X | op.ALU64, whole(dst), whole(src), words.ADDR_SPACE_CAST, imm)


@form(r"REG = & \( void~__percpu \* \) \( REG \)")
def _percpu(unread: Unread, dst: str, src: str) -> Instruction:
    return unread.make(op.MOV | op.X | op.ALU64, whole(dst), whole(src), words.PERCPU)
