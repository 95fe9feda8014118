"""Our text is that of the running kernel's verifier and of bpftool; in fields that we call unused, it demands 0."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import random
import re
import subprocess
import sys
from struct import pack

import pytest

import fastbpf as fb
from fastbpf._native import program_instructions
from fastbpf.asm import *
from fastbpf.asm import opcode as op
from fastbpf.asm.disassembly import decoded, disassemble, used_fields
from fastbpf.asm.instruction import MNEMONICS
from fastbpf.asm.text import parse
from fastbpf.asm.text.writer import write
from fastbpf.kernel_version import KernelVersion

MAP_CREATE, PROG_LOAD, OBJ_GET_INFO_BY_FD, BTF_LOAD = 0, 5, 15, 18
ARRAY, SOCKET_FILTER = 2, 1
KERNEL = KernelVersion.running()
# mnemonics that older kernels do not know, nor have words for
SINCE = {
    "gotox": (6, 19),
    "load_acquire": (6, 15),
    "store_release": (6, 15),
    "addr_space_cast": (6, 10),
    "may_goto": (6, 9),
}

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(148, b"\0"), 148)
    result = libc.syscall(321, command, buffer, 148)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


@contextlib.contextmanager
def closing(fd: int):
    try:
        yield fd
    finally:
        os.close(fd)


def array_map() -> int:
    return bpf(MAP_CREATE, pack("<IIIII", ARRAY, 4, 64, 1, 0))


def load(
    raw: bytes, *, level: int = 2, fd_array: tuple[int, ...] = (), btf: int = 0, functions: bytes = b""
) -> tuple[int | None, str]:
    """The descriptor of the program, None if it is refused, and what the verifier said."""
    code = ctypes.create_string_buffer(raw, len(raw))
    license = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(1 << 24)
    fds = ctypes.create_string_buffer(pack(f"<{len(fd_array)}i", *fd_array) or b"\0" * 4)
    infos = ctypes.create_string_buffer(functions or b"\0")
    attributes = pack(
        "<IIQQIIQII16sIIIIQIIQIIIIQ",
        SOCKET_FILTER,
        len(raw) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license),
        level,
        len(log),
        ctypes.addressof(log),
        0,
        0,
        b"",
        0,
        0,
        btf,
        8 if functions else 0,
        ctypes.addressof(infos) if functions else 0,
        len(functions) // 8,
        0,
        0,
        0,
        0,
        0,
        0,
        ctypes.addressof(fds) if fd_array else 0,
    )
    try:
        return bpf(PROG_LOAD, attributes), log.value.decode()
    except OSError:
        return None, log.value.decode()


def verdict(raw: bytes, **how: object) -> str:
    """ "" if the kernel takes the program, else the last thing that the verifier said."""
    fd, log = load(raw, **how)
    if fd is not None:
        os.close(fd)
        return ""
    said = [
        line
        for line in log.splitlines()
        if line and not line.startswith(("processed", "verification time", "stack depth"))
    ]
    return said[-1]


def shown(log: str) -> dict[int, str]:
    """The text of each instruction that a log shows, its opcode before it."""
    found = re.findall(r"^ *(\d+): (?:[.0-9]{10,11} )?(\([0-9a-f]{2}\) [^;\n]*)", log, re.MULTILINE)
    return {int(slot): text.rstrip() for slot, text in found}


def known(kind: tuple[int, int]) -> bool:
    return SINCE.get(MNEMONICS[kind].__name__, (0, 0)) <= KERNEL


def anything(rng: random.Random, kind: tuple[int, int]) -> Instruction:
    """An instruction of a kind with anything in its fields, that goes to the next one if it branches."""
    numbers = [0, 1, -1, 0x7FFFFFFF, -0x80000000, rng.randrange(-0x80000000, 0x80000000)]
    fields = {
        "dst": rng.randrange(10),
        "src": rng.randrange(11),
        "off": rng.choice([0, 1, -1, 8, 0x7FFF, -0x8000, rng.randrange(-0x8000, 0x8000)]),
        "imm": rng.choice(numbers),
    }
    insn = Instruction(kind[0])
    if insn.distance is not None:
        fields["imm" if kind[0] == op.GOTOL else "off"] = 0
    if kind[0] == op.WIDE:
        fields["imm"] |= rng.choice(numbers) << 32
    if kind == (op.CALLS, 0):
        fields["imm"] = rng.randrange(1, 211)
    fields = {name: value for name, value in fields.items() if name in used_fields(kind)}
    if field := op.EXTENSIONS.get(kind[0]):
        fields[field] = kind[1]
    return Instruction(kind[0], **fields)


# what has a text of its own below, since it must name something that is there
ELSEWHERE = {(op.WIDE, src) for src in range(1, 7)} | {(op.CALLS, 1), (op.CALLS, 2), (op.JMP | op.EXIT, 0)}
KINDS = [kind for kind in MNEMONICS if kind not in ELSEWHERE and known(kind)]


def test_text_is_that_of_the_verifier() -> None:
    rng = random.Random(7)
    instructions = KINDS * 20
    rng.shuffle(instructions)
    seen = set()
    for start in range(0, len(instructions), 400):
        code = assemble([anything(rng, kind) for kind in instructions[start : start + 400]], exit_())
        _, log = load(bytes(code))
        theirs = shown(log)
        ours = {slot: f"({insn.opcode:02x}) {write(insn)}" for slot, insn in code.placed()}
        assert theirs == {slot: ours[slot] for slot in theirs}
        # Since Linux 6.16 the log begins with all of the code, whether it is refused then or not.
        assert len(theirs) == len(ours) or (KERNEL < (6, 16) and theirs)
        seen |= {code[slot].kind for slot in theirs}
    assert seen >= set(KINDS) or KERNEL < (6, 16)


def real() -> list[Instruction]:
    """A program that the kernel takes, without names of what may be elsewhere on another machine."""
    return assemble(
        mov(r6, r1),
        ldabsh(0),
        mov(r7, r0),
        ldindb(r7, 2),
        call.get_prandom_u32(),
        mov32(r8, r0),
        [stdw(fp, -8, 5), stw(fp, -16, -1), sth(fp, -12, 7), stb(fp, -9, 1), stxdw(fp, -24, r8)],
        [ldxdw(r1, fp, -8), ldxw(r2, fp, -16), ldxh(r3, fp, -12), ldxb(r4, fp, -9)],
        [operation(r1, r8) for operation in (add, sub, mul, div, mod, and_, or_, xor, lsh, rsh, arsh)],
        [operation(r2, 7) for operation in (add, sub, mul, div, mod, and_, or_, xor, lsh, rsh, arsh)],
        [operation(r2, r8) for operation in (add32, sub32, mul32, div32, mod32, and32, or32, xor32, lsh32, rsh32)],
        [operation(r3, 7) for operation in (add32, sub32, mul32, div32, mod32, and32, or32, xor32, lsh32, arsh32)],
        [neg(r1), neg32(r2), be16(r1), be32(r2), be64(r3), le16(r4), le32(r1), le64(r2)],
        lddw(r1, 0x123456789ABCDEF),
        lddw(r2, -1),
        [jump(r8, 5, "next") for jump in (jeq, jne, jgt, jge, jlt, jle, jsgt, jsge, jslt, jsle, jset)],
        [jump(r8, r2, "next") for jump in (jeq32, jne32, jgt32, jge32, jlt32, jle32, jsgt32, jsge32, jslt32, jset32)],
        label("next"),
        mov(r1, 1),
        [atomic_add(fp, -24, r1), atomic_or(fp, -24, r1), atomic_and(fp, -24, r1), atomic_xor(fp, -24, r1, size="u32")],
        [atomic_fetch_add(fp, -24, r1), atomic_fetch_or(fp, -24, r1, size="u32"), atomic_xchg(fp, -24, r1)],
        [mov(r0, 0), atomic_cmpxchg(fp, -24, r1)],
        call_sub("sub"),
        ja("end"),
        label("end"),
        mov(r0, 0),
        exit_(),
        label("sub"),
        mov(r0, 3),
        exit_(),
    )


def program_id(fd: int) -> str:
    info = ctypes.create_string_buffer(232)
    bpf(OBJ_GET_INFO_BY_FD, pack("<IIQ", fd, len(info), ctypes.addressof(info)))
    return str(int.from_bytes(info.raw[4:8], "little"))


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def bpftool(id: str, *how: str) -> str:
    """What it shows, without the name of a subprogram, which only the compiler of its code knows."""
    return re.sub(r"(call pc[+-]\d+)#\w+", r"\1", output("bpftool", "prog", "dump", "xlated", "id", id, *how))


def test_a_loaded_program_is_shown_as_by_bpftool() -> None:
    with closing(array_map()) as map, closing(array_map()) as other:
        maps = [Instruction(0x18, 2, 1, imm=map), Instruction(0x18, 2, 2, imm=other | 8 << 32)]
        fd, log = load(bytes(assemble(maps, real())))
        assert fd is not None, log
        with closing(fd):
            id = program_id(fd)
            ours = [sys.executable, "-m", "fastbpf", "disasm", "--prog", id]
            theirs = bpftool(id)
            assert "map[id:" in theirs
            assert "][0]+8" in theirs
            assert output(*ours).rstrip() == theirs.rstrip()
            assert output(*ours, "--bytes").rstrip() == bpftool(id, "opcodes").rstrip()
            with pytest.raises(AsmError, match="by its file descriptor"):
                parse(theirs)
            text = theirs.replace("map[id:", "map[fd:")
            with pytest.raises(AsmError, match="is an address in one kernel"):
                parse(text)
            # the rest of it reads
            read = [insn for insn in parse(re.sub(r"call \S+#-?\d+", "call 5", text)) if insn.opcode != op.CALLS]
            assert read == [
                insn for insn in decoded(program_instructions(int(id)), strict=False) if insn.opcode != op.CALLS
            ]


def test_the_log_of_a_program_is_its_text() -> None:
    code = real()
    fd, log = load(bytes(code))
    assert fd is not None, log
    os.close(fd)
    assert bytes(parse(log)) == bytes(code)


def log_of(code: Code) -> str:
    fd, log = load(bytes(code))
    if fd is not None:
        os.close(fd)
    return log


def test_the_log_names_maps() -> None:
    """And what has no name in it is refused, not taken for a number."""
    name = pack("<IIIIIII16s", ARRAY, 4, 64, 1, 0, 0, 0, b"counts")
    with closing(bpf(MAP_CREATE, name)) as counts, closing(array_map()) as nameless:
        numbers = [lddw(r4, 0xFFFF888178427938), lddw(r5, -8), mov(r0, 0), exit_()]
        loads = [Instruction(0x18, 1, 1, imm=counts), Instruction(0x18, 2, 2, imm=counts | 8 << 32)]
        log = log_of(assemble(loads, numbers))
        named = fb.MapSpec("array", fb.u32, fb.u64, 1, name="counts")
        if "map=counts" in log:
            assert parse(log, {"counts": named}) == assemble(ld_map(r1, named), ld_map_value(r2, named, 8), numbers)
        else:
            assert KERNEL < (6, 18)
        log = log_of(assemble(Instruction(0x18, 1, 1, imm=nameless), numbers))
        with pytest.raises(AsmError, match="this is an address, and the log does not say of which map"):
            parse(log)


def test_the_log_of_a_refused_program() -> None:
    code = assemble(mov(r0, 0), jeq(r0, 0, "end"), ja(1), label("end"), ldxdw(r0, r7, 0), exit_())
    log = log_of(code)
    if KERNEL >= (6, 16):
        assert parse(log) == code
    # as older kernels have it
    with pytest.raises(AsmError, match="is missing|goes on to a slot"):
        parse(log[log.index("\n0: (") :])


def types_of(*names: str) -> bytes:
    """BTF with an int (1), its function `int (void)` (2), and functions of that type by name (3 …)."""
    strings = b"\0int\0" + b"".join(name.encode() + b"\0" for name in names)
    types = pack("<IIII", 1, 1 << 24, 4, 1 << 24 | 32) + pack("<III", 0, 13 << 24, 1)
    for name in names:
        types += pack("<III", strings.index(name.encode()), 12 << 24, 2)
    return pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def test_functions_to_call_back() -> None:
    types = ctypes.create_string_buffer(types_of("main", "each"))
    with closing(bpf(BTF_LOAD, pack("<QQII", ctypes.addressof(types), 0, len(types) - 1, 0))) as btf:
        code = assemble(
            ld_func(r2, "each"),
            [mov(r1, 3), mov(r3, 0), mov(r4, 0), call_id(181), mov(r0, 0), exit_()],
            label("each"),
            [mov(r0, 0), exit_()],
        )
        assert "r2 = subprog[+7]" in str(code)
        functions = pack("<IIII", 0, 3, code.labels["each"], 4)
        fd, log = load(bytes(code), btf=btf, functions=functions)
        assert fd is not None, log
        with closing(fd):
            id = program_id(fd)
            theirs = bpftool(id)
            assert re.search(r"r2 = subprog\[\+\d+\]", theirs)
            # it has the signatures of functions besides
            lines = [line for line in theirs.splitlines() if not line.endswith("():")]
            assert output(sys.executable, "-m", "fastbpf", "disasm", "--prog", id).splitlines() == [
                line for line in lines if line
            ]
        # the kernel does not look at the number in the second slot
        odd = [Instruction(0x18, 2, 4, imm=7 | 1 << 32), *list(code)[1:]]
        assert verdict(b"".join(map(bytes, odd)), btf=btf, functions=functions) == ""
        with pytest.raises(AsmError, match="imm is 1; the instruction does not use it, and RFC 9669 demands 0"):
            disassemble(b"".join(map(bytes, odd)))


def placed(insn: bytes, kind: tuple[int, int]) -> bytes:
    """A program around the bytes of one instruction."""
    everything = [mov(register, 1) for register in (r0, r1, r2, r3, r4, r5)]
    before = b"".join(map(bytes, [mov(r6, r1), *everything]))
    end = bytes(mov(r0, 0)) + bytes(exit_())
    if kind == (op.JMP | op.EXIT, 0):
        return before + insn
    if kind in {(op.CALLS, op.PSEUDO_CALL), (op.WIDE, op.PSEUDO_FUNC)}:
        return before + insn + end + end
    return before + insn + end


FIELDS = ("dst", "src", "off", "imm")
UNUSED = [(kind, name) for kind in MNEMONICS if known(kind) for name in FIELDS if name not in used_fields(kind)]
RESERVED = re.compile(
    r"\S+ uses reserved fields|invalid may_goto imm \d|invalid bpf_ld_imm64 insn|unrecognized bpf_ld_.*"
)


def plain(kind: tuple[int, int], numbers: dict[int, int]) -> dict[str, int]:
    fields = {op.EXTENSIONS[kind[0]]: kind[1]} if kind[0] in op.EXTENSIONS else {}
    # memory is that of the stack; calls go beyond the end
    if kind[0] == op.WIDE:
        fields["imm"] = numbers.get(kind[1], 0)
    elif kind[0] & 7 in (op.LDX, op.ST, op.STX):
        fields |= {"dst": 10 if "dst" in used_fields(kind) else 0, "off": -8}
    elif kind == (op.CALLS, op.PSEUDO_CALL):
        fields["imm"] = 2
    return fields


def test_the_kernel_refuses_what_we_call_unused() -> None:
    # of a function: the addresses of variables are not in every kernel
    function = int(re.search(r"\[(\d+)\] FUNC 'schedule'", vmlinux_types())[1])
    with closing(array_map()) as map:
        numbers = {1: map, 2: map, 3: function, 4: 3}
        for kind, name in UNUSED:
            fields = plain(kind, numbers)
            good = Instruction(kind[0], **fields)
            bad = Instruction(kind[0], **{**fields, name: 1})
            said = [verdict(placed(bytes(insn), kind), fd_array=(map,)) for insn in (good, bad)]
            with pytest.raises(AsmError) as refusal:
                disassemble(bytes(bad))
            assert f"{name} is 1; the instruction does not use it" in str(refusal.value)
            assert disassemble(bytes(good))
            if (kind, name) == ((op.JMP | op.EXIT, 0), "off"):
                assert "RFC 9669 demands 0" in str(refusal.value)
                continue
            assert (good, RESERVED.fullmatch(said[0])) == (good, None)
            assert (bad, bool(RESERVED.fullmatch(said[1])), said) == (bad, True, said)


@functools.cache
def vmlinux_types() -> str:
    return output("bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux")


def test_the_second_slot_of_a_wide_load() -> None:
    with closing(array_map()) as map:
        for at in (8, 9, 10, 11):
            raw = bytearray(bytes(lddw(r1, 5)))
            raw[at] = 1
            with pytest.raises(AsmError, match=r"slot 1, the second of \(18\) r1 = 0x5: .* does not use it"):
                disassemble(bytes(raw))
            assert RESERVED.fullmatch(verdict(placed(bytes(raw), (op.WIDE, 0))))
        for src in (op.PSEUDO_MAP_FD, op.PSEUDO_MAP_IDX):
            insn = Instruction(op.WIDE, 1, src, imm=1 << 32 | (map if src == op.PSEUDO_MAP_FD else 0))
            with pytest.raises(AsmError, match="slot 1, the second of .*: imm is 1; the instruction does not use it"):
                disassemble(bytes(insn))
            assert RESERVED.fullmatch(verdict(placed(bytes(insn), (op.WIDE, src)), fd_array=(map,)))


def test_kernel_functions_in_the_log() -> None:
    """A kfunc goes by name: its id is another one on another kernel."""
    found = re.search(r"\[(\d+)\] FUNC 'bpf_rdonly_cast'", vmlinux_types())
    if not found:
        assert KERNEL < (6, 2)
        return
    code = assemble(mov(r1, 0), mov(r2, 1), call_kfunc(int(found[1])), mov(r0, 0), exit_())
    _, log = load(bytes(code))
    text = shown(log)[2]
    assert text == f"(85) call bpf_rdonly_cast#{found[1]}"
    assert [insn for insn in parse(log) if insn.opcode == op.CALLS] == [call_kfunc("bpf_rdonly_cast")]
    assert write(call_kfunc(int(found[1]))) == f"call kernel-function#{found[1]}"
