"""Tracing: a probe, the fields wanted of it, a filter; out come record batches.

>>> import fastbpf as fb
>>> with fb.trace("raw_tracepoint:sys_enter", "ts", "id", command=["true"]) as events:  # doctest: +SKIP
...     table = events.read(seconds=5)
"""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import signal
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastbpf import probes
from fastbpf.errors import KernelError, ProbeError, StreamError
from fastbpf.programs import ProgramSpec
from fastbpf.stream import Stream, check_whole, size_in_bytes
from fastbpf.stream.checks import manner
from fastbpf.stream.layouts import Layouts
from fastbpf.tracing import where as _where
from fastbpf.tracing.columns import choose, kinds
from fastbpf.tracing.follow import Followed, own_pid
from fastbpf.tracing.program import Filters, compile_trace
from fastbpf.tracing.transport import choose_transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbpf import _native
    from fastbpf.links import Link
    from fastbpf.programs import Program
    from fastbpf.record import Struct

    Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["Command", "Trace", "trace"]


class Command:
    """The command that a trace follows."""

    def __init__(self, native: _native.Child) -> None:
        self._native = native

    @property
    def pid(self) -> int:
        """Its process id, as this process sees it."""
        return self._native.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the signal's number when one ended it, or None while it runs."""
        return self._native.poll()

    def fileno(self) -> int:
        """A descriptor that becomes readable when the command ends: pidfd_open(2)."""
        return self._native.fileno()

    def _end(self) -> None:
        # Asks it to end, and gives it a second, so that no zombie stays of one that does.
        if self.returncode is None:
            with suppress(OSError):
                signal.pidfd_send_signal(self.fileno(), signal.SIGTERM)
            ended = select.poll()
            ended.register(self, select.POLLIN)
            ended.poll(1000)
            self._native.poll()


