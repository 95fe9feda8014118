"""What LLVM makes of an instruction written as text is what we make of it; and what it writes, `parse` reads.

An LLVM that is older than 22 does not know all of the instructions: those are left out, the others are compared.
"""

from __future__ import annotations

import random
import re
import subprocess
from itertools import product

import pytest
from tests.unit.asm import llvm

from fastbpf.asm import *
from fastbpf.asm import opcode as op
from fastbpf.asm.disassembly import disassemble, used_fields
from fastbpf.asm.instruction import MNEMONICS
from fastbpf.asm.text import parse
from fastbpf.asm.text.writer import write

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


def newer():
    """What LLVM 14 cannot read."""
    for symbol, (wide, narrow) in {"%=": (mod, mod32), "s/=": (sdiv, sdiv32), "s%=": (smod, smod32)}.items():
        for dst, src in product(REGISTERS, REGISTERS):
            yield wide(dst, src), f"{dst} {symbol} {src}"
            yield narrow(dst, src), f"{half(dst)} {symbol} {half(src)}"
        yield wide(r1, -7), f"r1 {symbol} -7"
        yield narrow(r1, 7), f"w1 {symbol} 7"
    for bits, (wide, narrow) in {8: (movsx8, movsx8_32), 16: (movsx16, movsx16_32), 32: (movsx32, None)}.items():
        yield wide(r1, r2), f"r1 = (s{bits})r2"
        if narrow:
            yield narrow(r1, r2), f"w1 = (s{bits})w2"
    for swap in (bswap16, bswap32, bswap64):
        yield swap(r7), f"r7 = {swap!r} r7"
    for bits, load in {8: ldxsb, 16: ldxsh, 32: ldxsw}.items():
        for base, offset in product((*REGISTERS, fp), OFFSETS):
            yield load(r2, base, offset), f"r2 = *(s{bits} *){place(base, offset)}"
    for bits, store in {8: stb, 16: sth, 32: stw, 64: stdw}.items():
        for base, offset in product((*REGISTERS, fp), OFFSETS):
            yield store(base, offset, -5), f"*(u{bits} *){place(base, offset)} = -5"
    yield gotol(30_000), "gotol +30000"
    yield gotol(-30_000), "gotol -30000"
    yield may_goto(5), "may_goto +5"
    yield gotox(r3), "gotox r3"
    yield jset(r1, 5, 3), "if r1 & 5 goto +3"
    yield jset(r1, r2, 3), "if r1 & r2 goto +3"
    yield jset32(r1, 5, 3), "if w1 & 5 goto +3"
    yield jset32(r1, r2, -3), "if w1 & w2 goto -3"
    yield addr_space_cast(r1, r2, 1, 0), "r1 = addr_space_cast(r2, 1, 0)"
    yield addr_space_cast(r1, r2, 0, 0x8001), "r1 = addr_space_cast(r2, 0, 32769)"
    for (name, fetch), offset in product(FETCHES.items(), OFFSETS):
        yield fetch(r1, offset, r2), f"r2 = atomic_fetch_{name}((u64 *){place(r1, offset)}, r2)"
        yield fetch(r1, offset, r2, size="u32"), f"w2 = atomic_fetch_{name}((u32 *){place(r1, offset)}, w2)"
    yield atomic_xchg(r1, 8, r2), "r2 = xchg_64(r1 + 8, r2)"
    yield atomic_xchg(r1, -8, r2, size="u32"), "w2 = xchg32_32(r1 - 8, w2)"
    yield atomic_cmpxchg(r1, 8, r2), "r0 = cmpxchg_64(r1 + 8, r0, r2)"
    yield atomic_cmpxchg(r1, -8, r2, size="u32"), "w0 = cmpxchg32_32(r1 - 8, w0, w2)"
    for bits, offset in product((8, 16, 32, 64), OFFSETS):
        letter, size = "r" if bits == 64 else "w", f"u{bits}"
        there = f"(({size} *){place(r1, offset)}"
        yield load_acquire(r2, r1, offset, size=size), f"{letter}2 = load_acquire{there})"
        yield store_release(r1, offset, r2, size=size), f"store_release{there}, {letter}2)"


