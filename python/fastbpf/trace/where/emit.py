"""From conditions to instructions: branches, each to a label if its condition holds, or if it does not.

r0 to r5 are used, nothing is called, and no stack.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeAlias, assert_never

from fastbpf import asm
from fastbpf.asm import r0, r1, r2, r3, r4, r5
from fastbpf.trace.where.kinds import Chars, Place, TextPlace
from fastbpf.trace.where.tree import OPPOSITE, All, Always, Among, Binary, Compare, Field, Like, Literal, Null, Some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.asm import Instruction, Label, Register
    from fastbpf.trace.where.kinds import Text
    from fastbpf.trace.where.tree import Int, Test

    Piece: TypeAlias = Instruction | Label

_REGISTERS = (r0, r1, r2, r3, r4, r5)

_LOADS = {1: asm.ldxb, 2: asm.ldxh, 4: asm.ldxw, 8: asm.ldxdw}
_UNSIGNED = {"==": asm.jeq, "!=": asm.jne, "<": asm.jlt, "<=": asm.jle, ">": asm.jgt, ">=": asm.jge}
_SIGNED = {"==": asm.jeq, "!=": asm.jne, "<": asm.jslt, "<=": asm.jsle, ">": asm.jsgt, ">=": asm.jsge}
_UNSIGNED32 = {"==": asm.jeq32, "!=": asm.jne32, "<": asm.jlt32, "<=": asm.jle32, ">": asm.jgt32, ">=": asm.jge32}
_SIGNED32 = {"==": asm.jeq32, "!=": asm.jne32, "<": asm.jslt32, "<=": asm.jsle32, ">": asm.jsgt32, ">=": asm.jsge32}
_COMPUTE = {
    "+": asm.add,
    "-": asm.sub,
    "*": asm.mul,
    "//": asm.div,
    "%": asm.mod,
    "&": asm.and_,
    "|": asm.or_,
    "^": asm.xor,
    "<<": asm.lsh,
    ">>": asm.rsh,
}

# Labels of one program must differ; those of several conditions within it, too.
_programs = count()


def emit(test: Test, places: Mapping[str, Place | TextPlace], no: str) -> list[Instruction | Label]:
    """Fall through if `test` holds, else go to the label `no`."""
    emitter = _Emitter(places)
    emitter.branch(test, no, when=False)
    return emitter.pieces


def fits(test: Test) -> bool:
    """Whether the registers are enough for the numbers that it computes."""
    if isinstance(test, (All, Some)):
        return all(map(fits, test.parts))
    if isinstance(test, Compare):
        return _pair(test.left, test.right) <= len(_REGISTERS)
    return not isinstance(test, Among) or _registers(test.number) < len(_REGISTERS)  # one is for the values


def _registers(number: Int) -> int:
    # How many registers it takes to compute: of two operands, the one that takes more goes first.
    return _pair(number.left, number.right) if isinstance(number, Binary) else 1


def _pair(left: Int, right: Int) -> int:
    a, b = _registers(left), 0 if _immediate(right) is not None else _registers(right)
    return a + 1 if a == b else max(a, b)


def _immediate(number: Int) -> int | None:
    # The number as instructions carry it, in 32 bits that are extended by their sign; None if it is no such number.
    if not isinstance(number, Literal):
        return None
    value = (number.value + (1 << 63)) % (1 << 64) - (1 << 63)
    return value if -1 << 31 <= value < 1 << 31 else None


class _Emitter:
    """The instructions so far."""

    def __init__(self, places: Mapping[str, Place | TextPlace]) -> None:
        self.pieces: list[Piece] = []
        self._places = places
        self._prefix = f"where {next(_programs)}"
        self._labels = count()

    def branch(self, test: Test, to: str, *, when: bool) -> None:
        """Go to the label `to` if `test` is `when`, else fall through."""
        match test:
            case Always():
                if test.value == when:
                    self._put(asm.ja(to))
            case All() | Some():
                self._join(test, to, when=when)
            case Compare():
                self._compare(test.operator if when else OPPOSITE[test.operator], test.left, test.right, to)
            case Among():
                self._among(test, to, when=when)
            case Null():
                self._put(asm.ldxw(r0, self._text(test.name).base, self._text(test.name).offset))
                self._put((asm.jne if test.negated == when else asm.jeq)(r0, 0, to))
            case Like():
                self._like(test, to, when=when)
            case _:
                assert_never(test)

    def _put(self, *pieces: Piece) -> None:
        self.pieces += pieces

    def _label(self) -> str:
        return f"{self._prefix}.{next(self._labels)}"

    def _join(self, test: All | Some, to: str, *, when: bool) -> None:
        decisive = isinstance(test, Some)  # what one part must be to decide for all
        if decisive == when:
            for part in test.parts:
                self.branch(part, to, when=when)
            return
        end = self._label()
        for part in test.parts[:-1]:
            self.branch(part, end, when=decisive)
        self.branch(test.parts[-1], to, when=when)
        self._put(asm.label(end))

    def _compare(self, operator: str, left: Int, right: Int, to: str) -> None:
        immediate = _immediate(right)
        if immediate == 0 and operator in {"==", "!="}:
            self._zero(operator, left, to)
        elif isinstance(left, Field) and left.kind.size == 4 and isinstance(right, Literal) and not left.kind.boolean:
            # The lower halves alone decide, and the field needs no extension.
            self._load(left, r0)
            self._put((_SIGNED32 if left.kind.signed else _UNSIGNED32)[operator](r0, right.value, to))
        elif immediate is not None:
            self._compute(left, _REGISTERS)
            self._put((_SIGNED if left.range.low < 0 else _UNSIGNED)[operator](r0, immediate, to))
        else:
            self._both(left, right, _REGISTERS)
            self._registers(operator, left, right, to)

    def _zero(self, operator: str, number: Int, to: str) -> None:
        if isinstance(number, Field):
            self._load(number, r0)
        elif isinstance(number, Binary) and number.operator == "&" and operator == "!=":
            immediate = _immediate(number.right)
            if immediate is None:
                self._both(number.left, number.right, _REGISTERS)
            else:
                self._compute(number.left, _REGISTERS)
            self._put(asm.jset(r0, r1 if immediate is None else immediate, to))
            return
        else:
            self._compute(number, _REGISTERS)
        self._put(_UNSIGNED[operator](r0, 0, to))

    def _registers(self, operator: str, left: Int, right: Int, to: str) -> None:
        # r0 and r1. What can be negative and what can be 2**63 or more has no order in common: the sign decides, if there is one.
        if (left.range.signed and right.range.signed) or (left.range.unsigned and right.range.unsigned):
            self._put((_SIGNED if left.range.signed and right.range.signed else _UNSIGNED)[operator](r0, r1, to))
            return
        end = self._label()
        negative, holds = (r0, {"<", "<=", "!="}) if left.range.low < 0 else (r1, {">", ">=", "!="})
        self._put(asm.jslt(negative, 0, to if operator in holds else end))
        self._put(_UNSIGNED[operator](r0, r1, to), asm.label(end))

    def _among(self, test: Among, to: str, *, when: bool) -> None:
        number = test.number
        narrow = isinstance(number, Field) and number.kind.size == 4 and not number.kind.boolean
        if narrow:
            assert isinstance(number, Field)
            self._load(number, r0)
        else:
            self._compute(number, _REGISTERS)
        inside = when != test.negated  # whether to go when the number is one of the values
        end = self._label()
        for value in test.values[: None if inside else -1]:
            self._equal(asm.jeq32 if narrow else asm.jeq, value, to if inside else end, narrow=narrow)
        if not inside:
            self._equal(asm.jne32 if narrow else asm.jne, test.values[-1], to, narrow=narrow)
            self._put(asm.label(end))
