"""The one type of an instruction, and the label that stands between instructions."""

from __future__ import annotations

from struct import Struct

from fastbpf.asm.opcode import EXTENSIONS, FAR, NEAR, WIDE
from fastbpf.asm.refusal import show, written
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.mnemonic import Mnemonic
    from fastbpf.asm.source import Source

# Kinds of instructions and the mnemonics that make them; each mnemonic enters itself.
MNEMONICS: dict[tuple[int, int], Mnemonic] = {}

# opcode, registers (source in the upper half), offset, number: little-endian, as x86-64 and arm64 run it
_SLOT = Struct("<BBhi")
_WIDE = Struct("<BBhiIi")


class Instruction(Value):
    """An instruction of RFC 9669, field by field. The mnemonics (`mov`, `jeq` …) make them; so can you.

    `imm` is signed, 32 bits, and 64 bits for the wide load (0x18). `label` is a name that is still to be resolved: a
    branch target, which `assemble` turns into a distance, or a function or variable of the kernel, which loading turns
    into a BTF id. `map` is the object whose file descriptor `Code.link` fills in. `source` is the line that wrote the
    instruction: it takes no part in equality.

    >>> from fastbpf.asm import mov, r1
    >>> mov(r1, 5)
    mov(r1, 5)
    >>> mov(r1, 5) == Instruction(0xB7, dst=1, imm=5)
    True
    """

    __match_args__ = ("opcode", "dst", "src", "off", "imm", "label", "map", "source")
    __slots__ = __match_args__
    opcode: int
    dst: int
    src: int
    off: int
    imm: int
    label: str | None
    map: object
    source: Source | None

    def __init__(
        self,
        opcode: int,
        dst: int = 0,
        src: int = 0,
        off: int = 0,
        imm: int = 0,
        label: str | None = None,
        map: object = None,
        source: Source | None = None,
    ) -> None:
        _set_opcode(self, opcode)
        _set_dst(self, dst)
        _set_src(self, src)
        _set_off(self, off)
        _set_imm(self, imm)
        _set_label(self, label)
        _set_map(self, map)
        _set_source(self, source)
        top = 1 << 63 if opcode == WIDE else 1 << 31
        try:
            upper = (opcode | dst << 4 | src << 4 | (off | imm) & 0) & ~0xFF
        except TypeError:
            raise AsmError(f"{source or here()}: {self._raw()}: a field is not an integer") from None
        if upper or not -0x8000 <= off < 0x8000 or not -top <= imm < top:
            raise AsmError(f"{source or here()}: {self._raw()}: a field does not fit into its bits")

    def _content(self) -> tuple[object, ...]:
        return self.opcode, self.dst, self.src, self.off, self.imm, self.label, self.map

    @property
    def slots(self) -> int:
        """How many 8-byte slots it takes: two for the wide load, else one."""
        return 2 if self.opcode == WIDE else 1

    @property
    def kind(self) -> tuple[int, int]:
        """The opcode and the field that extends it: what tells `div` from `sdiv`, or one atomic from another."""
        return self.opcode, getattr(self, EXTENSIONS[self.opcode]) if self.opcode in EXTENSIONS else 0

    @property
    def distance(self) -> int | None:
        """How many slots lie between the slot that it begins in and the one that it goes to, None if to none.

        Branches, calls of subprograms and `ld_func` have one; one whose label is not resolved yet has 0.

        >>> from fastbpf.asm import ja, mov, r1
        >>> ja(-3).distance, mov(r1, 5).distance
        (-3, None)
        """
        if self.opcode in NEAR:
            return self.off
        # of the two numbers in a wide load the first
        return (self.imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000 if self.kind in FAR else None

    def goes(self, distance: int) -> Instruction:
        """The same instruction, with that distance instead of the one or the label that it has."""
        off, imm = self.off, self.imm
        if self.opcode in NEAR:
            off = distance
        else:
            imm = distance & 0xFFFFFFFF if self.opcode == WIDE else distance
        return Instruction(self.opcode, self.dst, self.src, off, imm, None, self.map, self.source)

    def __bytes__(self) -> bytes:
        """The slots as the kernel reads them; a label or a map that is not resolved yet is 0."""
        if self.opcode != WIDE:
            return _SLOT.pack(self.opcode, self.dst | self.src << 4, self.off, self.imm)
        low = (self.imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        return _WIDE.pack(WIDE, self.dst | self.src << 4, self.off, low, 0, self.imm >> 32)

    def __repr__(self) -> str:
        mnemonic = MNEMONICS.get(self.kind)
        return (mnemonic and mnemonic.write(self)) or self._raw()

    def _raw(self) -> str:
        # "is None": a map may be empty, and then false
        fields = {name: getattr(self, name) for name in self.__match_args__[1:7]}
        shown = [f"{name}={show(value)}" for name, value in fields.items() if not (value is None or value == 0)]
        code: object = self.opcode
        opcode = f"0x{code:02x}" if isinstance(code, int) else show(code)
        return f"Instruction({', '.join([opcode, *shown])})"


# Programs have many of them: these take half the time of object.__setattr__.
_set_opcode, _set_dst, _set_src, _set_off, _set_imm, _set_label, _set_map, _set_source = (
    getattr(Instruction, name).__set__ for name in Instruction.__slots__
)


class Label(Value):
    """A name for the place of the instruction that comes next. It takes no room. See `label`."""

    __match_args__ = ("name", "source")
    __slots__ = __match_args__
    name: str
    source: Source | None

    def __init__(self, name: str, source: Source | None = None) -> None:
        fill(self, "name", name)
        fill(self, "source", source)

    def _content(self) -> tuple[object, ...]:
        return (self.name,)

    def __repr__(self) -> str:
        return written("label", (self.name,))
