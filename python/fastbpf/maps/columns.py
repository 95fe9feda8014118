"""The columns that a map's keys and values are in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbpf.maps.types import PER_CPU, Layout
from fastbpf.record import FieldType, spin_lock

if TYPE_CHECKING:
    from fastbpf.maps.map import Map

# Name, offset and type of each, and the bytes of the whole.
Columns = tuple[list[tuple[str, int, str]], int]


def columns(map: Map) -> tuple[Columns, Columns]:
    """Those of the key, and those of the value: names that both have (or `cpu`) get key_ and value_ in front."""
    key, value = map._layouts()
    keys, values = _columns("key", key), _columns("value", value)
    taken = {"cpu"} if map.spec.type in PER_CPU else set()
    names = [{name for name, _, _ in fields} for fields, _ in (keys, values)]
    return _apart("key", keys, names[1] | taken), _apart("value", values, names[0] | taken)


def _columns(name: str, layout: Layout) -> Columns:
    fields = [(name, 0, layout.code)] if isinstance(layout, FieldType) else layout.columns()
    # Locks are the kernel's affair.
    return [field for field in fields if field[2] != spin_lock.code], layout.size


def _apart(side: str, columns: Columns, taken: set[str]) -> Columns:
    fields, size = columns
    return [(f"{side}_{name}" if name in taken else name, offset, code) for name, offset, code in fields], size