class Trace(Stream):
    """A stream of one probe's events, attached from the moment it is made. `trace` makes one.

    `probe` is what is traced, `program` what runs there, `record` the layout of its records, `command` the command that
    is followed, if any, and `detached` whether the program was taken off the probe. A `Trace` takes what `trace` takes,
    and `decode`, as `RingBuffer` does.
    """

    probe: probes.Probe
    program: Program
    record: type[Struct]
    command: Command | None
    detached: bool

    def __init__(
        self,
        probe: str,
        *fields: str,
        where: str | None = None,
        pid: int | None = None,
        command: Sequence[Argument] | None = None,
        buffer: int | str = "8MiB",
        text: int = 256,
        include_self: bool = False,
        raw: bool = False,
        decode: bool = True,
        shards: str | None = None,
        ordered: bool = False,
        look_back: float = 0.01,
        max_rows: int = 131_072,
        max_latency: float = 0.001,
        background: bool = True,
        overflow: str = "block",
    ) -> None:
        # Everything that can be refused is refused here, before anything is made.
        if not isinstance(probe, str):
            raise TypeError(f"give the probe as text, such as 'tracepoint:sched:sched_switch', not {probe!r}")
        check_whole(text, 1, 16_384, f"text={text!r}: texts are kept up to a length from 1 to 16384 bytes")
        if pid is not None:
            check_whole(pid, 1, (1 << 31) - 1, f"pid={pid!r}: a process id is a positive number")
            _check_process(pid)
        if pid is not None and command is not None:
            raise ValueError("pid= and command= are two ways to say what is traced: give one")
        self.probe = probes.resolve(probe)
        columns = choose(self.probe, fields, text=text, raw=raw)
        wanted = None if where is None else _where.compile_where(where, kinds(self.probe, text))
        if ordered and not any(column.key == "ts" for column in columns):
            raise ProbeError("ordered=True goes by ts: name 'ts' among the fields too, or leave ordered out")
        if shards not in (None, "cpu"):
            raise ValueError(f"shards={shards!r}: 'cpu' makes a buffer for each CPU, None one for all of them")
        size = size_in_bytes(buffer, 4096, 1 << 30, "a ring buffer")
        how = manner(
            max_rows=max_rows,
            max_latency=max_latency,
            background=background,
            overflow=overflow,
            ordered=ordered,
            look_back=look_back,
            decode=decode,
        )
        arguments = None if command is None else _arguments(command)

        self.command = None
        self.detached = False
        self._links: list[Link] = []
        self._final: tuple[dict[str, int] | None, int | None] | None = None
        # Here from the start: a fork may find this stream half made, or failed, which leaves nothing in it.
        self._stack = ExitStack()
        with self._stack as stack:
            followed = stack.enter_context(Followed()) if arguments else None
            filters = Filters(
                pid=pid,
                not_pid=None if include_self or followed or pid is not None else own_pid(),
                followed=followed,
                where=wanted,
            )
            self._transport = choose_transport(size, shards)
            if shards is None and not self._transport.in_order:
                # Who asked for one buffer sees one.
                how = how._replace(look_back=look_back)
            plan = compile_trace(self.probe, columns, filters, self._transport, text=text)
            self.record = plan.record
            name = re.sub(r"[^A-Za-z0-9_.]", "_", self.probe.name)[:15]
            self.program = stack.enter_context(ProgramSpec(self.probe.program_type, plan.code, name=name).load())
            layouts = Layouts(plan.record, None)
            self._open(self._transport.open(self.program.maps, layouts, how), [layouts], how)
            stack.callback(self._native.close)
            self._links.append(stack.enter_context(self.program.attach(self.probe.text)))
            if followed and arguments:
                self._links += followed.links
                self.command = Command(_start(arguments, followed.join._native))
                self._until = self.command.fileno()
            self._stack = stack.pop_all()

    def __repr__(self) -> str:
        return f"<fastbpf.Trace {self.probe.text}>"

    @property
    def lost_by_reason(self) -> dict[str, int] | None:
        """`Stats.lost`, by why the kernel took no more; None where the program was closed before the trace.

        "no room": the buffer was full. "no buffer": the event happened on a CPU that has none, where each CPU has its
        own. "other": the kernel refused for another reason, which perf buffers have.

        Source: bpf-helpers(7), bpf_ringbuf_reserve, bpf_perf_event_output.
        """
        with self._lock:
            if self._final:
                return self._final[0]
            try:
                counted = self.program.maps["counters"][0]
            except StreamError:
                return None
        return dict(zip(self._transport.reasons, counted, strict=True))

    def _lost(self) -> int | None:
        losses = self.lost_by_reason
        return None if losses is None else sum(losses.values())

    def _missed(self) -> int | None:
        if self._final:
            return self._final[1]
        try:
            misses = self.program.info.recursion_misses
        except StreamError:
            return None  # it was closed before the trace
        # Raw tracepoints count since they can miss at all (6.1).
        counted = misses > 0 or self.probe.kind == "raw_tracepoint" or _tracepoints_count_misses()
        return misses if counted else None

    def _detach(self) -> None:
        from fastbpf import _native

        if not self.detached:
            # One after another: the kernel would let none of them overtake another.
            for link in self._links:
                link.close()
            _native.wait_for_running_programs()
            self._until = None
            if self.command:
                self.command._native.poll()
            self.detached = True

    def _settle(self) -> None:
        try:
            # Unknown when the program was closed first.
            with suppress(StreamError):
                self._final = self.lost_by_reason, self._missed()
            if self.command:
                self.command._end()
        finally:
            self._final = self._final or (None, None)
            self._stack.close()

    def _forget(self) -> None:
        super()._forget()
        self.detached = True
        self._stack.close()