@pytest.mark.parametrize("cases", [alu, memory, atomics, control, newer])
def test_bytes_are_those_of_llvm(cases) -> None:
    pairs = list(cases())
    theirs = llvm.encoded([text for _, text in pairs])
    assert len(theirs) == len(pairs) or (cases is newer and llvm.version() < 22)
    for number, raw in theirs.items():
        insn, text = pairs[number]
        assert (text, bytes(insn)) == (text, raw)


@pytest.mark.parametrize("cases", [alu, memory, atomics, control, newer])
def test_we_read_what_llvm_reads(cases) -> None:
    for insn, text in cases():
        (read,) = parse(text)
        # a bare number that is not too long for `mov` is one, unlike the kernel's text of a wide load
        assert (text, bytes(read)) == (text, bytes(insn))


def anything(rng: random.Random, kind: tuple[int, int]) -> Instruction:
    """An instruction of a kind, with anything in the fields that it uses."""
    opcode, extension = kind
    fields = {
        "dst": rng.randrange(11),
        "src": rng.randrange(11),
        "off": rng.choice([0, 1, -1, 8, 0x7FFF, -0x8000, rng.randrange(-0x8000, 0x8000)]),
        "imm": rng.choice([0, 1, -1, 0x7FFFFFFF, -0x80000000, rng.randrange(-0x80000000, 0x80000000)]),
    }
    if opcode == op.WIDE:
        fields["imm"] |= rng.choice([0, 1, -1, 0x7FFFFFFF, -0x80000000]) << 32
        if extension in (op.PSEUDO_MAP_FD, op.PSEUDO_FUNC, op.PSEUDO_MAP_IDX):
            fields["imm"] &= 0xFFFFFFFF
    if kind == (op.CALLS, 0):
        fields["imm"] &= 0x7FFFFFFF
    fields = {name: value for name, value in fields.items() if name in used_fields(kind)}
    if field := op.EXTENSIONS.get(opcode):
        fields[field] = extension
    return Instruction(opcode, **fields)


RANDOM = 20_000


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    kinds = list(MNEMONICS)
    if llvm.version() < 22:
        kinds = list({insn.kind: None for cases in (alu, memory, atomics, control) for insn, _ in cases()})
    rng = random.Random(20261120)
    return [anything(rng, kind) for kind in kinds] + [anything(rng, rng.choice(kinds)) for _ in range(RANDOM)]


def is_whole(insn: Instruction) -> bool:
    """Whether LLVM's text tells all: not which call it is, nor the number of an indirect packet load, nor the second
    one of what is no plain wide load."""
    if insn.opcode == op.CALLS:
        return not insn.src
    if insn.opcode == op.WIDE:
        return not (insn.src and insn.imm >> 32)
    return insn.opcode & 0xE7 != op.LD | op.IND or not insn.imm


def test_we_read_what_llvm_writes(instructions) -> None:
    told = [insn for insn in instructions if is_whole(insn)]
    written = llvm.decoded([bytes(insn) for insn in told])
    assert len(written) == len(told)
    code = parse("\n".join(written.values()))
    assert [(written[n], bytes(read)) for n, read in zip(written, code, strict=True)] == [
        (text, bytes(told[n])) for n, text in written.items()
    ]


def test_we_read_what_llvm_dumps(instructions, tmp_path) -> None:
    # with the bytes in the line, there is nothing that it leaves out
    code = parse(llvm.dumped(b"".join(map(bytes, instructions)), tmp_path))
    assert (list(code), code.labels) == (instructions, {"main": 0})
    short = [insn for insn in instructions if is_whole(insn)]
    text = llvm.dumped(b"".join(map(bytes, short)), tmp_path, "--no-show-raw-insn")
    if llvm.version() < 22:
        text, short = llvm.dumped(bytes(mov(r1, 5)) * 3, tmp_path, "--no-show-raw-insn"), [mov(r1, 5)] * 3
    assert list(parse(text)) == short


