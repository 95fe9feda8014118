"""What an object has in it, judged by LLVM's tools, by libbpf, and by clang's own idea of its structs."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.objects import compiled
from tests.unit.asm import llvm

import fastbpf as fb

TEXT = """
struct { __uint(type, HASH); __type(key, u32); __type(value, u64); __uint(max_entries, 10240); } counts SEC(".maps");
struct { __uint(type, ARRAY); __type(key, int); __type(value, s64); __uint(max_entries, 4); } slots SEC(".maps");
struct { __uint(type, RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");

const volatile u32 limit = 7;
u64 calls;
s16 first = -5, second = 6;
static volatile u8 seen[3];
static u8 cut[3];

static NOINLINE int doubled(int x) { asm volatile("" : "+r"(x)); return 2 * x; }

SEC("xdp") int count_packets(struct xdp_md *ctx) { calls++; return limit; }
SEC("tc") int one(void *ctx) { return doubled(first); }
SEC("tc") int two(void *ctx) { seen[2]++; cut[2]++; return doubled(second) + 1; }
SEC("?tp/syscalls/sys_enter_openat") int opened(void *ctx) {
    u32 key = get_current_pid_tgid() >> 32;
    u64 one = 1, *count = lookup(&counts, &key);
    if (count) __sync_fetch_and_add(count, 1);
    else update(&counts, &key, &one, 0);
    return 0;
}
SEC("syscall") int plain(void *ctx) { return 3; }
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("object"), TEXT)


@pytest.fixture(scope="module")
def whole(path):
    return fb.Object.open(path)


def readelf(path, *options):
    command = [llvm.tool("llvm-readelf"), "--elf-output-style=JSON", *options, path]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]


def symbols(path, kind):
    """The names of the symbols of a kind, and the sections that they are in."""
    listed = subprocess.run(
        [llvm.tool("llvm-readelf"), "-sSW", path], capture_output=True, text=True, check=True
    ).stdout
    sections = dict(re.findall(r"^  \[ *(\d+)\] (\S+)", listed, re.MULTILINE))
    return {
        name: sections[at]
        for at, name in re.findall(rf"^ +\d+: .* {kind} +\w+ +\w+ +(\d+) (\S+)$", listed, re.MULTILINE)
    }


def test_programs_are_the_functions_of_their_sections(path, whole):
    functions = {name: section for name, section in symbols(path, "FUNC").items() if section != ".text"}
    assert {name: one.section for name, one in whole.programs.items()} == functions
    assert list(whole.programs) == ["count_packets", "one", "two", "opened", "plain"]


def test_a_program_says_what_it_is_for(whole):
    assert {name: (one.type, one.probe) for name, one in whole.programs.items()} == {
        "count_packets": ("xdp", "xdp"),
        "one": ("sched_cls", "tc"),
        "two": ("sched_cls", "tc"),
        "opened": ("tracepoint", "tracepoint:syscalls:sys_enter_openat"),
        "plain": ("syscall", "syscall"),
    }


def test_maps_are_the_symbols_of_their_section(path, whole):
    objects = symbols(path, "OBJECT")
    named = {name for name in whole.maps if not name.startswith(".")}
    assert named == {name for name, section in objects.items() if section == ".maps"}
    assert {name for name in whole.maps if name.startswith(".")} == {".bss", ".data", ".rodata"}
    assert whole.maps["counts"] == fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=10240, name="counts")
    assert whole.maps["slots"] == fb.MapSpec("array", value=fb.i64, max_entries=4, name="slots")
    assert whole.maps["events"] == fb.MapSpec("ringbuf", max_entries=4096, name="events")
    assert whole.maps["perf"].type == "perf_event_array"


def test_global_variables_are_the_fields_of_their_sections(whole):
    assert whole.maps[".rodata"].value.unpack(whole.maps[".rodata"].content).limit == 7
    data = whole.maps[".data"].value.unpack(whole.maps[".data"].content)
    assert (data.first, data.second) == (-5, 6)
    assert whole.maps[".bss"].value.fields == {"calls": fb.u64, "seen": fb.u8[3], "cut.0": fb.raw[1]}


def test_code_is_the_bytes_of_the_section(path, whole, tmp_path):
    llvm_objcopy = [llvm.tool("llvm-objcopy"), "--dump-section", f"syscall={tmp_path / 'raw'}", path, tmp_path / "copy"]
    subprocess.run(llvm_objcopy, check=True)
    assert bytes(whole.programs["plain"].code) == (tmp_path / "raw").read_bytes()


