"""Follows the paths of a program, as the kernel's verifier does: certain ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbpf.asm import opcode as op
from fastbpf.asm.check import branches, calls, fields, memory, transfer
from fastbpf.asm.check.arithmetic import JUMPS
from fastbpf.asm.check.availability import OLDEST, since
from fastbpf.asm.check.cfg import jump_target
from fastbpf.asm.check.state import Past, State
from fastbpf.asm.check.values import ANYTHING, Pointer, Unset
from fastbpf.asm.check.walk import OPEN_ENDED, called
from fastbpf.asm.instruction import MNEMONICS

if TYPE_CHECKING:
    from fastbpf.asm.check.values import Value
    from fastbpf.asm.check.walk import Walk
    from fastbpf.asm.instruction import Instruction

# What one instruction takes, in the unit of `Walk.spend`.
_STEP: Final = 10
# How many different states an instruction is followed from, until their numbers are forgotten.
_STATES: Final = 200


class Explorer:
    """The paths through one program."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._graph = walk.graph
        self._seen: dict[int, dict[tuple[object, ...], Past]] = {}
        self._certain: list[State] = []
        self._doubtful: list[State] = []
        self._newer = self._too_new()
        self._refused = fields.refusals(walk.graph.placed())

    def run(self) -> None:
        """Follows the paths from the beginning of the program and of its callbacks."""
        walk = self._walk
        first: dict[int, Value] = {1: Pointer("ctx")}
        anything: dict[int, Value] = dict.fromkeys(range(1, 6), ANYTHING)
        # an extension has the arguments of what it replaces
        self._push(State(0, anything if walk.prog_type == "ext" else first, certain=True))
        for entry in sorted(self._graph.callbacks):
            if self._graph.has(entry):
                self._push(State(entry, anything, certain=False))
        while (self._certain or self._doubtful) and not walk.exhausted:
            state = (self._certain or self._doubtful).pop()
            certain = state.certain
            while not walk.exhausted:
                if state.slot in self._graph.joins and self._has_seen(state):
                    break
                walk.spend(_STEP)
                if not self._step(state):
                    break
                if certain and not state.certain:
                    self._push(state)
                    break

    def _push(self, state: State) -> None:
        (self._certain if state.certain else self._doubtful).append(state)

    def _has_seen(self, state: State) -> bool:
        seen = self._seen.setdefault(state.slot, {})
        if len(seen) >= _STATES:
            state.weaken()
        key = state.key()
        # to tell them takes time, too, and to keep them room
        known = state.known
        self._walk.spend(6 * (len(known.ranges) + len(known.others)) + known.size // 2)
        if key in seen:
            if state.certain and not self._graph.hidden and _passed(state, seen[key]):
                text = "the program can loop here for ever: from one turn to the next, nothing changes that it tests"
                self._walk.report(state, "endless", text)
            return True
        # what was followed in doubt is followed again once it is certain
        mark = key if state.certain else (key, "doubtful")
        if mark in seen:
            return True
        state.past = seen[mark] = Past(state.past)
        return False

    # Goes one instruction on; False: the path ends here, or others go on in its place.
    def _step(self, state: State) -> bool:
        walk = self._walk
        slot = state.slot
        insn = self._graph.at(slot)
        if slot in self._newer:
            walk.report(state, "kernel", self._newer[slot], everywhere=walk.kernel is not None)
        if slot not in self._graph.ends:
            walk.report(state, "endless", "the program never ends from here on: no path leads to exit_()")
            return False
        if insn.dst > 10 or insn.src > 10:
            walk.report(state, "register", f"there is no register r{max(insn.dst, insn.src)}; they end with r10")
            return False
        if slot in self._refused:
            walk.report(state, "field", self._refused[slot])
            if insn.kind not in MNEMONICS:
                return False
        code = insn.opcode
        kind = code & 7
        if kind in {op.ALU, op.ALU64}:
            transfer.alu(walk, state, insn)
        elif kind == op.LDX:
            memory.load(walk, state, insn)
        elif kind == op.ST:
            memory.store(walk, state, insn)
        elif kind == op.STX:
            if code & 0xE0 == op.ATOMIC:
                memory.atomic(walk, state, insn)
            else:
                memory.store(walk, state, insn)
        elif kind == op.LD:
            if code == op.WIDE:
                transfer.wide(walk, state, insn)
            elif code & 0xE0 in {op.ABS, op.IND}:
                calls.packet_load(walk, state, insn)
            else:
                return False
        else:
            return self._jump(state, insn)
        return self._go(state, slot + insn.slots)

    def _jump(self, state: State, insn: Instruction) -> bool:
        walk, slot, code = self._walk, state.slot, insn.opcode
        if code == op.JMP | op.EXIT:
            return self._exit(state)
        if code == op.CALLS:
            if insn.src == op.PSEUDO_CALL:
                entry = calls.subprogram(walk, state, insn)
                return entry is not None and self._go(state, entry)
            if insn.src == op.PSEUDO_KFUNC_CALL:
                calls.kernel_function(state)
            else:
                calls.helper(walk, state, insn)
            return self._go(state, slot + 1)
        target = jump_target(slot, insn)
        if target is None:
            return False
        if code in {op.JMP | op.JA, op.GOTOL}:
            return self._go(state, target)
        if code == op.MAY_GOTO:
            other = state.fork()
            if self._go(other, target):
                self._push(other)
            return self._go(state, slot + 1)
        if code & 0xF0 not in JUMPS:
            return False
        goes_on = False
        for path, taken in branches.branch(walk, state, insn):
            moved = self._go(path, target if taken else slot + 1)
            if path is state:
                goes_on = moved
            elif moved:
                self._push(path)
        return goes_on

    def _exit(self, state: State) -> bool:
        walk = self._walk
        if len(state.frames) > 1:
            return self._go(state, state.leave())
        result = state.registers[0]
        if type(result) is Unset:
            text = "r0 is not set where the program ends: it is the result"
            if result.by is not None:
                text = (
                    f"r0 is not set where the program ends, since {called(self._graph.at(result.by))} gives no result"
                )
            walk.report(state, "result", f"{text}; mov(r0, 0) sets it", everywhere=walk.prog_type not in OPEN_ENDED)
        calls.leaks(walk, state, "the exit here")
        return False

    # Moves on to a slot; False if no instruction begins there.
    def _go(self, state: State, slot: int) -> bool:
        if self._graph.has(slot):
            state.slot = slot
            return True
        if 0 <= slot < len(self._graph.instructions):
            text = f"slot {slot} is the second half of a wide load, and no place to go on"
            self._walk.report(state, "target", text)
        return False

    def _too_new(self) -> dict[int, str]:
        kernel = self._walk.kernel
        found = {}
        for slot, insn in self._graph.placed():
            first = since(insn)
            if first > (kernel or OLDEST):
                kfunc = insn.kind == (op.CALLS, op.PSEUDO_KFUNC_CALL)
                text = f"{insn!r}: calls of kernel functions need" if kfunc else f"{insn!r} needs"
                text += f" Linux {first}"
                if kfunc:
                    text += ", this one perhaps more"
                found[slot] = f"{text}, and this program is for {kernel}" if kernel else f"{text}; {OLDEST} lacks it"
        return found


def _passed(state: State, place: Past) -> bool:
    past = state.past
    while past is not None and past is not place:
        past = past.before
    return past is place
