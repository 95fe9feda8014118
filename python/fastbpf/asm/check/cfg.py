"""Where control can go, by the instructions alone: what the kernel checks before it looks at any value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op
from fastbpf.asm.check.fields import unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbpf.asm.code import Code
    from fastbpf.asm.instruction import Instruction

_EXIT: Final = op.JMP | op.EXIT
_JA: Final = op.JMP | op.JA


class Graph:
    """The instructions of a program by slot, its subprograms, and which instructions follow which."""

    def __init__(self, code: Code) -> None:
        #: by slot; None for the second half of a wide load
        self.instructions: list[Instruction | None] = [None] * len(code)
        for slot, insn in code.placed():
            self.instructions[slot] = insn
        #: the pieces that it was assembled with, and their slots
        self.pieces = code.pieces
        #: where callbacks begin
        self.callbacks: set[int] = set()
        entries = {0}
        self._indirect = False
        #: whether kernel functions are called: what catches the exceptions of one is named by BTF alone
        self.throws = False
        #: whether loops may have ways out that the graph does not show
        self.hidden = False
        for slot, insn in code.placed():
            if insn.opcode == op.CALLS and insn.src == op.PSEUDO_CALL:
                entries.add(slot + 1 + insn.imm)
            elif insn.opcode == op.WIDE and insn.src == op.PSEUDO_FUNC:
                entries.add(function(slot, insn))
                self.callbacks.add(function(slot, insn))
            self._indirect |= insn.opcode == op.GOTOX
            self.throws |= insn.opcode == op.CALLS and insn.src == op.PSEUDO_KFUNC_CALL
            self.hidden |= self.throws or insn.opcode == op.MAY_GOTO
            self.hidden |= insn.opcode & 7 == op.LD and insn.opcode != op.WIDE
        self.entries = sorted(entry for entry in entries if self.has(entry))
        self.joins = self._joins()
        self.ends = self._ends()

    def has(self, slot: int) -> bool:
        """Whether an instruction begins there."""
        return 0 <= slot < len(self.instructions) and self.instructions[slot] is not None

    def at(self, slot: int) -> Instruction:
        """The instruction that begins there."""
        insn = self.instructions[slot]
        if insn is None:
            raise LookupError(f"slot {slot} is the second half of a wide load")
        return insn

    def placed(self) -> Iterator[tuple[int, Instruction]]:
        """Each instruction with the slot that it begins in."""
        for slot, insn in enumerate(self.instructions):
            if insn is not None:
                yield slot, insn

    def mistakes(self) -> Iterator[tuple[int, str, str]]:
        """Slot, kind and text of what the kernel refuses whatever the values are."""
        ends = [*self.entries[1:], len(self.instructions)]
        for start, end in zip(self.entries, ends, strict=True):
            for slot in range(start, end):
                insn = self.instructions[slot]
                target = None if insn is None else jump_target(slot, insn)
                if target is not None and not start <= target < end:
                    yield slot, "target", self._outside(target)
            last = end - 1 if self.instructions[end - 1] is not None else end - 2
            insn = self.instructions[last]
            if insn is not None and insn.opcode not in {_EXIT, _JA, op.GOTOL, op.GOTOX}:
                what = "the program" if end == len(self.instructions) else f"the subprogram that begins at slot {start}"
                yield last, "end", f"{what} runs off its end here; end it with exit_() or ja(...)"
        for slot, insn in self.placed():
            if unknown(insn):
                yield slot, "opcode", f"there is no instruction of opcode 0x{insn.opcode:02x}"
            if insn.opcode == op.CALLS and insn.src == op.PSEUDO_CALL:
                entry = slot + 1 + insn.imm
            elif insn.opcode == op.WIDE and insn.src == op.PSEUDO_FUNC:
                entry = function(slot, insn)
            else:
                continue
            if not self.has(entry):
                yield slot, "target", f"there is no instruction at slot {entry}, where the function would begin"
        if not self._indirect:
            yield from self._unreached()

    def _unreached(self) -> Iterator[tuple[int, str, str]]:
        reached = set()
        left = [0]
        while left:
            slot = left.pop()
            if slot in reached or not self.has(slot):
                continue
            reached.add(slot)
            left += self.successors(slot)
            insn = self.at(slot)
            if insn.opcode == op.CALLS and insn.src == op.PSEUDO_CALL:
                left.append(slot + 1 + insn.imm)
            elif insn.opcode == op.WIDE and insn.src == op.PSEUDO_FUNC:
                left.append(function(slot, insn))
        before = True
        for slot in range(len(self.instructions)):
            if not self.has(slot):
                continue
            if slot not in reached and before:
                yield slot, "unreached", "no path leads here, and the kernel refuses code that cannot run; remove it"
            before = slot in reached

    def successors(self, slot: int) -> list[int]:
        """The slots to which control can go from an instruction, within the same subprogram."""
        insn = self.at(slot)
        if insn.opcode in {_EXIT, op.GOTOX}:
            return []
        target = jump_target(slot, insn)
        if insn.opcode in {_JA, op.GOTOL} and target is not None:
            return [target]
        after = slot + insn.slots
        return [after] if target is None else [after, target]

    def _outside(self, target: int) -> str:
        count = len(self.instructions)
        if 0 <= target < count:
            return f"slot {target} is in another subprogram, and branches stay in their own; call_sub enters another"
        return f"slot {target} is outside the program, which has slots 0 to {count - 1}"

    # Slots that more than one other slot leads to.
    def _joins(self) -> set[int]:
        seen: set[int] = set()
        joins: set[int] = set()
        for slot, insn in enumerate(self.instructions):
            if insn is None:
                continue
            for after in self.successors(slot):
                (joins if after in seen else seen).add(after)
        return joins.union(self.entries)

    # Slots from which an end can be reached; all of them where instructions have ways out that the graph does not show.
    def _ends(self) -> set[int]:
        everything = {slot for slot, insn in enumerate(self.instructions) if insn is not None}
        if self._indirect or self.hidden:
            return everything
        before: dict[int, list[int]] = {}
        left = []
        for slot in everything:
            for after in self.successors(slot):
                before.setdefault(after, []).append(slot)
                if not self.has(after):
                    left.append(slot)
            insn = self.instructions[slot]
            if insn is not None and insn.opcode == _EXIT:
                left.append(slot)
        ends: set[int] = set()
        while left:
            slot = left.pop()
            if slot not in ends:
                ends.add(slot)
                left += before.get(slot, ())
        return ends


def jump_target(slot: int, insn: Instruction) -> int | None:
    """Where a branch goes; None for what is none."""
    code = insn.opcode
    if code & 7 not in {op.JMP, op.JMP32} or code in {_EXIT, op.CALLS, op.GOTOX}:
        return None
    return slot + 1 + (insn.imm if code == op.GOTOL else insn.off)


def function(slot: int, insn: Instruction) -> int:
    """Where the callback begins whose address an instruction loads."""
    low = (insn.imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    return slot + 1 + low
