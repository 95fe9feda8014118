"""The instructions of an object's programs, with the maps that they name and the lines of C that they came of."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from fastbpf.asm.disassembly import decoded
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.opcode import PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, WIDE
from fastbpf.asm.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["placed"]

_LOW = 0xFFFFFFFF


def placed(raw: bytes, lines: Sequence[tuple[int, str, int]], maps: Mapping[int, object]) -> Iterator[Instruction]:
    """The instructions one by one; `lines` says at which slots lines begin, `maps` what numbers stand for maps.

    Instructions that fastbpf does not know are among them as they are.
    """
    # Line 0 is the compiler's own work, on behalf of the line before.
    lines = [one for one in lines if one[2]]
    slots = [slot for slot, *_ in lines]
    sources = [Source(file, line) for _, file, line in lines]
    slot = 0
    for insn in decoded(raw, strict=False):
        at = bisect_right(slots, slot) - 1
        imm, live = insn.imm, None
        if insn.opcode == WIDE and insn.src in {PSEUDO_MAP_FD, PSEUDO_MAP_VALUE}:
            live = maps.get(imm & _LOW)
            imm = imm if live is None else imm & ~_LOW
        source = sources[at] if at >= 0 else None
        yield Instruction(insn.opcode, insn.dst, insn.src, insn.off, imm, insn.label, live, source)
        slot += insn.slots
