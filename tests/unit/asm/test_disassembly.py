"""From bytes to instructions, and what is no instruction."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbpf.asm import *
from fastbpf.asm import opcode as op
from fastbpf.asm.disassembly import disassemble, used_fields
from fastbpf.asm.instruction import MNEMONICS
from fastbpf.asm.text import parse


def slot(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_program() -> None:
    code = assemble(
        jeq(r1, 0, "end"), lddw(r2, -2), call_sub("sub"), label("end"), mov(r0, 0), exit_(), label("sub"), exit_()
    )
    again = disassemble(bytes(code))
    assert list(again) == [jeq(r1, 0, 3), lddw(r2, -2), call_sub(2), mov(r0, 0), exit_(), exit_()]
    assert bytes(assemble(again)) == bytes(code)
    assert (again.labels, again[0].source) == ({}, None)
    assert pickle.loads(pickle.dumps(again)) == again
    assert disassemble(bytearray(bytes(code))) == again == disassemble(memoryview(bytes(code)))


def test_what_names_a_map_has_its_number() -> None:
    code = disassemble(slot("1811000005000000 0000000000000000 1822000005000000 0000000008000000 9500000000000000"))
    assert str(code).splitlines()[:2] == ["   0: (18) r1 = map[fd:5]", "   2: (18) r2 = map[fd:5][0]+8"]
    assert code.maps == ()
    assert parse(str(code)) == code


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "code is made of slots of 8 bytes, at least one, not of 0 bytes"),
        ("95000000000000", "code is made of slots of 8 bytes, at least one, not of 7 bytes"),
        ("1801000005000000", "slot 0: a wide load (opcode 0x18) takes two slots, and the bytes end after its first"),
        ("0000000000000000", "slot 0: there is no instruction of opcode 0x00"),
        ("ff00000000000000", "slot 0: there is no instruction of opcode 0xff"),
        ("8d00000000000000", "slot 0: there is no instruction of opcode 0x8d"),
        (
            "db10000002000000",
            "slot 0: imm of opcode 0xdb is 2; it can be 0, 1, 64, 65, 80, 81, 160, 161, 225, 241, 256, 272",
        ),
        ("d400000008000000", "slot 0: imm of opcode 0xd4 is 8; it can be 16, 32, 64"),
        ("bc10200000000000", "slot 0: off of opcode 0xbc is 32; it can be 0, 8, 16"),
        ("8530000005000000", "slot 0: src of opcode 0x85 is 3; it can be 0, 1, 2"),
        ("b70b000005000000", "slot 0: (b7) r11 = 5: there is no register r11; they are r0 to r10"),
        ("bfc0000000000000", "slot 0: (bf) r0 = r12: there is no register r12; they are r0 to r10"),
        (
            "b710000005000000",
            "slot 0: (b7) r0 = 5: src is 1; the instruction does not use it",
        ),
        (
            "0f21000005000000",
            "slot 0: (0f) r1 += r2: imm is 5; the instruction does not use it",
        ),
        (
            "8501000005000000",
            "slot 0: (85) call bpf_ktime_get_ns#5: dst is 1; the instruction does not use it",
        ),
        ("9500010000000000", "slot 0: (95) exit: off is 1; the instruction does not use it, and RFC 9669 demands 0"),
        (
            "9500000000000000 1801000005000000 b700000000000000",
            "slot 2, the second of (18) r1 = 0x5: opcode is 183; the instruction does not use it",
        ),
        (
            "1811000005000000 0000000007000000",
            "slot 1, the second of (18) r1 = map[fd:5]: imm is 7; the instruction does not use it",
        ),
    ],
)
def test_what_is_no_instruction(raw: str, message: str) -> None:
    with pytest.raises(AsmError) as refused:
        disassemble(slot(raw))
    assert str(refused.value).removesuffix(", and the kernel demands 0") == message


@settings(max_examples=2000, deadline=None)
@given(raw=st.binary(min_size=8, max_size=8), opcode=st.sampled_from(sorted({opcode for opcode, _ in MNEMONICS})))
def test_it_takes_what_it_gives_back_and_nothing_else(raw: bytes, opcode: int) -> None:
    raw = bytes([opcode]) + raw[1:] + (bytes(8) if opcode == op.WIDE else b"")
    try:
        code = disassemble(raw)
    except AsmError:
        return
    assert bytes(code) == raw
    assert bytes(assemble(code)) == raw
    assert bytes(parse(str(code))) == raw
    used = {field for field in ("dst", "src", "off", "imm") if getattr(code[0], field)}
    assert used <= used_fields(code[0].kind)


def test_the_fields_that_each_kind_uses() -> None:
    """The classes of RFC 9669 §3 and §4 say it too, in other words."""
    for kind in MNEMONICS:
        opcode, extension = kind
        cls, code, by_register = opcode & 7, opcode & 0xF0, bool(opcode & op.X)
        own = {op.EXTENSIONS[opcode]} if opcode in op.EXTENSIONS else set()
        if cls in (op.ALU, op.ALU64):
            expected = {"dst"} if code in (op.NEG, op.END) else {"dst", "src" if by_register else "imm"}
            if MNEMONICS[kind].__name__ == "addr_space_cast":
                expected |= {"imm"}
        elif opcode == op.WIDE:
            expected = {"dst", "imm"}
        elif cls == op.LD:
            expected = {"imm", "src"} if opcode & 0xE0 == op.IND else {"imm"}
        elif cls == op.LDX:
            expected = {"dst", "src", "off"}
        elif cls == op.ST:
            expected = {"dst", "imm", "off"}
        elif cls == op.STX:
            expected = {"dst", "src", "off"}
        elif code in (op.CALL, op.EXIT):
            expected = {"imm", "off"} if extension == 2 else {"imm"} if code == op.CALL else set()
        elif opcode == op.GOTOX:
            expected = {"dst"}
        elif code in (op.JA, op.JCOND):
            expected = {"imm" if opcode == op.GOTOL else "off"}
        else:
            expected = {"dst", "off", "src" if by_register else "imm"}
        assert (kind, used_fields(kind)) == (kind, expected | own)