def test_code_names_maps_variables_and_lines(whole):
    opened = whole.programs["opened"].code
    assert opened.maps == (whole.maps["counts"],)
    lines = TEXT.splitlines()
    for name, insn in [(name, insn) for name, one in whole.programs.items() for insn in one.code]:
        assert insn.source.file.endswith("/program.c")
        if insn.map is whole.maps["counts"]:
            assert "&counts" in lines[insn.source.line - 1], name
        if insn.map is whole.maps[".rodata"]:
            assert "limit" in lines[insn.source.line - 1]
    assert whole.programs["two"].code.maps == (whole.maps[".bss"], whole.maps[".data"])


def test_a_function_stands_behind_each_program_that_calls_it(whole):
    for name in ("one", "two"):
        code = whole.programs[name].code
        (at,) = [slot for slot, insn in code.placed() if str(insn).startswith("call_sub") or insn.kind == (0x85, 1)]
        start = at + 1 + code[at].distance
        assert "doubled" in TEXT.splitlines()[code[start].source.line - 1]
        assert code[len(code) - 1].opcode == 0x95


# Offsets and sizes as clang has them stand in the object, for the test to compare with.
LAYOUTS = """
enum colour { RED, GREEN };
typedef u16 port_t;
struct inner { u8 a; u32 b; };
struct packed { u8 a; u32 b; u16 c; } __attribute__((packed));
struct plain {
    u8 flag; s16 small; const volatile port_t port; u32 n; s64 big; char comm[16]; u32 words[5]; enum colour colour;
    void *pointer; struct inner inner; _Bool yes; double real; u8 mac[6];
};
struct bits { u32 a : 3; s32 b : 29; };
struct anonymous { u32 a; union { u32 b; u16 c; }; };
struct nested { u8 a; struct { struct inner x, y[3]; } deep; struct inner rows[2][2]; struct { u16 beside; }; };
#define MAP(kind) struct { __uint(type, HASH); __type(key, u32); __type(value, struct kind); __uint(max_entries, 1); }
MAP(plain) plain_map SEC(".maps");
MAP(packed) packed_map SEC(".maps");
MAP(bits) bits_map SEC(".maps");
MAP(anonymous) anonymous_map SEC(".maps");
MAP(nested) nested_map SEC(".maps");
#define AT(member) __builtin_offsetof(struct plain, member)
const volatile u32 places[] = {
    AT(flag), AT(small), AT(port), AT(n), AT(big), AT(comm), AT(words), AT(colour), AT(pointer), AT(inner), AT(yes),
    AT(real), AT(mac), sizeof(struct plain),
};
SEC("xdp") int use(void *ctx) {
    u32 key = 0;
    return !!lookup(&plain_map, &key) + !!lookup(&packed_map, &key) + !!lookup(&bits_map, &key)
        + !!lookup(&anonymous_map, &key) + !!lookup(&nested_map, &key) + places[1];
}
"""


def test_structs_are_laid_out_as_clang_does(tmp_path):
    maps = fb.Object.open(compiled(tmp_path, LAYOUTS)).maps
    plain = maps["plain_map"].value
    places = struct.unpack("14I", maps[".rodata"].content)
    assert [plain.offset(name) for name in plain.fields] + [plain.size] == list(places)
    assert plain.__name__ == "plain"
    assert [kind.code for kind in plain.fields.values()] == [
        *("u8", "i16", "u16", "u32", "i64", "char[16]", "u32[5]", "enum u32{RED=0,GREEN=1}", "u64"),
        *("struct 8{a@0=u8;b@4=u32}", "bool", "f64", "u8[6]"),
    ]
    packed = maps["packed_map"].value
    assert (packed.size, packed.offset("b"), packed.offset("c")) == (7, 1, 5)
    assert packed.unpack(packed(a=1, b=2, c=3).pack()) == packed(a=1, b=2, c=3)
    assert packed(a=1, b=2, c=3).pack() == struct.pack("=BIH", 1, 2, 3)
    bits = maps["bits_map"].value
    assert bits(a=5, b=-3).pack() == struct.pack("=I", 5 | (-3 & (1 << 29) - 1) << 3)
    # Nothing tells which member of a union is meant.
    assert maps["anonymous_map"].value.columns() == [("a", 0, "u32"), ("union_4", 4, "bytes[4]")]
    nested = maps["nested_map"].value
    # One struct of C is one Struct, wherever it is.
    assert nested.fields["rows"].element.struct is plain.fields["inner"].struct
    value = nested.unpack(struct.pack("=I 8I 8I HH", 1, *range(8), *range(100, 108), 7, 0))
    assert (value.deep.x.b, [one.b for one in value.deep.y]) == (1, [3, 5, 7])
    assert [one.b for one in value.rows] == [101, 103, 105, 107]
    assert (nested.size, value.beside) == (72, 7)


