"""Calls: of helpers, of subprograms, of functions of the kernel."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.refusal import nearest
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, bits32, name_of, offset, target
from fastbpf.helpers.names import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread

_HELPERS = {name: number for number, name in enumerate(NAMES)}
# Above any helper's number: an address, by which the kernel has replaced the number in code that it has loaded.
_ADDRESSES = 4096


@form(r"call~(pc [+-] [0-9]+)(?:\#\S+)?")
def _call_subprogram(unread: Unread, to: str) -> Instruction:
    _, imm = target(to, 32)
    return unread.make(op.CALLS, 0, op.PSEUDO_CALL, 0, imm)


@form("call~NUM")
def _call_number(unread: Unread, value: str) -> Instruction:
    # What LLVM writes for a helper, a subprogram and a kfunc alike. No helper has a sign; bytes in the line tell more.
    src = unread.field("src") if len(unread.raw) >= 8 else op.PSEUDO_CALL if value[0] in "+-" else 0
    return unread.make(op.CALLS, 0, src, unread.field("off"), bits32(value))


@form(r"call~kernel-function\#(-?[0-9]+)(?:@(-?[0-9]+))?")
def _call_btf_id(unread: Unread, value: str, off: str | None) -> Instruction:
    return unread.make(op.CALLS, 0, op.PSEUDO_KFUNC_CALL, offset(off), bits32(value))


@form(r"call~([A-Za-z_][\w.$]*)\#(-?[0-9]+|kfunc)", r"call~(0x[0-9a-f]+)\#(-?[0-9]+)")
def _call_numbered(unread: Unread, name: str, value: str) -> Instruction:
    if value == "kfunc":
        return unread.make(op.CALLS, 0, op.PSEUDO_KFUNC_CALL, label=name)
    imm = bits32(value)
    helper = _HELPERS.get(name.removeprefix("bpf_"))
    if name == "unknown" or imm == helper:
        return unread.make(op.CALLS, imm=imm)
    if 0 <= imm < _ADDRESSES:
        there = f"{imm} is bpf_{NAMES[imm]}" if 0 < imm < len(NAMES) else f"there is no helper {imm}"
        here = (
            f"; {name} is helper {helper}"
            if helper is not None
            else f"; there is no helper {name}{nearest(name, _full_names())}"
        )
        raise StatementError(f"{name}#{value}", there + here)
    if helper is not None:
        return unread.make(op.CALLS, imm=helper)
    if unread.in_log and imm > 0:
        # A kernel function. Its id is of one kernel only, its name of all.
        return unread.make(op.CALLS, 0, op.PSEUDO_KFUNC_CALL, label=name)
    reason = f"{value} is an address in one kernel, or an id there; write the helper that was called"
    raise StatementError(f"{name}#{value}", f"{reason}, or NAME#kfunc for a function of the kernel")


@form("call~NAME")
def _call_name(unread: Unread, text: str) -> Instruction:
    name = name_of(text)
    if name in unread.labels:
        return unread.make(op.CALLS, 0, op.PSEUDO_CALL, label=name)
    helper = _HELPERS.get(name.removeprefix("bpf_"), 0)
    if helper:
        return unread.make(op.CALLS, imm=helper)
    near = nearest(name, [*unread.labels, *_full_names()]) or nearest(f"bpf_{name}", _full_names())
    raise StatementError(text, f"{name} is no label here and no helper{near}; a kfunc is called as {name}#kfunc")


def _full_names() -> list[str]:
    return [f"bpf_{name}" for name in NAMES[1:]]
