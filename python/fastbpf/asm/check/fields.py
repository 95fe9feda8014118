"""Instructions that cannot be: opcodes that there are not, and fields with what the kernel refuses in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op
from fastbpf.asm.disassembly import decoded
from fastbpf.asm.instruction import MNEMONICS, Instruction
from fastbpf.errors import AsmError

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPCODES: Final = {opcode for opcode, _ in MNEMONICS}
_EXIT: Final = op.JMP | op.EXIT
_SHIFTS: Final = {op.LSH, op.RSH, op.ARSH}
_DIVISIONS: Final = {op.DIV, op.MOD}


def unknown(insn: Instruction) -> bool:
    """Whether no kernel has the opcode: programs are refused for that wherever it stands."""
    return insn.opcode not in _OPCODES


def refusals(instructions: Iterable[tuple[int, Instruction]]) -> dict[int, str]:
    """By slot, what the kernel refuses of an instruction if a path leads there, whatever the registers hold."""
    found = {}
    for slot, insn in instructions:
        text = _number(insn) or _field(insn)
        if text is not None:
            found[slot] = text
    return found


def _number(insn: Instruction) -> str | None:
    kind = insn.opcode & 7
    if kind not in {op.ALU, op.ALU64} or insn.opcode & op.X:
        return None
    bits = 64 if kind == op.ALU64 else 32
    operation = insn.opcode & 0xF0
    if operation in _SHIFTS and not 0 <= insn.imm < bits:
        return f"this shifts by {insn.imm}; a number of {bits} bits is shifted by 0 to {bits - 1}"
    if operation in _DIVISIONS and insn.imm == 0:
        return "this divides by the number 0, which the kernel refuses"
    return None


def _field(insn: Instruction) -> str | None:
    # the walk has its own words for these
    if insn.dst > 10 or insn.src > 10 or unknown(insn):
        return None
    # two fields at which the kernel does not look
    if insn.opcode == _EXIT:
        insn = Instruction(_EXIT, insn.dst, insn.src, 0, insn.imm)
    elif insn.kind == (op.WIDE, op.PSEUDO_FUNC):
        insn = Instruction(op.WIDE, insn.dst, insn.src, insn.off, insn.imm & 0xFFFFFFFF)
    try:
        for _ in decoded(bytes(insn)):
            pass
    except AsmError as error:
        # without the slot, which the finding has
        return str(error).partition(": ")[2]
    return None
