"""What maps are like that somebody else made: as the kernel tells it, or as whoever opens them says."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from fastbpf.errors import LayoutError
from fastbpf.maps.info import info_of, loaded_maps
from fastbpf.maps.layouts import layout
from fastbpf.maps.prefix import Prefix
from fastbpf.maps.spec import MapSpec
from fastbpf.maps.types import BARE, KEYLESS, NUMBERED, OF_OBJECTS, STORAGE, Layout
from fastbpf.record import FieldType, i32, u32, u64
from fastbpf.record.btf import Types
from fastbpf.record.sized import Bytes

if TYPE_CHECKING:
    from fastbpf import _native

__all__ = ["FoundSpec", "id_of", "key_layout", "spec_of", "value_layout"]


@dataclass(frozen=True)
class FoundSpec(MapSpec):
    """What a map is that somebody else made. `type` is the kernel's number where that is newer than fastbpf."""

    def __post_init__(self) -> None:
        """Takes what the kernel says."""


def spec_of(native: _native.Map, key: Layout | None, value: Layout | None) -> FoundSpec:
    """What this map is, with another layout of its keys and values if one is given."""
    info = info_of(native)
    if info.type in BARE:
        return FoundSpec(info.type, None, None, info.max_entries, info.name, info.flags, map_extra=info.map_extra)
    told_key, told_value = native.types()
    types = Types()
    keys = key_layout(types, info.type, told_key, info.key_size)
    values = value_layout(types, info.type, told_value, info.value_size)
    if key is not None and info.type == "lpm_trie" and isinstance(key, FieldType) and not isinstance(key, Prefix):
        key = Prefix(key)
    what = f"map {info.id} ({info.name or 'no name'}, {info.type})"
    _check_size(what, "key", key, info.key_size)
    _check_size(what, "value", value, info.value_size)
    found = key or keys, value or values
    return FoundSpec(info.type, *found, info.max_entries, info.name, info.flags, map_extra=info.map_extra)


def key_layout(types: Types, kind: str, told: Any, size: int) -> Layout | None:
    """The type of a map's keys, of which its types may tell more than the size."""
    if kind in KEYLESS:
        return None
    if kind in STORAGE and size == i32.size:
        return i32
    if kind in NUMBERED and size == u32.size:
        return u32
    found = layout(types, told, size)
    if kind == "lpm_trie" and isinstance(found, Bytes) and size > u32.size:
        return Prefix(Bytes(size - u32.size))
    return found


def value_layout(types: Types, kind: str, told: Any, size: int) -> Layout | None:
    """The type of a map's values; of what the kernel itself puts there or makes of it, C says the size and no type."""
    if kind in OF_OBJECTS and size in {u32.size, u64.size}:
        return u32 if size == u32.size else u64
    if kind == "stack_trace" and size % u64.size == 0:
        return u64[size // u64.size]
    return layout(types, told, size)


def id_of(name: str) -> int:
    """The number of the only map of that name."""
    maps = loaded_maps()
    found = [one for one in maps if one.name == name]
    if not found:
        near = get_close_matches(name, {one.name for one in maps if one.name})
        hint = f"did you mean {' or '.join(near)}?" if near else "its maps have other names"
        raise LayoutError(f"the kernel has no map {name!r}; {hint}")
    if len(found) > 1:
        ids = ", ".join(f"{one.id} ({one.type})" for one in found)
        raise LayoutError(f"the kernel has {len(found)} maps {name!r}, with the numbers {ids}: use fb.Map.from_id")
    return found[0].id


def _check_size(what: str, which: str, given: Layout | None, size: int) -> None:
    if given is None:
        return
    if not isinstance(given, FieldType) and not isinstance(given, type):
        raise LayoutError(f"{which}={given!r}: give a type such as fb.u64, or a Struct")
    if given.size != size:
        name = repr(given) if isinstance(given, FieldType) else given.__name__
        raise LayoutError(f"a {which} of {what} has {size} bytes, and {name} has {given.size}")
