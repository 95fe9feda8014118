"""Packet loads of the classic kind: `ldabsh(12)` reads 2 bytes in network order at byte 12 of the packet into r0.

Only programs on a socket or in traffic control have them, and r6 must hold the context.

>>> from fastbpf.asm import ldabsh, ldindb, r7
>>> ldabsh(12), ldindb(r7, 14)
(ldabsh(12), ldindb(r7, 14))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import REGISTERS, Register, register, signed32
from fastbpf.asm.refusal import checked
from fastbpf.asm.source import here

__all__ = ["ldabsb", "ldabsh", "ldabsw", "ldindb", "ldindh", "ldindw"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BITS = {op.B: 8, op.H: 16, op.W: 32}
_REMEDY = "put it into a register with const()"


class _LoadPacket(Mnemonic):
    """r0 = a big-endian number of the packet whose `struct __sk_buff` r6 points to."""

    def __init__(self, name: str, size: int) -> None:
        self._opcode = op.LD | op.ABS | size
        meaning = (
            f"r0 = ntoh(*(u{_BITS[size]} *)(packet + off)), the packet that r6 describes; ends the program if too short"
        )
        super().__init__(name, meaning, (self._opcode, 0))

    @checked
    def __call__(self, off: int) -> Instruction:
        """r0 = the number at byte `off` of the packet, 32 bits signed. Needs the context in r6; clobbers r1 to r5."""
        return Instruction(self._opcode, imm=signed32(off, _REMEDY), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (insn.imm,)


class _LoadPacketIndirect(Mnemonic):
    """The same at an offset that a register adds to."""

    def __init__(self, name: str, size: int) -> None:
        self._opcode = op.LD | op.IND | size
        meaning = f"r0 = ntoh(*(u{_BITS[size]} *)(packet + src + off)), as ldabs does"
        super().__init__(name, meaning, (self._opcode, 0))

    @checked
    def __call__(self, src: Register, off: int) -> Instruction:
        """r0 = the number at byte `src + off` of the packet. Needs the context in r6; clobbers r1 to r5."""
        return Instruction(self._opcode, 0, register(src), imm=signed32(off, _REMEDY), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.src], insn.imm


ldabsb: Final = _LoadPacket("ldabsb", op.B)
ldabsh: Final = _LoadPacket("ldabsh", op.H)
ldabsw: Final = _LoadPacket("ldabsw", op.W)
ldindb: Final = _LoadPacketIndirect("ldindb", op.B)
ldindh: Final = _LoadPacketIndirect("ldindh", op.H)
ldindw: Final = _LoadPacketIndirect("ldindw", op.W)
