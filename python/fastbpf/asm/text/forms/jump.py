"""Branches and the end: `if r0 == 0x0 goto pc+1`, `goto end`, `exit`."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text import words
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, bits32, register, signed32, target, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread

_COMPARE = {sign: code for code, sign in words.COMPARE.items()}
_SIGNS_OF_COMPARISON = "(s?[<>]=?|[=!]=|&)"


@form(f"if~REG {_SIGNS_OF_COMPARISON} REG~goto~TO")
def _compare(unread: Unread, dst: str, sign: str, src: str, to: str) -> Instruction:
    if dst[0] != src[0]:
        raise StatementError(src, f"{dst} and {src} are of different widths; both are r, or both w")
    cls = op.JMP if dst[0] == "r" else op.JMP32
    return unread.branch(_COMPARE[sign] | op.X | cls, to, register(dst), register(src))


@form(f"if~REG {_SIGNS_OF_COMPARISON} NUM~goto~TO")
def _compare_number(unread: Unread, dst: str, sign: str, value: str, to: str) -> Instruction:
    # the kernel writes the bits, in hexadecimal, of a number that it extends by its sign
    if dst[0] == "w" or "x" in value:
        return unread.branch(
            _COMPARE[sign] | (op.JMP if dst[0] == "r" else op.JMP32), to, register(dst), 0, bits32(value)
        )
    imm = signed32(value, "; load it into a register and compare with that")
    return unread.branch(_COMPARE[sign] | op.JMP, to, register(dst), 0, imm)


@form("goto~TO")
def _goto(unread: Unread, to: str) -> Instruction:
    return unread.branch(op.JMP | op.JA, to)


@form("may_goto~TO")
def _may_goto(unread: Unread, to: str) -> Instruction:
    return unread.branch(op.MAY_GOTO, to)


@form("gotol~TO")
def _gotol(unread: Unread, to: str) -> Instruction:
    label, imm = target(to, 32)
    return unread.make(op.GOTOL, imm=imm, label=label)


@form("gotox~REG")
def _gotox(unread: Unread, dst: str) -> Instruction:
    return unread.make(op.GOTOX, whole(dst))


@form("exit")
def _exit(unread: Unread) -> Instruction:
    return unread.make(op.JMP | op.EXIT)


@form("nospec")
def _nospec(unread: Unread) -> Instruction:
    return unread.make(words.NOSPEC)