def test_maps_of_the_old_form_are_there_too(tmp_path):
    text = """
    struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
    struct bpf_map_def SEC("maps") old = { HASH, 4, 12, 5, 1 };
    SEC("xdp") int use(void *ctx) { u32 key = 0; return !!lookup(&old, &key); }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    assert whole.maps["old"] == fb.MapSpec("hash", key=fb.raw[4], value=fb.raw[12], max_entries=5, name="old", flags=1)
    assert whole.programs["use"].code.maps == (whole.maps["old"],)


def test_an_object_without_types_has_sizes_alone(tmp_path):
    text = 'u64 calls; const volatile u32 limit = 7; SEC("xdp") int use(void *ctx) { calls++; return limit; }'
    whole = fb.Object.open(compiled(tmp_path, text, "stripped", "-g0"))
    assert {name: one.value for name, one in whole.maps.items()} == {".bss": fb.raw[8], ".rodata": fb.raw[4]}
    assert [insn.source for insn in whole.programs["use"].code] == [None] * len(list(whole.programs["use"].code))
    with pytest.raises(fb.ObjectError, match="no variable 'limit'"):
        whole.load(variables={"limit": 1})


@pytest.mark.parametrize("license", ["GPL", "Dual MIT/GPL", "Proprietary"])
def test_the_license_is_what_its_section_says(tmp_path, license):
    text = 'SEC("xdp") int use(void *ctx) { return 1; }'
    whole = fb.Object.open(compiled(tmp_path, text, "licensed", f'-DLICENSE_TEXT="{license}"'))
    assert whole.license == whole.programs["use"].license == license


def test_without_a_license_there_is_none(tmp_path):
    text = 'SEC("xdp") int use(void *ctx) { return 1; }'
    assert fb.Object.open(compiled(tmp_path, text, "unlicensed", "-DNO_LICENSE")).license == ""


# What cannot be read, and what is said of it.


def test_what_is_no_object_is_refused(tmp_path, path):
    other = tmp_path / "native.o"
    (tmp_path / "native.c").write_text("int x;")
    subprocess.run(["clang", "-c", tmp_path / "native.c", "-o", other], check=True)
    with pytest.raises(fb.ObjectError, match=r"native\.o: the ELF file is for machine \d+, not for BPF"):
        fb.Object.open(other)
    text = 'SEC("xdp") int use(void *ctx) { return 1; }'
    source = compiled(tmp_path, text).with_suffix(".c")
    subprocess.run(
        ["clang", "-target", "bpfeb", "-include", tmp_path / "header.h", "-c", source, "-o", tmp_path / "big.o"],
        check=True,
    )
    with pytest.raises(fb.ObjectError, match="big-endian and this machine little-endian; compile it with .*bpfel"):
        fb.Object.open(tmp_path / "big.o")
    with pytest.raises(TypeError, match=r"'x\.o': give an object's bytes; fb\.Object\.open"):
        fb.Object("x.o")
    with pytest.raises(fb.ObjectError, match="no ELF file"):
        fb.Object(b"")
    with pytest.raises(fb.ObjectError, match="ends within its first header"):
        fb.Object(path.read_bytes()[:40])
    with pytest.raises(fb.ObjectError, match="what it says of its sections does not hold"):
        fb.Object(path.read_bytes()[:-100])
    with pytest.raises(FileNotFoundError):
        fb.Object.open(tmp_path / "nowhere.o")


@pytest.mark.parametrize("section", [".kconfig", ".ksyms"])
def test_externs_of_the_kernel_are_refused(tmp_path, section):
    text = f"""
    extern int setting __attribute__((section("{section}")));
    SEC("xdp") int use(void *ctx) {{ return (long) &setting; }}
    """
    why = {".kconfig": "make it a `const volatile` variable", ".ksyms": "own functions and variables"}[section]
    with pytest.raises(fb.ObjectError, match=rf"\{section}`.*; .*{why}"):
        fb.Object.open(compiled(tmp_path, text)).load()


def test_a_map_of_programs_that_c_fills_is_refused(tmp_path):
    text = """
    struct { __uint(type, 3); __uint(key_size, 4); __uint(max_entries, 2); __array(values, int (void *)); } jumps
        SEC(".maps") = { .values = {} };
    SEC("xdp") int use(void *ctx) { return (long) &jumps; }
    """
    with pytest.raises(fb.ObjectError, match="as a prog_array is by `values`: .* leave `values` out"):
        fb.Object.open(compiled(tmp_path, text))


def test_the_nearest_names_are_told(whole):
    for names, name, told in (
        (whole.programs, "count_packet", "program 'count_packet'; did you mean \"count_packets\""),
        (whole.maps, "cuonts", "map 'cuonts'; did you mean \"counts\""),
    ):
        with pytest.raises(KeyError) as refused:
            names[name]
        assert told in refused.value.args[0]
    with pytest.raises(fb.ObjectError, match="no program 'tow'; did you mean \"two\""):
        whole.load(only=["one", "tow"])
    with pytest.raises(fb.ObjectError, match="no variable 'limits'; did you mean \"limit\""):
        whole.load(variables={"limits": 1})
    with pytest.raises(fb.LayoutError, match=r"4294967296 does not fit into fb\.u32"):
        whole.load(variables={"limit": 1 << 32})
    with pytest.raises(fb.ObjectError, match="no map 'count'; did you mean \"counts\""):
        whole.load(maps={"count": None})
    with pytest.raises(fb.LayoutError, match="give a map that exists"):
        whole.load(maps={"counts": None})


def test_what_cannot_be_loaded_is_named_before_the_kernel_is_asked(tmp_path):
    text = """
    SEC("elsewhere") int lost(void *ctx) { return 1; }
    SEC("freplace/other") int other(void *ctx) { return 1; }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    assert (whole.programs["lost"].type, whole.programs["other"].type) == ("unspec", "ext")
    with pytest.raises(fb.ObjectError, match="'lost' is in section 'elsewhere', which is no type of program"):
        whole.load()
    with pytest.raises(fb.ObjectError, match="loads no freplace programs, such as 'other'"):
        whole.programs["other"].load()


