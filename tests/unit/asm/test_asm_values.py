"""Instructions, labels and code as Python values; and the bytes that the standards print where LLVM 14 has no word."""

from __future__ import annotations

import builtins
import copy
import pickle
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fastbpf import asm
from fastbpf.asm import *
from fastbpf.helpers.names import NAMES, PARAMETERS

HERE = Path(__file__).name


class FakeMap:
    __bpf_map__ = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return 0


counts, events = FakeMap("counts"), FakeMap("events")

# opcode, registers, offset, number: RFC 9669 §4 and §5; for the last four, instruction-set.rst and bpf.h of Linux 6.18
STANDARD = {
    "mod(r1, r2)": "9f 21 0000 00000000",
    "mod(r1, 7)": "97 01 0000 07000000",
    "mod32(r1, r2)": "9c 21 0000 00000000",
    "mod32(r1, 0xFFFFFFFF)": "94 01 0000 ffffffff",
    "sdiv(r1, r2)": "3f 21 0100 00000000",
    "sdiv(r1, -7)": "37 01 0100 f9ffffff",
    "sdiv32(r1, r2)": "3c 21 0100 00000000",
    "smod(r1, r2)": "9f 21 0100 00000000",
    "smod32(r1, 7)": "94 01 0100 07000000",
    "movsx8(r1, r2)": "bf 21 0800 00000000",
    "movsx16(r1, r2)": "bf 21 1000 00000000",
    "movsx32(r1, r2)": "bf 21 2000 00000000",
    "movsx8_32(r1, r2)": "bc 21 0800 00000000",
    "movsx16_32(r1, r2)": "bc 21 1000 00000000",
    "bswap16(r1)": "d7 01 0000 10000000",
    "bswap32(r1)": "d7 01 0000 20000000",
    "bswap64(r1)": "d7 01 0000 40000000",
    "ldxsb(r1, r2, -4)": "91 21 fcff 00000000",
    "ldxsh(r1, r2, -4)": "89 21 fcff 00000000",
    "ldxsw(r1, r2, -4)": "81 21 fcff 00000000",
    "stb(fp, -1, 255)": "72 0a ffff ff000000",
    "sth(fp, -2, -1)": "6a 0a feff ffffffff",
    "stw(fp, -4, 0xFFFFFFFF)": "62 0a fcff ffffffff",
    "stdw(fp, -8, -1)": "7a 0a f8ff ffffffff",
    "jset(r1, r2, 5)": "4d 21 0500 00000000",
    "jset(r1, 8, 5)": "45 01 0500 08000000",
    "jset32(r1, 0x80000000, -1)": "46 01 ffff 00000080",
    "ldindw(r7, -4)": "40 70 0000 fcffffff",
    "gotol(70000)": "06 00 0000 70110100",
    "call_sub(-2)": "85 10 0000 feffffff",
    "ld_map(r1, counts)": "18 11 0000 00000000 00 00 0000 00000000",
    "ld_map_value(r1, counts, 8)": "18 21 0000 00000000 00 00 0000 08000000",
    "may_goto(5)": "e5 00 0500 00000000",
    "load_acquire(r1, r2, 8)": "db 21 0800 00010000",
    'load_acquire(r1, r2, 8, size="u16")': "cb 21 0800 00010000",
    'store_release(r1, 8, r2, size="u8")': "d3 21 0800 10010000",
}


@pytest.mark.parametrize("text", STANDARD)
def test_bytes_are_those_of_the_standard(text: str) -> None:
    assert bytes(eval(text)).hex() == STANDARD[text].replace(" ", "")


