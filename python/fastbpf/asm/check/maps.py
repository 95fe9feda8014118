"""What a program's maps are like, as far as the objects that stand for them say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeGuard

# Maps whose look-up gives the address of a value that the program may read: numbers, whatever they are.
_PLAIN: Final = {
    *("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash", "lpm_trie"),
}
# Their elements are all there, which kernels since `KNOWN_THERE` know where the key is a constant.
_ARRAYS: Final = {"array", "percpu_array"}
#: The first release that can have that.
KNOWN_THERE: Final = (6, 14)
# Maps whose values have no address that a program could have in it.
_WITHOUT_PLACE: Final = _PLAIN - {"array", "percpu_array"} | {"ringbuf"}
_READ_ONLY: Final = 1 << 7  # BPF_F_RDONLY_PROG: the verifier may read the value, and know it


class MapFacts:
    """A map. Sizes are None where they are not known."""

    __slots__ = ("full", "key_size", "kind", "max_entries", "plain", "read_only", "steady", "value_size")

    def __init__(self, map: object) -> None:
        spec = getattr(map, "spec", map)
        kind, flags = getattr(spec, "type", None), getattr(spec, "flags", None)
        #: the name of its type
        self.kind = kind if isinstance(kind, str) else None
        #: whether values hold plain numbers
        self.plain = kind in _PLAIN
        #: whether a look-up may be known to find something
        self.full = kind is None or kind in _ARRAYS
        #: whether the kernel may know what the values are
        self.steady = not isinstance(flags, int) or bool(flags & _READ_ONLY)
        #: whether programs may not write values
        self.read_only = isinstance(flags, int) and bool(flags & _READ_ONLY)
        self.key_size = _size(getattr(spec, "key", None))
        self.value_size = _size(getattr(spec, "value", None))
        entries = getattr(spec, "max_entries", None)
        self.max_entries = entries if _is_count(entries) else None

    def misplaced(self, offset: int) -> str | None:
        """What the kernel refuses of the address of that byte in the map's value, as `ld_map_value` loads it."""
        if self.kind in _WITHOUT_PLACE:
            return f"the values of a map of type {self.kind} are found by look-up alone: call.map_lookup_elem"
        if self.kind != "array":
            return None
        if self.max_entries is not None and self.max_entries != 1:
            return (
                f"ld_map_value reaches into an array of one element, and this one has {self.max_entries}; find an "
                f"element with call.map_lookup_elem"
            )
        if self.value_size is not None and offset >= self.value_size:
            return f"byte {offset} is outside the value, which has {counted(self.value_size)}"
        return None


def counted(size: int) -> str:
    """So many bytes."""
    return "1 byte" if size == 1 else f"{size} bytes"


def _size(layout: object) -> int | None:
    size = getattr(layout, "size", None)
    return size if _is_count(size) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0
