"""Wide loads: numbers of 64 bits, maps, subprograms, variables of the kernel."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.refusal import nearest
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, bits32, bits64, name_of, number, target, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread


@form("REG = NUM~ll")
def _wide(unread: Unread, dst: str, value: str) -> Instruction:
    return unread.make(op.WIDE, whole(dst), imm=bits64(value))


@form(r"REG = map \[ (fd|id|idx) : NUM \] (?:(?:\[ 0 \] )?\+ NUM)?")
def _map_number(unread: Unread, dst: str, kind: str, value: str, off: str | None) -> Instruction:
    if kind == "id":
        raise StatementError(
            kind, "a map is loaded by its file descriptor, map[fd:5], or by name, map[NAME], not by id"
        )
    by_number, by_index = (op.PSEUDO_MAP_FD, op.PSEUDO_MAP_VALUE), (op.PSEUDO_MAP_IDX, op.PSEUDO_MAP_IDX_VALUE)
    src = (by_index if kind == "idx" else by_number)[off is not None]
    return unread.make(op.WIDE, whole(dst), src, 0, bits32(value) & 0xFFFFFFFF | _second(off))


@form(r"REG = map \[ ([\w.]+) \] (?:\[ 0 \] \+ NUM)?")
def _map(unread: Unread, dst: str, name: str, off: str | None) -> Instruction:
    if name not in unread.maps:
        raise StatementError(name, f"there is no map {name}{nearest(name, unread.maps)}")
    src = op.PSEUDO_MAP_FD if off is None else op.PSEUDO_MAP_VALUE
    return unread.make(op.WIDE, whole(dst), src, 0, _second(off), map=unread.maps[name])


@form(r"REG = subprog \[ TO \]")
def _function(unread: Unread, dst: str, to: str) -> Instruction:
    label, distance = target(to, 32)
    return unread.make(op.WIDE, whole(dst), op.PSEUDO_FUNC, 0, distance & 0xFFFFFFFF, label)


@form(r"REG = btf \[ id : NUM \] (?:\[ fd : NUM \])?")
def _btf_id(unread: Unread, dst: str, value: str, fd: str | None) -> Instruction:
    return unread.make(op.WIDE, whole(dst), op.PSEUDO_BTF_ID, 0, bits32(value) & 0xFFFFFFFF | _second(fd))


@form(r"REG = btf \[ ([A-Za-z_]\w*) \]")
def _btf_name(unread: Unread, dst: str, name: str) -> Instruction:
    return unread.make(op.WIDE, whole(dst), op.PSEUDO_BTF_ID, label=name)


@form("ld_pseudo~REG , NUM , NUM")
def _llvm_pseudo(unread: Unread, dst: str, src: str, value: str) -> Instruction:
    # of the two numbers LLVM writes the first only
    imm = bits64(value) & 0xFFFFFFFF | unread.field("next_imm") << 32 if unread.raw else bits64(value)
    return unread.make(op.WIDE, whole(dst), number(src, 0, 6, "the kind of a wide load"), imm=imm)


def _second(text: str | None) -> int:
    # the second number of a wide load
    return bits32(text) << 32 if text else 0


@form("REG = NAME~ll")
def _llvm_map(unread: Unread, dst: str, name: str) -> Instruction:
    return _map(unread, dst, name_of(name), None)
