"""The running kernel computes what we assembled; Python's own arithmetic judges the result."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from itertools import product
from struct import pack, unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbpf.asm import *
from fastbpf.asm.arguments import place

MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, PROG_LOAD, PROG_TEST_RUN = 0, 1, 2, 5, 10
ARRAY, SOCKET_FILTER = 2, 1
PACKET = bytes(range(64))
M32, M64 = (1 << 32) - 1, (1 << 64) - 1

libc = ctypes.CDLL(None, use_errno=True)
checked_by_kernel = settings(max_examples=150, deadline=None)

u64s = st.one_of(
    st.integers(0, M64), st.sampled_from([0, 1, M64, M32, 1 << 31, 1 << 63, (1 << 63) - 1, 0xFFFF_FFFF_8000_0000])
)
s32s = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from([0, 1, -1, -(1 << 31)]))


def bpf(command: int, attributes: bytes) -> int:
    # the kernel writes results into the attributes; callers that want them pass a buffer
    buffer = attributes if isinstance(attributes, ctypes.Array) else ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(321, command, buffer, 128 if buffer is attributes else len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@dataclass(frozen=True)
class RawMap:
    """A map made with bpf(2) alone, so that nothing of ours but the assembler is under test."""

    fd: int
    size: int
    name: str = "raw"
    __bpf_map__ = True

    @classmethod
    def array(cls, size: int, entries: int = 1) -> RawMap:
        return cls(bpf(MAP_CREATE, pack("<IIII", ARRAY, 4, size, entries)), size)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def __getitem__(self, key: int) -> bytes:
        k, value = ctypes.create_string_buffer(pack("<I", key)), ctypes.create_string_buffer(self.size)
        bpf(MAP_LOOKUP_ELEM, pack("<IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(value), 0))
        return value.raw


def load(code: Code) -> int:
    raw = ctypes.create_string_buffer(code.link(lambda map: map.fd))
    license = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(1 << 20)
    attributes = pack("<IIQQ", SOCKET_FILTER, len(code), ctypes.addressof(raw), ctypes.addressof(license))
    try:
        return bpf(PROG_LOAD, attributes + bytes(40))
    except OSError as error:
        loud = attributes + pack("<IIQ", 1, len(log), ctypes.addressof(log)) + bytes(24)
        with pytest.raises(OSError):
            bpf(PROG_LOAD, loud)
        raise AssertionError(f"{error}\n{log.value.decode()}") from None


def test_run(program: int) -> int:
    packet = ctypes.create_string_buffer(PACKET, len(PACKET))
    attributes = ctypes.create_string_buffer(
        pack("<IIIIQQI", program, 0, len(PACKET), 0, ctypes.addressof(packet), 0, 1), 128
    )
    libc.syscall(321, PROG_TEST_RUN, attributes, 80)
    return int(unpack("<I", attributes.raw[4:8])[0])


test_run.__test__ = False


@pytest.fixture(scope="module")
def result():
    with RawMap.array(40) as values:
        yield values


def run(result: RawMap, *parts: object, after: tuple[object, ...] = ()) -> list[int]:
    """What r1 to r5 hold after `parts`. `after` follows the end of the program: subprograms."""
    program = load(
        assemble(
            mov(r6, r1),
            [mov(register, 0) for register in (r1, r2, r3, r4, r5)],
            parts,
            ld_map_value(r0, result, 0),
            [stxdw(r0, 8 * i, register) for i, register in enumerate((r1, r2, r3, r4, r5))],
            mov(r0, 4242),
            exit_(),
            after,
        )
    )
    try:
        assert test_run(program) == 4242
    finally:
        os.close(program)
    return list(unpack("<5Q", result[0]))


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def quotient(a: int, b: int) -> int:
    return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else 0


def remainder(a: int, b: int) -> int:
    return a - quotient(a, b) * b if b else a


# name: what it does with two numbers of `bits` bits (RFC 9669 §4.1)
ALU = {
    "mov": lambda a, b, bits: b,
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "mul": lambda a, b, bits: a * b,
    "div": lambda a, b, bits: a // b if b else 0,
    "mod": lambda a, b, bits: a % b if b else a,
    "sdiv": lambda a, b, bits: quotient(signed(a, bits), signed(b, bits)),
    "smod": lambda a, b, bits: remainder(signed(a, bits), signed(b, bits)),
    "and": lambda a, b, bits: a & b,
    "or": lambda a, b, bits: a | b,
    "xor": lambda a, b, bits: a ^ b,
    "lsh": lambda a, b, bits: a << (b & bits - 1),
    "rsh": lambda a, b, bits: a >> (b & bits - 1),
    "arsh": lambda a, b, bits: signed(a, bits) >> (b & bits - 1),
}
COMPARE = {
    "jeq": lambda a, b, bits: a == b,
    "jne": lambda a, b, bits: a != b,
    "jgt": lambda a, b, bits: a > b,
    "jge": lambda a, b, bits: a >= b,
    "jlt": lambda a, b, bits: a < b,
    "jle": lambda a, b, bits: a <= b,
    "jset": lambda a, b, bits: bool(a & b),
    "jsgt": lambda a, b, bits: signed(a, bits) > signed(b, bits),
    "jsge": lambda a, b, bits: signed(a, bits) >= signed(b, bits),
    "jslt": lambda a, b, bits: signed(a, bits) < signed(b, bits),
    "jsle": lambda a, b, bits: signed(a, bits) <= signed(b, bits),
}
EVERYTHING = globals()


def mnemonic(name: str, bits: int):
    if bits == 32:
        return EVERYTHING[f"{name}32"]
    return EVERYTHING[f"{name}_" if name in {"and", "or"} else name]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ALU)
@settings(max_examples=25, deadline=None)
@given(a=u64s, b=u64s, number=s32s)
def test_arithmetic(result: RawMap, name: str, bits: int, a: int, b: int, number: int) -> None:
    operation, mask = mnemonic(name, bits), (1 << bits) - 1
    if name in {"lsh", "rsh", "arsh"}:
        number %= bits
    elif name in {"div", "mod", "sdiv", "smod"}:
        number = number or 1
    by_register, by_number, _, _, source = run(
        result,
        [const(r1, a), const(r5, b), operation(r1, r5)],
        [const(r2, a), operation(r2, number)],
    )
    assert source == b
    assert by_register == ALU[name](a & mask, b & mask, bits) & mask
    assert by_number == ALU[name](a & mask, number & mask, bits) & mask


EDGES = [0, 1, M64, 1 << 63, (1 << 63) - 1, 1 << 31, (1 << 31) - 1, M32, 1 << 32, 0xFFFF_FFFF_8000_0000]
EDGES += [31, 32, 33, 63, 64, 65, 7, M64 - 6]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ALU)
def test_arithmetic_on_the_edges(name: str, bits: int) -> None:
    # Overflow, shifts at and beyond the width, division by zero and of the least by -1: all pairs in one program.
    operation, mask = mnemonic(name, bits), (1 << bits) - 1
    pairs = list(product(EDGES, EDGES))
    with RawMap.array(8 * len(pairs)) as results:
        each = [[const(r1, a), const(r2, b), operation(r1, r2), stxdw(r6, 8 * n, r1)] for n, (a, b) in enumerate(pairs)]
        program = load(assemble(ld_map_value(r6, results, 0), each, mov(r0, 1), exit_()))
        try:
            assert test_run(program) == 1
        finally:
            os.close(program)
        found = unpack(f"<{len(pairs)}Q", results[0])
    assert dict(zip(pairs, found, strict=True)) == {
        (a, b): ALU[name](a & mask, b & mask, bits) & mask for a, b in pairs
    }


@checked_by_kernel
@given(a=u64s)
def test_one_operand(result: RawMap, a: int) -> None:
    raw = a.to_bytes(8, "little")
    assert run(result, const(r1, a), neg(r1), const(r2, a), neg32(r2))[:2] == [-a & M64, -a & M32]
    for bits, swaps, little in ((16, (be16, bswap16), le16), (32, (be32, bswap32), le32), (64, (be64, bswap64), le64)):
        low = raw[: bits // 8]
        found = run(result, [[const(r, a), swap(r)] for r, swap in zip((r1, r2, r3), (*swaps, little), strict=True)])
        assert found[:3] == [int.from_bytes(low, "big")] * 2 + [int.from_bytes(low, "little")]
    extended = run(
        result, const(r0, a), movsx8(r1, r0), movsx16(r2, r0), movsx32(r3, r0), movsx8_32(r4, r0), movsx16_32(r5, r0)
    )
    assert extended == [*(signed(a, bits) & M64 for bits in (8, 16, 32)), *(signed(a, bits) & M32 for bits in (8, 16))]


@checked_by_kernel
@given(a=st.integers(-(1 << 63), M64))
def test_constants(result: RawMap, a: int) -> None:
    assert run(result, const(r1, a), lddw(r2, a))[:2] == [a & M64] * 2


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", COMPARE)
@settings(max_examples=20, deadline=None)
@given(a=u64s, b=u64s, number=s32s, same=st.booleans())
def test_comparisons(result: RawMap, name: str, bits: int, a: int, b: int, number: int, same: bool) -> None:
    branch, mask = mnemonic(name, bits), (1 << bits) - 1
    b = a if same else b
    by_register, by_number, *_ = run(
        result,
        [const(r3, a), const(r4, b), mov(r1, 1), branch(r3, r4, "register"), mov(r1, 0), label("register")],
        [mov(r2, 1), branch(r3, number, "number"), mov(r2, 0), label("number")],
    )
    assert by_register == COMPARE[name](a & mask, b & mask, bits)
    assert by_number == COMPARE[name](a & mask, number & mask, bits)


@pytest.mark.parametrize(
    ("bits", "store", "store_number", "loads", "extends"),
    [
        (8, stxb, stb, ldxb, ldxsb),
        (16, stxh, sth, ldxh, ldxsh),
        (32, stxw, stw, ldxw, ldxsw),
        (64, stxdw, stdw, ldxdw, ldxdw),
    ],
    ids=str,
)
@settings(max_examples=25, deadline=None)
@given(a=u64s, number=s32s)
def test_memory(result: RawMap, bits: int, store, store_number, loads, extends, a: int, number: int) -> None:
    low = a & (1 << bits) - 1
    number = signed(number, bits)
    found = run(
        result,
        [const(r0, a), stdw(fp, -8, 0), store(fp, -8, r0), loads(r1, fp, -8), extends(r2, fp, -8), ldxdw(r3, fp, -8)],
        [stdw(fp, -16, 0), store_number(fp, -16, number), loads(r4, fp, -16), extends(r5, fp, -16)],
    )
    wide = signed(low, bits) & M64
    assert found == [low, wide, low, number & (1 << bits) - 1, number & M64]
    size = f"u{bits}"
    released = run(
        result,
        [const(r0, a), stdw(fp, -8, 0), store_release(fp, -8, r0, size=size), load_acquire(r1, fp, -8, size=size)],
        ldxdw(r2, fp, -8),
    )
    assert released[:2] == [low, low]


@pytest.mark.parametrize("bits", [32, 64])
@settings(max_examples=25, deadline=None)
@given(a=u64s, b=u64s, same=st.booleans())
def test_atomics(result: RawMap, bits: int, a: int, b: int, same: bool) -> None:
    size, mask = f"u{bits}", (1 << bits) - 1

    def after(operation, *before: Instruction) -> tuple[int, int, int]:
        setup = [const(r1, a), stxdw(fp, -8, r1), const(r2, b), mov(r0, 0), before]
        found = run(result, setup, operation(fp, -8, r2, size=size), ldxdw(r1, fp, -8), mov(r3, r0))
        return found[0], found[1], found[2]

    def stored(value: int) -> int:
        return a & ~mask & M64 | value & mask

    models = {"add": lambda: a + b, "or": lambda: a | b, "and": lambda: a & b, "xor": lambda: a ^ b}
    for name, model in models.items():
        assert after(EVERYTHING[f"atomic_{name}"]) == (stored(model()), b, 0)
        assert after(EVERYTHING[f"atomic_fetch_{name}"]) == (stored(model()), a & mask, 0)
    assert after(atomic_xchg) == (stored(b), a & mask, 0)
    expected = a if same else a ^ 1
    assert after(atomic_cmpxchg, const(r0, expected)) == (stored(b) if same else a, b, a & mask)


registers = st.sampled_from([r0, r1, r2, r3, r4, r5, r7, r8, r9])
places = st.tuples(registers, s32s).map(lambda pair: pair[0] + pair[1])
arguments = st.one_of(registers, places, st.integers(-(1 << 63), M64))


@settings(max_examples=400, deadline=None)
@given(given_arguments=st.lists(arguments, min_size=2, max_size=5), values=st.lists(u64s, min_size=9, max_size=9))
def test_arguments_move_all_at_once(result: RawMap, given_arguments: list[object], values: list[int]) -> None:
    holds = dict(zip((r0, r1, r2, r3, r4, r5, r7, r8, r9), values, strict=True))
    moves = place(given_arguments)
    found = run(result, [const(register, value) for register, value in holds.items()], moves)

    def expected(argument: object) -> int:
        match argument:
            case Register():
                return holds[argument]
            case Address(base, offset):
                return (holds[base] + offset) & M64
        return argument & M64

    assert found[: len(given_arguments)] == [expected(argument) for argument in given_arguments]


def test_stack_addresses_and_maps_as_arguments(result: RawMap) -> None:
    with RawMap.array(8, entries=4) as array:
        found = run(
            result,
            [stw(fp, -4, 2), stdw(fp, -16, 77)],
            call.map_update_elem(array, fp - 4, fp - 16, 0),
            mov(r7, r0),
            call.map_lookup_elem(array, fp - 4),
            [mov(r1, 0), jeq(r0, 0, "missing"), ldxdw(r1, r0, 0), label("missing")],
            [mov(r2, r7), mov(r3, 0), mov(r4, 0), mov(r5, 0)],
        )
        assert found[:2] == [77, 0]
        assert [array[key] for key in range(4)] == [bytes(8), bytes(8), pack("<Q", 77), bytes(8)]


def test_packet_loads(result: RawMap) -> None:
    # a socket filter sees the packet from behind its 14 bytes of Ethernet on
    seen = PACKET[14:]
    found = run(
        result,
        [
            ldabsb(3),
            mov(r7, r0),
            ldabsh(3),
            mov(r8, r0),
            ldabsw(3),
            mov(r9, r0),
            mov(r1, 5),
            ldindh(r1, 2),
            mov(r4, r0),
        ],
        [mov(r1, r7), mov(r2, r8), mov(r3, r9), mov(r5, 0)],
    )
    assert found[:4] == [seen[3], *(int.from_bytes(seen[a:b], "big") for a, b in ((3, 5), (3, 7), (7, 9)))]


def test_subprograms(result: RawMap) -> None:
    found = run(
        result,
        [mov(r1, 20), call_sub("double"), mov(r1, r0), call_sub("double"), mov(r1, r0)],
        [mov(register, 0) for register in (r2, r3, r4, r5)],
        after=(label("double"), mov(r0, r1), add(r0, r0), exit_()),
    )
    assert found[0] == 80


@pytest.mark.parametrize("far", [0, 33_000], ids=["near", "far"])
def test_every_branch_near_and_far(result: RawMap, far: int) -> None:
    # Each comparison on each pair, its labels beyond the filling; r1 counts what is right, r2 what is wrong.
    pairs = list(product((0, 5, M64, M32, 1 << 31, 1 << 63), (0, 5, -1, -(1 << 31))))
    tests, landings = [], []
    for number, (name, bits, (a, b)) in enumerate(product(COMPARE, (32, 64), pairs)):
        branch, mask = mnemonic(name, bits), (1 << bits) - 1
        taken = COMPARE[name](a & mask, b & mask, bits)
        for kind, operand in (("register", r8), ("number", b)):
            goes, stays, back = f"{kind}{number} goes", f"{kind}{number} stays", f"{kind}{number} back"
            tests += [const(r7, a), const(r8, b), branch(r7, operand, goes), ja(stays), label(back)]
            right, wrong = (goes, stays) if taken else (stays, goes)
            landings += [label(right), add(r1, 1), ja(back), label(wrong), add(r2, 1), ja(back)]
    found = run(result, ja("tests"), landings, label("tests"), [mov(r5, 0)] * far, tests)
    assert found[:2] == [len(tests) // 5, 0]


def test_a_far_branch_of_its_own(result: RawMap) -> None:
    far = [mov(r2, 2)] * 40_000
    found = run(
        result,
        gotol("there"),
        label("back"),
        mov(r1, 1),
        gotol("end"),
        label("there"),
        far,
        gotol("back"),
        label("end"),
    )
    assert found[:2] == [1, 2]


def test_may_goto_ends_a_loop(result: RawMap) -> None:
    turns = run(result, label("top"), may_goto("out"), add(r1, 1), ja("top"), label("out"))[0]
    assert turns > 1000
