"""Types that mean more than a number, judged by struct, ipaddress, socket and the columns that Rust makes."""

import enum
import ipaddress
import random
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.record.decoding import rows

import fastbpf as fb


def one_row(kind, raw):
    return rows(fb.Struct.of("One", {"x": kind}), [raw]).to_pylist()[0]["x"]


@given(st.binary(min_size=4, max_size=4))
def test_ipv4(raw):
    text = socket.inet_ntop(socket.AF_INET, raw)
    address = ipaddress.ip_address(raw)
    assert fb.ipv4.unpack(raw) == text == one_row(fb.ipv4, raw)
    assert {fb.ipv4.pack(value) for value in (text, address, int(address), raw)} == {raw}
    assert fb.ipv4.raw.unpack(raw) == raw == fb.ipv4.raw.pack(text) == one_row(fb.ipv4.raw, raw)


# Zeros in a row, and addresses of IPv4 in IPv6, are written in a way of their own.
ipv6s = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xff\xff", b"\x0a\0"]), min_size=8, max_size=8).map(b"".join),
    st.binary(min_size=4, max_size=4).map(lambda last: bytes(10) + b"\xff\xff" + last),
)


@given(ipv6s)
def test_ipv6(raw):
    address = ipaddress.ip_address(raw)
    text = fb.ipv6.unpack(raw)
    assert text == one_row(fb.ipv6, raw)
    assert socket.inet_pton(socket.AF_INET6, text) == raw
    assert {fb.ipv6.pack(value) for value in (text, str(address), address, int(address), raw)} == {raw}
    assert fb.ipv6.raw.unpack(raw) == raw == one_row(fb.ipv6.raw, raw)


@given(st.binary(min_size=6, max_size=6))
def test_mac(raw):
    text = ":".join(f"{byte:02x}" for byte in raw)
    assert fb.mac.unpack(raw) == text == one_row(fb.mac, raw)
    assert {fb.mac.pack(value) for value in (text, text.upper(), text.replace(":", "-"), raw)} == {raw}
    assert fb.mac.raw.unpack(raw) == raw == one_row(fb.mac.raw, raw)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (fb.ipv4, "10.0.0.256"),
        (fb.ipv4, "10.0.0"),
        (fb.ipv4, "::1"),
        (fb.ipv4, ipaddress.ip_address("::1")),
        (fb.ipv4, 1 << 32),
        (fb.ipv4, -1),
        (fb.ipv4, b"\1\2\3"),
        (fb.ipv4, None),
        (fb.ipv4.raw, "localhost"),
        (fb.ipv6, "fe80::1%eth0"),
        (fb.ipv6, "10.0.0.1"),
        (fb.ipv6, bytes(4)),
        (fb.mac, "01:02:03:04:05"),
        (fb.mac, "01:02:03:04:05:0g"),
        (fb.mac, bytes(5)),
        (fb.mac, 7),
        (fb.port, 65_536),
        (fb.port, -1),
        (fb.duration, -1),
        (fb.f32, 1e39),
        (fb.f64, "1"),
        (fb.be16, 65_536),
        (fb.i16.be, 32_768),
        (fb.be16[2], (1, 65_536)),
        (fb.stack[2], (1, 2, 3)),
        (fb.stack[2], (1, -2)),
        (fb.stack[2], 5),
        (fb.bits(fb.u32, 3), 8),
        (fb.bits(fb.i32, 3), 4),
        (fb.bits(fb.i32, 3), -5),
        (fb.bits(fb.bool8, 1), 2),
        (fb.bits(fb.u8, 8), "1"),
    ],
)
def test_what_does_not_fit(kind, value):
    with pytest.raises(fb.LayoutError, match="does not fit into fb"):
        kind.pack(value)


