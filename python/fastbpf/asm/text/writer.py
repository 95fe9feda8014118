"""An instruction as the kernel's disassembler prints it (kernel/bpf/disasm.c, Linux 6.18), maps as bpftool does.

>>> from fastbpf.asm import fp, jeq, r0, stxdw
>>> write(stxdw(fp, -16, r0)), write(jeq(r0, 0, 1))
('*(u64 *)(r10 -16) = r0', 'if r0 == 0x0 goto pc+1')
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.text import words
from fastbpf.asm.text.words import quoted
from fastbpf.helpers.names import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from fastbpf.asm.instruction import Instruction

    _Writer: TypeAlias = Callable[[Instruction], str]


def write(insn: Instruction, map_name: str | None = None) -> str:
    """The text of an instruction, without its number and opcode. `map_name` is what to call its map.

    A label that is not resolved yet stands where the distance would. Bits that no instruction has are written too, as
    the kernel does, so that everything has a text.
    """
    if insn.map is not None:
        name = map_name or getattr(insn.map, "name", "") or "map"
        value = f"[0]+{insn.imm >> 32}" if insn.src == op.PSEUDO_MAP_VALUE else ""
        return f"r{insn.dst} = map[{name}]{value}"
    return _WRITERS[insn.opcode](insn)


def _alu(opcode: int) -> _Writer:
    letter = "w" if opcode & 7 == op.ALU else "r"
    code = opcode & 0xF0
    sign, signed = words.ALU.get(code), words.SIGNED.get(code)
    if sign is None:
        return _other("alu")

    def register(insn: Instruction) -> str:
        now = signed if signed and insn.off == 1 else sign
        return f"{letter}{insn.dst} {now} {letter}{insn.src}"

    def number(insn: Instruction) -> str:
        now = signed if signed and insn.off == 1 else sign
        return f"{letter}{insn.dst} {now} {insn.imm}"

    def move(insn: Instruction) -> str:
        off = insn.off
        if opcode & 7 == op.ALU64 and off == words.ADDR_SPACE_CAST:
            return f"r{insn.dst} = addr_space_cast(r{insn.src}, {insn.imm >> 16 & 0xFFFF}, {insn.imm & 0xFFFF})"
        if opcode & 7 == op.ALU64 and off == words.PERCPU:
            return f"r{insn.dst} = &(void __percpu *)(r{insn.src})"
        cast = f"(s{off})" if off in (8, 16, 32) else ""
        return f"{letter}{insn.dst} = {cast}{letter}{insn.src}"

    if not opcode & op.X:
        return number
    return move if code == op.MOV else register


def _negation(opcode: int) -> _Writer:
    letter = "w" if opcode & 7 == op.ALU else "r"
    return lambda insn: f"{letter}{insn.dst} = -{letter}{insn.dst}"


def _swap(opcode: int) -> _Writer:
    name = "bswap" if opcode & 7 == op.ALU64 else "be" if opcode & op.X else "le"
    return lambda insn: f"r{insn.dst} = {name}{insn.imm} r{insn.dst}"


def _branch(opcode: int) -> _Writer:
    letter = "w" if opcode & 7 == op.JMP32 else "r"
    sign = words.COMPARE[opcode & 0xF0]
    if opcode & op.X:
        return lambda insn: f"if {letter}{insn.dst} {sign} {letter}{insn.src} goto {_target(insn, insn.off)}"
    return lambda insn: f"if {letter}{insn.dst} {sign} 0x{insn.imm & 0xFFFFFFFF:x} goto {_target(insn, insn.off)}"


def _target(insn: Instruction, distance: int) -> str:
    return f"pc{distance:+d}" if insn.label is None else quoted(insn.label)


def _call(insn: Instruction) -> str:
    if insn.src == op.PSEUDO_CALL:
        return f"call {_target(insn, insn.imm)}"
    if insn.src == op.PSEUDO_KFUNC_CALL:
        if insn.label is not None:
            return f"call {insn.label}#kfunc"
        # the kernel's own words where it has no BTF to look the name up; a module's function also has an offset
        return f"call kernel-function#{insn.imm}{f'@{insn.off}' if insn.off else ''}"
    name = f"bpf_{NAMES[insn.imm]}" if insn.src == 0 and 0 <= insn.imm < len(NAMES) else "unknown"
    return f"call {name}#{insn.imm}"


def _wide(insn: Instruction) -> str:
    low, high, src = insn.imm & 0xFFFFFFFF, insn.imm >> 32, insn.src
    signed = (low ^ 0x80000000) - 0x80000000
    if src == op.PSEUDO_MAP_FD:
        value = f"map[fd:{signed}]"
    elif src == op.PSEUDO_MAP_VALUE:
        value = f"map[fd:{signed}][0]+{high}"
    elif src == op.PSEUDO_MAP_IDX:
        value = f"map[idx:{signed}]"
    elif src == op.PSEUDO_MAP_IDX_VALUE:
        value = f"map[idx:{signed}][0]+{high}"
    elif src == op.PSEUDO_BTF_ID:
        # the second number is the descriptor of a module's BTF, 0 for the kernel's own
        value = f"btf[{insn.label}]" if insn.label else f"btf[id:{signed}]{f'[fd:{high}]' if high else ''}"
    elif src == op.PSEUDO_FUNC:
        value = f"subprog[{signed:+d}]" if insn.label is None else f"subprog[{quoted(insn.label)}]"
    else:
        value = f"0x{insn.imm & 0xFFFFFFFFFFFFFFFF:x}"
    return f"r{insn.dst} = {value}"


def _load(opcode: int) -> _Writer:
    letter = "u" if opcode & 0xE0 == op.MEM else "s"
    bits = words.SIZES[opcode & 0x18]
    return lambda insn: f"r{insn.dst} = *({letter}{bits} *)(r{insn.src} {insn.off:+d})"


def _store(opcode: int) -> _Writer:
    bits = words.SIZES[opcode & 0x18]
    if opcode & 7 == op.STX:
        return lambda insn: f"*(u{bits} *)(r{insn.dst} {insn.off:+d}) = r{insn.src}"
    return lambda insn: f"*(u{bits} *)(r{insn.dst} {insn.off:+d}) = {insn.imm}"


def _atomic(opcode: int) -> _Writer:
    bits = words.SIZES[opcode & 0x18]
    function = "atomic64" if bits == 64 else "atomic"

    def atomic(insn: Instruction) -> str:
        place = f"(u{bits} *)(r{insn.dst} {insn.off:+d})"
        kind = insn.imm
        if kind in words.ATOMIC:
            return f"lock *{place} {words.ALU[kind]} r{insn.src}"
        if kind & words.FETCH and kind & ~words.FETCH in words.ATOMIC:
            return f"r{insn.src} = {function}_fetch_{words.ATOMIC[kind & ~words.FETCH]}({place}, r{insn.src})"
        if kind == words.XCHG:
            return f"r{insn.src} = {function}_xchg({place}, r{insn.src})"
        if kind == words.CMPXCHG:
            return f"r0 = {function}_cmpxchg({place}, r0, r{insn.src})"
        if kind == words.LOAD_ACQUIRE:
            return f"r{insn.dst} = load_acquire((u{bits} *)(r{insn.src} {insn.off:+d}))"
        if kind == words.STORE_RELEASE:
            return f"store_release({place}, r{insn.src})"
        return f"BUG_{insn.opcode:02x}"

    return atomic


def _packet(opcode: int) -> _Writer:
    bits = words.SIZES[opcode & 0x18]
    if opcode & 0xE0 == op.IND:
        return lambda insn: f"r0 = *(u{bits} *)skb[r{insn.src} + {insn.imm}]"
    return lambda insn: f"r0 = *(u{bits} *)skb[{insn.imm}]"


def _other(name: str) -> _Writer:
    return lambda insn: f"BUG_{name}_{insn.opcode:02x}"


def _writer(opcode: int) -> _Writer:
    cls, code, mode = opcode & 7, opcode & 0xF0, opcode & 0xE0
    whole = {
        op.JMP | op.JA: lambda insn: f"goto {_target(insn, insn.off)}",
        op.GOTOL: lambda insn: f"gotol {_target(insn, insn.imm)}",
        op.GOTOX: lambda insn: f"gotox r{insn.dst}",
        op.MAY_GOTO: lambda insn: f"may_goto {_target(insn, insn.off)}",
        op.CALLS: _call,
        op.JMP | op.EXIT: lambda _insn: "exit",
        op.WIDE: _wide,
        words.NOSPEC: lambda _insn: "nospec",
    }
    if opcode in whole:
        return whole[opcode]
    if cls in (op.ALU, op.ALU64):
        return _swap(opcode) if code == op.END else _negation(opcode) if code == op.NEG else _alu(opcode)
    if cls in (op.JMP, op.JMP32):
        return _branch(opcode) if code in words.COMPARE else _other("jmp")
    if cls == op.LDX:
        return _load(opcode) if mode in (op.MEM, op.MEMSX) else _other("ldx")
    if cls == op.LD:
        return _packet(opcode) if mode in (op.ABS, op.IND) else _other("ld")
    if cls == op.STX and mode == op.ATOMIC:
        return _atomic(opcode)
    return _store(opcode) if mode == op.MEM else _other("st")


_WRITERS = tuple(_writer(opcode) for opcode in range(256))
