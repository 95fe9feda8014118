"""How the arguments of a call get into r1 to r5."""

from __future__ import annotations

from fastbpf.asm.alu import add, const, mov
from fastbpf.asm.operands import REGISTERS, Address, Register, bits64, r0, signed32
from fastbpf.asm.refusal import OperandError, is_map, show
from fastbpf.asm.wide import ld_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.operands import MapObject

    #: What a call takes: registers, addresses, numbers of 64 bits (signed or unsigned), maps.
    Argument: TypeAlias = Register | Address | int | MapObject


def place(arguments: Sequence[Argument]) -> list[Instruction]:
    """Put the arguments into r1, r2 …, as if all at once: no register is overwritten before its last reader."""
    moves: dict[int, tuple[int, int]] = {}  # target register: source register, what to add
    loads: list[Instruction] = []
    for target, argument in zip(REGISTERS[1:], arguments, strict=False):
        if type(argument) is Register:
            moves[target.number] = argument.number, 0
        elif type(argument) is Address:
            far = f"add what {argument.base} lacks beforehand"
            moves[target.number] = argument.base.number, signed32(argument.offset, far)
        elif is_map(argument):
            loads.append(ld_map(target, argument))
        elif isinstance(argument, bool) or not hasattr(argument, "__index__"):
            raise OperandError(
                f"{show(argument)} cannot be an argument; registers, addresses (fp - 8), numbers and maps can"
            )
        else:
            loads.append(const(target, bits64(argument)))
    return _move(moves) + loads


def _move(moves: dict[int, tuple[int, int]]) -> list[Instruction]:
    instructions: list[Instruction] = []
    while moves:
        read = {source for target, (source, _) in moves.items() if source != target}
        free = next((target for target in moves if target not in read), None)
        if free is None:
            # Only cycles are left. A value of theirs moves to r0, which nobody reads any more and the call overwrites.
            busy = next(iter(moves))
            instructions.append(mov(r0, REGISTERS[busy]))
            moves = {target: (0 if source == busy else source, more) for target, (source, more) in moves.items()}
            continue
        source, more = moves.pop(free)
        if source != free:
            instructions.append(mov(REGISTERS[free], REGISTERS[source]))
        if more:
            instructions.append(add(REGISTERS[free], more))
    return instructions
