"""Structs that clang has compiled, read from its BTF and compared with ours."""

import enum
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.compiling import compiled

import fastbpf as fb

EVENTS = compiled("""
enum state { RUNNING, STOPPED = 4 };
enum sign { NO = -1, YES = 1 };
enum wide { ALL = 0xffffffffffffffff };
enum later;
typedef const volatile __be32 address_t;
struct point { __s16 x, y; };
struct event {
    __u64 ts;
    char comm[16];
    char letter;
    char lines[2][4];
    signed char bytes[3];
    __be16 port;
    address_t addr[2];
    enum state state;
    enum sign sign;
    enum wide wide;
    enum state states[2];
    _Bool yes, flags[3];
    double real;
    float reals[2];
    __int128 large;
    struct point at, corners[2][3];
    void *pointer, *pointers[2];
    struct { __u8 low; __u32 high; };
    struct { __u32 in; } named;
    union { __u64 a; __u8 b[12]; } either;
    union { __u32 c; __u16 d; };
    __u32 version : 4, : 5, length : 7;
    enum state small : 3;
    __u8 tail[];
};
struct event event;
typedef struct { __u32 pid; } anonymous_t;
anonymous_t anonymous;
struct first { __u8 a; } __attribute__((packed));
struct first first;
""")


def test_every_sort_of_member():
    event = fb.Struct.from_btf("struct event", EVENTS)
    assert event.__name__ == "event"
    assert [(name, kind) for name, _, kind in event.columns()] == [
        ("ts", "u64"),
        ("comm", "char[16]"),
        ("letter", "i8"),
        ("lines", "bytes[8]"),
        ("bytes", "i8[3]"),
        ("port", "u16be"),
        ("addr", "u32be[2]"),
        ("state", "enum u32{RUNNING=0,STOPPED=4}"),
        ("sign", "enum i32{NO=-1,YES=1}"),
        # Before BTF_KIND_ENUM64 (clang 16) its numbers were cut.
        ("wide", "enum u64{ALL=18446744073709551615}" if "enum" in event.fields["wide"].code else "u64"),
        ("states", "u32[2]"),
        ("yes", "bool"),
        ("flags", "u8[3]"),
        ("real", "f64"),
        ("reals", "f32[2]"),
        ("large", "bytes[16]"),
        ("at", "struct 4{x@0=i16;y@2=i16}"),
        ("corners", "struct 4{x@0=i16;y@2=i16}[6]"),
        ("pointer", "u64"),
        ("pointers", "u64[2]"),
        ("low", "u8"),
        ("high", "u32"),
        ("named", "struct 4{in@0=u32}"),
        ("either", "bytes[16]"),
        (f"union_{event.offset('version') - 4}", "bytes[4]"),
        ("version", "u32:0:4"),
        ("length", "u32:9:7"),
        ("small", "u32:16:3"),
    ]
    assert event.offset("addr") == event.offset("port") + 4
    assert event.schema.names == list(event.fields)
    value = event.unpack(bytes(range(100)) * 5)
    assert event.unpack(event.pack(value)) == value
    assert value.addr == struct.unpack_from(">2I", bytes(range(100)), event.offset("addr"))


def test_names():
    assert fb.Struct.from_btf("event", EVENTS).columns() == fb.Struct.from_btf("struct event", EVENTS).columns()
    assert fb.Struct.from_btf("anonymous_t", EVENTS).__name__ == "anonymous_t"
    for name, told in (
        ("struct evnt", "the object has no struct evnt; did you mean struct event"),
        ("struct anonymous_t", "has no struct anonymous_t"),
        ("state", "the object has no struct state"),
        ("struct qqqqq", "its structs have other names"),
        ("struct ", "is no name of a C struct"),
    ):
        with pytest.raises(fb.LayoutError, match=told):
            fb.Struct.from_btf(name, EVENTS)


def raw_btf(image):
    # The section's bytes, found by its header, which stands nowhere else.
    start = image.index(struct.pack("=HBBI", 0xEB9F, 1, 0, 24))
    _, type_len, string_offset, string_len = struct.unpack_from("=4I", image, start + 8)
    assert string_offset == type_len
    return image[start : start + 24 + string_offset + string_len]