def sections(raw):
    """Where each section's header is, and where its content."""
    (start,), (count, names) = struct.unpack_from("=Q", raw, 40), struct.unpack_from("=HH", raw, 60)
    headers = range(start, start + 64 * count, 64)
    (table,) = struct.unpack_from("=Q", raw, headers[names] + 24)
    found = {}
    for at in headers:
        place = table + struct.unpack_from("=I", raw, at)[0]
        found[raw[place : raw.index(0, place)].decode()] = at, struct.unpack_from("=Q", raw, at + 24)[0]
    return found


@pytest.mark.parametrize(
    ("section", "place", "damage"),
    [
        (".symtab", 16, struct.pack("=Q", 1 << 40)),  # the first symbol's size
        (".symtab", 8, struct.pack("=Q", (1 << 64) - 8)),  # its place
        (".BTF", 24, struct.pack("=I", 1 << 30)),  # the first type's name
        (".BTF.ext", 32, struct.pack("=I", 0)),  # the size of what is said of a function
        (".BTF.ext", 40, struct.pack("=I", 1 << 20)),  # of how many
        (".reltc", 0, struct.pack("=Q", 8)),  # the second half of an instruction
        (".reltc", 0, struct.pack("=Q", 1 << 40)),  # no instruction
        (".reltc", 12, struct.pack("=I", 1 << 20)),  # no symbol
        ("tc", None, struct.pack("=Q", 8)),  # the section's address
    ],
)
def test_numbers_that_lead_nowhere_are_refused_in_one_line(path, capfd, section, place, damage):
    raw = bytearray(path.read_bytes())
    header, content = sections(raw)[section]
    if section == ".symtab":
        symbols = range(content, content + struct.unpack_from("=Q", raw, header + 32)[0], 24)
        content = next(one for one in symbols if 0 < struct.unpack_from("=H", raw, one + 6)[0] < 0xFF00)
    at = header + 16 if place is None else content + place
    assert raw[at : at + len(damage)] != damage
    raw[at : at + len(damage)] = damage
    with pytest.raises(fb.ObjectError, match="the ELF file is damaged: what it says of its sections does not hold"):
        fb.Object(bytes(raw))
    assert capfd.readouterr() == ("", "")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless(path, data):
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(16, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    with suppress(fb.ObjectError):  # and nothing else
        fb.Object(bytes(raw))
