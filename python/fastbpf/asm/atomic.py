"""Atomic memory operations: `atomic_add(r0, 0, r1)` is lock *(u64 *)(r0 + 0) += r1. `size="u32"` for 32 bits.

>>> from fastbpf.asm import atomic_add, load_acquire, r0, r1
>>> atomic_add(r0, 8, r1), load_acquire(r1, r0, 0, size="u8")
(atomic_add(r0, 8, r1), load_acquire(r1, r0, 0, size="u8"))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import REGISTERS, Register, offset16, register, writable
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.asm.source import here

__all__ = ["atomic_add", "atomic_and", "atomic_cmpxchg", "atomic_or", "atomic_xchg", "atomic_xor"]
__all__ += ["atomic_fetch_add", "atomic_fetch_and", "atomic_fetch_or", "atomic_fetch_xor"]
__all__ += ["load_acquire", "store_release"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

_SIZES = {"u8": op.B, "u16": op.H, "u32": op.W, "u64": op.DW}
_WORDS = {"u32": op.W, "u64": op.DW}
_FETCH = 0x01


def _opcode(size: object, sizes: Mapping[str, int]) -> int:
    if not isinstance(size, str) or size not in sizes:
        raise OperandError(f"{show(size)} is not a size; sizes are {', '.join(map(show, sizes))}")
    return op.STX | op.ATOMIC | sizes[size]


class _Sized(Mnemonic):
    """An instruction that `imm` tells apart, and whose size is given by keyword."""

    def __init__(self, name: str, imm: int, sizes: Mapping[str, int], meaning: str) -> None:
        self._imm = imm
        self._sizes = sizes
        super().__init__(name, meaning, *((_opcode(size, sizes), imm) for size in sizes))

    def options(self, insn: Instruction, /) -> Mapping[str, object]:
        size = next(size for size in self._sizes if _opcode(size, self._sizes) == insn.opcode)
        return {} if size == "u64" else {"size": size}


class _Atomic(_Sized):
    """*(size *)(dst + off) (op)= src, at once; those that fetch put the old value into src."""

    def __init__(self, name: str, imm: int, meaning: str) -> None:
        super().__init__(name, imm, _WORDS, meaning)

    @checked
    def __call__(self, dst: Register, off: int, src: Register, *, size: Literal["u32", "u64"] = "u64") -> Instruction:
        """*(size *)(dst + off) (op)= src, at once; off is in bytes, 16 bits signed."""
        # compare-and-exchange gives the old value in r0 instead
        writes = self._imm & _FETCH and self is not atomic_cmpxchg
        number = writable(src) if writes else register(src)
        return Instruction(_opcode(size, _WORDS), register(dst), number, offset16(off), self._imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.off, REGISTERS[insn.src]


class _LoadAcquire(_Sized):
    """A load after which, for every CPU, come the loads and stores that follow it."""

    @checked
    def __call__(
        self, dst: Register, src: Register, off: int, *, size: Literal["u8", "u16", "u32", "u64"] = "u64"
    ) -> Instruction:
        """dst = *(size *)(src + off), before all that follows; off is in bytes, 16 bits signed."""
        code = _opcode(size, _SIZES)
        return Instruction(code, writable(dst), register(src), offset16(off), self._imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src], insn.off


class _StoreRelease(_Sized):
    """A store before which, for every CPU, come the loads and stores that precede it."""

    @checked
    def __call__(
        self, dst: Register, off: int, src: Register, *, size: Literal["u8", "u16", "u32", "u64"] = "u64"
    ) -> Instruction:
        """*(size *)(dst + off) = src, after all that precedes; off is in bytes, 16 bits signed."""
        code = _opcode(size, _SIZES)
        return Instruction(code, register(dst), register(src), offset16(off), self._imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], insn.off, REGISTERS[insn.src]


atomic_add: Final = _Atomic("atomic_add", op.ADD, "*(dst + off) += src, at once")
atomic_or: Final = _Atomic("atomic_or", op.OR, "*(dst + off) |= src, at once. Linux 5.12.")
atomic_and: Final = _Atomic("atomic_and", op.AND, "*(dst + off) &= src, at once. Linux 5.12.")
atomic_xor: Final = _Atomic("atomic_xor", op.XOR, "*(dst + off) ^= src, at once. Linux 5.12.")
atomic_fetch_add: Final = _Atomic(
    "atomic_fetch_add", op.ADD | _FETCH, "atomic_add, and src = the old value. Linux 5.12."
)
atomic_fetch_or: Final = _Atomic("atomic_fetch_or", op.OR | _FETCH, "atomic_or, and src = the old value. Linux 5.12.")
atomic_fetch_and: Final = _Atomic(
    "atomic_fetch_and", op.AND | _FETCH, "atomic_and, and src = the old value. Linux 5.12."
)
atomic_fetch_xor: Final = _Atomic(
    "atomic_fetch_xor", op.XOR | _FETCH, "atomic_xor, and src = the old value. Linux 5.12."
)
atomic_xchg: Final = _Atomic(
    "atomic_xchg", 0xE0 | _FETCH, "*(dst + off), src = src, *(dst + off), at once. Linux 5.12."
)
atomic_cmpxchg: Final = _Atomic(
    "atomic_cmpxchg", 0xF0 | _FETCH, "*(dst + off) = src if it equals r0; r0 = the old value, at once. Linux 5.12."
)
load_acquire: Final = _LoadAcquire(
    "load_acquire", 0x100, _SIZES, "dst = *(src + off), before all that follows. Linux 6.15."
)
store_release: Final = _StoreRelease(
    "store_release", 0x110, _SIZES, "*(dst + off) = src, after all that precedes. Linux 6.15."
)
