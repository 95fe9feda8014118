"""What a program's maps are like, as far as the objects that stand for them say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeGuard

# Maps whose look-up gives the address of a value that the program may read: numbers, whatever they are.
_PLAIN: Final = {
    *("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash", "lpm_trie"),
}
# Their elements are all there, which kernels since 6.14 know where the key is a constant.
_ARRAYS: Final = {"array", "percpu_array"}
_READ_ONLY: Final = 1 << 7  # BPF_F_RDONLY_PROG: the verifier may read the value, and know it


class MapFacts:
    """A map. Sizes are None where they are not known."""

    __slots__ = ("full", "key_size", "max_entries", "plain", "read_only", "steady", "value_size")

    def __init__(self, map: object) -> None:
        spec = getattr(map, "spec", map)
        kind, flags = getattr(spec, "type", None), getattr(spec, "flags", None)
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


def _size(layout: object) -> int | None:
    size = getattr(layout, "size", None)
    return size if _is_count(size) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0
