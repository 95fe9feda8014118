"""What a caller gave, looked at before anything happens."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Final, NamedTuple

OVERFLOWS: Final = ("block", "drop_newest", "drop_oldest")


class Manner(NamedTuple):
    """How a stream behaves, as the native module takes it."""

    max_rows: int
    max_latency: float
    background: bool
    overflow: str
    look_back: float | None
    decode: bool


def manner(
    *,
    max_rows: int,
    max_latency: float,
    background: bool,
    overflow: str,
    ordered: bool,
    look_back: float,
    decode: bool = True,
) -> Manner:
    """Refuses what cannot be meant."""
    check_whole(max_rows, 1, 1 << 24, f"max_rows={max_rows!r}: a batch has from 1 to {1 << 24} rows")
    check_seconds(max_latency, 3600, f"max_latency={max_latency!r}: give seconds, from 0 to 3600")
    check_seconds(look_back, 3600, f"look_back={look_back!r}: give seconds, from 0 to 3600")
    if overflow not in OVERFLOWS:
        near = get_close_matches(str(overflow), OVERFLOWS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(OVERFLOWS)}"
        raise ValueError(f"overflow={overflow!r}: {hint}")
    if overflow != "block" and not background:
        raise ValueError(
            f"overflow={overflow!r} is for streams that a thread of ours drains; with background=False nothing is read "
            "that the reader does not ask for, and nothing needs to be dropped"
        )
    return Manner(max_rows, max_latency, background, overflow, look_back if ordered else None, decode)


def check_bounds(seconds: float | None, rows: int | None) -> None:
    """Refuses a read without an end."""
    if seconds is None and rows is None:
        raise ValueError("a stream has no end: say how much of it, seconds=5 or rows=1000")
    if seconds is not None:
        check_seconds(seconds, sys.float_info.max, f"seconds={seconds!r}: give a number that is not negative")
    if rows is not None:
        check_whole(rows, 0, sys.maxsize, f"rows={rows!r}: give a whole number from 0 to {sys.maxsize}")


_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gib": 1 << 30,
}


def size_in_bytes(buffer: int | str, least: int, most: int, what: str) -> int:
    """A size that was given in bytes or as text such as "8MiB", rounded up to a power of two."""
    text = str(buffer).strip().lower()
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text)
    if not found or found[2] not in _UNITS:
        raise ValueError(f"buffer={buffer!r}: give bytes, or text such as '8MiB'")
    size = float(found[1]) * _UNITS[found[2]]
    if not least <= size <= most:
        raise ValueError(f"buffer={buffer!r}: {what} has from {_text(least)} to {_text(most)}")
    return 1 << (int(size) - 1).bit_length()


def _text(size: int) -> str:
    return next(f"{size // unit}{name}" for name, unit in (("GiB", 1 << 30), ("KiB", 1 << 10)) if size % unit == 0)


def check_whole(value: object, least: int, most: int, told: str) -> None:
    """Refuses, in the words `told`, what is no whole number of the range."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(told)
    if not least <= int(value) <= most:
        raise ValueError(told)


def check_seconds(value: Any, most: float, told: str) -> None:
    """Refuses, in the words `told`, what is no number of seconds up to `most`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number:
        raise TypeError(told)
    if not 0 <= value <= most:
        raise ValueError(told)
