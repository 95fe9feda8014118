"""One run of a command: from attaching to the last line on stderr."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from fastbpf import system
from fastbpf.cli.options import field_names
from fastbpf.cli.refusal import Refused, refusing
from fastbpf.cli.words import counted, unusual
from fastbpf.errors import Error
from fastbpf.sinks.errors import SinkError, SinkFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from fastbpf import _native
    from fastbpf.capture import Capture
    from fastbpf.cli.views import View
    from fastbpf.stream import Stats
    from fastbpf.tracing import Trace

T = TypeVar("T")

# How long a signal, or a reader that went away, may stay unnoticed.
_TICK: Final = 0.1

# The initial pid namespace, PROC_PID_INIT_INO in include/uapi/linux/nsfs.h and include/linux/proc_ns.h.
_INITIAL: Final = 0xEFFFFFFC


class Source(Protocol):
    """A stream, or what acts like one."""

    ended: bool

    @property
    def stats(self) -> Stats | None:
        """The accounting so far."""

    def next_batch(
        self, timeout: float | None = None, *, least: int = 1, most: int = ...
    ) -> _native.RecordBatch | None:
        """The next batch, None when the time has passed or at the end."""

    def close(self) -> None:
        """Ends it."""


class Session:
    """What a command has open; leaving it closes everything, and throws away a file that is not whole.

    SIGINT, SIGTERM and SIGHUP end the trace, not the process: they are looked at every tenth of a second.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._interrupted = False
        self._rows: int | None = None
        self._seconds = math.inf
        self._deadline = math.inf
        # Has an event once the process of -p has ended.
        self._process = select.poll()
        self._given = 0
        self._command: Any = None
        self.metadata: dict[str, str] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._stack.callback(signal.signal, number, signal.signal(number, self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True

    def must_end(self) -> bool:
        """Whether a signal, the time that was given, or the end of the traced process asks for the end."""
        return self._interrupted or time.monotonic() >= self._deadline or bool(self._process.poll(0))

    def enter(self, make: Callable[[], T]) -> T:
        """Makes something that is given up at the end; what goes wrong is a refusal."""
        with refusing():
            made = make()
        discard = getattr(made, "discard", None)
        if discard:
            self._stack.callback(discard)
        return made

    def attach(self, how: dict[str, Any], *, decode: bool = True, private_stdout: bool = False) -> Trace:
        """Attaches the trace that the options tell."""
        from fastbpf.tracing import Trace

        if how["pid"] is not None and how["command"]:
            raise Refused("-p and -- CMD are two ways to say what is traced; give one")
        if how["fields"] and not field_names(how["fields"]):
            raise Refused("-f names no field; name some, or leave it out for the usual ones")
        if how["pid"] is not None:
            self._watch(how["pid"])
        self._rows = how["rows"]
        if how["seconds"] is not None:
            self._seconds = how["seconds"]
        with refusing(), _stdout_for_us(needed=private_stdout and bool(how["command"])):
            events = Trace(
                how["probe"],
                *field_names(how["fields"]),
                where=how["where"],
                pid=how["pid"],
                command=list(how["command"]) or None,
                buffer=how["buffer"],
                text=how["text"],
                include_self=how["include_self"],
                raw=how["raw"],
                decode=decode,
                shards=how["shards"],
                ordered=how.get("ordered", False),
                overflow=how["overflow"],
            )
        self._stack.callback(events.close)
        if events.command is not None:
            self._command = events.command
        self.metadata = {**system.identity(), "probe": events.probe.text, "clock": "CLOCK_BOOTTIME"}
        if how["where"]:
            self.metadata["where"] = how["where"]
        return events

    def open_capture(self, file: str, rows: int | None) -> Capture:
        """Opens a capture."""
        from fastbpf.capture import replay

        self._rows = rows
        with refusing():
            try:
                capture = replay(file)
            except OSError as error:
                raise ValueError(f"{file} cannot be read ({error.strerror}); check the name") from None
        self._stack.callback(capture.close)
        told = capture.header.items()
        self.metadata = {key.removeprefix("fastbpf."): value for key, value in told if key.startswith("fastbpf.")}
        return capture

    def run(self, source: Source, view: View) -> None:
        """Shows everything until the end, then the accounting."""
        began = time.monotonic()
        self._deadline = began + self._seconds
        failure: Exception | None = None
        try:
            self._pass_on(source, view, began)
        except Error as error:
            # A full disk, a damaged capture, a stream that failed: what there is is kept, if it can be.
            if view.path and isinstance(error, SinkError) and not isinstance(error, SinkFull):
                raise
            failure = error
        stop = getattr(source, "stop", None)
        if stop:
            stop()
        # Closing ends a command that still runs, which is not news.
        command_told = self._command_told()
        source.close()
        stats = source.stats
        elapsed = time.monotonic() - began
        try:
            view.close(stats, elapsed)
        except SinkFull as error:
            failure = error
        # A reader that has left wanted no more.
        unwritten = 0 if view.gone() else self._given - view.rows
        told = f", {unwritten:,} not written" if unwritten else ""
        print(f"fastbpf: {_summary(view, stats, elapsed)}{told}{command_told}", file=sys.stderr)
        if failure:
            raise failure

    def _pass_on(self, source: Source, view: View, began: float) -> None:
        left = sys.maxsize if self._rows is None else self._rows
        stopping = False
        while left > 0 and not source.ended and not view.gone():
            now = time.monotonic()
            if not stopping and self.must_end():
                # What happened before is still in the buffer.
                stopping = True
                stop = getattr(source, "stop", None)
                if stop is None:
                    return
                stop()
            timeout = _TICK if stopping else max(0.0, min(_TICK, self._deadline - now))
            batch = source.next_batch(timeout, least=min(left, view.least), most=left)
            if batch is not None:
                left -= len(batch)
                self._given += len(batch)
                view.write(batch, self.must_end)
            view.tick(source, now - began)

    def _watch(self, pid: int) -> None:
        # Seen from another namespace the number means another process, or none.
        if Path("/proc/self/ns/pid").stat().st_ino != _INITIAL:
            return
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            raise Refused(f"there is no process {pid}; ps -e lists those that there are") from None
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                raise Refused(f"{pid} is a thread, not a process; write --where 'tid == {pid}'") from None
            return  # a sandbox, say: then the end is not seen
        self._stack.callback(os.close, process)
        self._process.register(process, select.POLLIN)

    def _command_told(self) -> str:
        code = self._command.returncode if self._command else None
        return f"; the command ended with {code}" if code else ""


def _summary(view: View, stats: Stats | None, elapsed: float) -> str:
    where = f" in {view.path}" if view.path else ""
    if stats is None:
        return f"{counted(view.rows, 'row')}{where}, the accounting is missing"
    missed = "unknown" if stats.missed is None else f"{stats.missed:,}"
    rows = f"{counted(view.rows, 'row')}{where}"
    told = [f"{stats.lost or 0:,} lost", f"{missed} missed", *unusual(stats), f"{stats.cut:,} cut"]
    return f"{rows}, {', '.join(told)}, {elapsed:.1f} s"


@contextlib.contextmanager
def _stdout_for_us(*, needed: bool) -> Iterator[None]:
    # The command's own output would stand between our lines: it is born with stderr as its stdout.
    if not needed:
        yield
        return
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)
