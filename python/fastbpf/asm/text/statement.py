"""A statement that is still to be read, with all that says what its words mean."""

from __future__ import annotations

from struct import Struct

from fastbpf.asm.instruction import Instruction
from fastbpf.asm.opcode import WIDE
from fastbpf.asm.text.tokens import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fastbpf.asm.source import Source

_WIDE_OPCODE = bytes([WIDE])
_FIELDS = Struct("<BBhi4xi")


class Unread:
    """A statement, and all that says what its words mean."""

    def __init__(
        self,
        text: str,
        raw: bytes = b"",
        labels: Collection[str] = (),
        maps: Mapping[str, object] | None = None,
        source: Source | None = None,
        *,
        in_log: bool = False,
    ) -> None:
        self.text = text
        # the opcode alone, or whole slots, where the line gives them: they say what LLVM's text leaves out
        self.raw = raw
        # what a bare `call` may mean besides a helper
        self.labels = labels
        self.maps = {} if maps is None else maps
        self.source = source
        # whether the verifier wrote it, which shows the ids of kernel functions
        self.in_log = in_log

    def make(
        self,
        opcode: int,
        dst: int = 0,
        src: int = 0,
        off: int = 0,
        imm: int = 0,
        label: str | None = None,
        map: object = None,
    ) -> Instruction:
        """An instruction of this line."""
        return Instruction(opcode, dst, src, off, imm, label, map, self.source)

    def branch(self, opcode: int, to: str, dst: int = 0, src: int = 0, imm: int = 0) -> Instruction:
        """A branch whose distance has 16 bits."""
        label, off = target(to, 16)
        return Instruction(opcode, dst, src, off, imm, label, None, self.source)

    @property
    def is_wide(self) -> bool:
        """Whether the line says that it is a wide load."""
        return self.raw[:1] == _WIDE_OPCODE

    def field(self, name: str) -> int:
        """What the line's bytes have in a field; `next_imm` is that of the second slot. 0 when it gives none."""
        _, registers, off, imm, next_imm = _FIELDS.unpack(self.raw.ljust(16, b"\0"))
        fields: dict[str, int] = {"src": registers >> 4, "off": off, "imm": imm, "next_imm": next_imm}
        return fields[name]