# every mnemonic once and more
WRITTEN = [
    *(
        f"{name}(r1, {src})"
        for name in ("mov", "add", "sub", "mul", "div", "sdiv", "mod", "smod")
        for src in ("r2", "-5")
    ),
    *(f"{name}(r1, {src})" for name in ("and_", "or_", "xor", "lsh", "rsh", "arsh") for src in ("fp", "5")),
    *(f"{name}32(r1, {src})" for name in ("mov", "add", "sub", "mul", "div", "sdiv") for src in ("r2", "-5")),
    *(
        f"{name}32(r1, {src})"
        for name in ("mod", "smod", "and", "or", "xor", "lsh", "rsh", "arsh")
        for src in ("r2", "5")
    ),
    *(f"{name}(r9)" for name in ("neg", "neg32", "le16", "le32", "le64", "be16", "be32", "be64")),
    *(f"{name}(r9)" for name in ("bswap16", "bswap32", "bswap64")),
    *(f"{name}(r1, r2)" for name in ("movsx8", "movsx16", "movsx32", "movsx8_32", "movsx16_32")),
    *(f"{name}(r1, fp, -8)" for name in ("ldxb", "ldxh", "ldxw", "ldxdw", "ldxsb", "ldxsh", "ldxsw", "load_acquire")),
    *(f"{name}(fp, -8, r1)" for name in ("stxb", "stxh", "stxw", "stxdw", "store_release")),
    *(f"{name}(fp, -8, -1)" for name in ("stb", "sth", "stw", "stdw")),
    *(f"ldabs{size}(-4096)" for size in "bhw"),
    *(f"ldind{size}(r2, 4)" for size in "bhw"),
    *(f"{name}({to})" for name in ("ja", "gotol", "may_goto", "call_sub") for to in ('"exit"', "-3")),
    *(
        f"{name}{bits}(r1, {src}, {to})"
        for name in ("jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset")
        for bits in ("", "32")
        for src in ("r2", "-5")
        for to in ('"exit"', "9")
    ),
    *(
        f"atomic_{name}(r0, 8, r1{size})"
        for name in ("add", "and", "or", "xor", "fetch_add", "fetch_and", "fetch_or", "fetch_xor", "xchg", "cmpxchg")
        for size in ("", ', size="u32"')
    ),
    *(f'load_acquire(r0, r1, 8, size="{size}")' for size in ("u8", "u16", "u32")),
    "lddw(r1, -1)",
    "ld_map(r1, counts)",
    "ld_map_value(r1, counts, 8)",
    "ld_map_index(r1, 3)",
    "ld_map_index_value(r1, 3, 8)",
    *(f"ld_btf_id(r1, {variable})" for variable in ('"runqueues"', "4711")),
    *(f"ld_func(r2, {to})" for to in ('"each"', "-70000", "9")),
    *(f"call_kfunc({function})" for function in ('"bpf_rcu_read_lock"', "4711")),
    "addr_space_cast(r1, r2, 0, 1)",
    "addr_space_cast(r1, r2, 65535, 0)",
    "gotox(r3)",
    "call_id(5)",
    "exit_()",
    'label("exit")',
]


@pytest.mark.parametrize("text", WRITTEN)
def test_repr_is_what_people_write(text: str) -> None:
    assert repr(eval(text)) == text


def test_every_mnemonic_is_written_above() -> None:
    callables = {name for name in asm.__all__ if callable(getattr(asm, name)) and name[0].islower()}
    assert callables - {text.split("(")[0] for text in WRITTEN} == {
        "assemble",
        "const",
        "disassemble",
        "ld_ctx",
        "parse",
        "piece",
    }


@pytest.mark.parametrize(
    "strange",
    [
        Instruction(0x07, 1, off=3),
        Instruction(0x07, 12),
        Instruction(0x95, imm=1),
        Instruction(0xFF),
        Instruction(0xDB, imm=2),
    ],
)
def test_repr_hides_nothing(strange: Instruction) -> None:
    assert repr(strange).startswith("Instruction(0x")
    assert eval(repr(strange)) == strange


def test_repr_names_a_map_though_it_is_empty() -> None:
    assert repr(Instruction(0x18, 1, 3, map=counts)) == "Instruction(0x18, dst=1, src=3, map=counts)"