@pytest.mark.parametrize(
    ("kind", "packing"),
    [
        *((fb.be16, ">H"), (fb.be32, ">I"), (fb.be64, ">Q"), (fb.port, ">H")),
        *((fb.i16.be, ">h"), (fb.i32.be, ">i"), (fb.i64.be, ">q"), (fb.f32.be, ">f"), (fb.f64.be, ">d")),
        *((fb.f32, "=f"), (fb.f64, "=d"), (fb.duration, "=Q")),
    ],
    ids=repr,
)
def test_numbers_are_structs(kind, packing):
    assert (kind.size, kind.align) == (struct.calcsize(packing), struct.calcsize(packing))
    for value in (0, 1, 258, 32_767):
        assert kind.pack(value) == struct.pack(packing, value)
        assert kind.unpack(struct.pack(packing, value)) == value
    assert eval(repr(kind)) == kind


def test_byte_orders():
    assert (fb.u16.be, fb.u32.be, fb.u64.be) == (fb.be16, fb.be32, fb.be64)
    assert fb.be16[3].code == "u16be[3]"
    assert repr(fb.i16.be[3]) == "fb.i16.be[3]"
    for kind in (fb.u8, fb.be16, fb.ktime, fb.bool8, fb.port):
        with pytest.raises(fb.LayoutError, match="has no byte order"):
            _ = kind.be


def test_stacks_end_at_the_first_zero():
    raw = fb.stack[4].pack([7, 8])
    assert raw == struct.pack("=4Q", 7, 8, 0, 0)
    assert fb.stack[4].unpack(raw) == (7, 8)
    assert fb.stack[2].unpack(struct.pack("=2Q", 7, 8)) == (7, 8)
    assert one_row(fb.stack[4], raw) == [7, 8]


class State(enum.IntEnum):
    RUNNING = 0
    STOPPED = 4
    HALTED = 4


class Negative(enum.IntEnum):
    NO = -1
    YES = 1


class Large(enum.IntEnum):
    ALL = (1 << 64) - 1


def test_enums():
    class Task(fb.Struct):
        plain: State
        text: "State"
        negative: Negative
        large: Large
        small: fb.enum(State, base=fb.u8)
        named: fb.enum({"A": 1, "B": 2, "ALSO_B": 2}, base=fb.be16)

    assert [kind for _, _, kind in Task.columns()] == [
        "enum u32{RUNNING=0,STOPPED=4}",
        "enum u32{RUNNING=0,STOPPED=4}",
        "enum i32{NO=-1,YES=1}",
        "enum u64{ALL=18446744073709551615}",
        "enum u8{RUNNING=0,STOPPED=4}",
        "enum u16be{A=1,B=2}",
    ]
    values = {"plain": "HALTED", "text": 5, "negative": Negative.NO, "large": Large.ALL, "small": 4, "named": "ALSO_B"}
    raw = Task(**values).pack()
    assert struct.unpack_from("=IIi4xQBx", raw) == (4, 5, -1, (1 << 64) - 1, 4)
    assert raw[26:28] == b"\0\2"
    read = Task.unpack(raw)
    assert (read.plain, read.text, read.negative, read.large, read.small) == (4, 5, -1, (1 << 64) - 1, 4)
    assert [type(one) for one in (read.plain, read.text, read.small)] == [State, int, State]
    assert read.named == "B"
    (row,) = rows(Task, [raw]).to_pylist()
    assert row == {"plain": "STOPPED", "text": "5", "negative": "NO", "large": "ALL", "small": "STOPPED", "named": "B"}
    assert Task.unpack(read.pack()) == read


def test_enums_that_are_none():
    class Word(enum.Enum):
        A = "a"

    class Flag(enum.IntFlag):
        A = 1

    for wrong in (Word, Flag, {}, 7, int):
        with pytest.raises(fb.LayoutError, match=r"give an enum.IntEnum, or a dict"):
            fb.enum(wrong)
    with pytest.raises(fb.LayoutError, match="'a b' is no name"):
        fb.enum({"a b": 1})
    with pytest.raises(fb.LayoutError, match="A = 256 does not fit into fb.u8"):
        fb.enum({"A": 256}, base=fb.u8)
    with pytest.raises(fb.LayoutError, match="A = 1.5 is no whole number"):
        fb.enum({"A": 1.5})
    with pytest.raises(fb.LayoutError, match="base is an integer type"):
        fb.enum(State, base=fb.f32)
    with pytest.raises(fb.LayoutError, match="'RUN' is none of RUNNING, STOPPED, HALTED"):
        fb.enum(State).pack("RUN")
    with pytest.raises(fb.LayoutError, match="does not fit"):
        fb.enum(State).pack(1.5)
    with pytest.raises(fb.LayoutError, match="T.x: <flag 'Flag'> is not a field type"):
        fb.Struct.of("T", {"x": Flag})


