"""Which kernel was the first to have an instruction (the history of kernel/bpf/verifier.c and core.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op
from fastbpf.kernel_version import KernelVersion

if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction

#: The oldest kernel that fastbpf supports.
OLDEST: Final = KernelVersion(5, 10)

_FIRST: Final = KernelVersion(3, 18)
_COMPARISONS: Final = {op.JLT, op.JLE, op.JSLT, op.JSLE}
_LOADS: Final = {
    op.PSEUDO_MAP_VALUE: KernelVersion(5, 2),
    op.PSEUDO_BTF_ID: KernelVersion(5, 10),
    op.PSEUDO_FUNC: KernelVersion(5, 13),
    op.PSEUDO_MAP_IDX: KernelVersion(5, 14),
    op.PSEUDO_MAP_IDX_VALUE: KernelVersion(5, 14),
}
_CALLS: Final = {op.PSEUDO_CALL: KernelVersion(4, 16), op.PSEUDO_KFUNC_CALL: KernelVersion(5, 13)}
_V4: Final = KernelVersion(6, 6)


def since(insn: Instruction) -> KernelVersion:
    """The first kernel that has this instruction."""
    code = insn.opcode
    kind, operation = code & 7, code & 0xF0
    if kind in {op.ALU, op.ALU64}:
        if operation == op.MOV and code & op.X and insn.off:
            # movsx; a distance of 1 is a cast between address spaces
            return KernelVersion(6, 9) if kind == op.ALU64 and insn.off == 1 else _V4
        if (operation in {op.DIV, op.MOD} and insn.off) or (operation == op.END and kind == op.ALU64):
            return _V4
    elif kind == op.JMP32:
        return _V4 if code == op.GOTOL else KernelVersion(5, 1)
    elif kind == op.JMP:
        if code == op.GOTOX:
            return KernelVersion(6, 19)
        if code == op.MAY_GOTO:
            return KernelVersion(6, 9)
        if operation in _COMPARISONS:
            return KernelVersion(4, 14)
        if operation == op.CALL:
            return _CALLS.get(insn.src, _FIRST)
    elif code == op.WIDE:
        return _LOADS.get(insn.src, _FIRST)
    elif kind == op.LDX and code & 0xE0 == op.MEMSX:
        return _V4
    elif kind == op.STX and code & 0xE0 == op.ATOMIC:
        if insn.imm & 0x100:
            return KernelVersion(6, 15)
        if insn.imm != op.ADD:
            return KernelVersion(5, 12)
    return _FIRST
