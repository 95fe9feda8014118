"""What the kernel is told of a map's keys and values (BTF): others read the map by it, as bpftool does.

Source: Documentation/bpf/btf.rst, kernel/bpf/btf.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from fastbpf.maps.prefix import Prefix
from fastbpf.record import FieldType, Struct, bool8, ipv4, port, spin_lock
from fastbpf.record.bits import Bits
from fastbpf.record.enums import Enum
from fastbpf.record.nested import Nested, NestedArray
from fastbpf.record.sized import Chars
from fastbpf.record.types import PLAIN, Number, Numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fastbpf.maps.types import Layout

__all__ = ["types_of"]

# BTF_KIND_…, include/uapi/linux/btf.h
_INT: Final = 1
_ARRAY: Final = 3
_STRUCT: Final = 4
_ENUM: Final = 6
_TYPEDEF: Final = 8
_FLOAT: Final = 16
_ENUM64: Final = 19
_FLAG: Final = 1 << 31
_SIGNED, _BOOL = 1, 4  # BTF_INT_…


def types_of(key: Layout | None, value: Layout | None) -> tuple[bytes, int, int] | None:
    """BTF, and the numbers there of the types of key and value; None for a map without elements."""
    if value is None:
        return None
    types = _Types()
    first = 0 if key is None else types.layout(key)
    second = types.layout(value)
    return types.packed(), first, second


class _Types:
    def __init__(self) -> None:
        self._types = bytearray()
        self._strings = bytearray(1)
        self._numbers: dict[Hashable, int] = {}
        self._count = 0

    def packed(self) -> bytes:
        types, strings = len(self._types), len(self._strings)
        return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, types, types, strings) + self._types + self._strings

    def layout(self, layout: Layout) -> int:
        if not isinstance(layout, FieldType):
            return self._struct(layout)
        match layout:
            case Nested():
                return self._struct(layout.struct)
            case NestedArray():
                return self._array(self._struct(layout.element.struct), layout.size // layout.element.size)
            case Prefix():
                return self._struct(Struct.of("prefix", {"prefixlen": PLAIN["u32"], "data": layout.data}, packed=True))
            case Enum():
                return self._enum(layout)
            case Numbers():
                return self._array(self.layout(layout.element), layout.size // layout.element.size)
            case Chars():
                return self._array(self._int("char", 1, _SIGNED), layout.size)
            case Number():
                return self._number(layout)
        if layout == ipv4:
            return self._typedef("__be32", self._int("u32", 4))
        return self._array(self._int("u8", 1), layout.size)

    def _number(self, kind: Number) -> int:
        if kind == spin_lock:
            return self._members("bpf_spin_lock", 4, [("val", self._int("u32", 4), 0)])
        if kind == bool8:
            return self._int("_Bool", 1, _BOOL)
        if kind == port:
            return self._typedef("__be16", self._int("u16", 2))
        code = kind.code.removesuffix("be")
        if code != kind.code:
            # Of floats in that order C has no name either.
            raw = self._int(f"{'s' if code[0] == 'i' else 'u'}{8 * kind.size}", kind.size, int(code[0] == "i"))
            return self._typedef(f"__be{8 * kind.size}", raw)
        if code.startswith("f"):
            return self._once(
                ("float", code), lambda: self._add(_FLOAT, {4: "float", 8: "double"}[kind.size], kind.size)
            )
        signed = code.startswith("i")
        return self._int(f"{'s' if signed else 'u'}{8 * kind.size}", kind.size, _SIGNED if signed else 0)

    def _int(self, name: str, size: int, encoding: int = 0) -> int:
        tail = struct.pack("=I", encoding << 24 | 8 * size)
        return self._once(("int", name), lambda: self._add(_INT, name, size, tail))

    def _typedef(self, name: str, number: int) -> int:
        return self._once(("typedef", name, number), lambda: self._add(_TYPEDEF, name, number))

    def _array(self, element: int, count: int) -> int:
        index = self._int("u32", 4)
        tail = struct.pack("=III", element, index, count)
        return self._once(("array", element, count), lambda: self._add(_ARRAY, "", 0, tail))

    def _enum(self, kind: Enum) -> int:
        signed = kind.base.code.startswith("i")
        if not kind.names or not all(one.isidentifier() for one in kind.names) or kind.base.code not in PLAIN:
            return self.layout(kind.base)
        wide = kind.size == 8
        tail = b"".join(
            struct.pack("=I", self._string(name))
            + (number % (1 << 64 if wide else 1 << 32)).to_bytes(8 if wide else 4, "little")
            for name, number in kind.names.items()
        )
        flag = _FLAG if signed else 0
        return self._add(_ENUM64 if wide else _ENUM, "", kind.size, tail, len(kind.names), flag)

    def _struct(self, layout: type[Struct]) -> int:
        columns = [(layout.offset(name), name, kind) for name, kind in layout.fields.items()]
        columns.sort(key=lambda column: 8 * column[0] + (column[2].bit if isinstance(column[2], Bits) else 0))
        members = []
        has_bits = any(isinstance(kind, Bits) for _, _, kind in columns)
        for offset, name, kind in columns:
            bit, width = (kind.bit, kind.width) if isinstance(kind, Bits) else (0, 0)
            number = self.layout(kind.storage if isinstance(kind, Bits) else kind)
            members.append((name, number, width << 24 | 8 * offset + bit))
        return self._members(layout.__name__, layout.size, members, _FLAG if has_bits else 0)

    def _members(self, name: str, size: int, members: list[tuple[str, int, int]], flag: int = 0) -> int:
        tail = b"".join(struct.pack("=III", self._string(one), number, place) for one, number, place in members)
        key = ("struct", name, size, tuple(members))
        return self._once(key, lambda: self._add(_STRUCT, name, size, tail, len(members), flag))

    def _add(self, kind: int, name: str, size: int, tail: bytes = b"", count: int = 0, flag: int = 0) -> int:
        self._types += struct.pack("=III", self._string(name), flag | kind << 24 | count, size) + tail
        self._count += 1
        return self._count

    def _once(self, key: Hashable, make: Callable[[], int]) -> int:
        if key not in self._numbers:
            self._numbers[key] = make()
        return self._numbers[key]

    # The kernel takes no name that C could not have.
    def _string(self, name: str) -> int:
        if not (name.isidentifier() and name.isascii()):
            return 0
        place = self._strings.find(b"\0" + name.encode() + b"\0")
        if place < 0:
            place = len(self._strings) - 1
            self._strings += name.encode() + b"\0"
        return place + 1
