"""The text of a program that the kernel has loaded and rewritten, as `bpftool prog dump xlated` shows it."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text.writer import write
from fastbpf.helpers.names import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbpf.asm.instruction import Instruction


def loaded_writer(symbol: Callable[[int], str | None]) -> Callable[[Instruction, str | None], str]:
    """Like `write`, for what the kernel gives back (kernel/bpf/syscall.c, bpf_insn_prepare_dump).

    Maps then go by id, and the distance of a call of a subprogram is in `off`. A helper is called by its distance from
    the kernel's own `__bpf_call_base`, for which `symbol` knows a name.
    """

    def write_loaded(insn: Instruction, map_name: str | None = None) -> str:
        if insn.opcode == op.WIDE and insn.src in (op.PSEUDO_MAP_FD, op.PSEUDO_MAP_VALUE):
            return write(insn, map_name).replace("map[fd:", "map[id:")
        if insn.opcode == op.WIDE and insn.src == op.PSEUDO_BTF_ID:
            return f"r{insn.dst} = 0x{insn.imm & 0xFFFFFFFFFFFFFFFF:x}"
        if insn.opcode != op.CALLS:
            return write(insn, map_name)
        if insn.src == op.PSEUDO_CALL:
            return f"call pc{insn.off:+d}"
        if insn.src == 0 and 0 <= insn.imm < len(NAMES):
            return write(insn, map_name)
        return f"call {symbol(insn.imm) or 'unknown'}#{insn.imm}"

    return write_loaded
