"""Words that several commands say."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def show_lines(lines: Sequence[Sequence[str]]) -> None:
    """Prints cells in columns; a terminal shows as much of the last as there is room for."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)][:-1]
    room = shutil.get_terminal_size().columns if os.isatty(1) else sys.maxsize
    for *cells, last in lines:
        line = "  ".join([*(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), last]).rstrip()
        print(line if len(line) <= room else f"{line[: room - 1]}…")
