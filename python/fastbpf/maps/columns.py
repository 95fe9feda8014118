"""The columns that a map's keys and values are in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbpf.maps.tables import _fields, _names
from fastbpf.maps.types import PER_CPU
from fastbpf.record import spin_lock

if TYPE_CHECKING:
    from fastbpf.maps.map import Map
    from fastbpf.maps.types import Layout

# Name, offset and type of each, and the bytes of the whole.
Columns = tuple[list[tuple[str, int, str]], int]


def columns(map: Map) -> tuple[Columns, Columns]:
    """Those of the key, and those of the value, under the names that they have in `to_arrow`."""
    spec = map.spec
    if spec.value is None:
        map._key.pack(None)  # refuses, with what there is instead
    key = _fields(spec.key, "key")
    # Locks are the kernel's affair.
    value = [field for field in _fields(spec.value, "value") if field[2] != spin_lock.code]
    cpu = ["cpu"] if spec.type in PER_CPU else []
    names = _names([name for name, *_ in key], cpu, [name for name, *_ in value])
    return _named(names, key, spec.key), _named(names[len(key) + len(cpu) :], value, spec.value)


def _named(names: list[str], fields: list[tuple[str, int, str]], layout: Layout | None) -> Columns:
    named = [(name, offset, code) for name, (_, offset, code) in zip(names, fields, strict=False)]
    return named, 0 if layout is None else layout.size
