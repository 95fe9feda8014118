"""What LLVM makes of the same instruction written as text is what we must make of it."""

from __future__ import annotations

import re
import subprocess
from itertools import product

import pytest

from fastbpf.asm import *

REGISTERS = (r0, r3, r9)
NUMBERS = (0, 1, -1, 0x7FFFFFFF, -0x80000000)
OFFSETS = (0, 8, -1, 0x7FFF, -0x8000)

ALU = {
    "=": (mov, mov32),
    "+=": (add, add32),
    "-=": (sub, sub32),
    "*=": (mul, mul32),
    "|=": (or_, or32),
    "&=": (and_, and32),
    "^=": (xor, xor32),
}
SHIFTS = {"<<=": (lsh, lsh32), ">>=": (rsh, rsh32), "s>>=": (arsh, arsh32)}
JUMPS = {
    "==": (jeq, jeq32),
    "!=": (jne, jne32),
    ">": (jgt, jgt32),
    ">=": (jge, jge32),
    "<": (jlt, jlt32),
    "<=": (jle, jle32),
    "s>": (jsgt, jsgt32),
    "s>=": (jsge, jsge32),
    "s<": (jslt, jslt32),
    "s<=": (jsle, jsle32),
}
LOADS = {8: ldxb, 16: ldxh, 32: ldxw, 64: ldxdw}
STORES = {8: stxb, 16: stxh, 32: stxw, 64: stxdw}
ATOMICS = {"+=": atomic_add, "|=": atomic_or, "&=": atomic_and, "^=": atomic_xor}
FETCHES = {"add": atomic_fetch_add, "or": atomic_fetch_or, "and": atomic_fetch_and, "xor": atomic_fetch_xor}


def half(register: Register) -> str:
    return f"w{register.number}"


def place(register: Register, offset: int) -> str:
    return f"({'r10' if register == fp else register} {'-' if offset < 0 else '+'} {abs(offset)})"


def alu():
    for symbol, (wide, narrow) in (ALU | SHIFTS | {"/=": (div, div32)}).items():
        for dst, src in product(REGISTERS, REGISTERS):
            yield wide(dst, src), f"{dst} {symbol} {src}"
            yield narrow(dst, src), f"{half(dst)} {symbol} {half(src)}"
    for symbol, (wide, narrow) in (ALU | {"/=": (div, div32)}).items():
        for dst, number in product(REGISTERS, NUMBERS):
            if number or symbol != "/=":
                yield wide(dst, number), f"{dst} {symbol} {number}"
                yield narrow(dst, number), f"{half(dst)} {symbol} {number}"
    for symbol, (wide, narrow) in SHIFTS.items():
        yield wide(r1, 63), f"r1 {symbol} 63"
        yield narrow(r1, 31), f"w1 {symbol} 31"
    yield and32(r1, 0xFFFF_FFFF), "w1 &= -1"
    yield neg(r4), "r4 = -r4"
    yield neg32(r4), "w4 = -w4"
    for swap in (le16, le32, le64, be16, be32, be64):
        yield swap(r7), f"r7 = {swap!r} r7"


def memory():
    for bits, (base, offset) in product(LOADS, product((*REGISTERS, fp), OFFSETS)):
        yield LOADS[bits](r2, base, offset), f"r2 = *(u{bits} *){place(base, offset)}"
        yield STORES[bits](base, offset, r2), f"*(u{bits} *){place(base, offset)} = r2"
    for number in (0, 1, 2**63 - 1, -(2**63), 0x1122_3344_5566_7788):
        yield lddw(r5, number), f"r5 = {number} ll"
    for number in (1 << 32, -(1 << 31) - 1, 0xDEAD_BEEF_0000_0000 - (1 << 64)):
        yield const(r5, number), f"r5 = {number} ll"
    yield const(r5, -5), "r5 = -5"
    yield const(r5, 0xFFFF_FFF0), "w5 = -16"
    yield const(r5, 2**64 - 16), "r5 = -16"
    for bits, absolute, indirect in ((8, ldabsb, ldindb), (16, ldabsh, ldindh), (32, ldabsw, ldindw)):
        yield absolute(14), f"r0 = *(u{bits} *)skb[14]"
        yield indirect(r7, 0), f"r0 = *(u{bits} *)skb[r7]"


