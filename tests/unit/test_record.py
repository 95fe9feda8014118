"""Layouts and bytes of records, judged by ctypes and struct."""

from __future__ import annotations

import ctypes
import struct

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbpf as fb
from fastbpf.record import tail

INTEGERS = {
    name: (getattr(fb, name), getattr(ctypes, f"c_{'u' if name[0] == 'u' else ''}int{name[1:]}"))
    for name in ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64")
}
CLOCKS = {name: (getattr(fb, name), ctypes.c_uint64) for name in ("ktime", "boottime", "tai")}
counts = st.integers(1, 70)


def several(kinds, size):
    return kinds.flatmap(lambda two: st.just((two[0][size], two[1] * size)))


numbers = st.sampled_from(list(INTEGERS.values()))
fields = st.one_of(
    numbers,
    st.sampled_from([*CLOCKS.values(), (fb.bool8, ctypes.c_bool)]),
    counts.flatmap(lambda size: several(numbers, size)),
    counts.map(lambda size: (fb.char[size], ctypes.c_char * size)),
    counts.map(lambda size: (fb.raw[size], ctypes.c_ubyte * size)),
    counts.map(lambda size: (fb.text[size], ctypes.c_uint32)),
    st.sampled_from([(tail("u64"), ctypes.c_uint32), (tail("bytes"), ctypes.c_uint32)]),
)


@given(st.lists(fields, min_size=1, max_size=12))
def test_the_layout_is_cs(kinds):
    ours = fb.Struct.of("Ours", {f"f{n}": kind for n, (kind, _) in enumerate(kinds)})
    theirs = type("Theirs", (ctypes.Structure,), {"_fields_": [(f"f{n}", kind) for n, (_, kind) in enumerate(kinds)]})
    assert ours.size == ctypes.sizeof(theirs)
    assert ours.align == ctypes.alignment(theirs)
    for n, (kind, c_kind) in enumerate(kinds):
        assert ours.offset(f"f{n}") == getattr(theirs, f"f{n}").offset
        assert kind.size == ctypes.sizeof(c_kind)
    assert pa.schema(ours.schema).names == list(ours.fields)


class Mixed(fb.Struct):
    flag: fb.bool8
    small: fb.i8
    large: fb.u64
    name: fb.char[7]
    list: fb.i16[3]
    raw: fb.raw[3]
    ts: fb.ktime


class CMixed(ctypes.Structure):
    _fields_ = (
        ("flag", ctypes.c_bool),
        ("small", ctypes.c_int8),
        ("large", ctypes.c_uint64),
        ("name", ctypes.c_char * 7),
        ("list", ctypes.c_int16 * 3),
        ("raw", ctypes.c_ubyte * 3),
        ("ts", ctypes.c_uint64),
    )


i16s = st.integers(-(1 << 15), (1 << 15) - 1)
u64s = st.integers(0, (1 << 64) - 1)


@given(
    flag=st.booleans(),
    small=st.integers(-128, 127),
    large=u64s,
    name=st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=7),
    list=st.tuples(i16s, i16s, i16s),
    raw=st.binary(min_size=3, max_size=3),
    ts=u64s,
)
def test_a_records_bytes_are_cs(**values):
    record = Mixed(**values)
    theirs = CMixed.from_buffer_copy(record.pack())
    assert (theirs.flag, theirs.small, theirs.large, theirs.ts) == (record.flag, record.small, record.large, record.ts)
    assert (theirs.name.decode(), tuple(theirs.list), bytes(theirs.raw)) == (record.name, record.list, record.raw)
    again = Mixed.unpack(bytes(theirs))
    assert again == record
    assert repr(again) == repr(record)


def test_what_is_between_the_fields_is_zero():
    most = (1 << 64) - 1
    full = Mixed(flag=True, small=-1, large=most, name="sevenhh", list=(-1, -1, -1), raw=b"\xff" * 3, ts=most).pack()
    assert full[CMixed.small.offset + 1 : CMixed.large.offset] == bytes(6)
    assert full[CMixed.raw.offset + 3 : CMixed.ts.offset] == bytes(CMixed.ts.offset - CMixed.raw.offset - 3)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_keep_to_their_bounds(name):
    kind, c_kind = INTEGERS[name]
    bits = 8 * kind.size
    low, high = (0, 2**bits - 1) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for value in (low, high, 0):
        assert kind.unpack(kind.pack(value)) == value == c_kind.from_buffer_copy(kind.pack(value)).value
    for value in (low - 1, high + 1, 1.5, "1", None, (1,)):
        with pytest.raises(fb.LayoutError, match="does not fit into fb"):
            kind.pack(value)


