"""What arithmetic and wide loads do to the registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op
from fastbpf.asm.check.arithmetic import M32, M64, NAMES
from fastbpf.asm.check.availability import OLDEST
from fastbpf.asm.check.values import ANYTHING, NUMBERS, Pointer, combine, truncate, vague
from fastbpf.asm.operands import REGISTERS

if TYPE_CHECKING:
    from fastbpf.asm.check.state import State
    from fastbpf.asm.check.values import Number, Value
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.instruction import Instruction

_ADDRESSES: Final = {"stack", "ctx", "value", "record", "packet", "packet_end"}
_NO_RECORDS: Final = (5, 17)
_SIGNED: Final = {"div": "sdiv", "mod": "smod"}


def write(walk: Walk, state: State, number: int, value: Value) -> None:
    """Sets a register, which r10 does not allow."""
    if number == 10:
        walk.report(state, "r10", "r10 (fp) cannot be written: it always holds the end of the stack frame; use another")
        return
    state.registers[number] = value


def alu(walk: Walk, state: State, insn: Instruction) -> None:
    """Arithmetic of 64 or 32 bits."""
    code = insn.opcode
    bits = 64 if code & 7 == op.ALU64 else 32
    operation = code & 0xF0
    left: Value
    right: Value
    if operation == op.END:
        left = walk.read(state, insn.dst)
        write(walk, state, insn.dst, _swapped(left, insn) if isinstance(left, NUMBERS) else _mixed(left))
        return
    if operation == op.NEG:
        right = walk.read(state, insn.dst)
        write(walk, state, insn.dst, combine("sub", bits, 0, right) if isinstance(right, NUMBERS) else _mixed(right))
        return
    mask = M64 if bits == 64 else M32
    right = walk.read(state, insn.src) if code & op.X else insn.imm & mask
    if operation == op.MOV:
        write(walk, state, insn.dst, _moved(right, insn, bits))
        return
    left = walk.read(state, insn.dst)
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        name = NAMES.get(operation)
        if name is None:
            write(walk, state, insn.dst, ANYTHING)
            return
        write(walk, state, insn.dst, combine(_SIGNED.get(name, name) if insn.off else name, bits, left, right))
        return
    write(walk, state, insn.dst, _address(walk, state, insn, left, right, bits))


def wide(walk: Walk, state: State, insn: Instruction) -> None:
    """The load of a number, of a map or into it, or of what only the kernel knows."""
    match insn.src:
        case 0:
            write(walk, state, insn.dst, insn.imm & M64)
        case op.PSEUDO_MAP_FD | op.PSEUDO_MAP_IDX:
            write(walk, state, insn.dst, Pointer("map", walk.map(insn)))
        case op.PSEUDO_MAP_VALUE | op.PSEUDO_MAP_IDX_VALUE:
            facts = walk.map(insn)
            plain = facts.plain
            value = Pointer("value", facts, insn.imm >> 32 & M32) if plain else Pointer("other")
            write(walk, state, insn.dst, value)
        case op.PSEUDO_FUNC:
            write(walk, state, insn.dst, Pointer("other"))
        case _:
            write(walk, state, insn.dst, ANYTHING)


def _moved(value: Value, insn: Instruction, bits: int) -> Value:
    if insn.opcode & op.X and insn.off:
        if insn.off == 1 or not isinstance(value, NUMBERS):
            return ANYTHING
        return combine("extend", bits, value, insn.off)
    if bits == 64:
        return value
    if isinstance(value, NUMBERS):
        return truncate(value, 32)
    # half of an address is a number
    return vague(M32) if type(value) is Pointer else ANYTHING


def _swapped(value: Number, insn: Instruction) -> Number:
    bits = insn.imm
    if insn.opcode & 7 == op.ALU and not insn.opcode & op.X:
        return truncate(value, bits)
    return combine("swap", 64, value, bits)


# What arithmetic makes of an address: a number, if of anything.
def _mixed(value: Value) -> Value:
    return vague() if type(value) is Pointer else ANYTHING


def _address(walk: Walk, state: State, insn: Instruction, left: Value, right: Value, bits: int) -> Value:
    operation = insn.opcode & 0xF0
    if operation == op.ADD and type(right) is Pointer and isinstance(left, NUMBERS):
        left, right = right, left
    if type(left) is not Pointer or not isinstance(right, NUMBERS) or bits == 32:
        both = type(left) is Pointer and type(right) is Pointer
        return vague() if both and operation == op.SUB and bits == 64 else ANYTHING
    if operation not in {op.ADD, op.SUB}:
        if left.kind in _ADDRESSES:
            text = f"{REGISTERS[insn.dst]} holds an address, with which {insn!r} cannot count: add and sub can"
            walk.report(state, "address", text)
        return ANYTHING
    if left.null != "no":
        name = REGISTERS[insn.dst]
        text = f"{name} may be NULL here, and the kernel counts from no such address; {test_first(name)}"
        # some kernels before 5.17 count from a record
        certain = left.kind == "value" or (left.kind == "record" and (walk.kernel or OLDEST) >= _NO_RECORDS)
        walk.report(state, "null", text, everywhere=certain and left.null == "yes" and right != 0)
        return left
    off = combine("add" if operation == op.ADD else "sub", 64, left.off, right)
    return Pointer(left.kind, left.what, off, "no", left.origin)


def test_first(name: object) -> str:
    """The remedy for an address that may be NULL."""
    return f'test it first: jeq({name}, 0, "out")'
