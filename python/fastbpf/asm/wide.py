"""Wide loads: a number of 64 bits, a map, a subprogram or a kernel variable into a register, in two slots.

>>> from fastbpf.asm import ld_func, lddw, r1, r2
>>> lddw(r1, 0x123456789ABCDEF), ld_func(r2, "each")
(lddw(r1, 81985529216486895), ld_func(r2, "each"))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import REGISTERS, Register, bits64, map_object, symbol, target, within, writable
from fastbpf.asm.refusal import checked
from fastbpf.asm.source import here

__all__ = ["ld_btf_id", "ld_func", "ld_map", "ld_map_index", "ld_map_index_value", "ld_map_value", "lddw"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.asm.operands import MapObject


def _value_offset(offset: object) -> int:
    # in the second of the two numbers; the kernel's limit is BPF_MAX_VAR_OFF
    return within(offset, 0, (1 << 29) - 1, "the offset into the value") << 32


class _LoadWide(Mnemonic):
    """dst = a number of 64 bits, in two slots."""

    @checked
    def __call__(self, dst: Register, value: int) -> Instruction:
        """dst = value, any number of 64 bits, signed or unsigned, in two slots. `const` takes one where one will do."""
        return Instruction(op.WIDE, writable(dst), imm=bits64(value), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.imm


class _LoadMap(Mnemonic):
    """dst = the map, as helpers take it."""

    @checked
    def __call__(self, dst: Register, map: MapObject) -> Instruction:
        """dst = the map, as helpers take it: a MapSpec, which loading creates, or a live Map. Takes two slots."""
        return Instruction(op.WIDE, writable(dst), op.PSEUDO_MAP_FD, map=map_object(map), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.map


class _LoadMapValue(Mnemonic):
    """dst = the address of a place within the value of an array map that has one element."""

    @checked
    def __call__(self, dst: Register, map: MapObject, offset: int) -> Instruction:
        """dst = the address of byte `offset` of the first value of an array map. Takes two slots. Linux 5.2."""
        number, named = writable(dst), map_object(map)
        return Instruction(op.WIDE, number, op.PSEUDO_MAP_VALUE, 0, _value_offset(offset), map=named, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.map, insn.imm >> 32


class _LoadMapIndex(Mnemonic):
    """dst = a map, by its place in the array of file descriptors that the program is loaded with."""

    @checked
    def __call__(self, dst: Register, index: int) -> Instruction:
        """dst = the map at `index` of `fd_array` in bpf(2), BPF_PROG_LOAD. Takes two slots."""
        imm = within(index, 0, (1 << 31) - 1, "the index of a map")
        return Instruction(op.WIDE, writable(dst), op.PSEUDO_MAP_IDX, imm=imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.imm


class _LoadMapIndexValue(Mnemonic):
    """dst = the address of a place within the value of such a map."""

    @checked
    def __call__(self, dst: Register, index: int, offset: int) -> Instruction:
        """dst = the address of byte `offset` of the first value of the map at `index`. Takes two slots."""
        number = writable(dst)
        imm = within(index, 0, (1 << 31) - 1, "the index of a map") | _value_offset(offset)
        return Instruction(op.WIDE, number, op.PSEUDO_MAP_IDX_VALUE, imm=imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.imm & 0xFFFFFFFF, insn.imm >> 32


class _LoadBtfId(Mnemonic):
    """dst = the address of a variable of the kernel."""

    @checked
    def __call__(self, dst: Register, variable: str | int) -> Instruction:
        """dst = the address of a kernel variable, of this CPU's copy if it has one for each. Takes two slots.

        It goes by its name, which loading looks up in the kernel's BTF, or by the BTF id that it has on this machine.
        """
        number = writable(dst)
        if isinstance(variable, str):
            return Instruction(op.WIDE, number, op.PSEUDO_BTF_ID, label=symbol(variable), source=here())
        imm = within(variable, 1, (1 << 31) - 1, "the BTF id of a kernel variable")
        return Instruction(op.WIDE, number, op.PSEUDO_BTF_ID, imm=imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.label or insn.imm


class _LoadFunction(Mnemonic):
    """dst = a subprogram, for helpers that call it back."""

    @checked
    def __call__(self, dst: Register, to: str | int) -> Instruction:
        """dst = the subprogram that begins at a label, for helpers such as `loop` that call it back. Takes two slots.

        A number is how many slots lie between the first slot of this instruction and the subprogram.
        """
        name, distance = target(to, 32)
        return Instruction(op.WIDE, writable(dst), op.PSEUDO_FUNC, imm=distance & 0xFFFFFFFF, label=name, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.label or insn.distance


lddw: Final = _LoadWide("lddw", "dst = a number of 64 bits, in two slots", (op.WIDE, 0))
ld_map: Final = _LoadMap("ld_map", "dst = a map, as helpers take it", (op.WIDE, op.PSEUDO_MAP_FD))
ld_map_value: Final = _LoadMapValue("ld_map_value", "dst = &value_of_map[offset]", (op.WIDE, op.PSEUDO_MAP_VALUE))
ld_map_index: Final = _LoadMapIndex(
    "ld_map_index", "dst = the map at an index of fd_array. Linux 5.14.", (op.WIDE, op.PSEUDO_MAP_IDX)
)
ld_map_index_value: Final = _LoadMapIndexValue(
    "ld_map_index_value", "dst = &value_of_that_map[offset]. Linux 5.14.", (op.WIDE, op.PSEUDO_MAP_IDX_VALUE)
)
ld_btf_id: Final = _LoadBtfId("ld_btf_id", "dst = &kernel_variable. Linux 5.10.", (op.WIDE, op.PSEUDO_BTF_ID))
ld_func: Final = _LoadFunction(
    "ld_func", "dst = a subprogram, for helpers that call it back. Linux 5.13.", (op.WIDE, op.PSEUDO_FUNC)
)