# the kernel's text in LLVM's words
DIALECT = (
    (re.compile(r"(goto[l]? )pc(?=[+-])"), r"\1"),
    (re.compile(r"\b(r\d+ = atomic)64(?=_fetch)"), r"\1"),
    (re.compile(r"r(\d+) = (atomic_fetch_\w+\(\(u32 \*\).*), r(\d+)\)"), r"w\1 = \2, w\3)"),
    (re.compile(r"r(\d+) = atomic64_xchg\(\(u64 \*\)\((.*)\), r"), r"r\1 = xchg_64(\2, r"),
    (re.compile(r"r(\d+) = atomic_xchg\(\(u32 \*\)\((.*)\), r"), r"w\1 = xchg32_32(\2, w"),
    (re.compile(r"r0 = atomic64_cmpxchg\(\(u64 \*\)\((.*)\), r0, r"), r"r0 = cmpxchg_64(\1, r0, r"),
    (re.compile(r"r0 = atomic_cmpxchg\(\(u32 \*\)\((.*)\), r0, r"), r"w0 = cmpxchg32_32(\1, w0, w"),
    (re.compile(r"lock (\*\(u32 .*) r(?=\d+$)"), r"lock \1 w"),
    (re.compile(r"r(?=\d+ = load_acquire\(\(u(8|16|32) )"), "w"),
    (re.compile(r"(store_release\(\(u(?:8|16|32) .*, )r"), r"\1w"),
    (re.compile(r"call \w+#"), "call "),
    (re.compile(r"skb\[(r\d+) \+ 0\]"), r"skb[\1]"),
    (re.compile(r"(= 0x[0-9a-f]+)$"), r"\1 ll"),
)


def test_llvm_reads_our_text(instructions) -> None:
    # LLVM has no words for a wide load of a map, and takes no distance of a gotol that has more than 16 bits
    told = [insn for insn in instructions if is_whole(insn) and not (insn.opcode == op.WIDE and insn.src)]
    told = [insn for insn in told if insn.opcode != op.GOTOL or -0x8000 <= insn.imm < 0x8000]
    lines = []
    for insn in told:
        line = write(insn)
        for pattern, words in DIALECT:
            line = pattern.sub(words, line)
        lines.append(line)
    theirs = llvm.encoded(lines)
    assert len(theirs) == len(told)
    assert [(lines[n], raw) for n, raw in theirs.items()] == [(lines[n], bytes(told[n])) for n in theirs]


def test_our_text_gives_the_bytes_back(instructions) -> None:
    raw = b"".join(map(bytes, instructions))
    code = disassemble(raw)
    assert list(code) == instructions
    assert bytes(code) == raw
    for text in (str(code), code.text(bytes=True, sources=True)):
        assert list(parse(text)) == instructions
    # without numbers and opcodes; a wide load of a small number then looks like a `mov` of LLVM's
    told = [insn for insn in instructions if (insn.opcode, insn.src) != (op.WIDE, 0)]
    assert list(parse("\n".join(map(write, told)))) == told


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
    subprocess.run([llvm.tool("llvm-mc"), "-triple=bpfel", "-filetype=obj", "-o", obj], input=text.encode(), check=True)
    subprocess.run([llvm.tool("llvm-objcopy"), "-O", "binary", "--only-section=.text", obj, raw], check=True)
    assert bytes(code).hex(" ", 8) == raw.read_bytes().hex(" ", 8)
    read = parse(text)
    assert (bytes(read), read.labels) == (raw.read_bytes(), {"start": 0, "again": 3, "end": 10, "sub": 11})