def test_bitfields_that_are_none():
    for base, width in ((fb.u8, 9), (fb.u8, 0), (fb.bool8, 2), (fb.u32, True), (fb.u32, "3")):
        with pytest.raises(fb.LayoutError, match=r"give 1 to \d+ bits"):
            fb.bits(base, width)
    for base in (fb.f32, fb.be16, fb.ktime, fb.char[2], int):
        with pytest.raises(fb.LayoutError, match="bits are taken from an integer"):
            fb.bits(base, 1)


class Point(fb.Struct):
    x: fb.i16
    y: fb.i16


class Shape(fb.Struct):
    kind: fb.u8
    at: Point
    corners: Point[2]
    value: fb.union("kind", {1: Point, 2: ("code", fb.u64), 200: ("far", fb.ipv4)})


def test_nested_values():
    shape = Shape(kind=1, at=Point(x=1, y=2), corners=[Point(x=3, y=4), Point(x=5, y=6)], value=Point(x=7, y=8))
    read = Shape.unpack(shape.pack())
    assert repr(read) == (
        "Shape(kind=1, at=Point(x=1, y=2), corners=(Point(x=3, y=4), Point(x=5, y=6)), value=Point(x=7, y=8))"
    )
    assert read == Shape.unpack(read.pack())
    assert read.at == shape.at
    assert read.at != Point(x=1, y=3)
    with pytest.raises(TypeError, match="unhashable"):
        hash(read)
    assert repr(Shape.fields["corners"]) == "Point[2]"
    assert Shape.fields["at"] == Shape.fields["at"] != Shape.fields["corners"]


def test_a_value_that_does_not_fit_names_its_field():
    good = {"kind": 2, "at": Point(x=1, y=2), "corners": [Point(x=0, y=0)] * 2, "value": 1}
    assert len(Shape(**good).pack()) == Shape.size
    for wrong, told in (
        ({"at": Point(x=1, y=40_000)}, "Shape.at: Point.y: 40000 does not fit into fb.i16"),
        ({"at": (1, 2)}, r"Shape.at: \(1, 2\) is no Point"),
        ({"corners": [Point(x=0, y=0)]}, r"Shape.corners: .* is no list of 2 Point"),
        ({"value": Point(x=1, y=2)}, r"Shape.value: kind=2 selects code: Point\(x=1, y=2\) does not fit into fb.u64"),
        ({"kind": 3}, "Shape.value: kind=3 selects no member, so that the value is None, not 1"),
    ):
        with pytest.raises(fb.LayoutError, match=told):
            Shape(**{**good, **wrong}).pack()
    with pytest.raises(fb.LayoutError, match="a Shape has 24 bytes, not 23"):
        Shape.unpack(bytes(23))


def test_unions_follow_their_tag():
    assert Shape.fields["value"].code == "union 8(kind){1=point:struct 4{x@0=i16;y@2=i16};2=code:u64;200=far:ipv4}"
    around = {"at": Point(x=0, y=0), "corners": [Point(x=0, y=0)] * 2}
    shapes = [Shape(kind=1, value=Point(x=7, y=8), **around), Shape(kind=2, value=9, **around)]
    shapes.append(Shape(kind=3, value=None, **around))
    assert [Shape.unpack(one.pack()).value for one in shapes] == [Point(x=7, y=8), 9, None]
    values = [row["value"] for row in rows(Shape, [one.pack() for one in shapes]).to_pylist()]
    assert values == [
        {"point": {"x": 7, "y": 8}, "code": None, "far": None},
        {"point": None, "code": 9, "far": None},
        {"point": None, "code": None, "far": None},
    ]


def test_a_tag_may_be_an_enum():
    class Tagged(fb.Struct):
        state: State
        value: fb.union("state", {State.RUNNING: ("cpu", fb.u32), State.STOPPED: ("signal", fb.i32)})

    for state, value in ((State.STOPPED, -9), ("RUNNING", 3), (0, 3)):
        assert Tagged.unpack(Tagged(state=state, value=value).pack()).value == value


