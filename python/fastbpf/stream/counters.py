"""Counters that programs keep of the events that found no room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastbpf.errors import LayoutError, StreamError
from fastbpf.maps import Map

Place = Map | tuple[Map, str]


class Counter:
    """The sum of a counter over its CPUs, read from entry 0 of an array; after `settle` what it was then."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        # What it said when it was closed: the map may go, and count for others.
        self._final: int | None = None
        if place is not None:
            _sum(place)

    def read(self) -> int | None:
        """The count, None where there is no counter."""
        if self._place is None:
            return self._final
        try:
            return _sum(self._place)
        except StreamError:
            return None  # the map was closed before the stream

    def settle(self) -> None:
        """Reads it for the last time, and lets go of the map."""
        self._final = self.read()
        self._place = None


def _sum(place: Place) -> int:
    counter, name = place if isinstance(place, tuple) else (place, None)
    if not isinstance(counter, Map):
        raise TypeError(f"lost={place!r}: give a Map, or a Map and the name of a field of its value")
    value: Any = counter[0]
    values = value if isinstance(value, list) else [value]
    return sum(_number(one, name, counter) for one in values)


def _number(value: Any, name: str | None, counter: Map) -> int:
    if name is not None:
        if not hasattr(value, name):
            raise LayoutError(f"lost=: a value of {counter!r} has no field {name!r}")
        value = getattr(value, name)
    if isinstance(value, bool) or not isinstance(value, int | Iterable) or isinstance(value, str | bytes):
        raise LayoutError(
            f"lost=: a value of {counter!r} is {value!r}, which is no count; name the field: (map, 'name')"
        )
    return value if isinstance(value, int) else sum(value)
