"""Where rows go: NDJSON into a pipe, a file, or a terminal's table."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastbpf.sinks.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastbpf import _native
    from fastbpf.cli.session import Source
    from fastbpf.sinks.sink import Sink
    from fastbpf.stream import Stats


class View(Protocol):
    """Takes batches. `path` is the file that it writes, `least` how many rows it likes to get at once."""

    least: int
    path: str

    @property
    def rows(self) -> int:
        """How many rows it took."""

    def write(self, batch: _native.RecordBatch, interrupted: Callable[[], bool]) -> None:
        """Takes a batch; does not go on waiting for whoever reads, once `interrupted`."""

    def tick(self, source: Source, elapsed: float) -> None:
        """Called a few times a second and after each batch."""

    def gone(self) -> bool:
        """Whether nobody reads any more."""

    def close(self, stats: Stats | None, elapsed: float) -> None:
        """The end, with the accounting."""


class Place(Protocol):
    """A view to be, for which everything that can be refused has been looked at."""

    is_pipe: bool

    def open(self, schema: Any, metadata: Mapping[str, str]) -> View:
        """The view, for batches of this schema."""


class PipeView:
    """NDJSON on stdout, as it comes."""

    least = 1
    path = ""
    is_pipe = True

    def __init__(self) -> None:
        self.rows = 0
        self._gone = False
        self._poll = select.poll()
        # A pipe that has room takes this much without blocking; a file takes anything.
        self._most = select.PIPE_BUF
        if stat.S_ISREG(os.fstat(1).st_mode):
            self._most = 1 << 20
        self._poll.register(1, 0)

    def open(self, schema: Any, metadata: Mapping[str, str]) -> PipeView:
        """It is open."""
        del schema, metadata
        return self

    def write(self, batch: _native.RecordBatch, interrupted: Callable[[], bool]) -> None:
        """Writes the batch whole, unless the reader stalls when the end is wanted."""
        rest = memoryview(batch.to_ndjson())
        self._poll.modify(1, select.POLLOUT)
        try:
            while rest:
                if self._poll.poll(100):
                    rest = rest[os.write(1, rest[: self._most]) :]
                elif interrupted():
                    return
        except BrokenPipeError:
            self._gone = True
            return
        finally:
            self._poll.modify(1, 0)
        self.rows += len(batch)

    def tick(self, source: Source, elapsed: float) -> None:
        """Nothing."""

    def gone(self) -> bool:
        """Whether the reader closed the pipe, which shows before anything is written to it."""
        if not self._gone:
            self._gone = any(event & select.POLLERR for _, event in self._poll.poll(0))
        return self._gone

    def close(self, stats: Stats | None, elapsed: float) -> None:
        """Nothing is kept back."""


class FileView:
    """A sink, and a status line when stderr is a terminal."""

    # Big batches are cheap for the file, and hold less memory.
    least = 65_536

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.path = sink.path
        self._status: Any = None
        if sys.stderr.isatty():
            from fastbpf.cli.screen import StatusLine

            self._status = StatusLine()

    @property
    def rows(self) -> int:
        """How many rows the file holds."""
        return self._sink.rows

    def write(self, batch: _native.RecordBatch, interrupted: Callable[[], bool]) -> None:
        """Into the file."""
        del interrupted
        self._sink.write(batch)

    def tick(self, source: Source, elapsed: float) -> None:
        """The status line."""
        if self._status:
            self._status.tick(source, elapsed)

    def gone(self) -> bool:
        """Never."""
        return False

    def close(self, stats: Stats | None, elapsed: float) -> None:
        """Ends the file."""
        del elapsed
        if self._status:
            self._status.close()
        self._sink.close(stats)

    def discard(self) -> None:
        """Throws the file away, unless it was closed."""
        if self._status:
            self._status.close()
        self._sink.discard()


class FilePlace:
    """A file to be."""

    is_pipe = False

    def __init__(self, make: Callable[[Any, Mapping[str, str]], Sink], discard: Callable[[], None]) -> None:
        self._make = make
        self.discard = discard

    def open(self, schema: Any, metadata: Mapping[str, str]) -> FileView:
        """The view."""
        return FileView(self._make(schema, metadata))


def claim_view(output: str | None, *, force: bool) -> Place:
    """Where the rows of a trace are to go."""
    if output is not None:
        from fastbpf.sinks import claim

        claimed = claim(output, force=force)
        return FilePlace(claimed.open, claimed.discard)
    if os.isatty(1):
        from fastbpf.cli.screen import TableView

        return TableView()
    return PipeView()


_SUFFIX: Final = ".fbpf"


def claim_capture(output: str, *, force: bool) -> FilePlace:
    """Where a capture is to go."""
    from fastbpf.capture import CaptureSink

    if Path(output).suffix != _SUFFIX:
        raise SinkError(errno.EINVAL, f"{output}: a capture's name ends in {_SUFFIX}; for tables use fastbpf trace")
    outputs = CaptureSink.claim(output, force=force)

    def discard() -> None:
        for one in outputs:
            one.discard()

    return FilePlace(lambda record, metadata: CaptureSink(outputs, record, metadata), discard)
