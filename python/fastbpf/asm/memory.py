"""Loads and stores: `ldxdw(r1, r6, 8)` reads 8 bytes at r6 + 8, `stxdw(fp, -16, r0)` writes 8 bytes at fp - 16.

The letters at the end are the size: b, h, w, dw are 1, 2, 4, 8 bytes.

>>> from fastbpf.asm import fp, ldxb, r0, r1, stb, stxdw
>>> ldxb(r1, r0, 3), stxdw(fp, -16, r0), stb(fp, -1, 0)
(ldxb(r1, r0, 3), stxdw(fp, -16, r0), stb(fp, -1, 0))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import REGISTERS, Register, offset16, register, signed32, within, writable
from fastbpf.asm.refusal import checked
from fastbpf.asm.source import here

__all__ = ["ldxb", "ldxdw", "ldxh", "ldxsb", "ldxsh", "ldxsw", "ldxw"]
__all__ += ["stb", "stdw", "sth", "stw", "stxb", "stxdw", "stxh", "stxw"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BITS = {op.B: 8, op.H: 16, op.W: 32, op.DW: 64}


class _Load(Mnemonic):
    """dst = *(size *)(src + off)."""

    def __init__(self, name: str, size: int, mode: int = op.MEM) -> None:
        self._opcode = op.LDX | mode | size
        kind = "u" if mode == op.MEM else "s"
        newer = "" if mode == op.MEM else ", extended by its sign. Linux 6.6."
        super().__init__(name, f"dst = *({kind}{_BITS[size]} *)(src + off){newer}", (self._opcode, 0))

    @checked
    def __call__(self, dst: Register, src: Register, off: int) -> Instruction:
        """dst = *(size *)(src + off); off is in bytes, 16 bits signed."""
        return Instruction(self._opcode, writable(dst), register(src), offset16(off), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src], insn.off


class _Store(Mnemonic):
    """*(size *)(dst + off) = src, a register."""

    def __init__(self, name: str, size: int) -> None:
        self._opcode = op.STX | op.MEM | size
        super().__init__(name, f"*(u{_BITS[size]} *)(dst + off) = src", (self._opcode, 0))

    @checked
    def __call__(self, dst: Register, off: int, src: Register) -> Instruction:
        """*(size *)(dst + off) = src; off is in bytes, 16 bits signed."""
        return Instruction(self._opcode, register(dst), register(src), offset16(off), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.off, REGISTERS[insn.src]


class _StoreNumber(Mnemonic):
    """*(size *)(dst + off) = a number, signed or unsigned; 8 bytes take one of 32 bits, extended by its sign."""

    def __init__(self, name: str, size: int) -> None:
        self._opcode = op.ST | op.MEM | size
        self._bits = _BITS[size]
        super().__init__(name, f"*(u{self._bits} *)(dst + off) = a number", (self._opcode, 0))

    @checked
    def __call__(self, dst: Register, off: int, number: int) -> Instruction:
        """*(size *)(dst + off) = number; off is in bytes, 16 bits signed."""
        place, distance = register(dst), offset16(off)
        if self._bits == 64:
            imm = signed32(number, "put it into a register with const() and store that with stxdw")
        else:
            imm = within(number, -(1 << self._bits - 1), (1 << self._bits) - 1, "the number")
            if imm >= 1 << 31:
                imm -= 1 << 32
        return Instruction(self._opcode, place, 0, distance, imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.off, insn.imm


ldxb: Final = _Load("ldxb", op.B)
ldxh: Final = _Load("ldxh", op.H)
ldxw: Final = _Load("ldxw", op.W)
ldxdw: Final = _Load("ldxdw", op.DW)
ldxsb: Final = _Load("ldxsb", op.B, op.MEMSX)
ldxsh: Final = _Load("ldxsh", op.H, op.MEMSX)
ldxsw: Final = _Load("ldxsw", op.W, op.MEMSX)

stxb: Final = _Store("stxb", op.B)
stxh: Final = _Store("stxh", op.H)
stxw: Final = _Store("stxw", op.W)
stxdw: Final = _Store("stxdw", op.DW)

stb: Final = _StoreNumber("stb", op.B)
sth: Final = _StoreNumber("sth", op.H)
stw: Final = _StoreNumber("stw", op.W)
stdw: Final = _StoreNumber("stdw", op.DW)
