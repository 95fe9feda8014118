"""Branches to labels that are further away than 16 bits count: each becomes one around a `gotol`, which has 32."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.code import refused
from fastbpf.asm.instruction import Instruction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbpf.kernel_version import KernelVersion

_OPPOSITE = {
    op.JEQ: op.JNE,
    op.JGT: op.JLE,
    op.JGE: op.JLT,
    op.JSGT: op.JSLE,
    op.JSGE: op.JSLT,
    op.JNE: op.JEQ,
    op.JLE: op.JGT,
    op.JLT: op.JGE,
    op.JSLE: op.JSGT,
    op.JSLT: op.JSGE,
}
_GOTOL_SINCE = (6, 6)


def stretched(
    instructions: Sequence[Instruction],
    starts: Sequence[int],
    targets: Mapping[int, int],
    kernel: KernelVersion | None,
) -> tuple[list[Instruction], list[int]]:
    """The instructions, their branches in reach, and the slot in which each of the given ones begins now, and the end.

    `targets` says which instruction a branch goes to that had a label; the others keep going where their numbers say.
    """
    targets = {**_numeric(instructions, starts), **targets}
    long: set[int] = set()
    begun = list(starts)
    # What grows may put other branches out of reach.
    while out := {index for index, to in targets.items() if _too_far(instructions, begun, index, to)} - long:
        long |= out
        slot = 0
        for index, insn in enumerate(instructions):
            begun[index] = slot
            slot += _length(insn) if index in long else insn.slots
        begun[-1] = slot
    _refuse_without_gotol(instructions, starts, targets, long, kernel)
    placed: list[Instruction] = []
    for index, insn in enumerate(instructions):
        if index in long:
            placed += _around(insn, begun[targets[index]] - begun[index])
        elif index in targets:
            placed.append(insn.goes(begun[targets[index]] - begun[index] - 1))
        else:
            placed.append(insn)
    return placed, begun


def _numeric(instructions: Sequence[Instruction], starts: Sequence[int]) -> dict[int, int]:
    at = {slot: index for index, slot in enumerate(starts)}
    found = {}
    for index, insn in enumerate(instructions):
        distance = insn.distance
        # one that goes nowhere in particular stays as it was written
        if distance is not None and insn.label is None and starts[index] + 1 + distance in at:
            found[index] = at[starts[index] + 1 + distance]
    return found


def _too_far(instructions: Sequence[Instruction], begun: Sequence[int], index: int, to: int) -> bool:
    return instructions[index].opcode in op.NEAR and not -0x8000 <= begun[to] - begun[index] - 1 < 0x8000


def _length(insn: Instruction) -> int:
    if insn.opcode == op.JMP | op.JA:
        return 1
    return 2 if insn.opcode & 0xF0 in _OPPOSITE else 3


def _around(insn: Instruction, away: int) -> list[Instruction]:
    length = _length(insn)
    goto = Instruction(op.GOTOL, imm=away - length, source=insn.source)
    if length == 1:
        return [goto]
    if length == 2:
        opposite = insn.opcode & 0x0F | _OPPOSITE[insn.opcode & 0xF0]
        return [Instruction(opposite, insn.dst, insn.src, 1, insn.imm, source=insn.source), goto]
    return [insn.goes(1), Instruction(op.JMP | op.JA, off=1, source=insn.source), goto]


def _refuse_without_gotol(
    instructions: Sequence[Instruction],
    starts: Sequence[int],
    targets: Mapping[int, int],
    long: set[int],
    kernel: KernelVersion | None,
) -> None:
    if kernel is not None and kernel < _GOTOL_SINCE:
        index = min(long)
        away = starts[targets[index]] - starts[index] - 1
        reason = f"the label is {away} slots away, and a branch reaches -32768 to 32767 on Linux {kernel}"
        remedy = "gotol, which reaches further, is of Linux 6.6; put what lies between into a subprogram: call_sub"
        raise refused(starts[index], instructions[index], f"{reason}; {remedy}")
