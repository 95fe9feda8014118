"""From instructions and labels to code that the kernel can load.

>>> from fastbpf.asm import assemble, exit_, ja, label, lddw, mov, r0
>>> code = assemble(ja("end"), lddw(r0, 1 << 40), label("end"), [mov(r0, 0), exit_()])
>>> len(code), bytes(code)[:8].hex()
(5, '0500020000000000')
"""

from __future__ import annotations

from struct import pack_into

from fastbpf.asm.instruction import Instruction, Label
from fastbpf.asm.opcode import JA, JMP
from fastbpf.asm.refusal import is_map, nearest, show
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

__all__ = ["Code", "assemble"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from fastbpf.asm.source import Source

    #: What `assemble` takes.
    Part: TypeAlias = Instruction | Label | Iterable["Part"]


class Code(Value):
    """Assembled instructions, their branches resolved: what a ProgramSpec takes. `assemble` makes it.

    `len(code)` is in slots of 8 bytes, as the kernel counts; iteration gives instructions, of which the wide load takes
    two slots. `bytes(code)` has 0 where the file descriptors of maps belong, see `link`. Code is a part like any other:
    `assemble(code, more)` works.
    """

    __slots__ = ("_bytes", "_instructions")
    _bytes: bytes
    _instructions: tuple[Instruction, ...]

    def __init__(self, instructions: Iterable[Instruction]) -> None:
        fill(self, "_instructions", tuple(instructions))
        fill(self, "_bytes", b"".join([bytes(insn) for insn in self._instructions]))

    def _fields(self) -> tuple[object, ...]:
        return (self._instructions,)

    _content = _fields

    def __bytes__(self) -> bytes:
        return self._bytes

    def __len__(self) -> int:
        return len(self._bytes) // 8

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self._instructions)

    @property
    def maps(self) -> tuple[object, ...]:
        """The distinct objects that the code names as maps, in order of first use."""
        return tuple({id(insn.map): insn.map for insn in self if insn.map is not None}.values())

    def link(self, resolve: Callable[[object], int]) -> bytes:
        """The code with the file descriptor of each map in its place. `resolve` is called once for each of `maps`.

        Raises AsmError when `resolve` gives anything but a file descriptor.
        """
        linked = bytearray(self._bytes)
        fds: dict[int, int] = {}
        for slot, insn in self._placed():
            if insn.map is None:
                continue
            if id(insn.map) not in fds:
                fds[id(insn.map)] = fd = resolve(insn.map)
                if type(fd) is not int or not 0 <= fd < 1 << 31:
                    raise _refused(slot, insn, f"the map is not resolved: {show(fd)} is not a file descriptor")
            pack_into("<i", linked, slot * 8 + 4, fds[id(insn.map)])
        return bytes(linked)

    def source(self, slot: int) -> Source | None:
        """The line that wrote the instruction in that slot (either of its two, for a wide load), None if unknown.

        Raises IndexError for a slot that the code does not have.
        """
        if not 0 <= slot < len(self):
            raise IndexError(f"there is no slot {slot} in code of {len(self)}")
        return next(insn.source for start, insn in self._placed() if slot < start + insn.slots)

    def _placed(self) -> Iterator[tuple[int, Instruction]]:
        slot = 0
        for insn in self._instructions:
            yield slot, insn
            slot += insn.slots

    def __repr__(self) -> str:
        return f"<Code of {len(self)} slots>"


def assemble(*parts: Part) -> Code:
    """Put instructions and labels, in any nesting of iterables, into one row and turn labels into distances.

    Raises AsmError, with the number of the slot, the instruction and the line that wrote it, for a label that is
    unknown or stands twice, a branch out of reach, a part that is no instruction, and for no instruction at all.
    """
    placed: list[tuple[int, Instruction]] = []
    labels: dict[str, tuple[int, Label]] = {}
    end = 0
    for part in _flatten(parts):
        if type(part) is Instruction:
            placed.append((end, part))
            end += part.slots
        elif type(part) is not Label:
            raise AsmError(f"{here()}: instruction {end}: {_not_a_part(part)}")
        elif part.name in labels:
            slot, first = labels[part.name]
            raise _refused(end, part, f"the label stands at {first.source or f'instruction {slot}'} already")
        else:
            labels[part.name] = end, part
    if not placed:
        raise AsmError(f"{here()}: assemble() needs at least one instruction")
    return Code([insn if insn.label is None else _resolve(slot, insn, labels) for slot, insn in placed])


def _flatten(parts: Iterable[object]) -> Iterator[object]:
    for part in parts:
        # not to be looked into: text gives text for ever, a live map its keys
        if isinstance(part, (str, bytes)) or is_map(part) or not hasattr(part, "__iter__"):
            yield part
        else:
            yield from _flatten(part)


def _resolve(slot: int, insn: Instruction, labels: dict[str, tuple[int, Label]]) -> Instruction:
    name = str(insn.label)
    if name not in labels:
        raise _refused(slot, insn, f"there is no label({show(name)}){nearest(name, labels)}")
    distance = labels[name][0] - slot - insn.slots
    if not (insn.far or -0x8000 <= distance < 0x8000):
        gotol = f"gotol({show(name)})"
        remedy = f"use {gotol}" if insn.opcode == JMP | JA else f"branch to a label nearby and put {gotol} there"
        raise _refused(
            slot, insn, f"the label is {distance} slots away and this branch reaches -32768 to 32767; {remedy}"
        )
    return insn.branch(distance)


def _refused(slot: int, part: Instruction | Label, reason: str) -> AsmError:
    return AsmError(f"{part.source or here()}: instruction {slot}: {part!r}: {reason}")


def _not_a_part(part: object) -> str:
    if isinstance(part, str):
        return f"{show(part)} is not an instruction; a label is written label({show(part)})"
    if callable(part):
        return f"{show(part)} is not an instruction until it is called: {show(part)}(…)"
    return f"{show(part)} is not an instruction, a label, or an iterable of them"
