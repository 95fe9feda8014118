"""Layouts of C structs from BTF, and how ours differ from them."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastbpf.errors import LayoutError
from fastbpf.record.bits import Bits
from fastbpf.record.enums import Enum
from fastbpf.record.layout import placed
from fastbpf.record.nested import Nested, NestedArray
from fastbpf.record.sized import Bytes, char
from fastbpf.record.struct import placed as struct_of
from fastbpf.record.types import PLAIN, FieldType, Number, Numbers, bool8, i8, u8

if TYPE_CHECKING:
    from fastbpf.record.struct import Struct

Source = str | os.PathLike[str] | bytes | None

_TYPES: Final = {**PLAIN, "bool": bool8, "char": i8, "uchar": u8}
_SORTS: Final = {"u": "unsigned", "i": "signed", "f": "a float"}


class _Member(NamedTuple):
    # As fastbpf._native gives it.
    name: str
    bit: int
    width: int | None
    length: int | None
    type: str
    names: list[tuple[str, int]] | None
    layout: Any


class Types:
    """Makes types of what fastbpf._native tells of them. What is alike is one `Struct`, wherever it is nested."""

    def __init__(self) -> None:
        self._made: dict[str, type[Struct]] = {}

    def content(self, told: Any) -> FieldType | type[Struct]:
        """What a map or a section holds, as `fastbpf._native.Object.maps` tells it."""
        member = _Member(*told)
        alone = member.layout is not None and member.length is None
        return self.struct(*member.layout) if alone else self._type(member)

    def struct(self, name: str, size: int, align: int, members: list[Any]) -> type[Struct]:
        """The struct that `fastbpf._native.btf_layouts` tells."""
        known = repr((name, size, align, members))
        if known not in self._made:
            self._made[known] = self._struct(name, size, align, members)
        return self._made[known]

    def _struct(self, name: str, size: int, align: int, members: list[Any]) -> type[Struct]:
        if not members:
            raise LayoutError(f"{name} has no members that take up bytes")
        fields: dict[str, FieldType] = {}
        positions = {}
        for member in (_Member(*one) for one in members):
            # C gives an anonymous union no name.
            own = member.name or f"union_{member.bit // 8}"
            try:
                fields[own] = self._type(member)
            except LayoutError as error:
                raise LayoutError(f"{name}.{own}: {error}") from None
            positions[own] = member.bit
        try:
            return struct_of(name or "anonymous", placed(fields, positions, size, align, fixed=True))
        except LayoutError as error:
            raise LayoutError(f"{name}.{error}") from None

    def _type(self, member: _Member) -> FieldType:
        if member.layout is not None:
            inner = self.struct(*member.layout)
            return Nested(inner) if member.length is None else NestedArray(inner, member.length)
        if member.type.startswith("bytes"):
            return Bytes(int(member.type[6:-1]))
        kind = _TYPES[member.type]
        if member.width is not None:
            return Bits(kind, member.width)
        if member.length is not None:
            if member.type in {"char", "uchar"}:
                return char[member.length]
            return (u8 if kind is bool8 else kind)[member.length]
        if member.names is not None:
            return Enum(dict(member.names), kind, f"fb.enum({dict(member.names)!r}, base={kind!r})")
        return kind


def read(name: str, source: Source) -> type[Struct]:
    """The only struct of that name."""
    found = _found(name, source)
    if len(found) > 1:
        sizes = ", ".join(str(one.size) for one in found)
        raise LayoutError(
            f"there are {len(found)} different {name}, of {sizes} bytes; write the one that you mean as a Struct, and "
            f"check_btf tells whether it is one of them"
        )
    return found[0]


def check(ours: type[Struct], name: str, source: Source) -> None:
    """Refuses ours if it differs from each struct of that name."""
    refusals = [_difference(ours.__name__, name, ours, theirs) for theirs in _found(name, source)]
    if all(refusals):
        raise LayoutError(refusals[0])


def _found(name: str, source: Source) -> list[type[Struct]]:
    from fastbpf import _native

    if not name.removeprefix("struct").strip():
        raise LayoutError(f'{name!r} is no name of a C struct; give one such as "struct event"')
    where = "the running kernel" if source is None else "the object" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) or source is None else Path(source).read_bytes()
    try:
        layouts = _native.btf_layouts(name, data)
        names = [] if layouts else _native.btf_structs(data)
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None
    if layouts:
        types = Types()
        return [types.struct(*one) for one in layouts]
    if layouts is None:
        raise LayoutError(
            "the running kernel has no BTF (CONFIG_DEBUG_INFO_BTF, /sys/kernel/btf/vmlinux); give the object file that "
            "the program was compiled to"
        )
    near = get_close_matches(name.removeprefix("struct "), {one for one in names if one})
    hint = f"did you mean {' or '.join(f'struct {one}' for one in near)}?" if near else "its structs have other names"
    raise LayoutError(f"{where} has no {name if name.startswith('struct ') else f'struct {name}'}; {hint}")


# The first thing in which a layout of ours differs from a compiler's, or nothing.
def _difference(where: str, name: str, ours: type[Struct], theirs: type[Struct]) -> str:
    for field, kind in ours.fields.items():
        here = f"{where}.{field}"
        their = theirs.fields.get(field)
        if their is None:
            near = get_close_matches(field, theirs.fields, 1)
            there = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(theirs.fields)}"
            return f"{name} has no {field!r}, which {where} has; {there}"
        mine, yours = (_place(layout, field) for layout in (ours, theirs))
        if mine != yours:
            return f"{here} is at {mine}, {name} has it at {yours}"
        if kind.size != their.size and not isinstance(kind, Bits):
            return f"{here} has {kind.size} bytes, {name} gives it {their.size}"
        if difference := _kinds(here, name, kind, their):
            return difference
    if ours.size != theirs.size:
        return f"{where} has {ours.size} bytes, {name} has {theirs.size}"
    return ""


def _kinds(here: str, name: str, ours: FieldType, theirs: FieldType) -> str:
    match ours, theirs:
        case Nested(), Nested():
            return _difference(here, f"{name}'s {theirs!r}", ours.struct, theirs.struct)
        case NestedArray(), NestedArray():
            if ours.element.size != theirs.element.size:
                return f"{here} has elements of {ours.element.size} bytes, {name} has them of {theirs.element.size}"
            return _difference(here, f"{name}'s {theirs.element!r}", ours.element.struct, theirs.element.struct)
        case Enum(), Enum():
            for one, number in ours.names.items():
                if theirs.names.get(one, number) != number:
                    return f"{here}: {one} is {number}, {name} has it as {theirs.names[one]}"
    mine, yours = _number(ours), _number(theirs)
    if mine is None or yours is None:
        return ""
    if mine.code[0] != yours.code[0]:
        return f"{here} is {_SORTS[mine.code[0]]}, {name} has it {_SORTS[yours.code[0]]}"
    if mine.size != yours.size:
        return f"{here} has elements of {mine.size} bytes, {name} has them of {yours.size}"
    if yours.code.endswith("be") and not mine.code.endswith("be"):
        return f"{here} has this machine's byte order, {name} has it big-endian"
    return ""


# What is compared of the number, or of the numbers, that a field is; None for types that mean more than C says.
def _number(kind: FieldType) -> Number | None:
    match kind:
        case Numbers():
            return kind.element
        case Enum():
            return kind.base
        case Bits():
            return kind.base if kind.base.code in PLAIN else u8
        case Number() if kind.code in PLAIN:
            return kind
    return None


def _place(layout: type[Struct], field: str) -> str:
    offset, kind = layout.offset(field), layout.fields[field]
    if not isinstance(kind, Bits):
        return f"byte {offset}"
    return f"bit {8 * offset + kind.bit}, {kind.width} bits wide"
