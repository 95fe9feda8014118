"""Conditional branches: which sides a path can take, and what it knows afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from fastbpf.asm import opcode as op
from fastbpf.asm.check.arithmetic import JUMPS, M64, holds
from fastbpf.asm.check.conditions import choose, condition
from fastbpf.asm.check.values import NUMBERS, Pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbpf.asm.check.conditions import Condition
    from fastbpf.asm.check.state import State
    from fastbpf.asm.check.values import Leaf, Number, Origin, Value
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.instruction import Instruction

# A packet that the kernel lets programs look at has no more bytes (MAX_PACKET_OFF).
_LONGEST: Final = 0xFFFF
_EQUALITIES: Final = {op.JEQ, op.JNE}


def branch(walk: Walk, state: State, insn: Instruction) -> Iterator[tuple[State, bool]]:
    """The sides of a branch that paths can take: the state there, and whether the branch is taken."""
    code = insn.opcode
    bits = 64 if code & 7 == op.JMP else 32
    left = walk.read(state, insn.dst)
    right: Value = walk.read(state, insn.src) if code & op.X else insn.imm & M64
    comparison, when = JUMPS[code & 0xF0]
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        if isinstance(left, int) and isinstance(right, int):
            yield state, holds(comparison, bits, left, right) == when
            return
        yield from _numbers(walk, state, condition(comparison, bits, left, right), when=when)
    elif (met := _packet_test(comparison, bits, left, right)) is not None:
        yield from _numbers(walk, state, met, when=when)
    elif code & 0xF0 in _EQUALITIES and bits == 64 and right == 0 and type(left) is Pointer and not code & op.X:
        yield from _null_test(state, left, when=code & 0xF0 == op.JEQ)
    elif code & 0xF0 in _EQUALITIES and bits == 64 and type(left) is Pointer and type(right) is int and right != 0:
        yield from _unequal(state, when=code & 0xF0 == op.JEQ)
    else:
        yield from _either(state)


# A place in the packet compared with its end.
def _packet_test(comparison: str, bits: int, left: Value, right: Value) -> Condition | None:
    if comparison not in {"gt", "ge"} or bits == 32 or type(left) is not Pointer or type(right) is not Pointer:
        return None
    if {left.kind, right.kind} != {"packet", "packet_end"}:
        return None
    places: list[Number] = []
    for pointer in (left, right):
        off = pointer.off
        if not isinstance(off, int) or off > (_LONGEST if pointer.kind == "packet" else 0):
            return None
        places.append(off if pointer.kind == "packet" else cast("Leaf", pointer.what))
    return condition(comparison, 64, *places)


def _either(state: State) -> Iterator[tuple[State, bool]]:
    other = state.fork()
    for side, taken in ((state, False), (other, True)):
        side.doubt()
        yield side, taken


def _numbers(walk: Walk, state: State, met: Condition, *, when: bool) -> Iterator[tuple[State, bool]]:
    walk.spend(state.known.effort)
    sides = [(side, known) for side in (met, met.reversed()) if (known := state.known.adding(side)) is not None]
    certain = state.certain and met.sure
    if len(sides) == 1 and not certain:
        yield state, (sides[0][0].wanted == met.wanted) == when
        return
    now = met.holds(state.chosen) if certain else False
    for side, known in sides:
        # the path itself goes on as chosen, and last
        if (side.wanted == met.wanted) == now:
            continue
        path = state.fork()
        chosen = choose(side, state.known, state.chosen, walk) if certain else None
        if chosen is None:
            path.doubt()
        else:
            path.chosen = chosen
        path.known = known
        yield path, (side.wanted == met.wanted) == when
    for side, known in sides:
        if (side.wanted == met.wanted) == now:
            if not certain:
                state.doubt()
            state.known = known
            yield state, now == when


# An address is no such number; still, the kernel may look at what follows if it were.
def _unequal(state: State, *, when: bool) -> Iterator[tuple[State, bool]]:
    path = state.fork()
    path.doubt()
    yield path, when
    yield state, not when


def _null_test(state: State, pointer: Pointer, *, when: bool) -> Iterator[tuple[State, bool]]:
    if pointer.null == "no":
        # the kernel knows that of some addresses
        yield from _unequal(state, when=when)
        return
    origin = pointer.origin
    path = state.fork()
    if pointer.null == "perhaps":
        path.doubt()
    path.records = tuple([record for record in path.records if record is not origin])
    path.replace(lambda value: 0 if value.origin is origin else value)
    yield path, when
    state.replace(lambda value: _proven(value, origin))
    yield state, not when


def _proven(value: Pointer, origin: Origin | None) -> Pointer:
    return Pointer(value.kind, value.what, value.off, "no", origin) if value.origin is origin else value