def trace(
    probe: str,
    *fields: str,
    where: str | None = None,
    pid: int | None = None,
    command: Sequence[Argument] | None = None,
    buffer: int | str = "8MiB",
    text: int = 256,
    include_self: bool = False,
    raw: bool = False,
    shards: str | None = None,
    ordered: bool = False,
    look_back: float = 0.01,
    max_rows: int = 131_072,
    max_latency: float = 0.001,
    background: bool = True,
    overflow: str = "block",
) -> Trace:
    """Traces a probe: the events since this call, as a stream of record batches.

    Args:
        probe: "tracepoint:CATEGORY:NAME", "raw_tracepoint:sys_enter" or "raw_tracepoint:sys_exit".
        fields: the columns: ts pid tid uid gid cpu comm cgroup, and the probe's own, which `args.NAME` always means; by
            default ts, pid, tid, comm and all of the probe's own.
        where: a Python expression over fields, compiled into the program: `"pid != 1 and filename.startswith('/etc')"`.
            What compares with a null is false; `ts` is there in nanoseconds of CLOCK_BOOTTIME.
        pid: only this process, as the initial namespace numbers it; the stream does not end with it.
        command: starts this command and traces it and its children, from its first instruction to its end; when the
            trace is closed before, the command gets a SIGTERM, and a second to end.
        buffer: size of the ring buffer, in bytes or as text ("8MiB"), rounded up to a power of two. Where each CPU has
            a buffer of its own, each gets its part, likewise rounded up, and a page at least.
        text: how many bytes of a text are kept; cuts are counted.
        include_self: this process's own events too.
        raw: adds `ts_raw`, the clock's own nanoseconds (CLOCK_BOOTTIME), beside `ts`.
        shards: "cpu" makes a ring buffer for each CPU that is online, for many events on many CPUs: they share no lock
            then. Events of different CPUs come in no order, unless it is asked for.
        ordered: events in the order of `ts`, which has to be among the fields; otherwise as for `RingBuffer`.
        look_back: as for `RingBuffer`.
        max_rows: as for `RingBuffer`.
        max_latency: as for `RingBuffer`.
        background: as for `RingBuffer`.
        overflow: as for `RingBuffer`.

    Raises:
        ProbeError: no such probe or field, with the nearest names; no such process or command.
        WhereError: what is wrong in `where`, and at which column.
        KernelError: the kernel refused, with what to do; a command that cannot be run.

    A kernel without ring buffers (before 5.8) gets perf buffers, one for each CPU; one without bpf_ktime_get_boot_ns
    (likewise) has CLOCK_MONOTONIC where this says CLOCK_BOOTTIME. Kernel 5.2, for direct access to a map's value;
    following a command 5.10, for BPF_PROG_TEST_RUN of raw tracepoints.
    """
    return Trace(
        probe,
        *fields,
        where=where,
        pid=pid,
        command=command,
        buffer=buffer,
        text=text,
        include_self=include_self,
        raw=raw,
        shards=shards,
        ordered=ordered,
        look_back=look_back,
        max_rows=max_rows,
        max_latency=max_latency,
        background=background,
        overflow=overflow,
    )


# The initial pid namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h.
_INITIAL: Final = 0xEFFF_FFFC


def _check_process(pid: int) -> None:
    # In another namespace there is nobody to ask.
    own = Path("/proc/self/ns/pid")
    if own.exists() and own.stat().st_ino == _INITIAL and not Path(f"/proc/{pid}").exists():
        raise ProbeError(f"there is no process {pid}; `ps -e` lists those that there are")


def _arguments(command: Sequence[Argument]) -> list[str]:
    if isinstance(command, str | bytes | os.PathLike) or not command:
        raise ValueError(f"command={command!r}: give a list, the program and its arguments")
    try:
        arguments = [os.fsdecode(item) for item in command]
    except TypeError:
        raise TypeError(f"command={command!r}: give the program and its arguments as text") from None
    name = arguments[0]
    if shutil.which(name) is None:
        if "/" in name and Path(name).exists():
            raise ProbeError(f"{name!r} is not an executable file; `chmod +x` makes a program one")
        raise ProbeError(f"there is no command {name!r} on PATH; check the name, or give its full path")
    return arguments


def _start(command: list[str], join: _native.Program) -> _native.Child:
    from fastbpf import _native

    try:
        return _native.Child(command, join)
    except KernelError as error:
        if error.errno == errno.EPERM:
            raise KernelError(errno.EPERM, f"{error}; the command itself may not be run") from None
        raise


@cache
def _tracepoints_count_misses() -> bool:
    # Both came with one series, "bpf: Add missed stats for kprobes" (6.7); the counter itself leaves no trace in BTF.
    from fastbpf import _native

    return bool(_native.btf_has_member("bpf_link_info", ["perf_event", "kprobe", "missed"]))
