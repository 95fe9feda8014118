"""One element of a map, as a dictionary gives it."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from time import perf_counter_ns
from typing import TYPE_CHECKING

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

CTYPES = "libbpf by ctypes"
ELEMENTS = 1024


def run(effort: Effort) -> Result:
    count = effort.scaled(200_000, 2_000)
    notes = []
    with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=ELEMENTS).create() as map:
        map.update((key, 3 * key) for key in range(ELEMENTS))
        keys = [number % ELEMENTS for number in range(count)]
        sides = {OURS: _timed(map.__getitem__, keys)}
        try:
            sides[CTYPES] = _timed(_libbpf(map), keys)
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort)
    result = Result("maps_element", "one m[k] of a hash map", "ns", medians, notes=notes)
    result.ratio(CTYPES, 0.65)
    return result


def _libbpf(map: fb.Map) -> Callable[[int], int]:
    name = find_library("bpf")
    if name is None:
        raise MissingPeerError("libbpf is not installed")
    lookup = ctypes.CDLL(name).bpf_map_lookup_elem
    descriptor = map.fileno()

    def get(number: int) -> int:
        key, value = ctypes.c_uint32(number), ctypes.c_uint64()
        if lookup(descriptor, ctypes.byref(key), ctypes.byref(value)):
            raise KeyError(number)
        return value.value

    return get


def _timed(get: Callable[[int], int], keys: list[int]) -> Callable[[], float]:
    def work() -> float:
        start = perf_counter_ns()
        for key in keys:
            get(key)
        took = perf_counter_ns() - start
        if get(keys[-1]) != 3 * keys[-1]:
            raise RuntimeError("another value was read")
        return took / len(keys)

    return work
