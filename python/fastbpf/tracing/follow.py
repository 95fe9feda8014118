"""Following a command: its threads, and those of its children, are in a hash while they live.

The command joins by running a program in itself before its first instruction, so its ids need no translation between
namespaces; forks, exits and executions keep the hash right from then on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from fastbpf import probes
from fastbpf.asm import *
from fastbpf.errors import KernelError
from fastbpf.maps import MapSpec
from fastbpf.programs import ProgramSpec
from fastbpf.record import u8, u32

if TYPE_CHECKING:
    from typing import Self

    from fastbpf.links import Link
    from fastbpf.maps import Map
    from fastbpf.programs import Program

__all__ = ["Followed", "own_pid"]

_TASKS = 65_536  # that live at the same time


class Followed:
    """The hash of a command's threads, and the programs that keep it."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        with ExitStack() as stack:
            self.tasks: Map = stack.enter_context(
                MapSpec("hash", key=u32, value=u8, max_entries=_TASKS, name="tasks").create()
            )
            # The process id of the command itself, 0 before it has joined.
            self.root: Map = stack.enter_context(MapSpec("array", value=u32, max_entries=1, name="root").create())
            self.join: Program = stack.enter_context(_load("raw_tracepoint", "join", _join(self.tasks, self.root)))
            # Raw tracepoints attach and detach in no time; a fork's child is only in the other kind's record, though.
            for probe, code in (
                ("raw_tracepoint:sched_process_exit", _exit(self.tasks)),
                ("raw_tracepoint:sched_process_exec", _exec(self.tasks)),
                ("tracepoint:sched:sched_process_fork", _fork(self.tasks)),
            ):
                kind, _, name = probe.partition(":")
                program = stack.enter_context(_load(kind, name.rpartition("sched_")[2], code))
                self.links.append(stack.enter_context(program.attach(probe)))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stops following."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_pid() -> int:
    """This process's id in the initial namespace, as programs see it: a container's own numbers are others."""
    with MapSpec("array", value=u32, max_entries=1, name="self").create() as found:
        code = (
            call.get_current_pid_tgid(),
            rsh(r0, 32),
            ld_map_value(r1, found, 0),
            stxw(r1, 0, r0),
            mov(r0, 0),
            exit_(),
        )
        with _load("raw_tracepoint", "self", code) as program:
            try:
                program.test_run()
            except KernelError:
                # Before 5.10 raw tracepoints have no test runs; outside containers the numbers are the same.
                return os.getpid()
        return int(found[0])


def _load(kind: str, name: str, code: object) -> Program:
    return ProgramSpec(kind, assemble(code), name=name[:15]).load()  # type: ignore[arg-type]


def _join(tasks: Map, root: Map) -> object:
    return (
        call.get_current_pid_tgid(),
        stxw(fp, -4, r0),
        rsh(r0, 32),
        ld_map_value(r1, root, 0),
        stxw(r1, 0, r0),
        _add(tasks),
        mov(r0, 0),
        exit_(),
    )


# The parent runs this; the child has not run yet.
def _fork(tasks: Map) -> object:
    return (
        mov(r6, r1),
        call.get_current_pid_tgid(),
        stxw(fp, -4, r0),
        call.map_lookup_elem(tasks, fp - 4),
        jeq(r0, 0, "done"),
        ldxw(r0, r6, _child_pid()),
        stxw(fp, -4, r0),
        _add(tasks),
        label("done"),
        mov(r0, 0),
        exit_(),
    )


# A thread that executes takes over the id of its process's first thread, which is gone from the hash by then. The
# arguments are the task, its id before, and the binary (include/trace/events/sched.h).
def _exec(tasks: Map) -> object:
    return (
        ldxdw(r6, r1, 8),
        call.get_current_pid_tgid(),
        mov(r7, r0),
        jeq32(r6, r7, "done"),
        stxw(fp, -4, r6),
        call.map_delete_elem(tasks, fp - 4),
        jne(r0, 0, "done"),
        stxw(fp, -4, r7),
        _add(tasks),
        label("done"),
        mov(r0, 0),
        exit_(),
    )


def _exit(tasks: Map) -> object:
    return (
        call.get_current_pid_tgid(),
        stxw(fp, -4, r0),
        call.map_delete_elem(tasks, fp - 4),
        mov(r0, 0),
        exit_(),
    )


def _add(tasks: Map) -> object:
    return stb(fp, -8, 1), call.map_update_elem(tasks, fp - 4, fp - 8, 0)


def _child_pid() -> int:
    fields = probes.resolve("tracepoint:sched:sched_process_fork").fields
    return next(one.read.offset for one in fields if one.name == "child_pid" and isinstance(one.read, probes.Scalar))