def atomics():
    for symbol, atomic in ATOMICS.items():
        for base, offset in product(REGISTERS, OFFSETS):
            yield atomic(base, offset, r2), f"lock *(u64 *){place(base, offset)} {symbol} r2"
            yield atomic(base, offset, r2, size="u32"), f"lock *(u32 *){place(base, offset)} {symbol} w2"


def control():
    for symbol, (wide, narrow) in JUMPS.items():
        for dst, src, distance in product(REGISTERS, REGISTERS, (0, 5, -7)):
            yield wide(dst, src, distance), f"if {dst} {symbol} {src} goto {distance:+}"
            yield narrow(dst, src, distance), f"if {half(dst)} {symbol} {half(src)} goto {distance:+}"
        for dst, number in product(REGISTERS, NUMBERS):
            yield wide(dst, number, 0x7FFF), f"if {dst} {symbol} {number} goto +32767"
            yield narrow(dst, number, -0x8000), f"if {half(dst)} {symbol} {number} goto -32768"
    yield jeq32(r1, 0xFFFF_FFFF, 1), "if w1 == -1 goto +1"
    yield ja(9), "goto +9"
    yield call_id(14), "call 14"
    yield call.get_current_pid_tgid()[0], "call 14"
    yield exit_(), "exit"


@pytest.mark.parametrize("cases", [alu, memory, atomics, control])
def test_bytes_are_those_of_llvm(cases) -> None:
    pairs = list(cases())
    text = "\n".join(text for _, text in pairs)
    command = ["llvm-mc", "-triple=bpfel", "--show-encoding"]
    shown = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    theirs = [
        bytes.fromhex(found.replace("0x", "").replace(",", "")) for found in re.findall(r"encoding: \[(.*)\]", shown)
    ]
    assert [(text, bytes(insn)) for insn, text in pairs] == [
        (text, raw) for (_, text), raw in zip(pairs, theirs, strict=True)
    ]


def test_llvm_reads_the_atomics_that_it_cannot_write() -> None:
    pairs = []
    for name, fetch in FETCHES.items():
        pairs.append((fetch(r1, 8, r2), f"r2 = atomic_fetch_{name}((u64 *)(r1 + 8), r2)"))
        pairs.append((fetch(r1, -8, r2, size="u32"), f"w2 = atomic_fetch_{name}((u32 *)(r1 - 8), w2)"))
    pairs += [
        (atomic_xchg(r1, 8, r2), "r2 = xchg_64(r1 + 8, r2)"),
        (atomic_xchg(r1, 8, r2, size="u32"), "w2 = xchg32_32(r1 + 8, w2)"),
        (atomic_cmpxchg(r1, 8, r2), "r0 = cmpxchg_64(r1 + 8, r0, r2)"),
        (atomic_cmpxchg(r1, 8, r2, size="u32"), "w0 = cmpxchg32_32(r1 + 8, w0, w2)"),
    ]
    raw = " ".join(f"0x{byte:02x}" for insn, _ in pairs for byte in bytes(insn))
    command = ["llvm-mc", "-triple=bpfel", "-mattr=+alu32", "--disassemble"]
    shown = subprocess.run(command, input=raw, capture_output=True, text=True, check=True).stdout
    assert [line.strip() for line in shown.splitlines()[1:]] == [text for _, text in pairs]


def test_labels_go_where_those_of_llvm_go(tmp_path) -> None:
    code = assemble(
        label("start"),
        jeq(r1, 0, "end"),
        lddw(r2, 1 << 40),
        label("twice"),
        label("again"),
        jlt32(r1, r2, "again"),
        [call_sub("sub"), [ja("end"), lddw(r3, -1)]],
        jsgt(r1, -1, "start"),
        ja("twice"),
        label("end"),
        exit_(),
        label("sub"),
        mov(r0, 0),
        exit_(),
    )
    text = """
        start:  if r1 == 0 goto end
                r2 = 1099511627776 ll
        again:  if w1 < w2 goto again
                call sub
                goto end
                r3 = -1 ll
                if r1 s> -1 goto start
                goto again
        end:    exit
        sub:    r0 = 0
                exit
    """
    obj, raw = tmp_path / "a.o", tmp_path / "a.bin"
    subprocess.run(["llvm-mc", "-triple=bpfel", "-filetype=obj", "-o", obj], input=text.encode(), check=True)
    subprocess.run(["llvm-objcopy", "-O", "binary", "--only-section=.text", obj, raw], check=True)
    assert bytes(code).hex(" ", 8) == raw.read_bytes().hex(" ", 8)
