"""Types that an object's BTF describes, as fields and Structs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from fastbpf import record
from fastbpf.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    # As the native module tells it: a name, a size, and what a struct has in it, each with its offset.
    Told: TypeAlias = tuple[str, int, Sequence[tuple[str, int, str]] | None]

__all__ = ["layout"]


def layout(told: Told | None, size: int) -> record.FieldType | type[record.Struct] | None:
    """The type that is told, or as many bytes as nobody told about; None for no bytes.

    >>> layout(("u32", 4, None), 4), layout(None, 12), layout(None, 0)
    (fb.u32, fb.bytes[12], None)
    """
    if size == 0:
        return None
    name, told_size, fields = told or ("", 0, None)
    try:
        if told_size == size and fields:
            return _struct(name, size, fields)
        return _field(name) if told_size == size and fields is None else record.raw[size]
    except LayoutError:
        return record.raw[size] if size <= 1 << 20 else record.FieldType(f"bytes[{size}]", size, 1, f"{size}s")


# The compiler's offsets are what counts: some structs are packed, and a section ends with its last variable.
def _struct(name: str, size: int, fields: Sequence[tuple[str, int, str]]) -> type[record.Struct]:
    made = record.Struct.of(name.lstrip(".") or "anonymous", {field: _field(code) for field, _, code in fields})
    made._offsets = {field: at for field, at, _ in fields}
    made.size = size
    return made


def _field(code: str) -> record.FieldType:
    of, count = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", code).groups()  # type: ignore[union-attr]  # Rust's own words
    kind: Any = {"bytes": record.raw, "bool": record.bool8}.get(of) or getattr(record, of)
    found: record.FieldType = kind[int(count)] if count else kind
    return found
