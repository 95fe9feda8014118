"""Where C puts the fields of a struct (the System V ABI, which gcc and clang follow on Linux)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbpf.errors import LayoutError
from fastbpf.record.bits import Bits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.record.types import FieldType


@dataclass(frozen=True)
class Layout:
    """Types and places of a struct's fields. `fixed`: somebody else chose the places."""

    fields: Mapping[str, FieldType]
    offsets: Mapping[str, int]
    size: int
    align: int
    packed: bool = False
    fixed: bool = False

    def with_types(self, fields: Mapping[str, FieldType]) -> Layout:
        """The same places, with other types for some of them."""
        for name, kind in fields.items():
            was = self.fields.get(name)
            if was is None:
                raise LayoutError(f"{name}: a layout with places of its own takes no further field")
            if kind.size != was.size or isinstance(was, Bits):
                raise LayoutError(
                    f"{name}: {kind!r} ({_bytes(kind.size)}) cannot stand for {was!r} ({_bytes(was.size)})"
                )
        return Layout({**self.fields, **fields}, self.offsets, self.size, self.align, self.packed, fixed=True)


def lay_out(fields: Mapping[str, FieldType], *, packed: bool) -> Layout:
    """Field after field, each at its alignment; bitfields share units of their type."""
    position, align = 0, 1
    positions = {}
    for name, kind in fields.items():
        own = 1 if packed else kind.align
        if isinstance(kind, Bits):
            unit = 8 * kind.base.size
            if not packed and position % unit + kind.width > unit:
                position += -position % unit
        else:
            position += -position % (8 * own)
        positions[name] = position
        position += kind.width if isinstance(kind, Bits) else 8 * kind.size
        align = max(align, own)
    size = -(-position // (8 * align)) * align
    return placed(fields, positions, size, align, packed=packed)


def placed(
    fields: Mapping[str, FieldType],
    positions: Mapping[str, int],
    size: int,
    align: int,
    *,
    packed: bool = False,
    fixed: bool = False,
) -> Layout:
    """The layout in which each field begins at that bit."""
    kinds, offsets = dict(fields), {}
    for name, kind in fields.items():
        offsets[name] = positions[name] // 8
        if isinstance(kind, Bits):
            try:
                offsets[name], kinds[name] = kind.placed(positions[name], size)
            except LayoutError as error:
                raise LayoutError(f"{name}: {error}") from None
        elif offsets[name] + kind.size > size:
            raise LayoutError(f"{name}: {kind!r} at {offsets[name]} does not fit into {_bytes(size)}")
    return Layout(kinds, offsets, size, align, packed, fixed)


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"
