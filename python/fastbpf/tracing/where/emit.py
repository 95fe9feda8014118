"""From conditions to instructions: branches, each to a label if its condition holds, or if it does not.

r0 to r5 are used, nothing is called, and no stack.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, assert_never

from fastbpf import asm
from fastbpf.asm import r0, r1, r2, r3, r4, r5
from fastbpf.tracing.where.kinds import Text, TextPlace
from fastbpf.tracing.where.tree import OPPOSITE, All, Always, Among, Binary, Compare, Field, Like, Literal, Null, Some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastbpf.asm import Instruction, Label, Register
    from fastbpf.tracing.where.kinds import Place
    from fastbpf.tracing.where.tree import Int, Test

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
    """Whether there are registers enough for the numbers that `test` computes."""
    if isinstance(test, (All, Some)):
        return all(map(fits, test.parts))
    if isinstance(test, Compare):
        return _together(test.left, test.right) <= len(_REGISTERS)
    return not isinstance(test, Among) or _needed(test.number) <= len(_REGISTERS)


def _needed(number: Int) -> int:
    # How many registers it takes to compute.
    return _together(number.left, number.right) if isinstance(number, Binary) else 1


def _together(left: Int, right: Int) -> int:
    # The operand that takes more goes first; then one register holds it.
    a, b = _needed(left), _needed(right)
    return a + 1 if a == b else max(a, b)


def _immediate(value: int) -> int | None:
    # The number as instructions carry it: 32 bits, extended by their sign. None if they cannot.
    value = (value + (1 << 63)) % (1 << 64) - (1 << 63)
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
                    # A plain jump would leave what follows without a way to it, which the verifier refuses.
                    self._put(asm.mov(r0, 0), asm.jeq(r0, 0, to))
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
        if right == Literal(0) and operator in {"==", "!="}:
            self._zero(operator, left, to)
        elif isinstance(right, Literal):
            self._literal(operator, left, right.value, to, narrow=self._into_r0(left))
        else:
            self._both(left, right, _REGISTERS)
            self._ordered(operator, left, right, to)

    def _zero(self, operator: str, number: Int, to: str) -> None:
        if isinstance(number, Field):
            self._load(number, r0)  # whatever its sign is, or which of its bits make it true
        elif isinstance(number, Binary) and number.operator == "&" and operator == "!=":
            self._put(asm.jset(r0, self._operands(number, _REGISTERS), to))
            return
        else:
            self._compute(number, _REGISTERS)
        self._put(_UNSIGNED[operator](r0, 0, to))

    def _among(self, test: Among, to: str, *, when: bool) -> None:
        narrow = self._into_r0(test.number)
        if when != test.negated:  # go when it is one of the values
            for value in test.values:
                self._literal("==", test.number, value, to, narrow=narrow)
            return
        end = self._label()
        for value in test.values[:-1]:
            self._literal("==", test.number, value, end, narrow=narrow)
        self._literal("!=", test.number, test.values[-1], to, narrow=narrow)
        self._put(asm.label(end))

    def _into_r0(self, number: Int) -> bool:
        # Whether the lower half of r0 alone is the number, and the upper half is not: that saves extending its sign.
        narrow = isinstance(number, Field) and number.kind.size == 4 and not number.kind.boolean
        if isinstance(number, Field) and narrow:
            self._load(number, r0)
        else:
            self._compute(number, _REGISTERS)
        return narrow

    def _literal(self, operator: str, number: Int, value: int, to: str, *, narrow: bool) -> None:
        # The number in r0 against a value of its range.
        signed = number.range.low < 0
        if narrow:
            self._put((_SIGNED32 if signed else _UNSIGNED32)[operator](r0, value, to))
            return
        immediate = _immediate(value)
        if immediate is None:
            self._put(asm.const(r1, value))
        self._put((_SIGNED if signed else _UNSIGNED)[operator](r0, r1 if immediate is None else immediate, to))

    def _ordered(self, operator: str, left: Int, right: Int, to: str) -> None:
        # The left number in r0 against the right one in r1.
        if left.range.unsigned and right.range.unsigned:
            self._put(_UNSIGNED[operator](r0, r1, to))
        elif left.range.signed and right.range.signed:
            self._put(_SIGNED[operator](r0, r1, to))
        else:
            # One can be negative, the other 2**63 or more: no branch orders these, but a negative one settles it.
            signed, less = (r0, {"<", "<=", "!="}) if left.range.low < 0 else (r1, {">", ">=", "!="})
            end = self._label()
            self._put(asm.jslt(signed, 0, to if operator in less else end))
            self._put(_UNSIGNED[operator](r0, r1, to), asm.label(end))

    def _compute(self, number: Int, registers: tuple[Register, ...]) -> None:
        # The number, extended to 64 bits, into the first of the registers.
        first = registers[0]
        if isinstance(number, Literal):
            self._put(asm.const(first, number.value % (1 << 64)))
        elif isinstance(number, Binary):
            right = self._operands(number, registers)
            compute = asm.arsh if number.operator == ">>" and number.left.range.low < 0 else _COMPUTE[number.operator]
            self._put(compute(first, right))
        else:
            self._load(number, first)
            if number.kind.boolean:
                self._put(asm.jeq(first, 0, 1), asm.mov(first, 1))
            elif number.kind.signed and number.kind.size < 8:
                unused = 64 - 8 * number.kind.size
                self._put(asm.lsh(first, unused), asm.arsh(first, unused))

    def _operands(self, number: Binary, registers: tuple[Register, ...]) -> Register | int:
        # The left operand into the first register; the right one into the second, unless the instruction can carry it.
        immediate = _immediate(number.right.value) if isinstance(number.right, Literal) else None
        if immediate is None:
            self._both(number.left, number.right, registers)
            return registers[1]
        self._compute(number.left, registers)
        return immediate

    def _both(self, left: Int, right: Int, registers: tuple[Register, ...]) -> None:
        first, second, *rest = registers
        if _needed(right) > _needed(left):
            self._compute(right, (second, first, *rest))
            self._compute(left, (first, *rest))
        else:
            self._compute(left, registers)
            self._compute(right, registers[1:])

    def _load(self, field: Field, into: Register) -> None:
        place = self._places[field.name]
        self._put(_LOADS[field.kind.size](into, place.base, place.offset))

    def _like(self, test: Like, to: str, *, when: bool) -> None:
        if isinstance(test.kind, Text) and not test.literals:  # no text is like that, and all but a null is not
            self.branch(Null(test.name, test.kind, negated=True) if test.negated else Always(False), to, when=when)
            return
        end = self._label()
        match, other, null = (to if outcome == when else end for outcome in (not test.negated, test.negated, False))
        if isinstance(test.kind, Text):
            # A null has length 0: unless that can match, a null that goes the way of other text needs no question.
            self._open(test, null, ask=null != other or b"" in test.literals)
        *others, last = test.literals
        for literal in others:
            following = self._label()
            self._spell(test, literal, match, following, fall_to_match=False)
            self._put(asm.label(following))
        self._spell(test, last, match, other, fall_to_match=match == end)
        self._put(asm.label(end))

    def _open(self, test: Like, null: str, *, ask: bool) -> None:
        # r1 = the length of the text, r2 = its address
        place = self._text(test.name)
        self._put(asm.ldxw(r1, place.base, place.offset))
        if ask:
            self._put(asm.jeq(r1, 0, null))
        if any(test.literals):
            # The limit is never passed, but the verifier needs to see that.
            self._put(asm.mov(r2, r1), asm.and_(r2, 0xFFFF), asm.jgt(r2, place.limit, null), asm.add(r2, place.base))
        self._put(asm.rsh(r1, 16))

    def _spell(self, test: Like, literal: bytes, match: str, other: str, *, fall_to_match: bool) -> None:
        # To one of the two labels, but fall through instead to the one that comes next.
        *steps, last = _spelling(test, literal, self._places[test.name])
        for step in steps:
            self._put(*step.load, step.jump(OPPOSITE[step.operator], other))
        if fall_to_match:
            self._put(*last.load, last.jump(OPPOSITE[last.operator], other))
        else:
            self._put(*last.load, last.jump(last.operator, match))

    def _text(self, name: str) -> TextPlace:
        place = self._places[name]
        if not isinstance(place, TextPlace):
            raise TypeError(f"{name} is a Text and lies at a TextPlace, not at {place!r}")
        return place


class _Step(NamedTuple):
    """One of the comparisons, all of which must hold when text is like a literal."""

    load: tuple[Instruction, ...]
    register: Register
    operator: str
    value: int

    def jump(self, operator: str, to: str) -> Instruction:
        """To a label if the comparison has this outcome."""
        return _UNSIGNED32[operator](self.register, self.value, to)


def _spelling(test: Like, literal: bytes, place: Place | TextPlace) -> Iterator[_Step]:
    if isinstance(test.kind, Text):
        yield _Step((), r1, ">=" if test.prefix else "==", len(literal))
        for at, byte in enumerate(literal):
            yield _Step((asm.ldxb(r3, r2, at),), r3, "==", byte)
        return
    spelled = literal if test.prefix else literal + b"\0"
    at = 0
    while at < len(spelled):
        # As many bytes at once as alignment allows, up to 4: a comparison carries no more.
        size = next(s for s in (4, 2, 1) if at + s <= len(spelled) and (s == 1 or test.kind.size % 8 == 0))
        yield _Step(
            (_LOADS[size](r0, place.base, place.offset + at),),
            r0,
            "==",
            int.from_bytes(spelled[at : at + size], "little"),
        )
        at += size
