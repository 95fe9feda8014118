"""What a terminal shows: the newest rows as a table, and a status line."""

from __future__ import annotations

import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fastbpf.cli.words import counted, unusual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastbpf import _native
    from fastbpf.cli.session import Source
    from fastbpf.stream import Stats

# Seconds between two pictures.
_PICTURE: Final = 0.25
# A number or a time, which a part of would be wrong.
_NUMBER: Final = re.compile(r"-?[0-9][0-9.:]*")
# What a text keeps at least.
_TEXT: Final = 12


class StatusLine:
    """Rows, rate, lost and elapsed time, on stderr."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()
        self._rate = _Rate()

    def tick(self, source: Source, elapsed: float) -> None:
        """Draws, if it is time to."""
        if self._rate.is_due() and (stats := source.stats):
            self._live.update(_status(stats, self._rate, elapsed), refresh=True)

    def close(self) -> None:
        """Takes the line away."""
        self._live.stop()


class TableView:
    """The newest rows, as many as the terminal has room for. Only they become text, and only when they are drawn.

    What is not `live` is drawn once, at the end: somebody else writes on the terminal meanwhile.
    """

    least = 1
    path = ""
    is_pipe = False

    def __init__(self, *, live: bool) -> None:
        self.rows = 0
        self._is_live = live
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False)
        self._newest: deque[_native.RecordBatch] = deque()
        self._rate = _Rate()
        self._names: list[str] = []

    def open(self, schema: Any, metadata: Mapping[str, str]) -> TableView:
        """Begins to draw."""
        del schema, metadata
        if self._is_live:
            self._live.start()
        return self

    def write(self, batch: _native.RecordBatch, must_end: Callable[[], bool]) -> None:
        """Keeps the batch while its rows are among the newest."""
        del must_end
        self.rows += len(batch)
        self._newest.append(batch)
        while sum(map(len, self._newest)) - len(self._newest[0]) >= self._room():
            self._newest.popleft()

    def tick(self, source: Source, elapsed: float) -> None:
        """Draws, if it is time to."""
        if self._is_live and self._rate.is_due():
            self._live.update(self._picture(source.stats, elapsed), refresh=True)

    def gone(self) -> bool:
        """Never."""
        return False

    def close(self, stats: Stats | None, elapsed: float) -> None:
        """Draws the last picture, which stays; the accounting is said by whoever calls."""
        del stats
        picture = self._picture(None, elapsed)
        if self._is_live:
            self._live.update(picture, refresh=True)
            self._live.stop()
        else:
            self._console.print(picture)

    def discard(self) -> None:
        """Leaves the terminal as it was found."""
        self._live.stop()

    def _room(self) -> int:
        # A line each for the names, the status, and where the shell goes on.
        return max(1, self._console.height - 3)

    def _picture(self, stats: Stats | None, elapsed: float) -> Group:
        rows: list[list[str | None]] = []
        for batch in reversed(self._newest):
            wanted = min(len(batch), self._room() - len(rows))
            rows[:0] = batch.to_text(len(batch) - wanted, wanted)
            self._names = batch.column_names
        table, hidden = _table(self._names, rows, self._console.width)
        status = [_status(stats, self._rate, elapsed)] if stats else []
        if hidden:
            status.append(Text(f"+{counted(hidden, 'column')}, see -f", style="dim"))
        return Group(table, *([Text("  ").join(status)] if status else []))


class Picture:
    """A table that is drawn again and again, each time with other rows."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False)

    def start(self) -> None:
        """Begins to draw."""
        self._live.start()

    def stop(self) -> None:
        """Leaves the last picture there."""
        self._live.stop()

    def room(self) -> int:
        """How many rows there is room for: a line each for the names, the status, and where the shell goes on."""
        return max(1, self._console.height - 3)

    def draw(self, names: list[str], rows: list[list[str | None]], status: str) -> None:
        """Draws these rows, and a line on what is not shown."""
        table, hidden = _table(names, rows, self._console.width)
        told = [status] if status else []
        if hidden:
            told.append(f"+{counted(hidden, 'column')}")
        self._live.update(Group(table, *([Text("  ".join(told), style="dim")] if told else [])), refresh=True)


# The columns that there is room for, and how many there is none for.
def _table(names: list[str], rows: list[list[str | None]], width: int) -> tuple[Table, int]:
    cells = [[_cell(text) for text in row] for row in rows]
    heads = [Text(name, style="bold") for name in names]
    natural = [max(cell.cell_len for cell in column) for column in zip(heads, *cells, strict=True)]
    columns = list(zip(*rows, strict=True)) or [() for _ in heads]
    numbers = [all(text is None or _NUMBER.fullmatch(text) for text in column) for column in columns]
    least = [width if number else min(width, _TEXT) for width, number in zip(natural, numbers, strict=True)]
    widths = fit(natural, least, width)
    table = Table.grid(padding=(0, 2))
    for given, number in zip(widths, numbers, strict=False):
        justify: Any = "right" if number else "left"
        table.add_column(justify=justify, no_wrap=True, overflow="ellipsis", width=given)
    for line in [heads, *cells]:
        table.add_row(*line[: len(widths)])
    return table, len(natural) - len(widths)


def fit(wanted: list[int], least: list[int], room: int) -> list[int]:
    """The columns' widths, with two blanks between them: the widest give way, and the last go if that is too little.

    >>> fit([15, 5, 40, 90], [15, 5, 12, 12], 80)
    [15, 5, 27, 27]
    >>> fit([15, 5, 40, 90], [15, 5, 12, 12], 40)
    [15, 5, 16]
    """
    count = len(wanted)
    while count > 1 and sum(least[:count]) + 2 * (count - 1) > room:
        count -= 1
    widths = wanted[:count]
    for _ in range(sum(widths) + 2 * (count - 1) - room):
        yielding = [place for place in range(count) if widths[place] > least[place]] or range(count)
        widest = max(yielding, key=widths.__getitem__)
        widths[widest] = max(1, widths[widest] - 1)
    return widths


class _Rate:
    def __init__(self) -> None:
        self._due = 0.0
        self._before = (time.monotonic(), 0)
        self.per_second = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + _PICTURE
        return True

    def update(self, received: int) -> None:
        now, (then, before) = time.monotonic(), self._before
        if now > then:
            self.per_second = (received - before) / (now - then)
        self._before = now, received


def _status(stats: Stats, rate: _Rate, elapsed: float) -> Text:
    rate.update(stats.received)
    lost = Text(f"{stats.lost or 0:,} lost", style="red" if stats.lost else "")
    others = (part for told in unusual(stats) for part in ("  ", Text(told, style="red")))
    rows = f"{counted(stats.delivered, 'row')}  {rate.per_second:,.0f}/s  "
    return Text.assemble(rows, lost, *others, f"  {elapsed:.1f} s", style="dim")


# What a traced process wrote must not move the cursor.
def _cell(text: str | None) -> Text:
    if text is None:
        return Text("null", style="dim")
    return Text(text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
