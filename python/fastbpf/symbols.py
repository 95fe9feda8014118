"""The functions and variables that code names: the kernel's, which it calls or reads, and its own, for callbacks."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from fastbpf.asm.opcode import CALLS, PSEUDO_CALL, PSEUDO_FUNC, PSEUDO_KFUNC_CALL, WIDE
from fastbpf.asm.refusal import nearest
from fastbpf.errors import AsmError, KernelError

if TYPE_CHECKING:
    from fastbpf.asm import Code, Instruction

__all__ = ["btf_id", "functions"]

# include/uapi/linux/btf.h
_FUNC, _VAR = 12, 14
# Instructions that name one of the program's own functions.
_SUBPROGRAMS: Final = {(CALLS, PSEUDO_CALL), (WIDE, PSEUDO_FUNC)}


def btf_id(insn: Instruction) -> int:
    """The number that the running kernel gives to the function or variable which the instruction names.

    Raises:
        AsmError: it has none of that name.
        KernelError: it has no BTF to look into (CONFIG_DEBUG_INFO_BTF).
    """
    from fastbpf import _native

    name = str(insn.label)
    called = insn.kind == (CALLS, PSEUDO_KFUNC_CALL)
    # A wide load takes the address of either.
    for kind in (_FUNC,) if called else (_VAR, _FUNC):
        if (found := _native.btf_id(name, kind)) is not None:
            return found
    if called:
        # Kernels before 6.10 do not tell which of their functions are for programs.
        known = _native.btf_names(_FUNC, "bpf_kfunc") or [
            one for one in _native.btf_names(_FUNC) if one.startswith("bpf_")
        ]
        what = "function of that name, not counting those of its modules"
    else:
        known = _native.btf_names(_VAR)
        what = "variable of that name in its BTF, which has the per-CPU ones"
    if not known:
        raise KernelError(
            errno.ENOENT, f"the kernel has no BTF, so {name} cannot be found; use one with CONFIG_DEBUG_INFO_BTF"
        )
    where = f"{insn.source}: " if insn.source else ""
    raise AsmError(f"{where}{insn!r}: this kernel has no {what}{nearest(name, known)}")


def functions(code: Code, name: str) -> list[tuple[int, str]]:
    """The slots where the program and its subprograms begin, with their names, if one is called back; else none.

    The kernel wants to be told of callbacks (Linux 5.13, kernel/bpf/verifier.c, check_ld_imm), and then of all.
    """
    placed = [(slot, insn) for slot, insn in code.placed() if insn.kind in _SUBPROGRAMS]
    if all(insn.opcode != WIDE for _, insn in placed):
        return []
    named = {slot: label for label, slot in reversed(code.labels.items())}
    starts = sorted({slot + 1 + (insn.distance or 0) for slot, insn in placed} - {0})
    return [(0, _identifier(name or "main")), *((at, _identifier(named.get(at, f"sub_{at}"))) for at in starts)]


# A name as BTF takes it (kernel/bpf/btf.c, btf_name_valid_identifier): a C name of at most 127 characters.
def _identifier(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:126]
    return f"_{plain}" if plain[:1].isdigit() else plain
