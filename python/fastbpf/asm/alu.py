"""Arithmetic: `add(r1, r2)` is r1 += r2 in 64 bits, `add32(r1, r2)` in 32 bits, which makes the upper half of r1 zero.

A number in a 64-bit instruction has 32 bits and is extended by its sign; `const` puts any number into a register.

>>> from fastbpf.asm import add, const, r1, r2
>>> add(r1, r2), add(r1, -8), const(r1, 0xFFFF_FFFF)
(add(r1, r2), add(r1, -8), mov32(r1, -1))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import (
    REGISTERS,
    Register,
    bits32,
    bits64,
    integer,
    is_upper_half,
    register,
    signed32,
    within,
    writable,
)
from fastbpf.asm.refusal import OperandError, checked
from fastbpf.asm.source import here

__all__ = ["add", "const", "div", "mod", "mov", "mul", "neg", "sdiv", "smod", "sub"]
__all__ += ["and_", "arsh", "lsh", "or_", "rsh", "xor"]
__all__ += ["add32", "and32", "div32", "mod32", "mov32", "mul32", "or32", "sdiv32", "smod32", "sub32"]
__all__ += ["arsh32", "lsh32", "neg32", "rsh32", "xor32"]
__all__ += ["addr_space_cast", "movsx8", "movsx8_32", "movsx16", "movsx16_32", "movsx32"]
__all__ += ["be16", "be32", "be64", "bswap16", "bswap32", "bswap64", "le16", "le32", "le64"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class _Alu(Mnemonic):
    """dst = dst (op) src, where src is a register or a number."""

    def __init__(self, name: str, code: int, bits: int, meaning: str, off: int = 0) -> None:
        self._opcode = code | (op.ALU64 if bits == 64 else op.ALU)
        self._bits = bits
        self._off = off
        super().__init__(name, meaning, (self._opcode | op.K, off), (self._opcode | op.X, off))

    @checked
    def __call__(self, dst: Register, src: Register | int) -> Instruction:
        """dst = dst (op) src."""
        number = writable(dst)
        if type(src) is Register:
            return Instruction(self._opcode | op.X, number, src.number, self._off, source=here())
        return Instruction(self._opcode | op.K, number, 0, self._off, self._number(src, dst), source=here())

    def _number(self, src: object, dst: Register) -> int:
        remedy = "put it into a register with const() and give the register"
        if self._bits == 32:
            return bits32(src, remedy)
        if self is and_ and is_upper_half(src):
            same = f"mov32({dst}, {dst})" if src == 0xFFFFFFFF else f"and32({dst}, {src:#x})"
            remedy = f"{same} gives what this would"
        elif self is mov:
            remedy = f"const({dst}, {src}) loads it"
        return signed32(src, remedy)

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src] if insn.opcode & op.X else insn.imm


class _Shift(_Alu):
    """A shift, by a register (of which the kernel takes the low 6 bits, or 5) or by a number below the width."""

    def _number(self, src: object, dst: Register) -> int:
        return within(src, 0, self._bits - 1, f"a shift of {dst}")


class _Division(_Alu):
    """A division. By a register that holds 0 it gives 0, and a modulo leaves dst; by the number 0 it is refused."""

    def _number(self, src: object, dst: Register) -> int:
        if integer(src, "a register or a number") == 0:
            raise OperandError("the kernel refuses a division by the number 0")
        return super()._number(src, dst)


class _SignExtend(Mnemonic):
    """dst = the low bits of src, extended by their sign."""

    def __init__(self, name: str, bits: int, width: int) -> None:
        self._opcode = op.MOV | op.X | (op.ALU64 if width == 64 else op.ALU)
        self._bits = bits
        zeroed = "" if width == 64 else "; the upper half becomes 0"
        super().__init__(name, f"dst = (s{width})(s{bits})src{zeroed}. Linux 6.6.", (self._opcode, bits))

    @checked
    def __call__(self, dst: Register, src: Register) -> Instruction:
        """dst = the low bits of src, extended by their sign."""
        return Instruction(self._opcode, writable(dst), register(src), self._bits, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src]


class _AddressSpaceCast(Mnemonic):
    """dst = src, an address in an arena, as another address space has it."""

    @checked
    def __call__(self, dst: Register, src: Register, to: int, source: int) -> Instruction:
        """dst = src, an address of address space `source`, as address space `to` has it.

        Space 0 is the kernel's, space 1 the user's; pointers into an arena are stored as 1 and used as 0.
        """
        imm = within(to, 0, 0xFFFF, "an address space") << 16 | within(source, 0, 0xFFFF, "an address space")
        signed = (imm ^ 0x80000000) - 0x80000000
        return Instruction(self._opcode, writable(dst), register(src), 1, signed, source=here())

    _opcode = op.MOV | op.X | op.ALU64

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src], insn.imm >> 16 & 0xFFFF, insn.imm & 0xFFFF


class _InPlace(Mnemonic):
    """dst = (op) dst."""

    def __init__(self, name: str, opcode: int, imm: int, meaning: str) -> None:
        self._opcode = opcode
        self._imm = imm
        super().__init__(name, meaning, (opcode, imm))

    @checked
    def __call__(self, dst: Register) -> Instruction:
        """dst = (op) dst."""
        return Instruction(self._opcode, writable(dst), imm=self._imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (REGISTERS[insn.dst],)


@checked
def const(dst: Register, value: int) -> Instruction:
    """dst = value, any number of 64 bits, signed or unsigned, by the shortest instruction that does it.

    That is `mov` for -2**31 to 2**31 - 1 and `mov32` up to 2**32 - 1, one slot each; else `lddw`, two slots.
    """
    target, number = writable(dst), bits64(value)
    if -(1 << 31) <= number < 1 << 31:
        return mov(dst, number)
    if 0 <= number < 1 << 32:
        return mov32(dst, number)
    return Instruction(op.WIDE, target, imm=number, source=here())


mov: Final = _Alu("mov", op.MOV, 64, "dst = src")
add: Final = _Alu("add", op.ADD, 64, "dst += src")
sub: Final = _Alu("sub", op.SUB, 64, "dst -= src")
mul: Final = _Alu("mul", op.MUL, 64, "dst *= src")
div: Final = _Division("div", op.DIV, 64, "dst /= src, unsigned; 0 if src is 0")
sdiv: Final = _Division("sdiv", op.DIV, 64, "dst /= src, signed, towards zero; 0 if src is 0. Linux 6.6.", off=1)
mod: Final = _Division("mod", op.MOD, 64, "dst %= src, unsigned; dst stays if src is 0")
smod: Final = _Division(
    "smod", op.MOD, 64, "dst %= src, with the sign of dst; dst stays if src is 0. Linux 6.6.", off=1
)
and_: Final = _Alu("and_", op.AND, 64, "dst &= src")
or_: Final = _Alu("or_", op.OR, 64, "dst |= src")
xor: Final = _Alu("xor", op.XOR, 64, "dst ^= src")
lsh: Final = _Shift("lsh", op.LSH, 64, "dst <<= src")
rsh: Final = _Shift("rsh", op.RSH, 64, "dst >>= src, filling with zeros")
arsh: Final = _Shift("arsh", op.ARSH, 64, "dst >>= src, filling with the sign")
neg: Final = _InPlace("neg", op.NEG | op.ALU64, 0, "dst = -dst")

mov32: Final = _Alu("mov32", op.MOV, 32, "dst = src, in 32 bits: the upper half becomes 0")
add32: Final = _Alu("add32", op.ADD, 32, "dst += src, in 32 bits")
sub32: Final = _Alu("sub32", op.SUB, 32, "dst -= src, in 32 bits")
mul32: Final = _Alu("mul32", op.MUL, 32, "dst *= src, in 32 bits")
div32: Final = _Division("div32", op.DIV, 32, "dst /= src, unsigned, in 32 bits; 0 if src is 0")
sdiv32: Final = _Division("sdiv32", op.DIV, 32, "dst /= src, signed, in 32 bits; 0 if src is 0. Linux 6.6.", off=1)
mod32: Final = _Division("mod32", op.MOD, 32, "dst %= src, unsigned, in 32 bits; dst stays if src is 0")
smod32: Final = _Division("smod32", op.MOD, 32, "dst %= src, with the sign of dst, in 32 bits. Linux 6.6.", off=1)
and32: Final = _Alu("and32", op.AND, 32, "dst &= src, in 32 bits")
or32: Final = _Alu("or32", op.OR, 32, "dst |= src, in 32 bits")
xor32: Final = _Alu("xor32", op.XOR, 32, "dst ^= src, in 32 bits")
lsh32: Final = _Shift("lsh32", op.LSH, 32, "dst <<= src, in 32 bits")
rsh32: Final = _Shift("rsh32", op.RSH, 32, "dst >>= src, in 32 bits, filling with zeros")
arsh32: Final = _Shift("arsh32", op.ARSH, 32, "dst >>= src, in 32 bits, filling with the sign")
neg32: Final = _InPlace("neg32", op.NEG | op.ALU, 0, "dst = -dst, in 32 bits")

addr_space_cast: Final = _AddressSpaceCast(
    "addr_space_cast", "dst = src as another address space has it. Linux 6.9.", (op.MOV | op.X | op.ALU64, 1)
)

movsx8: Final = _SignExtend("movsx8", 8, 64)
movsx16: Final = _SignExtend("movsx16", 16, 64)
movsx32: Final = _SignExtend("movsx32", 32, 64)
movsx8_32: Final = _SignExtend("movsx8_32", 8, 32)
movsx16_32: Final = _SignExtend("movsx16_32", 16, 32)

le16: Final = _InPlace("le16", op.END | op.K | op.ALU, 16, "dst = (u16)dst, from or to little-endian")
le32: Final = _InPlace("le32", op.END | op.K | op.ALU, 32, "dst = (u32)dst, from or to little-endian")
le64: Final = _InPlace("le64", op.END | op.K | op.ALU, 64, "dst from or to little-endian")
be16: Final = _InPlace("be16", op.END | op.X | op.ALU, 16, "dst = (u16)dst, from or to big-endian")
be32: Final = _InPlace("be32", op.END | op.X | op.ALU, 32, "dst = (u32)dst, from or to big-endian")
be64: Final = _InPlace("be64", op.END | op.X | op.ALU, 64, "dst from or to big-endian")
bswap16: Final = _InPlace("bswap16", op.END | op.K | op.ALU64, 16, "dst = (u16)dst, its bytes reversed. Linux 6.6.")
bswap32: Final = _InPlace("bswap32", op.END | op.K | op.ALU64, 32, "dst = (u32)dst, its bytes reversed. Linux 6.6.")
bswap64: Final = _InPlace("bswap64", op.END | op.K | op.ALU64, 64, "dst, its bytes reversed. Linux 6.6.")
