"""Maps that are measured, and libbpf's way of reading and writing them."""

from __future__ import annotations

import ctypes
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

import fastbpf as fb
from benches.harness import build

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

LIBBPF = "libbpf C"


class Counters(fb.Struct):
    """32 bytes, 5 fields."""

    packets: fb.u64
    bytes: fb.u64
    first: fb.u64
    mark: fb.u32
    flags: fb.u32


def fill(map: fb.Map, keys: int, value: bytes) -> None:
    """Keys of 8 bytes from 0 on; the value begins with the key."""
    for key in range(keys):
        number = key.to_bytes(8, "little")
        map._native.update(number, number + value[8:], 0)


def timed(work: Callable[[], pa.Table], entries: int) -> float:
    """Nanoseconds an entry."""
    start = perf_counter_ns()
    table = work()
    took = perf_counter_ns() - start
    if len(table) != entries:
        raise RuntimeError(f"{len(table)} of {entries} entries were read")
    return took / entries


class Libbpf:
    """benches/peers/maps.c."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(build("maps.c", shared=True, libraries=("bpf",))))
        for name in ("read_hash", "sum_hash", "update_hash", "copy_array"):
            getattr(self._library, name).restype = ctypes.c_int64

    def reads_hash(self, map: fb.Map, entries: int, key: int, value: int) -> Callable[[], float]:
        """Into buffers that have been touched before."""
        keys, values = (np.ones(size * (entries + 4096), np.uint8) for size in (key, value))
        return self._reader("read_hash", entries, map.fileno(), key, value, _pointer(keys), _pointer(values))

    def sums_hash(self, map: fb.Map, entries: int, cpus: int) -> Callable[[], float]:
        """Into buffers that have been touched before."""
        keys, sums = np.ones(entries + 4096, np.uint64), np.ones(entries + 4096, np.uint64)
        return self._reader("sum_hash", entries, map.fileno(), cpus, _pointer(keys), _pointer(sums))

    def updates_hash(self, map: fb.Map, keys: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> float:
        """Nanoseconds an entry, of arrays whose rows are the elements' bytes."""
        done = ctypes.c_uint32(len(keys))
        took = _good(self._library.update_hash(map.fileno(), _pointer(keys), _pointer(values), ctypes.byref(done)))
        if done.value != len(keys):
            raise RuntimeError(f"libbpf wrote {done.value} of {len(keys)} entries")
        return took / len(keys)

    def copies_array(self, map: fb.Map, size: int) -> float:
        """Nanoseconds."""
        return _good(self._library.copy_array(map.fileno(), ctypes.c_size_t(size)))

    def _reader(self, name: str, entries: int, *arguments: Any) -> Callable[[], float]:
        def read() -> float:
            done = ctypes.c_uint32()
            took = _good(getattr(self._library, name)(*arguments, ctypes.byref(done)))
            if done.value != entries:
                raise RuntimeError(f"libbpf read {done.value} of {entries} entries")
            return took / entries

        return read


# Keeps the array alive, which an address alone does not.
def _pointer(array: np.ndarray[Any, Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def _good(took: int) -> int:
    if took < 0:
        raise OSError(-took, "libbpf cannot read or write the map")
    return took