def test_unions_that_are_none():
    for make, told in (
        (lambda: fb.union("kind", {}), "give the tag's name and members"),
        (lambda: fb.union("k d", {1: Point}), "'k d' is none that C could have"),
        (lambda: fb.union("kind", {1: fb.u32}), "has no name; give one"),
        (lambda: fb.union("kind", {1: Point, 2: Point}), "two members are named 'point'"),
        (lambda: fb.union("kind", {"1": Point}), "'1' is no number that the tag"),
        (lambda: fb.union("kind", {1: ("a b", Point)}), "'a b' is none that C could have"),
        (lambda: fb.union("kind", {1: ("a", int)}), "fb.union: a: <class 'int'> is not a field type"),
        (lambda: fb.union("kind", {1: ("a", Shape.fields["value"])}), "put it into a Struct"),
    ):
        with pytest.raises(fb.LayoutError, match=told):
            make()
    for fields, told in (
        ({"value": fb.union("kind", {1: Point})}, "T.value: the union's tag 'kind' is no field beside it"),
        ({"kind": fb.f32, "value": fb.union("kind", {1: Point})}, "T.value: .* 'kind' is fb.f32; a tag is an integer"),
        ({"kind": fb.u8, "value": fb.union("kind", {256: Point})}, "'kind' is fb.u8, which can never be 256"),
    ):
        with pytest.raises(fb.LayoutError, match=told):
            fb.Struct.of("T", fields)
    union = Shape.fields["value"]
    for call in (lambda: union.pack(1), lambda: union.unpack(bytes(8))):
        with pytest.raises(fb.LayoutError, match="alone: 'kind' of the Struct around it"):
            call()


def test_names_that_are_ours():
    # "size" and "offset" are what C's own structs have.
    names = ["self", "size", "align", "offset", "fields", "pack", "unpack", "columns", "schema", "of", "_layout"]
    layout = fb.Struct.of("Ours", dict.fromkeys(names, fb.u8))
    values = {name: random.randrange(256) for name in names}
    record = layout(**values)
    raw = layout.pack(record)
    assert raw == bytes(values.values())
    assert layout.unpack(raw) == record
    assert "size=" in repr(record)


def test_names_that_cannot_stand_in_a_layouts_text():
    odd = fb.Struct.of("Odd", {"a=b": fb.u8})
    assert odd.size == 1
    for make in (lambda: fb.Struct.of("T", {"x": odd}), lambda: odd[2]):
        with pytest.raises(fb.LayoutError, match="the name 'a=b' is none that C could have"):
            make()


def test_arrays_of_structs_have_fields_and_a_count():
    with pytest.raises(fb.LayoutError, match="make a subclass with fields"):
        fb.Struct[2]
    for count in (0, True, "2"):
        with pytest.raises(fb.LayoutError, match="a whole number from 1"):
            Point[count]


def test_packed_passes_on():
    class Base(fb.Struct, packed=True):
        a: fb.u8

    class More(Base):
        b: fb.u32

    class Around(fb.Struct):
        c: fb.u8
        more: More[2]
        d: fb.u16

    assert (Base.size, More.size, More.offset("b"), More.align) == (1, 5, 1, 1)
    assert (Around.offset("more"), Around.offset("d"), Around.size) == (1, 12, 14)


def test_a_layout_with_places_of_its_own_takes_better_types():
    base = fb.Struct.from_btf("struct __kernel_timespec")

    class Better(base):
        tv_nsec: fb.duration

    assert Better.columns() == [("tv_sec", 0, "i64"), ("tv_nsec", 8, "duration")]
    with pytest.raises(fb.LayoutError, match=r"Bad.tv_nsec: fb.u32 \(4 bytes\) cannot stand for fb.i64 \(8 bytes\)"):
        type("Bad", (base,), {"__annotations__": {"tv_nsec": fb.u32}})
    with pytest.raises(fb.LayoutError, match="Bad.more: .* takes no further field"):
        type("Bad", (base,), {"__annotations__": {"more": fb.u32}})