def test_objects_are_given_in_any_form(tmp_path):
    path = tmp_path / "events.o"
    path.write_bytes(EVENTS)
    (tmp_path / "events.btf").write_bytes(raw_btf(EVENTS))
    expected = fb.Struct.from_btf("struct event", EVENTS).columns()
    for given_as in (path, str(path), tmp_path / "events.btf", raw_btf(EVENTS)):
        assert fb.Struct.from_btf("struct event", given_as).columns() == expected
    with pytest.raises(fb.LayoutError, match=f"{path} has no struct evnt"):
        fb.Struct.from_btf("struct evnt", path)
    with pytest.raises(FileNotFoundError):
        fb.Struct.from_btf("struct event", tmp_path / "nothing.o")


def test_objects_without_btf():
    no_section = compiled("", target="x86_64")
    for image, told in (
        (b"", "neither an ELF file nor BTF"),
        (b"text", "neither an ELF file nor BTF"),
        (EVENTS[:100], "a damaged ELF file"),
        (no_section, "without a .BTF section; compile with `clang -g -target bpf`"),
        (compiled("struct event { int a; } event;", target="bpfeb"), "the other byte order"),
        (raw_btf(EVENTS)[:200], "the object: "),
    ):
        with pytest.raises(fb.LayoutError, match=told):
            fb.Struct.from_btf("struct event", image)


@settings(max_examples=300)
@given(st.data())
def test_damaged_btf_is_refused_or_read(data):
    image = bytearray(raw_btf(EVENTS))
    for at in data.draw(st.lists(st.integers(0, len(image) - 1), min_size=1, max_size=8)):
        image[at] = data.draw(st.integers(0, 255))
    with suppress(fb.LayoutError):
        fb.Struct.from_btf("struct event", bytes(image[: data.draw(st.integers(0, len(image)))] or image))


def test_structs_that_hold_themselves_are_refused():
    # Two of them in each: without a bound they would never end.
    image = raw_btf(compiled("struct event { struct { int a; } b, c; } event;"))
    start, end = 24, 24 + struct.unpack_from("=I", image, 12)[0]
    words = list(struct.unpack_from(f"={(end - start) // 4}I", image, start))
    assert words[1] == 4 << 24 | 2  # the first type is the struct, with two members
    words[4] = words[7] = 1
    with pytest.raises(fb.LayoutError, match="damaged BTF, in struct event"):
        fb.Struct.from_btf("struct event", image[:start] + struct.pack(f"={len(words)}I", *words) + image[end:])


def test_structs_of_one_name():
    # One compilation has one; BTF of several, linked, has more.
    image = raw_btf(compiled("struct one { int a; }; struct two { int a, b; }; struct one v; struct two w;"))
    assert image.count(b"\0one\0") == image.count(b"\0two\0") == 1
    strings = 24 + struct.unpack_from("=I", image, 16)[0]
    one, two = (struct.pack("=I", image.index(b"\0%s\0" % name, strings) + 1 - strings) for name in (b"one", b"two"))
    both = image[:strings].replace(two, one) + image[strings:]
    with pytest.raises(fb.LayoutError, match="there are 2 different struct one, of 4, 8 bytes"):
        fb.Struct.from_btf("struct one", both)
    fb.Struct.of("Mine", {"a": fb.i32, "b": fb.i32}).check_btf("struct one", both)
    with pytest.raises(fb.LayoutError, match="Mine.a"):
        fb.Struct.of("Mine", {"a": fb.u32}).check_btf("struct one", both)


CHECKED = compiled("""
enum state { RUNNING, STOPPED = 4 };
struct point { __s16 x, y; };
struct event {
    __u64 ts; __u32 pid; __s32 code; __be16 port; __u16 plain; __u32 addr; char comm[8]; double real;
    enum state state; struct point at, corners[2]; __u32 low : 3, high : 5; __u32 list[4]; __u8 mac[6]; __u64 ips[3];
};
struct event event;
""")