@given(st.binary(min_size=16, max_size=16))
def test_chars_end_at_the_nul(data):
    assert fb.char[16].unpack(data) == data.split(b"\0")[0].decode(errors="replace")


def test_chars_and_bytes_that_are_too_long():
    assert fb.char[4].pack("vier") == b"vier"
    assert fb.raw[4].pack(b"\0\1") == b"\0\1\0\0"
    for kind, value in ((fb.char[4], "fünf"), (fb.raw[4], b"fives"), (fb.char[4], 7)):
        with pytest.raises(fb.LayoutError, match="does not fit"):
            kind.pack(value)


def test_lists_have_exactly_their_count():
    assert fb.u16[2].pack([1, 2]) == struct.pack("<HH", 1, 2)
    for value in ([1], [1, 2, 3], [1, 70_000], 5):
        with pytest.raises(fb.LayoutError, match="does not fit"):
            fb.u16[2].pack(value)


@pytest.mark.parametrize("count", [0, -1, True, "4", 1.0, (1 << 20) + 1])
def test_counts(count):
    for kind in (fb.u8, fb.char, fb.raw, fb.text):
        with pytest.raises(fb.LayoutError, match="a whole number from 1 to 1048576"):
            kind[count]


def test_what_cannot_be_an_array():
    for kind in (fb.bool8, fb.ktime, fb.char[4], fb.u8[4]):
        with pytest.raises(fb.LayoutError, match="cannot be an array"):
            kind[2]


def test_types_are_equal_when_they_are_the_same():
    assert fb.s32 is fb.i32
    assert fb.u8[4] == fb.u8[4] != fb.u8[5] != fb.raw[5]
    assert len({fb.char[16], fb.char[16], fb.char[17], fb.u64, fb.ktime}) == 4
    assert [repr(kind) for kind in (fb.u8, fb.char, fb.char[2], fb.text[9])] == [
        "fb.u8",
        "fb.char",
        "fb.char[2]",
        "fb.text[9]",
    ]


def test_a_subclass_adds_to_the_fields_of_its_base():
    class Base(fb.Struct):
        a: fb.u8

    class More(Base):
        b: fb.u32

    assert list(More.fields) == ["a", "b"]
    assert (Base.size, More.size, More.offset("b")) == (1, 8, 4)


def test_what_is_no_layout():
    with pytest.raises(fb.LayoutError, match="has no fields"):

        class Nothing(fb.Struct):
            pass

    with pytest.raises(fb.LayoutError, match=r"give its length, as in fb.char\[16\]"):
        fb.Struct.of("Bad", {"comm": fb.char})
    with pytest.raises(fb.LayoutError, match="Bad.pid: <class 'int'> is not a field type"):
        fb.Struct.of("Bad", {"pid": int})
    with pytest.raises(fb.LayoutError, match=r"Late.x: 'fb.u33' cannot be evaluated"):

        class Late(fb.Struct):
            x: fb.u33

    with pytest.raises(fb.LayoutError, match="has no field 'pdi', only"):
        Mixed.offset("pdi")


def test_values_have_to_be_all_there():
    class Two(fb.Struct):
        a: fb.u8
        b: fb.u8

    with pytest.raises(fb.LayoutError, match="needs a value for 'b'"):
        Two(a=1)
    with pytest.raises(fb.LayoutError, match="has no field 'c', only a, b"):
        Two(a=1, b=2, c=3)
    assert Two(a=1, b=2) != Two(a=1, b=3)
    assert Two(a=1, b=2) != (1, 2)


def test_a_place_of_text_is_a_number():
    layout = fb.Struct.of("Named", {"pid": fb.u32, "name": fb.text[64]})
    assert layout.unpack(layout(pid=1, name=8 << 16 | 8).pack()).name == 8 << 16 | 8