def test_instructions_are_values() -> None:
    one, same = mov(r1, 5), mov(r1, 5)
    assert one == same
    assert hash(one) == hash(same)
    assert one != mov(r1, 6) != mov(r2, 6) != mov32(r2, 6)
    assert one != bytes(one)
    assert one.source != mov(r1, 5).source
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)).source == one.source
    with pytest.raises(AttributeError, match="cannot be changed"):
        one.imm = 6
    with pytest.raises(AttributeError, match="cannot be changed"):
        del one.imm
    match one:
        case Instruction(opcode, dst, _, _, imm):
            assert (opcode, dst, imm) == (0xB7, 1, 5)


def test_numbers_are_equal_however_they_are_written() -> None:
    assert mov32(r1, 0xFFFF_FFFF) == mov32(r1, -1)
    assert lddw(r1, 2**64 - 1) == lddw(r1, -1)
    assert const(r1, 2**64 - 1) == mov(r1, -1)
    assert const(r1, 2**32 - 1) == mov32(r1, -1)
    assert const(r1, 2**31).slots == 1
    assert const(r1, 2**32).slots == 2


def test_registers_and_addresses() -> None:
    assert fp is r10
    assert [repr(register) for register in (r0, r9, r10)] == ["r0", "r9", "fp"]
    assert repr(fp - 8) == "fp - 8"
    assert repr(r6 + 24 - 8 + 1) == "r6 + 17"
    assert fp - 8 == r10 + -8
    assert len({fp - 8, fp + -8, fp - 16}) == 2
    for wrong in (lambda: fp - "8", lambda: fp + True, lambda: r1 + r2):
        with pytest.raises(TypeError):
            wrong()


def test_code_counts_in_slots_and_iterates_over_instructions() -> None:
    code = assemble(lddw(r0, 1 << 40), [mov(r1, 1), (exit_() for _ in range(2))])
    assert len(code) == 5
    assert len(bytes(code)) == 40
    assert list(code) == [lddw(r0, 1 << 40), mov(r1, 1), exit_(), exit_()]
    assert code == assemble(*code) == assemble(code) == pickle.loads(pickle.dumps(code))
    assert hash(code) == hash(assemble(code))
    assert code != assemble(exit_())
    assert repr(code) == "<Code of 5 slots>"


def test_labels_become_distances() -> None:
    code = assemble(jeq(r1, 0, "exit"), lddw(r2, 1 << 40), gotol("exit"), label("exit"), exit_(), call_sub("exit"))
    assert list(code) == [jeq(r1, 0, 3), lddw(r2, 1 << 40), gotol(0), exit_(), call_sub(-2)]
    assert assemble(code, exit_()) == assemble(*code, exit_())


def test_code_knows_the_line_of_every_slot() -> None:
    line = sys._getframe().f_lineno
    code = assemble(
        mov(r0, 0),
        lddw(r1, 1 << 40),
        call.map_lookup_elem(
            counts,
            fp - 8,
        ),
    )
    lines = [code.source(slot).line - line for slot in range(len(code))]
    assert lines == [2, 3, 3, 4, 4, 4, 4, 4]
    assert str(code.source(0)) == f"{HERE}:{line + 2}"
    assert code.source(0).file == __file__
    for slot in (-1, len(code)):
        with pytest.raises(IndexError):
            code.source(slot)
    assert assemble(Instruction(0x95)).source(0) is None


def test_lines_of_building_blocks_are_those_of_their_callers() -> None:
    block: dict[str, object] = {}
    path = Path(asm.__file__).parents[1] / "blocks" / "some.py"
    exec(compile("from fastbpf.asm import *\ndef zero(): return mov(r0, 0)", path, "exec"), block)
    assert str(block["zero"]().source) == f"{HERE}:{sys._getframe().f_lineno}"


def test_link_puts_file_descriptors_in() -> None:
    code = assemble(ld_map(r1, counts), ld_map_value(r2, events, 16), call.map_lookup_elem(counts, fp - 8), exit_())
    assert code.maps == (counts, events)
    asked: list[object] = []

    def resolve(map: object) -> int:
        asked.append(map)
        return {counts: 7, events: 0x01020304}[map]

    linked = code.link(resolve)
    assert asked == [counts, events]
    assert linked[:32].hex(" ", 4) == "18110000 07000000 00000000 00000000 18220000 04030201 00000000 10000000"
    assert linked[32:48].hex(" ", 4) == "18110000 07000000 00000000 00000000"
    assert bytes(code)[:8].hex(" ", 4) == "18110000 00000000"


