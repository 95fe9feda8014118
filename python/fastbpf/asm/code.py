"""Assembled code: what a ProgramSpec takes.

>>> from fastbpf.asm import assemble, exit_, label, lddw, ja, mov, r0
>>> code = assemble(ja("end"), lddw(r0, 1 << 40), label("end"), [mov(r0, 0), exit_()])
>>> len(code), bytes(code)[:8].hex(), code.labels
(5, '0500020000000000', {'end': 3})
"""

from __future__ import annotations

from bisect import bisect_right
from struct import pack_into

from fastbpf.asm.instruction import Instruction
from fastbpf.asm.opcode import PSEUDO_MAP_VALUE, WIDE
from fastbpf.asm.refusal import show
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

__all__ = ["Code"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from fastbpf.asm.assembly import Piece
    from fastbpf.asm.check.finding import Finding
    from fastbpf.asm.source import Source
    from fastbpf.kernel_version import KernelVersion


class Code(Value):
    """Assembled instructions, their branches resolved: what a ProgramSpec takes. `assemble` makes it.

    `len(code)` is in slots of 8 bytes, as the kernel counts; iteration gives instructions, of which the wide load takes
    two slots, and `code[slot]` the one in that slot. `bytes(code)` has 0 where the file descriptors of maps and the ids
    of kernel symbols belong, see `link`. `print(code)` shows the text that the kernel would show. Code is a part like
    any other: `assemble(code, more)` works.
    """

    __slots__ = ("_bytes", "_instructions", "_labels", "_pieces", "_starts")
    _bytes: bytes
    _instructions: tuple[Instruction, ...]
    _labels: dict[str, int]
    _pieces: tuple[tuple[int, int, Piece], ...]
    _starts: list[int] | None

    def __init__(
        self,
        instructions: Iterable[Instruction],
        labels: Mapping[str, int] | None = None,
        pieces: Iterable[tuple[int, int, Piece]] = (),
    ) -> None:
        fill(self, "_instructions", tuple(instructions))
        for insn in self._instructions:
            if type(insn) is not Instruction or (insn.label is not None and insn.distance is not None):
                raise AsmError(f"{here()}: {insn!r} cannot stand in Code yet; assemble() resolves labels")
        if not self._instructions:
            raise AsmError(f"{here()}: code has at least one instruction")
        fill(self, "_bytes", b"".join([bytes(insn) for insn in self._instructions]))
        fill(self, "_labels", dict(labels or {}))
        fill(self, "_pieces", tuple(pieces))
        fill(self, "_starts", None)

    def _fields(self) -> tuple[object, ...]:
        return self._instructions, self._labels, self._pieces

    def _content(self) -> tuple[object, ...]:
        return (self._instructions,)

    def __bytes__(self) -> bytes:
        return self._bytes

    def __len__(self) -> int:
        return len(self._bytes) // 8

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self._instructions)

    def __getitem__(self, slot: int) -> Instruction:
        """The instruction in that slot, either of its two for a wide load. IndexError if the code has no such slot."""
        if type(slot) is not int:
            raise TypeError(f"{slot!r} is not a slot; list(code) gives the instructions as a list")
        if not 0 <= slot < len(self):
            raise IndexError(f"there is no slot {slot} in code of {len(self)}")
        return self._instructions[bisect_right(self._begun(), slot) - 1]

    @property
    def labels(self) -> dict[str, int]:
        """The labels that the code was assembled with, those of pieces excepted, and the slots that they name."""
        return dict(self._labels)

    @property
    def pieces(self) -> tuple[tuple[int, int, Piece], ...]:
        """The pieces that the code was assembled with: the first slot of each, the one behind its last, and itself.

        One within another comes after it. Building blocks are pieces.
        """
        return self._pieces

    @property
    def maps(self) -> tuple[object, ...]:
        """The distinct objects that the code names as maps, in order of first use."""
        return tuple({id(insn.map): insn.map for insn in self if insn.map is not None}.values())

    def placed(self) -> Iterator[tuple[int, Instruction]]:
        """Each instruction with the slot that it begins in."""
        return zip(self._begun(), self._instructions, strict=True)

    def link(
        self,
        resolve: Callable[[object], int | tuple[int, int]],
        symbol: Callable[[Instruction], int] | None = None,
    ) -> bytes:
        """The code with the file descriptor of each map, and the BTF id of each kernel symbol, in its place.

        `resolve` is called once for each of `maps`, and gives a descriptor; where the object shares a map with others,
        a descriptor and the byte of the map's value that the object begins at. `symbol` is called for each instruction
        that names a function or a variable of the kernel. Raises AsmError when one gives no such number, or when
        `symbol` is needed and not given.
        """
        linked = bytearray(self._bytes)
        found: dict[int, int | tuple[int, int]] = {}
        for slot, insn in self.placed():
            number: int | None = None
            if insn.map is not None:
                if id(insn.map) not in found:
                    found[id(insn.map)] = resolve(insn.map)
                place = found[id(insn.map)]
                fd, start = place if isinstance(place, tuple) else (place, None)
                number = fd
                if type(number) is not int or not 0 <= number < 1 << 31:
                    raise refused(slot, insn, f"the map is not resolved: {show(number)} is not a file descriptor")
                if start is not None:
                    pack_into("<i", linked, slot * 8 + 12, _placed_at(slot, insn, start))
            elif insn.label is not None:
                number = symbol(insn) if symbol else None
                if type(number) is not int or not 0 < number < 1 << 31:
                    raise refused(slot, insn, f"the name is not resolved: {show(number)} is not a BTF id")
            if number is not None:
                pack_into("<i", linked, slot * 8 + 4, number)
        return bytes(linked)

    def source(self, slot: int) -> Source | None:
        """The line that wrote the instruction in that slot (either of its two, for a wide load), None if unknown.

        Raises IndexError for a slot that the code does not have.
        """
        return self[slot].source

    def text(self, *, bytes: bool = False, sources: bool = False) -> str:
        """The code as the kernel's own disassembler prints it, a line an instruction; `parse` reads it back.

        `bytes` adds those of each instruction, `sources` the lines of Python that wrote them.
        Source: kernel/bpf/disasm.c, as the verifier's log and `bpftool prog dump xlated` show it.

        >>> from fastbpf.asm import assemble, exit_, fp, r0, stdw, mov
        >>> print(assemble(stdw(fp, -8, 1), mov(r0, 0), exit_()))
           0: (7a) *(u64 *)(r10 -8) = 1
           1: (b7) r0 = 0
           2: (95) exit
        """
        from fastbpf.asm.text.listing import listing

        return listing(self, bytes=bytes, sources=sources)

    def check(
        self, prog_type: str, kernel: str | int | tuple[int, int] | KernelVersion | None = None
    ) -> tuple[Finding, ...]:
        """What the kernel's verifier would refuse, found before it is asked, with the line that wrote it.

        A finding is an "error" if every supported kernel refuses it, or the one that is given; it never stands on a
        program that such a kernel accepts. It is a "warning" if only some kernels refuse it, or if the analysis lost
        track on the way there. No finding is no promise.

        >>> from fastbpf.asm import assemble, call, exit_, mov, r0, r1
        >>> for finding in assemble(call.ktime_get_ns(), mov(r0, r1), exit_()).check("xdp"):
        ...     print(finding.severity, finding.slot, finding.text)
        error 1 r0 = r1
        """
        from fastbpf.asm.check import check

        return check(self, prog_type, kernel)

    def _begun(self) -> list[int]:
        # the slot in which each instruction begins
        if self._starts is None:
            starts, slot = [], 0
            for insn in self._instructions:
                starts.append(slot)
                slot += 2 if insn.opcode == WIDE else 1
            fill(self, "_starts", starts)
        return self._starts or []

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Code of {len(self)} slots>"


# The byte that an instruction names, counted from the start of a value that what it names shares with others.
def _placed_at(slot: int, insn: Instruction, start: object) -> int:
    if insn.kind != (WIDE, PSEUDO_MAP_VALUE):
        raise refused(slot, insn, "what shares a map with others is no map of its own; ld_map_value loads its address")
    if type(start) is not int or start < 0 or start + (insn.imm >> 32) >= 1 << 29:
        raise refused(slot, insn, f"the map is not resolved: {show(start)} is not a place in its value")
    return start + (insn.imm >> 32)


def refused(slot: int, part: object, reason: str) -> AsmError:
    """The error that says what is wrong with the part at a slot."""
    return AsmError(f"{getattr(part, 'source', None) or here()}: instruction {slot}: {part!r}: {reason}")
