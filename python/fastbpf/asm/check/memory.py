"""Loads and stores: whether there is memory at the address, and what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from fastbpf.asm import opcode as op
from fastbpf.asm.check.arithmetic import M64, NAMES, signed
from fastbpf.asm.check.conditions import choose, condition
from fastbpf.asm.check.maps import counted
from fastbpf.asm.check.transfer import test_first, write
from fastbpf.asm.check.values import (
    ANYTHING,
    NUMBERS,
    Leaf,
    Moved,
    Pointer,
    Released,
    any_number,
    combine,
    evaluate,
    is_sure,
    truncate,
    vague,
)
from fastbpf.asm.check.walk import called
from fastbpf.asm.operands import REGISTERS

if TYPE_CHECKING:
    from fastbpf.asm.check.maps import MapFacts
    from fastbpf.asm.check.stack import Stack
    from fastbpf.asm.check.state import State
    from fastbpf.asm.check.values import Number, Value
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.context.access import Access
    from fastbpf.asm.instruction import Instruction

SIZES: Final = {op.B: 1, op.H: 2, op.W: 4, op.DW: 8}
READ_ONLY: Final = "programs cannot write to this map: it has the flag BPF_F_RDONLY_PROG"
_DEPTH: Final = 512
# a privileged program may read stack that it never wrote since Linux 6.3
_READS_ANY_STACK: Final = (6, 3)
_XCHG: Final = 0xE1
_CMPXCHG: Final = 0xF1
_LOAD_ACQUIRE: Final = 0x100
_STORE_RELEASE: Final = 0x110


def load(walk: Walk, state: State, insn: Instruction) -> None:
    """dst = *(src + off)."""
    size = SIZES[insn.opcode & 0x18]
    value = _fetched(walk, state, insn.src, insn.off, size)
    if insn.opcode & 0xE0 == op.MEMSX:
        value = combine("extend", 64, value, 8 * size) if isinstance(value, NUMBERS) else ANYTHING
    write(walk, state, insn.dst, value)


def store(walk: Walk, state: State, insn: Instruction) -> None:
    """*(dst + off) = src, a register or a number."""
    value: Value = insn.imm & M64 if insn.opcode & 7 == op.ST else walk.read(state, insn.src)
    _put(walk, state, insn.dst, insn.off, SIZES[insn.opcode & 0x18], value)


def atomic(walk: Walk, state: State, insn: Instruction) -> None:
    """A read and a write at once, or one of them in its order."""
    size = SIZES[insn.opcode & 0x18]
    if insn.imm == _LOAD_ACQUIRE:
        write(walk, state, insn.dst, _fetched(walk, state, insn.src, insn.off, size))
        return
    value = walk.read(state, insn.src)
    if insn.imm == _STORE_RELEASE:
        _put(walk, state, insn.dst, insn.off, size, value)
        return
    if insn.imm == _CMPXCHG:
        walk.read(state, 0)
    old = _fetched(walk, state, insn.dst, insn.off, size)
    new: Value = ANYTHING
    if isinstance(old, NUMBERS) and isinstance(value, NUMBERS):
        name = NAMES.get(insn.imm & 0xF0)
        if name is not None:
            new = combine(name, 8 * size, old, value)
        else:
            new = truncate(value, 8 * size) if insn.imm == _XCHG else vague((1 << 8 * size) - 1)
    _put(walk, state, insn.dst, insn.off, size, new)
    if insn.imm & 1:
        write(walk, state, 0 if insn.imm == _CMPXCHG else insn.src, old)


def known(state: State, number: Number) -> int | None:
    """What a number is in the run that shows that the path is certain."""
    if isinstance(number, int):
        return number
    return evaluate(number, state.chosen) if state.certain and is_sure(number) else None


def place(state: State, pointer: Pointer, off: int = 0) -> int | None:
    """How far an address is into what it belongs to, in the run that shows that the path is certain."""
    start = known(state, pointer.off)
    return None if start is None else signed(start + off, 64)


def stack_of(state: State, pointer: Pointer) -> Stack:
    """The stack that an address points into."""
    return state.frames[cast("int", pointer.what)].stack


def address(walk: Walk, state: State, number: int) -> Value:
    """What a register holds that is used as an address: a mistake if that is a number, NULL perhaps, or gone."""
    value = walk.read(state, number)
    name = REGISTERS[number]
    if isinstance(value, NUMBERS):
        what = f"the number {value}" if isinstance(value, int) else "a number"
        walk.report(state, f"number {number}", f"{name} holds {what}, not an address")
        return ANYTHING
    if type(value) is Released:
        walk.report(state, f"released {number}", walk.released(number, value))
        return ANYTHING
    if type(value) is Moved:
        text = (
            f"{name} pointed into the packet, which {called(walk.graph.at(value.by))} {walk.where(value.by)} may have "
            f"moved; load the pointers again"
        )
        walk.report(state, f"moved {number}", text)
        return ANYTHING
    if type(value) is Pointer and value.null != "no":
        text = f"{name} may be NULL here: {_why_null(walk, value)}; {test_first(name)}"
        walk.report(state, "null", text, everywhere=value.null == "yes")
        return ANYTHING
    return value


def stack_range(walk: Walk, state: State, off: int, size: int, what: str) -> bool:
    """Whether these bytes of a stack are there."""
    if off >= -_DEPTH and off + size <= 0:
        return True
    text = f"{what}: the stack has {_DEPTH} bytes, fp - {_DEPTH} to fp - 1"
    walk.report(state, "stack range", text)
    return False


def _why_null(walk: Walk, value: Pointer) -> str:
    if value.origin is None:
        return "the call may have found nothing"
    return (
        f"{called(walk.graph.at(value.origin.slot))} {walk.where(value.origin.slot)} gives NULL where it finds nothing"
    )


def _fetched(walk: Walk, state: State, number: int, off: int, size: int) -> Value:
    pointer = address(walk, state, number)
    if type(pointer) is not Pointer:
        return ANYTHING
    at = place(state, pointer, off)
    if pointer.kind == "stack":
        return _from_stack(walk, state, pointer, at, size)
    if pointer.kind == "ctx":
        return _from_context(walk, state, pointer, at, size)
    if pointer.kind in {"value", "record"}:
        _within(walk, state, pointer, at, size)
        if pointer.kind == "record":
            return any_number(8 * size)
        facts = cast("MapFacts", pointer.what)
        return vague((1 << 8 * size) - 1) if facts.steady else any_number(8 * size)
    if pointer.kind == "packet":
        _in_packet(walk, state, pointer, off, size)
        return any_number(8 * size)
    return ANYTHING


def _put(walk: Walk, state: State, number: int, off: int, size: int, value: Value) -> None:
    pointer = address(walk, state, number)
    if type(pointer) is not Pointer:
        # it may point to a stack
        state.lose_stacks()
        return
    at = place(state, pointer, off)
    if pointer.kind == "stack":
        stack = stack_of(state, pointer)
        if at is None or not isinstance(pointer.off, int):
            stack.lose(-_DEPTH, 0)
        if at is not None and _aligned(walk, state, at, size) and isinstance(pointer.off, int):
            small = truncate(value, 8 * size) if isinstance(value, NUMBERS) and size < 8 else value
            stack.store(at, size, small)
    elif pointer.kind == "ctx":
        _to_context(walk, state, pointer, at, size)
    elif pointer.kind == "packet":
        _in_packet(walk, state, pointer, off, size)
    elif pointer.kind in {"value", "record"}:
        _within(walk, state, pointer, at, size)
        if getattr(pointer.what, "read_only", False):
            walk.report(state, "read only", READ_ONLY)


def _aligned(walk: Walk, state: State, at: int, size: int) -> bool:
    insn = walk.graph.instructions[state.slot]
    if not stack_range(walk, state, at, size, repr(insn)):
        return False
    if at % size:
        text = f"{insn!r}: {size} bytes on the stack stand at a multiple of {size}, and fp - {-at} is none"
        walk.report(state, "stack alignment", text)
        return False
    return True


def _from_stack(walk: Walk, state: State, pointer: Pointer, at: int | None, size: int) -> Value:
    if at is None or not _aligned(walk, state, at, size) or not isinstance(pointer.off, int):
        return ANYTHING
    stack = stack_of(state, pointer)
    value = stack.load(at, size)
    if value is None:
        unwritten(walk, state, stack.unwritten(at, size) or at)
        return stack.garbage(at, size)
    if value is ANYTHING and size < 8 and stack.holds_address(at):
        text = f"fp - {-at - at % -8} holds an address, of which the kernel reads all 8 bytes or none"
        walk.report(state, "part of an address", text, everywhere=False)
    return value


def unwritten(walk: Walk, state: State, byte: int) -> None:
    """A byte of the stack is read that was never written."""
    if walk.kernel is not None and walk.kernel >= _READS_ANY_STACK:
        return
    text = (
        f"fp - {-byte} is read before anything was written there, which kernels before 6.3 refuse; write it first, "
        f"such as stdw(fp, {byte - byte % 8}, 0)"
    )
    walk.report(state, "stack unwritten", text, everywhere=False)


def _from_context(walk: Walk, state: State, pointer: Pointer, at: int | None, size: int) -> Value:
    access = walk.access
    if access is None or at is None:
        return ANYTHING
    _in_context(walk, access, state, pointer, at, size, writes=False)
    given = access.gives(at)
    if given in {"packet", "packet_end"} and access.allows(at, size, False):
        return Pointer(given, state.packet())
    return any_number(8 * size) if given == "scalar" else ANYTHING


def _to_context(walk: Walk, state: State, pointer: Pointer, at: int | None, size: int) -> None:
    if walk.access is not None and at is not None:
        _in_context(walk, walk.access, state, pointer, at, size, writes=True)


def _in_context(
    walk: Walk, access: Access, state: State, pointer: Pointer, at: int, size: int, *, writes: bool
) -> None:
    if access.allows(at, size, writes):
        return
    verb = "written" if writes else "read"
    text = f"{counted(size)} at offset {at} of the context cannot be {verb} by {walk.prog_type} programs: "
    # in front of a tracepoint's context kernels let programs read
    everywhere = pointer.off == 0 and at >= 0 and access.certainly_refused(at, size, writes)
    walk.report(state, "context", text + access.describe(at), everywhere=everywhere)


def _within(walk: Walk, state: State, pointer: Pointer, at: int | None, size: int) -> None:
    what = pointer.what
    limit = what if isinstance(what, int) else getattr(what, "value_size", None)
    if at is None or not isinstance(limit, int):
        return
    if at >= 0 and at + size <= limit:
        further = _further(walk, state, pointer, at, limit - size)
        if further is None:
            return
        at = further
    thing = "record" if pointer.kind == "record" else "value"
    text = f"{counted(size)} at offset {at}: outside the {thing}, which has {counted(limit)}"
    walk.report(state, "outside", text)


# The packet may be shorter than what a program that does not look at its end takes for granted.
def _in_packet(walk: Walk, state: State, pointer: Pointer, off: int, size: int) -> None:
    if not state.certain or not is_sure(pointer.off):
        return
    reach = combine("add", 64, pointer.off, (off + size) & M64)
    beyond = condition("gt", 64, reach, cast("Leaf", pointer.what))
    if beyond.holds(state.chosen) or choose(beyond, state.known, state.chosen, walk) is not None:
        at = signed(evaluate(pointer.off, state.chosen) + off, 64)
        text = f"{counted(size)} at offset {at} of the packet, which may be shorter; compare with its end first"
        walk.report(state, "packet", text)


# Where else the address can be, beyond the last place at which the access would be right.
def _further(walk: Walk, state: State, pointer: Pointer, at: int, last: int) -> int | None:
    if isinstance(pointer.off, int) or not state.certain or not is_sure(pointer.off):
        return None
    distance = at - evaluate(pointer.off, state.chosen)
    beyond = condition("gt", 64, combine("add", 64, pointer.off, distance & M64), max(last, 0))
    chosen = choose(beyond, state.known, state.chosen, walk) if beyond.sure else None
    return None if chosen is None else signed(evaluate(pointer.off, chosen) + distance, 64)
