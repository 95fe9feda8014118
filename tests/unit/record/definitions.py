"""Random structs, each said three times: to fastbpf, to ctypes and in C."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

import fastbpf as fb

_BIG = ctypes.BigEndianStructure  # its fields' types are the swapped ones


def _swapped(kind):
    return dict(type("_", (_BIG,), {"_fields_": [("x", kind)]})._fields_)["x"]


@dataclass(frozen=True)
class Scalar:
    kind: fb.record.FieldType
    ctype: Any
    c: str


SCALARS = [
    *(Scalar(getattr(fb, f"u{n}"), getattr(ctypes, f"c_uint{n}"), f"__u{n}") for n in (8, 16, 32, 64)),
    *(Scalar(getattr(fb, f"i{n}"), getattr(ctypes, f"c_int{n}"), f"__s{n}") for n in (8, 16, 32, 64)),
    *(Scalar(getattr(fb, f"be{n}"), _swapped(getattr(ctypes, f"c_uint{n}")), f"__be{n}") for n in (16, 32, 64)),
    Scalar(fb.f32, ctypes.c_float, "float"),
    Scalar(fb.f64, ctypes.c_double, "double"),
]
BOOL = Scalar(fb.bool8, ctypes.c_bool, "_Bool")


@dataclass(frozen=True)
class Field:
    """`declared`: how C declares it, with % for the name."""

    kind: Any
    ctype: Any
    declared: str
    width: int | None = None


@dataclass(frozen=True)
class Definition:
    name: str
    ours: type[fb.Struct]
    # None where there are bitfields, which ctypes lays out as it likes.
    theirs: type[ctypes.Structure] | None
    # With the structs that it is made of in front.
    c: str


_numbers = itertools.count()


def _define(fields, *, packed, inner):
    name = f"s{next(_numbers)}"
    names = [f"f{n}" for n in range(len(fields))]
    kinds = {one: field.kind for one, field in zip(names, fields, strict=True)}
    try:
        ours = fb.Struct.of(name, kinds, packed=packed)
    except fb.LayoutError as error:
        # Bits of a packed struct of 3 bytes, say.
        if not packed or "in the struct holds the bits" not in str(error):
            raise
        reject()
    theirs = None
    if all(field.ctype for field in fields):
        body = {"_fields_": [(one, field.ctype) for one, field in zip(names, fields, strict=True)]}
        if packed:
            body |= {"_pack_": 1, "_layout_": "ms"}
        theirs = type(name, (ctypes.Structure,), body)
    lines = " ".join(f"{field.declared.replace('%', one)};" for one, field in zip(names, fields, strict=True))
    attribute = " __attribute__((packed))" if packed else ""
    return Definition(name, ours, theirs, f"{inner}struct {name} {{ {lines} }}{attribute};\n")


counts = st.integers(1, 9)
scalars = st.sampled_from([*SCALARS, BOOL]).map(lambda one: Field(one.kind, one.ctype, f"{one.c} %"))
arrays = st.builds(
    lambda one, n: Field(one.kind[n], one.ctype * n, f"{one.c} %[{n}]"), st.sampled_from(SCALARS), counts
)
chars = counts.map(lambda n: Field(fb.char[n], ctypes.c_char * n, f"char %[{n}]"))
bits = st.sampled_from(SCALARS[:8]).flatmap(
    lambda one: st.integers(1, 8 * one.kind.size).map(
        lambda width: Field(fb.bits(one.kind, width), None, f"{one.c} % : {width}", width)
    )
)
flags = st.just(Field(fb.bits(fb.bool8, 1), None, "_Bool % : 1", 1))


@st.composite
def definitions(draw, *, text=False, bitfields=False, depth=2):
    plain = st.one_of(scalars, arrays, *([chars] if text else []), *([bits, flags] if bitfields else []))
    fields, inner = [], ""
    for nested in draw(st.lists(st.booleans(), min_size=1, max_size=7)):
        if not (nested and depth):
            fields.append(draw(plain))
            continue
        one = draw(definitions(text=text, bitfields=bitfields, depth=depth - 1))
        inner += one.c
        if count := draw(st.integers(0, 3)):
            theirs = one.theirs and one.theirs * count
            fields.append(Field(one.ours[count], theirs, f"struct {one.name} %[{count}]"))
        else:
            fields.append(Field(one.ours, one.theirs, f"struct {one.name} %"))
    return _define(fields, packed=draw(st.booleans()), inner=inner)
