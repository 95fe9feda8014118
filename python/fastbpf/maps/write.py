"""Tables into maps."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from fastbpf.errors import KernelError, LayoutError
from fastbpf.maps.columns import columns
from fastbpf.maps.cpus import cpu_numbers
from fastbpf.maps.types import OF_OBJECTS, PER_CPU
from fastbpf.record.tables import reader

if TYPE_CHECKING:
    import pyarrow as pa

    from fastbpf.maps.map import Map

__all__ = ["FLAGS", "Report", "delete_rows", "update_rows"]

# BPF_ANY, BPF_NOEXIST, BPF_EXIST
FLAGS: Final = {"any": 0, "new": 1, "existing": 2}

_WHY: Final = {
    errno.E2BIG: "the map is full, or has no such index",
    errno.EEXIST: "the key is there already",
    errno.ENOENT: "there is no such key",
    errno.EINVAL: "the kernel does not take the key, the value or the flags",
    errno.ENOMEM: "the kernel has no memory for it",
    errno.EBUSY: "the kernel was busy with this part of the map",
}


@dataclass(frozen=True)
class Report:
    """What became of a table's rows: a map takes them one by one, and those that it refuses leave the others be.

    `done` elements were written (or deleted). `failed` is a table with a line for each that was not: `row` counts from
    0 (of per-CPU maps the first of the key's rows), `errno` is the kernel's number, and `why` says it in words.
    """

    done: int
    failed: pa.Table


def flag(name: str) -> int:
    """The kernel's number for "any", "new" and "existing"."""
    if name in list(FLAGS):
        return FLAGS[name]
    near = get_close_matches(str(name), FLAGS)
    there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, FLAGS))}"
    raise LayoutError(f"flags={name!r}: {there}")


def update_rows(map: Map, table: Any, flags: str) -> Report:
    """Writes the rows of a table."""
    number = flag(flags)
    keys, values = columns(map)
    if map.spec.type in OF_OBJECTS:
        what = OF_OBJECTS[map.spec.type]
        raise LayoutError(f"a value of {map!r} is {what}, which no column holds; write them as map[key] = value")
    if map.spec.type == "stack_trace":
        raise LayoutError(f"{map!r} is written by the kernel, where a program calls get_stackid; delete makes room")
    cpus = cpu_numbers() if map.spec.type in PER_CPU else None
    rows = reader(table)
    try:
        return _report(*map._native.update_rows(rows, keys, values, cpus, number))
    except KernelError as error:
        raise _refused(map, error) from None


def delete_rows(map: Map, keys: Any) -> Report:
    """Deletes the elements with the keys that a table's rows hold."""
    of_key, _ = columns(map)
    rows = reader(keys)
    try:
        done, failed, numbers = map._native.delete_rows(rows, of_key)
    except KernelError as error:
        raise _refused(map, error) from None
    if done == 0 and set(numbers) == {errno.EINVAL}:
        raise KernelError(errno.EINVAL, f"elements of {map!r} cannot be deleted; write other values in their place")
    return _report(done, failed, numbers)


# What concerns the map and not one row.
def _refused(map: Map, error: KernelError) -> KernelError:
    number = error.errno or 0
    if number == errno.EPERM:
        return KernelError(number, f"{map!r} is frozen, or was made or opened for reading only (errno {number})")
    if number in {errno.EOPNOTSUPP, 524}:  # ENOTSUPP, which is the kernel's own
        return KernelError(number, f"the kernel lets nobody change the elements of {map!r} so (errno {number})")
    return error


def _report(done: int, rows: list[int], numbers: list[int]) -> Report:
    import pyarrow as pa

    words = {number: _WHY.get(number, os.strerror(number).lower()) for number in set(numbers)}
    failed = pa.table(
        {
            "row": pa.array(rows, pa.uint64()),
            "errno": pa.array(numbers, pa.int32()),
            "why": pa.array([words[number] for number in numbers], pa.string()),
        }
    )
    return Report(done, failed)
