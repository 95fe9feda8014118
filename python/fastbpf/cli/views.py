"""Where rows go: NDJSON into a pipe, a file, or a terminal's table."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastbpf.cli.words import counted
from fastbpf.sinks.errors import SinkError, SinkFull

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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

    def write(self, batch: _native.RecordBatch, must_end: Callable[[], bool]) -> None:
        """Takes a batch; does not go on waiting for a reader that stalls, once it `must_end`."""

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


# Seconds that a reader may take nothing when the end is wanted.
_PATIENCE: Final = 1.0


class PipeView:
    """NDJSON on stdout, as it comes."""

    least = 1
    path = ""
    is_pipe = True

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.rows = 0
        # Of several types of record, each of whose lines tells its own.
        self._names = names
        self._gone = False
        self._stalled = False
        self._poll = select.poll()
        # A pipe that has room takes this much whole, without blocking; a file takes anything.
        self._most = select.PIPE_BUF
        if stat.S_ISREG(os.fstat(1).st_mode):
            self._most = 1 << 20
        self._poll.register(1, 0)

    def open(self, schema: Any, metadata: Mapping[str, str]) -> PipeView:
        """It is open."""
        del schema, metadata
        return self

    def write(self, batch: _native.RecordBatch, must_end: Callable[[], bool]) -> None:
        """Writes the batch in whole lines; nothing more, once the reader stalled when the end was wanted."""
        if self._stalled:
            return
        self._poll.modify(1, select.POLLOUT)
        try:
            self._write(self._lines(batch), must_end)
        except BrokenPipeError:
            self._gone = True
        except OSError as error:
            told = f"stdout takes no more ({os.strerror(error.errno or 0)}) after {counted(self.rows, 'row')}"
            raise SinkError(error.errno or 0, f"{told}; make room there, or give -o FILE") from None
        finally:
            self._poll.modify(1, 0)

    def _lines(self, batch: _native.RecordBatch) -> bytes:
        if not self._names:
            return batch.to_ndjson()
        field = "fastbpf.record" if "record" in batch.column_names else "record"
        return batch.to_ndjson((field, self._names[batch.table]))

    def _write(self, lines: bytes, must_end: Callable[[], bool]) -> None:
        done, progress = 0, time.monotonic()
        view = memoryview(lines)
        while done < len(lines):
            if self._poll.poll(100):
                # Whole lines, so that an end leaves none begun; only a line longer than that is written in pieces.
                end = lines.rfind(b"\n", done, done + self._most) + 1 or done + self._most
                written = os.write(1, view[done:end])
                self.rows += lines.count(b"\n", done, done + written)
                done, progress = done + written, time.monotonic()
            elif must_end() and time.monotonic() - progress > _PATIENCE:
                self._stalled = True
                return

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
    """A sink, or one for each type of record, and, when it is to be `live`, a status line on a terminal."""

    # Big batches are cheap for the file, and hold less memory.
    least = 65_536

    def __init__(self, sinks: list[Sink], *, live: bool) -> None:
        self._sinks = sinks
        self.path = ", ".join(sink.path for sink in sinks)
        self._status: Any = None
        if live and sys.stderr.isatty():
            from fastbpf.cli.screen import StatusLine

            self._status = StatusLine()

    @property
    def rows(self) -> int:
        """How many rows the files hold."""
        return sum(sink.rows for sink in self._sinks)

    def write(self, batch: _native.RecordBatch, must_end: Callable[[], bool]) -> None:
        """Into the file of its type."""
        del must_end
        self._sinks[batch.table].write(batch)

    def tick(self, source: Source, elapsed: float) -> None:
        """The status line."""
        if self._status:
            self._status.tick(source, elapsed)

    def gone(self) -> bool:
        """Never."""
        return False

    def close(self, stats: Stats | None, elapsed: float) -> None:
        """Ends the files."""
        del elapsed
        if self._status:
            self._status.close()
        full: SinkFull | None = None
        for sink in self._sinks:
            try:
                sink.close(stats)
            except SinkFull as error:
                full = error
        if full:
            raise full

    def discard(self) -> None:
        """Throws the files away, unless they were closed."""
        if self._status:
            self._status.close()
        for sink in self._sinks:
            sink.discard()


class FilePlace:
    """A file to be, or several."""

    is_pipe = False

    def __init__(
        self, make: Callable[[Any, Mapping[str, str]], list[Sink]], discard: Callable[[], None], *, live: bool
    ) -> None:
        self._make = make
        self._live = live
        self.discard = discard

    def open(self, schema: Any, metadata: Mapping[str, str]) -> FileView:
        """The view."""
        return FileView(self._make(schema, metadata), live=self._live)


def claim_view(output: str | None, *, force: bool, live: bool) -> Place:
    """Where the rows of a trace are to go; what is not `live` draws nothing on the terminal before the end."""
    if output is not None:
        from fastbpf.sinks import claim

        claimed = claim(output, force=force)
        return FilePlace(lambda schema, metadata: [claimed.open(schema, metadata)], claimed.discard, live=live)
    if not sys.stdout:
        raise SinkError(errno.EBADF, "stdout is closed; give -o FILE or open stdout")
    if os.isatty(1):
        from fastbpf.cli.screen import TableView

        return TableView(live=live)
    return PipeView()


def claim_views(output: str | None, names: list[str], *, force: bool) -> Place:
    """Where the rows of a capture are to go: of several types of record each to its own file, or all into one pipe.

    A terminal's table has one type of rows: of several it shows lines, as a pipe gets them.
    """
    if len(names) == 1:
        return claim_view(output, force=force, live=True)
    if output is None:
        if not sys.stdout:
            raise SinkError(errno.EBADF, "stdout is closed; give -o FILE or open stdout")
        return PipeView(names)
    from fastbpf.sinks import claim

    with ExitStack() as stack:
        claims = []
        for name in file_names(output, names):
            claims.append(claim(name, force=force))
            stack.callback(claims[-1].discard)
        discard = stack.pop_all().close
    return FilePlace(
        lambda capture, metadata: [
            one.open(schema, metadata) for one, schema in zip(claims, capture.exported(), strict=True)
        ],
        discard,
        live=True,
    )


def file_names(output: str, names: list[str]) -> list[str]:
    """A file for each type of record.

    >>> file_names("out/events.parquet", ["Open", "Exit"])
    ['out/events.Open.parquet', 'out/events.Exit.parquet']
    """
    path = Path(output)
    found = [str(path.with_name(f"{path.stem}.{re.sub('[^A-Za-z0-9_]', '_', name)}{path.suffix}")) for name in names]
    if len(set(found)) < len(found):
        raise SinkError(
            errno.EINVAL, f"{output}: the types of record {', '.join(names)} would get one file; use a pipe"
        )
    return found


_SUFFIX: Final = ".fbpf"


def claim_capture(output: str, *, force: bool, live: bool) -> FilePlace:
    """Where a capture is to go."""
    from fastbpf.capture import CaptureSink

    if Path(output).suffix != _SUFFIX:
        raise SinkError(errno.EINVAL, f"{output}: a capture's name ends in {_SUFFIX}; for tables use fastbpf trace")
    outputs = CaptureSink.claim(output, force=force)

    def discard() -> None:
        for one in outputs:
            one.discard()

    return FilePlace(lambda stream, metadata: [CaptureSink(outputs, stream, metadata)], discard, live=live)
