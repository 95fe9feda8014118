"""Atomic operations, as the kernel writes them and as LLVM does."""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text import words
from fastbpf.asm.text.form import form
from fastbpf.asm.text.tokens import StatementError, half, offset, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.text.statement import Unread

_FETCHES = {f"fetch_{name}": code | words.FETCH for code, name in words.ATOMIC.items()} | {"xchg": words.XCHG}
_LOCKED = {words.ALU[code]: code for code in words.ATOMIC}
# how LLVM says the size of an exchange
_EXCHANGES = {"_64": "64", "32_32": "32"}


def _atomic(
    unread: Unread, bits: str, kind: int, base: str, off: str | None, src: str, old: str | None = None
) -> Instruction:
    if bits not in ("32", "64"):
        raise StatementError(f"u{bits}", "an atomic operation takes u32 or u64")
    if old is not None and old != src:
        raise StatementError(old, f"the old value goes into the register that the new one comes from: {src} = …")
    return unread.make(op.STX | op.ATOMIC | words.BY_BITS[bits], whole(base), half(src, bits), offset(off), kind)


@form(r"lock~\* \( BITS \) PLACE ([+|&^]=) REG")
def _locked(unread: Unread, bits: str, base: str, off: str | None, sign: str, src: str) -> Instruction:
    return _atomic(unread, bits, _LOCKED[sign], base, off, src)


@form(r"REG = atomic(64)?_(fetch_add|fetch_or|fetch_and|fetch_xor|xchg) \( \( BITS \) PLACE , REG \)")
def _fetch(
    unread: Unread, old: str, wide: str | None, kind: str, bits: str, base: str, off: str | None, src: str
) -> Instruction:
    _check_atomic64(wide, bits)
    return _atomic(unread, bits, _FETCHES[kind], base, off, src, old)


@form(r"REG = atomic(64)?_cmpxchg \( \( BITS \) PLACE , REG , REG \)")
def _compare_exchange(
    unread: Unread, old: str, wide: str | None, bits: str, base: str, off: str | None, expected: str, src: str
) -> Instruction:
    _check_atomic64(wide, bits)
    _check_r0(old, expected)
    return _atomic(unread, bits, words.CMPXCHG, base, off, src)


@form(r"REG = xchg(_64|32_32) \( AT , REG \)")
def _llvm_exchange(unread: Unread, old: str, size: str, base: str, off: str | None, src: str) -> Instruction:
    return _atomic(unread, _EXCHANGES[size], words.XCHG, base, off, src, old)


@form(r"REG = cmpxchg(_64|32_32) \( AT , REG , REG \)")
def _llvm_compare_exchange(
    unread: Unread, old: str, size: str, base: str, off: str | None, expected: str, src: str
) -> Instruction:
    _check_r0(old, expected)
    return _atomic(unread, _EXCHANGES[size], words.CMPXCHG, base, off, src)


def _check_atomic64(wide: str | None, bits: str) -> None:
    if wide and bits != "64":
        raise StatementError(f"u{bits}", "what atomic64_… works on is a u64")


def _check_r0(*texts: str) -> None:
    for text in texts:
        if text not in ("r0", "w0"):
            raise StatementError(text, "compare-and-exchange compares with r0 and gives the old value there")


@form(r"REG = load_acquire \( \( BITS \) PLACE \)")
def _load_acquire(unread: Unread, dst: str, bits: str, base: str, off: str | None) -> Instruction:
    opcode = op.STX | op.ATOMIC | words.BY_BITS[bits]
    return unread.make(opcode, half(dst, bits), whole(base), offset(off), words.LOAD_ACQUIRE)


@form(r"store_release \( \( BITS \) PLACE , REG \)")
def _store_release(unread: Unread, bits: str, base: str, off: str | None, src: str) -> Instruction:
    opcode = op.STX | op.ATOMIC | words.BY_BITS[bits]
    return unread.make(opcode, whole(base), half(src, bits), offset(off), words.STORE_RELEASE)
