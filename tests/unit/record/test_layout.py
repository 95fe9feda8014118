"""Layouts and values of any shape, judged by ctypes, by clang's BTF, and by the columns that Rust makes."""

import ctypes
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.compiling import compiled
from tests.unit.record.decoding import rows
from tests.unit.record.definitions import definitions

import fastbpf as fb
from fastbpf.record.bits import Bits
from fastbpf.record.nested import Nested, NestedArray


def same_layout(ours, theirs):
    assert (ours.size, ours.align) == (ctypes.sizeof(theirs), ctypes.alignment(theirs))
    for name, kind in theirs._fields_:
        assert ours.offset(name) == getattr(theirs, name).offset
        assert ours.fields[name].size == ctypes.sizeof(kind)
        if isinstance(ours.fields[name], Nested):
            same_layout(ours.fields[name].struct, kind)


@given(definitions(text=True))
def test_the_layout_is_that_of_ctypes(one):
    same_layout(one.ours, one.theirs)
    assert fb.Struct.from_ctypes(one.theirs).columns() == one.ours.columns()


# What Python, ctypes and Arrow give, brought to one form.
def plain(value):
    if isinstance(value, fb.Struct):
        return {name: plain(getattr(value, name)) for name in type(value).fields}
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, _ in value._fields_}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | ctypes.Array):
        return [plain(one) for one in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def some_bytes(size):
    return st.binary(min_size=size, max_size=size)


@given(st.data())
def test_values_are_those_of_ctypes(data):
    one = data.draw(definitions())
    raw = data.draw(some_bytes(one.ours.size))
    theirs = one.theirs.from_buffer_copy(raw)
    ours = one.ours.unpack(raw)
    assert plain(ours) == plain(theirs)
    assert plain(one.theirs.from_buffer_copy(ours.pack())) == plain(ours)


@given(st.data())
def test_columns_are_those_values(data):
    one = data.draw(definitions(bitfields=True))
    records = data.draw(st.lists(some_bytes(one.ours.size), min_size=1, max_size=4))
    table = rows(one.ours, records)
    assert table.schema == one.ours.schema
    assert [plain(row) for row in table.to_pylist()] == [plain(one.ours.unpack(raw)) for raw in records]


@given(st.data())
def test_what_is_packed_comes_back(data):
    one = data.draw(definitions(bitfields=True))
    value = one.ours.unpack(data.draw(some_bytes(one.ours.size)))
    assert plain(one.ours.unpack(value.pack())) == plain(value)
    assert one.ours.unpack(value.pack()).pack() == value.pack()


def same_as_clang(ours, theirs):
    assert ours.size == theirs.size
    assert list(ours.fields) == list(theirs.fields)
    for name, kind in ours.fields.items():
        their = theirs.fields[name]
        assert ours.offset(name) == theirs.offset(name)
        if isinstance(kind, Nested | NestedArray):
            pair = [getattr(one, "element", one).struct for one in (kind, their)]
            same_as_clang(*pair)
        else:
            assert kind == their


@settings(max_examples=40, deadline=None)
@given(st.lists(definitions(text=True, bitfields=True), min_size=1, max_size=6))
def test_the_layout_is_that_of_clang(several):
    text = "".join(f"{one.c}struct {one.name} v{one.name};\n" for one in several)
    image = compiled(text)
    for one in several:
        theirs = fb.Struct.from_btf(f"struct {one.name}", image)
        same_as_clang(one.ours, theirs)
        # BTF has no alignment; that a struct is packed shows where it makes a difference in the struct itself.
        assert "packed" in one.c or one.ours.align == theirs.align
        one.ours.check_btf(f"struct {one.name}", image)


def test_a_bitfield_in_a_packed_struct_may_cross_its_unit():
    packed = fb.Struct.of(
        "Packed", {"a": fb.bits(fb.u8, 5), "b": fb.bits(fb.u8, 6), "c": fb.bits(fb.u32, 5)}, packed=True
    )
    assert packed.size == 2
    assert isinstance(packed.fields["b"], Bits)
    assert packed.columns() == [("a", 0, "u8:0:5"), ("b", 0, "u16:5:6"), ("c", 1, "u8:3:5")]
    assert packed(a=1, b=2, c=3).pack() == (1 | 2 << 5 | 3 << 11).to_bytes(2, "little")
