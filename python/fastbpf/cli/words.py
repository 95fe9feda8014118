"""Words that several commands say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbpf.stream import Stats


def counted(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def unusual(stats: Stats) -> list[str]:
    """What happens only to streams that were told to, and only sometimes: rows dropped, rows out of order."""
    return [f"{number:,} {what}" for number, what in ((stats.dropped, "dropped"), (stats.late, "late")) if number]
