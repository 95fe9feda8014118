"""Layouts that ctypes has made, judged by what ctypes reads and writes."""

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.record.decoding import rows

import fastbpf as fb

UNSIGNED = [ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64]
SIGNED = [ctypes.c_int8, ctypes.c_int16, ctypes.c_int32, ctypes.c_int64]


@st.composite
def structures(draw):
    base = draw(st.sampled_from([ctypes.LittleEndianStructure, ctypes.BigEndianStructure]))
    fields = []
    for n in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from([*UNSIGNED, *SIGNED]))
        width = draw(st.none() | st.integers(1, 8 * ctypes.sizeof(kind)))
        fields.append((f"f{n}", kind) if width is None else (f"f{n}", kind, width))
    body = {"_fields_": fields}
    if draw(st.booleans()):
        body = {"_pack_": draw(st.sampled_from([1, 2, 4])), "_layout_": "ms", **body}
    return type("Theirs", (base,), body)


# A defect of ctypes before Python 3.14: it reads bits that the field's type has not.
def outside(size, kind):
    return (size >> 16) + (size & 0xFFFF) > 8 * ctypes.sizeof(kind)


@given(st.data())
def test_every_bit_is_where_ctypes_has_it(data):
    theirs = data.draw(structures())
    wrong = [name for name, kind, *width in theirs._fields_ if width and outside(getattr(theirs, name).size, kind)]
    if wrong:
        with pytest.raises(fb.LayoutError, match=f"Theirs.{wrong[0]}: ctypes reads"):
            fb.Struct.from_ctypes(theirs)
        return
    ours = fb.Struct.from_ctypes(theirs)
    assert (ours.size, ours.align) == (ctypes.sizeof(theirs), ctypes.alignment(theirs))
    raw = data.draw(st.binary(min_size=ours.size, max_size=ours.size))
    read = theirs.from_buffer_copy(raw)
    expected = {name: getattr(read, name) for name, *_ in theirs._fields_}
    record = ours.unpack(raw)
    assert {name: getattr(record, name) for name in ours.fields} == expected
    written = theirs(**expected)
    assert ours.pack(record) == bytes(written)
    assert rows(ours, [raw]).to_pylist() == [expected]


class Inner(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint8), ("b", ctypes.c_uint32))


class Base(ctypes.Structure):
    _fields_ = (("inner", Inner), ("inners", Inner * 2))


class All(Base):
    _fields_ = (
        ("name", ctypes.c_char * 7),
        ("letter", ctypes.c_char),
        ("lines", (ctypes.c_char * 4) * 2),
        ("matrix", (ctypes.c_int16 * 3) * 2),
        ("flags", ctypes.c_bool * 2),
        ("long", ctypes.c_long),
        ("pointer", ctypes.c_void_p),
        ("text", ctypes.c_char_p),
        ("inner_pointer", ctypes.POINTER(Inner)),
        ("call", ctypes.CFUNCTYPE(None)),
        ("real", ctypes.c_double),
    )


def test_every_sort_of_field():
    layout = fb.Struct.from_ctypes(All)
    assert [(name, kind) for name, _, kind in layout.columns()] == [
        ("inner", "struct 8{a@0=u8;b@4=u32}"),
        ("inners", "struct 8{a@0=u8;b@4=u32}[2]"),
        ("name", "char[7]"),
        ("letter", "char[1]"),
        ("lines", "bytes[8]"),
        ("matrix", "i16[6]"),
        ("flags", "u8[2]"),
        ("long", "i64"),
        ("pointer", "u64"),
        ("text", "u64"),
        ("inner_pointer", "u64"),
        ("call", "u64"),
        ("real", "f64"),
    ]
    assert all(layout.offset(name) == getattr(All, name).offset for name in layout.fields)
    assert layout.size == ctypes.sizeof(All)
    assert layout.schema.names == list(layout.fields)


def test_a_big_endian_structure_in_a_little_endian_one():
    class Wire(ctypes.BigEndianStructure):
        _fields_ = (("port", ctypes.c_uint16), ("ports", ctypes.c_uint16 * 2), ("real", ctypes.c_float))

    class Both(ctypes.Structure):
        _fields_ = (("wire", Wire), ("here", ctypes.c_uint16))

    layout = fb.Struct.from_ctypes(Both)
    assert layout.fields["wire"].code == "struct 12{port@0=u16be;ports@2=u16be[2];real@8=f32be}"
    wire = layout.fields["wire"].struct
    value = layout(wire=wire(port=1, ports=(2, 3), real=0.5), here=4)
    again = Both.from_buffer_copy(value.pack())
    assert (again.wire.port, [*again.wire.ports], again.wire.real, again.here) == (1, [2, 3], 0.5, 4)


def test_what_has_no_column_says_what_to_do():
    class Either(ctypes.Union):
        _fields_ = (("a", ctypes.c_uint8), ("b", ctypes.c_uint64))

    for kind, remedy in (
        (Either, r"give it the type fb.union\(tag"),
        (Either * 2, r"ctypes.c_ubyte \* 8"),
        (ctypes.c_longdouble, "has no column; keep it as ctypes.c_ubyte"),
        (ctypes.c_wchar, "has no column"),
        (ctypes.py_object, "has no column"),
    ):
        bad = type("Bad", (ctypes.Structure,), {"_fields_": [("x", kind)]})
        with pytest.raises(fb.LayoutError, match=f"Bad.x: .*{remedy}"):
            fb.Struct.from_ctypes(bad)
    for kind in (Either, ctypes.c_int, 7, fb.Struct):
        with pytest.raises(fb.LayoutError, match="no ctypes structure"):
            fb.Struct.from_ctypes(kind)


def test_a_union_gets_its_tag_in_a_subclass():
    class Tagged(ctypes.Structure):
        _fields_ = (("kind", ctypes.c_uint32), ("value", ctypes.c_ubyte * 4))

    class Event(fb.Struct.from_ctypes(Tagged)):
        value: fb.union("kind", {1: ("number", fb.i32), 2: ("port", fb.port)})

    assert Event.unpack(Event(kind=2, value=80).pack()) == Event(kind=2, value=80)
    assert Event(kind=2, value=80).pack()[4:] == b"\0\x50\0\0"
