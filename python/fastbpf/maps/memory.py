"""A map's memory, which programs and other processes have too."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.types import MMAPABLE

if TYPE_CHECKING:
    from fastbpf import _native
    from fastbpf.maps.map import Map

__all__ = ["Memory", "mapped"]


class Memory:
    """Bytes that programs and other processes read and write too: `memory[8:16]`, `memory[0:4] = b"abcd"`.

    Aligned parts of up to 8 bytes are read and written whole. An array has its values in it one after another, each
    rounded up to 8 bytes; an arena's pages come into being when they are touched. It goes when the map is closed.
    """

    def __init__(self, native: _native.Memory) -> None:
        self._native = native

    def __len__(self) -> int:
        return len(self._native)

    def __getitem__(self, part: slice) -> bytes:
        start, stop = self._range(part)
        return self._native.read(start, stop - start)

    def __setitem__(self, part: slice, data: bytes) -> None:
        start, stop = self._range(part)
        if len(data) != stop - start:
            raise LayoutError(f"{len(data)} bytes do not fit into {stop - start}")
        if not self._native.writable:
            raise KernelError(errno.EPERM, "this memory can only be read: the map is frozen, or was made so")
        self._native.write(start, bytes(data))

    def _range(self, part: Any) -> tuple[int, int]:
        if not isinstance(part, slice) or part.step not in {None, 1}:
            raise LayoutError(f"{part!r}: give a range of bytes, as in memory[8:16]")
        start, stop, _ = part.indices(len(self))
        return start, max(start, stop)


def mapped(map: Map) -> _native.Memory | None:
    """The values of an array, or an arena, mapped; None where the kernel does not share them.

    What cannot be written is mapped for reading: frozen maps, and those that were made so.
    """
    spec = map.spec
    if spec.type not in {"array", "arena"} or not map.info.flags & MMAPABLE:
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    size = spec.max_entries * page
    if spec.type == "array" and spec.value is not None:
        size = spec.max_entries * (spec.value.size + -spec.value.size % 8)
    size += -size % page
    address = spec.map_extra if spec.type == "arena" else 0
    try:
        return map._native.memory(address, size, True)
    except KernelError as error:
        if error.errno not in {errno.EPERM, errno.EACCES}:
            raise
        return map._native.memory(address, size, False)