@pytest.mark.parametrize("fd", [None, -1, "7", True, 1 << 31])
def test_link_refuses_what_is_no_file_descriptor(fd: object) -> None:
    with pytest.raises(AsmError, match=rf"{HERE}:\d+: instruction 1: ld_map\(r1, counts\): the map is not resolved: "):
        assemble(mov(r0, 0), ld_map(r1, counts)).link(lambda map: fd)


def test_link_places_what_shares_a_map() -> None:
    code = assemble(ld_map_value(r1, counts, 0), ld_map_value(r2, counts, 16), ld_map_value(r3, events, 8), exit_())
    linked = code.link(lambda map: {counts: (7, 0x0102), events: 9}[map])
    assert linked[:48].hex(" ", 4) == (
        "18210000 07000000 00000000 02010000 18220000 07000000 00000000 12010000 18230000 09000000 00000000 08000000"
    )
    with pytest.raises(AsmError, match=r"ld_map\(r1, counts\): what shares a map with others is no map of its own"):
        assemble(ld_map(r1, counts)).link(lambda map: (7, 0))
    for start in (-1, "8", (1 << 29) - 16):
        with pytest.raises(AsmError, match="is not a place in its value"):
            code.link(lambda map, start=start: (7, start))


def test_arguments_of_calls() -> None:
    assert call.map_lookup_elem(counts, fp - 8) == (ld_map(r1, counts), mov(r2, fp), add(r2, -8), call_id(1))
    assert call.redirect(r2, r1) == (mov(r0, r1), mov(r1, r2), mov(r2, r0), call_id(23))
    assert call.redirect(r1, r2) == (call_id(23),)
    assert call.redirect(r1 + 4, r1) == (mov(r2, r1), add(r1, 4), call_id(23))
    assert call.redirect(0, r1) == (mov(r2, r1), mov(r1, 0), call_id(23))
    assert call.redirect(2**64 - 1, 2**63) == (mov(r1, -1), lddw(r2, 2**63), call_id(23))


def test_calls_by_name() -> None:
    assert len(NAMES) == len(PARAMETERS) == 212
    assert NAMES[0] == "unspec"
    assert dir(call) == sorted(NAMES[1:])
    assert hasattr(call, "ktime_get_ns")
    assert not hasattr(call, "ktime_get_nanoseconds")
    assert not hasattr(call, "unspec")
    assert (repr(call.ktime_get_ns), repr(kfunc.bpf_rcu_read_lock)) == ("call.ktime_get_ns", "kfunc.bpf_rcu_read_lock")


def test_helper_names_are_those_of_the_kernel_header() -> None:
    # an older header than our table knows the first so many
    names = re.findall(r"^\s+FN\((\w+)", Path("/usr/include/linux/bpf.h").read_text(), re.MULTILINE)
    assert len(names) > 150
    assert names == list(NAMES[: len(names)])


def test_star_shadows_no_builtin() -> None:
    assert [name for name in asm.__all__ if hasattr(builtins, name)] == []
    assert len(set(asm.__all__)) == len(asm.__all__)


def test_star_exports_all_that_the_files_export() -> None:
    names = {found.name for found in pkgutil.iter_modules(asm.__path__)} - {"check"}  # what Code.check is made of
    files = [import_module(f"fastbpf.asm.{name}") for name in names]
    ours = {name for file in files for name in getattr(file, "__all__", ())}
    rest = {"Address", "AsmError", "Instruction", "Label", "Register", "Source", "fp", *(f"r{n}" for n in range(11))}
    assert set(asm.__all__) == ours | rest


def test_import_loads_nothing_native_or_slow() -> None:
    script = "import sys, fastbpf.asm; print({'pyarrow', 'fastbpf._native', 'dataclasses'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
