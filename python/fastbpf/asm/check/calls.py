"""Calls: what a helper asks of its arguments, and what is left of the registers afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from fastbpf.asm import opcode as op
from fastbpf.asm.check.arithmetic import M32, M64, signed
from fastbpf.asm.check.availability import OLDEST
from fastbpf.asm.check.maps import KNOWN_THERE, counted
from fastbpf.asm.check.memory import READ_ONLY, address, known, place, stack_of, stack_range, unwritten
from fastbpf.asm.check.packets import MOVES_PACKET
from fastbpf.asm.check.values import (
    ANYTHING,
    NUMBERS,
    Leaf,
    Origin,
    Pointer,
    Released,
    Unset,
    any_number,
)
from fastbpf.asm.check.walk import called
from fastbpf.asm.operands import REGISTERS
from fastbpf.helpers.prototypes import prototype

if TYPE_CHECKING:
    from typing import Literal

    from fastbpf.asm.check.maps import MapFacts
    from fastbpf.asm.check.state import State
    from fastbpf.asm.check.values import Value
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.instruction import Instruction
    from fastbpf.helpers.prototypes import Parameter, Prototype

_LOOKUP: Final = 1
_TAIL_CALL: Final = 12
# Frames that the kernel has for a program and the subprograms in it (MAX_CALL_FRAMES).
_FRAMES: Final = 8
# Helpers that change a map: update, delete, push, pop.
_WRITERS: Final = {2, 3, 87, 88}
# Helpers for the elements of maps: look-up, update, delete, push, pop, peek, for_each, look-up of another CPU's.
_BY_KEY: Final = {1, 2, 3, 87, 88, 89, 164, 195}
# Helpers for ring buffers: output, reserve, query, reserve_dynptr.
_OF_RINGS: Final = {130, 131, 134, 198}
_CHECKED_RINGS: Final = (5, 15)
# How many records are followed at a time.
_RECORDS: Final = 8
_PACKET_LOADS: Final = {"socket_filter", "sched_cls", "sched_act"}


def helper(walk: Walk, state: State, insn: Instruction) -> None:
    """The call of a helper."""
    proto = prototype(insn.imm)
    if proto is None:
        walk.report(state, "helper", f"there is no helper {insn.imm}; the kernel's last one is 211")
        _leave_registers(state, ANYTHING)
        return
    _availability(walk, state, proto)
    given = list(state.registers[:6])
    for index, parameter in enumerate(proto.parameters):
        if parameter.kind != "unchecked":
            given[index + 1] = walk.read(state, index + 1)
            _argument(walk, state, proto, given, index, parameter)
    for index, parameter in enumerate(proto.parameters):
        _effect(state, given, index, parameter)
    if proto.name in MOVES_PACKET:
        state.lose_packet(state.slot)
    elif any(parameter.kind == "ctx" for parameter in proto.parameters):
        state.lose_packet()
    if insn.imm == _TAIL_CALL:
        leaks(walk, state, "the tail call here")
    _leave_registers(state, _result(walk, state, proto, given))


def kernel_function(state: State) -> None:
    """The call of a kernel function, of which nothing is known: it may never come back."""
    state.doubt()
    state.lose_stacks()
    state.lose_packet()
    state.records = ()
    _leave_registers(state, ANYTHING)


def subprogram(walk: Walk, state: State, insn: Instruction) -> int | None:
    """The call of a subprogram; gives the slot where it begins."""
    entry = state.slot + 1 + insn.imm
    if not walk.graph.has(entry):
        return None
    if len(state.frames) == _FRAMES:
        walk.report(state, "depth", f"the kernel has {_FRAMES} frames for calls within calls, and this is one more")
        return None
    arguments = dict(enumerate(state.registers[1:6], 1))
    state.enter(arguments, state.slot + 1)
    return entry


def packet_load(walk: Walk, state: State, insn: Instruction) -> None:
    """A load from the packet that r6 describes, which works like a call and may end the program."""
    if walk.prog_type not in _PACKET_LOADS:
        text = f"{walk.prog_type} programs have no packet loads; socket_filter, sched_cls and sched_act have"
        walk.report(state, "packet load", text)
    context = walk.read(state, 6)
    if isinstance(context, NUMBERS) or (type(context) is Pointer and context.kind != "ctx"):
        text = "r6 must hold the context here; keep it there with mov(r6, r1) at the start"
        walk.report(state, "packet context", text)
    if insn.opcode & 0xE0 == op.IND:
        walk.read(state, insn.src)
    leaks(walk, state, "the packet load here, which may end the program")
    state.lose_packet()
    size = {op.B: 8, op.H: 16, op.W: 32}.get(insn.opcode & 0x18, 32)
    _leave_registers(state, any_number(size))


def leaks(walk: Walk, state: State, where: str) -> None:
    """Nothing may be kept where the program ends."""
    for record in state.records:
        text = (
            f"the record that {called(walk.graph.at(record.slot))} gave {walk.where(record.slot)} is not submitted or "
            f"discarded on the path to {where}; submit or discard it on every path"
        )
        walk.report(state, f"leak {record.slot}", text)


def _availability(walk: Walk, state: State, proto: Prototype) -> None:
    name = f"bpf_{proto.name}#{proto.id}"
    kernel = walk.kernel or OLDEST
    if proto.since > kernel:
        text = f"{name} is there since Linux {proto.since}"
        text += f", and this program is for {kernel}" if walk.kernel else f"; {kernel} lacks it"
        walk.report(state, "helper", text, everywhere=walk.kernel is not None)
    if proto.allows(walk.prog_type) is False:
        types = sorted(proto.program_types)
        listed = ", ".join(types) if len(types) <= 8 else f"{', '.join(types[:8])} and {len(types) - 8} more types"
        walk.report(state, "helper type", f"{walk.prog_type} programs cannot call {name}; those that can: {listed}")


def _argument(walk: Walk, state: State, proto: Prototype, given: list[Value], index: int, parameter: Parameter) -> None:
    number, value = index + 1, given[index + 1]
    name = REGISTERS[number]
    what = f"argument {parameter.name} of bpf_{proto.name}"
    is_number = isinstance(value, NUMBERS)
    if parameter.kind == "map":
        if is_number or (type(value) is Pointer and value.kind in {"stack", "ctx", "value", "record"}):
            held = "a plain number" if is_number else "an address"
            remedy = f"load the map itself with ld_map({name}, ...)"
            walk.report(state, f"map {number}", f"{what}: {name} holds {held}, not a map; {remedy}")
        elif type(value) is Pointer and value.kind == "map":
            _map_argument(walk, state, proto, cast("MapFacts", value.what))
    elif parameter.kind == "ctx":
        wrong = is_number or (type(value) is Pointer and value.kind in {"stack", "map", "value", "record"})
        if wrong and not parameter.nullable and walk.prog_type not in _ATTACHED:
            text = f"{what}: {name} does not hold the context, which r1 does when the program begins"
            walk.report(state, f"ctx {number}", text)
    elif parameter.kind == "ringbuf_mem":
        pointer = address(walk, state, number)
        if type(pointer) is Pointer and pointer.kind in {"stack", "ctx", "value", "map"}:
            walk.report(state, f"record {number}", f"{what}: {name} is not what ringbuf_reserve gave")
    elif parameter.kind in {"map_key", "map_value", "mem_read", "mem_write"}:
        if parameter.nullable:
            # 0 will do, and so may an address that is NULL perhaps
            pointer = value if type(value) is Pointer and value.null == "no" else ANYTHING
        else:
            pointer = address(walk, state, number)
        if type(pointer) is Pointer and pointer.kind == "stack":
            _stack_argument(walk, state, given, pointer, parameter, f"{what}: {name}")


def _map_argument(walk: Walk, state: State, proto: Prototype, facts: MapFacts) -> None:
    if facts.read_only and proto.id in _WRITERS:
        walk.report(state, "read only", READ_ONLY)
    if facts.kind == "ringbuf" and proto.id in _BY_KEY:
        text = f"bpf_{proto.name} takes no ring buffer, which has no elements; call.ringbuf_reserve adds a record"
        walk.report(state, "map type", text)
    elif facts.kind not in {None, "ringbuf"} and proto.id in _OF_RINGS:
        # until 5.15 some kernels took any map
        everywhere = walk.kernel is not None and walk.kernel >= _CHECKED_RINGS
        text = f"bpf_{proto.name} takes a map of type ringbuf, and this one is of type {facts.kind}"
        walk.report(state, "map type", text, everywhere=everywhere)


# A helper reads, or needs room for, memory on the stack.
def _stack_argument(
    walk: Walk, state: State, given: list[Value], pointer: Pointer, parameter: Parameter, what: str
) -> None:
    at = place(state, pointer)
    size = _size(state, given, parameter)
    if at is None or not size:
        return
    held = f"has {counted(size)}" if size >> 63 == 0 else f"has a negative number of bytes, {signed(size, 64)},"
    if not stack_range(walk, state, at, size, f"{what} {held} from fp {at:+d}".replace("fp -", "fp - ")):
        return
    if parameter.initialised and isinstance(pointer.off, int):
        byte = stack_of(state, pointer).unwritten(at, size)
        if byte is not None:
            unwritten(walk, state, byte)


def _size(state: State, given: list[Value], parameter: Parameter) -> int | None:
    if parameter.kind in {"map_key", "map_value"}:
        table = given[1]
        if type(table) is not Pointer or table.kind != "map":
            return None
        facts = cast("MapFacts", table.what)
        return facts.key_size if parameter.kind == "map_key" else facts.value_size
    if parameter.size is not None or parameter.size_index is None:
        return parameter.size
    size = given[parameter.size_index + 1]
    return known(state, size) if isinstance(size, NUMBERS) else None


def _effect(state: State, given: list[Value], index: int, parameter: Parameter) -> None:
    value = given[index + 1]
    if parameter.kind == "func":
        # what the callback does to the stacks of its callers is not followed
        state.lose_stacks()
    elif parameter.kind == "ringbuf_mem":
        _give_back(state, value)
    elif parameter.kind == "pointer":
        if type(value) is Pointer and value.kind == "stack":
            stack_of(state, value).lose(-512, 0)
    elif parameter.kind == "mem_write" or (parameter.kind == "map_value" and not parameter.initialised):
        if type(value) is not Pointer or value.kind != "stack":
            if not isinstance(value, (*NUMBERS, Pointer)):
                state.lose_stacks()
            return
        stack = stack_of(state, value)
        size = _size(state, given, parameter)
        exact = isinstance(value.off, int) and _is_fixed(given, parameter)
        at = place(state, value)
        if exact and at is not None and size is not None:
            if at >= -512 and at + size <= 0:
                stack.fill(at, size)
        else:
            stack.lose(-512, 0)


def _is_fixed(given: list[Value], parameter: Parameter) -> bool:
    if parameter.size_index is None:
        return parameter.size is not None or parameter.kind == "map_value"
    return isinstance(given[parameter.size_index + 1], int)


def _give_back(state: State, value: Value) -> None:
    origin = value.origin if type(value) is Pointer else None
    if origin in state.records:
        state.records = tuple([record for record in state.records if record is not origin])
        gone = Released(state.slot)
        state.replace(lambda other: gone if other.origin is origin else other)
    elif not isinstance(value, (*NUMBERS, Released)) and not (type(value) is Pointer and value.kind != "other"):
        # it may have been any of them
        state.records = ()


def _result(walk: Walk, state: State, proto: Prototype, given: list[Value]) -> Value:
    kind = proto.returns_kind
    if kind == "scalar":
        return _number(proto)
    if kind == "void":
        return Unset(state.slot)
    if kind == "ringbuf_mem_or_null":
        origin = Origin(state.slot)
        # a loop may take one more each time
        state.records = (*state.records, origin)[-_RECORDS:]
        size = given[2]
        return Pointer("record", size if isinstance(size, NUMBERS) else None, 0, "yes", origin)
    if kind == "map_value_or_null":
        return _looked_up(walk, state, proto, given)
    if kind == "pointer_or_null":
        return Pointer("other", None, 0, "yes", Origin(state.slot))
    return Pointer("other") if kind in {"pointer", "map_value"} else ANYTHING


# What is surely possible of a result: of those whose bounds kernels know, 0; a number of 32 bits stays in them.
def _number(proto: Prototype) -> Leaf:
    if proto.ret_refined:
        return Leaf(M64, (0, 0))
    return Leaf(M64, (0, M32)) if proto.returns in {"u32", "__u32"} else any_number()


def _looked_up(walk: Walk, state: State, proto: Prototype, given: list[Value]) -> Pointer:
    table = given[1]
    origin = Origin(state.slot)
    if type(table) is not Pointer or table.kind != "map":
        return Pointer("other", None, 0, "perhaps", origin)
    facts = cast("MapFacts", table.what)
    older = walk.kernel is not None and walk.kernel < KNOWN_THERE
    null: Literal["yes", "perhaps"] = "perhaps" if facts.full and not older else "yes"
    if facts.full and proto.id == _LOOKUP and facts.max_entries is not None and facts.plain:
        key = given[2]
        if type(key) is Pointer and key.kind == "stack" and isinstance(key.off, int):
            at = place(state, key)
            index = stack_of(state, key).load(at, 4) if at is not None and -512 <= at <= -4 and at % 4 == 0 else None
            if isinstance(index, int) and index >= facts.max_entries:
                null = "yes"
    return Pointer("value" if facts.plain else "other", facts, 0, null, origin)


def _leave_registers(state: State, result: Value) -> None:
    state.registers[0] = result
    state.registers[1:6] = [Unset(state.slot)] * 5


# What their programs get is decided by what they are attached to.
_ATTACHED: Final = {"tracing", "lsm", "struct_ops", "ext"}
