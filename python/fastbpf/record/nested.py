"""Structs in structs, and arrays of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record.types import FieldType, check_count

if TYPE_CHECKING:
    from fastbpf.record.struct import Struct


class Nested(FieldType):
    """A `Struct` as a field's type."""

    __slots__ = ("struct",)

    def __init__(self, struct: type[Struct]) -> None:
        self.struct: Final = struct
        for name in struct.fields:
            check_identifier(name, f"{struct.__name__} as a field")
        fields = ";".join(f"{name}@{offset}={code}" for name, offset, code in struct.columns())
        super().__init__(f"struct {struct.size}{{{fields}}}", struct.size, struct.align, struct.__name__)

    def _pack(self, value: Any) -> bytes:
        if not isinstance(value, self.struct):
            raise LayoutError(f"{value!r} is no {self.struct.__name__}")
        return self.struct.pack(value)

    def _unpack(self, data: bytes) -> Struct:
        return self.struct.unpack(data)


class NestedArray(FieldType):
    """A fixed number of `Struct`s, one after another."""

    __slots__ = ("element",)

    def __init__(self, struct: type[Struct], count: int) -> None:
        check_count(struct.__name__, count)
        self.element: Final = Nested(struct)
        code, name = (f"{what}[{count}]" for what in (self.element.code, repr(self.element)))
        super().__init__(code, struct.size * count, struct.align, name)

    def _pack(self, value: Any) -> bytes:
        if not isinstance(value, list | tuple) or self.element.size * len(value) != self.size:
            raise LayoutError(f"{value!r} is no list of {self.size // self.element.size} {self.element!r}")
        return b"".join(self.element.pack(one) for one in value)

    def _unpack(self, data: bytes) -> tuple[Struct, ...]:
        size = self.element.size
        return tuple(self.element.unpack(data[at : at + size]) for at in range(0, self.size, size))


def check_identifier(name: str, where: str) -> None:
    """Refuses a name that cannot stand in the layout's text."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise LayoutError(f"{where}: the name {name!r} is none that C could have; letters, digits and _ make one")