class State(enum.IntEnum):
    RUNNING = 0
    STOPPED = 4


class Point(fb.Struct):
    x: fb.i16
    y: fb.i16


AGREED = {
    "ts": fb.ktime,
    "pid": fb.u32,
    "code": fb.i32,
    "port": fb.port,
    "plain": fb.be16,
    "addr": fb.ipv4,
    "comm": fb.raw[8],
    "real": fb.f64,
    "state": State,
    "at": Point,
    "corners": Point[2],
    "low": fb.bits(fb.u32, 3),
    "high": fb.bits(fb.u32, 5),
    "list": fb.u32[4],
    "mac": fb.mac,
    "ips": fb.stack[3],
}


class Wrong(enum.IntEnum):
    RUNNING = 0
    STOPPED = 5


Swapped = fb.Struct.of("Swapped", {"y": fb.i16, "x": fb.i16})
Unsigned = fb.Struct.of("Unsigned", {"x": fb.i16, "y": fb.u16})


def test_what_agrees():
    fb.Struct.of("Event", AGREED).check_btf("struct event", CHECKED)
    # What C's own struct says is the same, of course, and so is a state that is a plain number.
    fb.Struct.from_btf("struct event", CHECKED).check_btf("struct event", CHECKED)
    fb.Struct.of("Event", {**AGREED, "state": fb.u32}).check_btf("struct event", CHECKED)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ts": fb.u32}, "Event.ts has 4 bytes, struct event gives it 8"),
        ({"pid": fb.i32}, "Event.pid is signed, struct event has it unsigned"),
        ({"code": fb.u32}, "Event.code is unsigned, struct event has it signed"),
        ({"code": fb.f32}, "Event.code is a float, struct event has it signed"),
        ({"port": fb.u16}, "Event.port has this machine's byte order, struct event has it big-endian"),
        ({"comm": fb.raw[9]}, "Event.comm has 9 bytes, struct event gives it 8"),
        ({"real": fb.u64}, "Event.real is unsigned, struct event has it a float"),
        ({"state": Wrong}, "Event.state: STOPPED is 5, struct event has it as 4"),
        ({"at": Swapped}, "Event.at.y is at byte 0, struct event's point has it at byte 2"),
        ({"corners": Unsigned[2]}, "Event.corners.y is unsigned, struct event's point has it signed"),
        ({"low": fb.bits(fb.u32, 4)}, "Event.low is at .* 4 bits wide, struct event has it at .* 3 bits wide"),
        ({"high": fb.bits(fb.i32, 5)}, "Event.high is signed, struct event has it unsigned"),
        ({"list": fb.u64[2]}, "Event.list is at byte 64, struct event has it at byte 60"),
        ({"ips": fb.u32[6]}, "Event.ips has elements of 4 bytes, struct event has them of 8|Event.ips is at byte"),
        ({"ips": fb.u64[4]}, "Event.ips has 32 bytes, struct event gives it 24"),
        ({"more": fb.u8}, "struct event has no 'more', which Event has; it has ts, pid"),
        ({"mca": fb.u8}, "struct event has no 'mca', which Event has; did you mean 'mac'"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else None,
)
def test_the_field_that_differs_is_named(change, told):
    with pytest.raises(fb.LayoutError, match=told):
        fb.Struct.of("Event", {**AGREED, **change}).check_btf("struct event", CHECKED)


def test_a_field_that_is_left_out_shows_in_what_follows():
    fields = {name: kind for name, kind in AGREED.items() if name != "pid"}
    with pytest.raises(fb.LayoutError, match="Event.code is at byte 8, struct event has it at byte 12"):
        fb.Struct.of("Event", fields).check_btf("struct event", CHECKED)
    fields = {name: kind for name, kind in AGREED.items() if name != "ips"}
    with pytest.raises(fb.LayoutError, match="Event has 96 bytes, struct event has 120|Event has .* bytes"):
        fb.Struct.of("Event", fields).check_btf("struct event", CHECKED)
