"""Tracing: a probe, the fields wanted of it, a filter; out come record batches.

>>> import fastbpf as fb
>>> with fb.trace("raw_tracepoint:sys_enter", "ts", "id", command=["true"]) as events:  # doctest: +SKIP
...     table = events.read(seconds=5)
"""

from __future__ import annotations

import errno
import re
import shutil
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

from fastbpf import probes
from fastbpf.errors import KernelError, ProbeError
from fastbpf.links import close_all
from fastbpf.programs import ProgramSpec
from fastbpf.stream import RingBuffer
from fastbpf.tracing import where as _where
from fastbpf.tracing.columns import choose, kinds
from fastbpf.tracing.follow import Followed, own_pid
from fastbpf.tracing.program import Filters, compile_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbpf import _native
    from fastbpf.record import Struct

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


class Trace(RingBuffer):
    """A stream of one probe's events, attached from the moment it is made. `trace` makes one.

    `probe` is what is traced, `record` the layout of its records, `command` the command that is followed, if any.
    """

    probe: probes.Probe
    record: type[Struct]
    command: Command | None

    def __init__(
        self,
        probe: str,
        *fields: str,
        where: str | None = None,
        pid: int | None = None,
        command: Sequence[str] | None = None,
        buffer: int | str = "8MiB",
        text: int = 256,
        include_self: bool = False,
        raw: bool = False,
        decode: type[Struct] | None = None,
        max_rows: int = 65_536,
        max_latency: float = 0.001,
        background: bool = True,
    ) -> None:
        # Everything that can be refused is refused here, before anything is made.
        if not 1 <= text <= 16_384:
            raise ValueError(f"text={text}: texts are kept up to a length from 1 to 16384 bytes")
        if pid is not None and not 0 < pid < 1 << 31:
            raise ValueError(f"pid={pid}: a process id is a positive number")
        if pid is not None and command is not None:
            raise ValueError("pid= and command= are two ways to say what is traced: give one")
        self.probe = probes.resolve(probe)
        columns = choose(self.probe, fields, text=text, raw=raw)
        wanted = None if where is None else _where.compile_where(where, kinds(self.probe, text))
        size = _size(buffer)
        if command is not None:
            _check_command(command)

        with ExitStack() as stack:
            followed = stack.enter_context(Followed()) if command is not None else None
            filters = Filters(
                pid=pid,
                not_pid=None if include_self or followed or pid is not None else own_pid(),
                followed=followed,
                where=wanted,
            )
            plan = compile_trace(self.probe, columns, filters, buffer=size, text=text)
            self.record = plan.record
            name = re.sub(r"[^A-Za-z0-9_.]", "_", self.probe.name)[:15]
            self.program = stack.enter_context(ProgramSpec(self.probe.program_type, plan.code, name=name).load())
            super().__init__(
                self.program.maps["events"],
                decode or plan.record,
                max_rows=max_rows,
                max_latency=max_latency,
                background=background,
                lost=self.program.maps["counters"],
            )
            stack.callback(self._native.close)
            self._links = [stack.enter_context(self.program.attach(self.probe.text))]
            self._links += followed.links if followed else []
            self.command = None
            if followed and command is not None:
                self.command = Command(_start(command, followed.join._native))
                self._until = self.command.fileno()
            self._stack = stack.pop_all()
        self._final: tuple[int | None, int | None] | None = None

    def __repr__(self) -> str:
        return f"<fastbpf.Trace {self.probe.text}>"

    def _lost(self) -> int | None:
        return self._final[0] if self._final else super()._lost()

    def _missed(self) -> int | None:
        if self._final:
            return self._final[1]
        misses = self.program.info.recursion_misses
        # Raw tracepoints count since they can miss at all (6.1).
        counted = misses > 0 or self.probe.kind == "raw_tracepoint" or _tracepoints_count_misses()
        return misses if counted else None

    def _detach(self) -> None:
        from fastbpf import _native

        if not self.detached:
            self.detached = True
            close_all(self._links)
            _native.wait_for_running_programs()
            self._until = None

    detached = False

    def _settle(self) -> None:
        self._final = self._lost(), self._missed()
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
    command: Sequence[str] | None = None,
    buffer: int | str = "8MiB",
    text: int = 256,
    include_self: bool = False,
    raw: bool = False,
    max_rows: int = 65_536,
    max_latency: float = 0.001,
    background: bool = True,
) -> Trace:
    """Traces a probe: the events since this call, as a stream of record batches.

    Args:
        probe: "tracepoint:CATEGORY:NAME", "raw_tracepoint:sys_enter" or "raw_tracepoint:sys_exit".
        fields: the columns: ts pid tid uid gid cpu comm cgroup, and the probe's own, which `args.NAME` always means; by
            default ts, pid, tid, comm and all of the probe's own.
        where: a Python expression over fields, compiled into the program: `"pid != 1 and filename.startswith('/etc')"`.
            What compares with a null is false.
        pid: only this process, as the initial namespace numbers it.
        command: starts this command and traces it and its children, from its first instruction to its end.
        buffer: size of the ring buffer, in bytes or as text ("8MiB"), rounded up to a power of two.
        text: how many bytes of a text are kept; cuts are counted.
        include_self: this process's own events too.
        raw: adds `ts_raw`, the clock's own nanoseconds, beside `ts`.
        max_rows: as for `RingBuffer`.
        max_latency: as for `RingBuffer`.
        background: as for `RingBuffer`.

    Raises:
        ProbeError: no such probe or field, with the nearest names.
        WhereError: what is wrong in `where`, and at which column.
        KernelError: the kernel refused, with what to do; a command that cannot be run.

    Kernel 5.8, for the ring buffer; following a command 5.10, for BPF_PROG_TEST_RUN of raw tracepoints.
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
        max_rows=max_rows,
        max_latency=max_latency,
        background=background,
    )


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}


def _size(buffer: int | str) -> int:
    text = str(buffer).strip().lower()
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text)
    if not found or found[2] not in _UNITS:
        raise ValueError(f"buffer={buffer!r}: give bytes, or text such as '8MiB'")
    size = float(found[1]) * _UNITS[found[2]]
    if not 4096 <= size <= 1 << 30:
        raise ValueError(f"buffer={buffer!r}: a ring buffer has from 4KiB to 1GiB")
    return 1 << (int(size) - 1).bit_length()


def _check_command(command: Sequence[str]) -> None:
    if isinstance(command, str) or not command:
        raise ValueError(f"command={command!r}: give a list, the program and its arguments")
    if shutil.which(command[0]) is None:
        raise ProbeError(f"there is no command {command[0]!r} on PATH; check the name, or give its full path")


def _start(command: Sequence[str], join: _native.Program) -> _native.Child:
    from fastbpf import _native

    try:
        return _native.Child(list(command), join)
    except KernelError as error:
        if error.errno == errno.EPERM:
            raise KernelError(errno.EPERM, f"{error}; the command itself may not be run") from None
        raise


@cache
def _tracepoints_count_misses() -> bool:
    # Both came with one series, "bpf: Add missed stats for kprobes" (6.7); the counter itself leaves no trace in BTF.
    from fastbpf import _native

    return bool(_native.btf_has_member("bpf_link_info", ["perf_event", "kprobe", "missed"]))
