"""The program of a trace: filters first, then one record with the columns, then the buffer.

A record of fixed size is written where it will be read, in the ring; for perf buffers, into which the kernel copies, on
the stack if it is small. One that carries text is put together in a per-CPU scratch area first, since only then is it
known how long it is: the kernel never runs a program twice at a time on one CPU (`bpf_prog_active` for tracepoints,
`prog->active` for raw ones). It has a fixed part and a tail; a text's place in
the fixed part is `length << 16 | offset`, the kernel's `__data_loc` form, 0 for null.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fastbpf import probes
from fastbpf.asm import *
from fastbpf.errors import LayoutError, ProbeError
from fastbpf.maps import MapSpec
from fastbpf.record import Struct, ktime, raw
from fastbpf.tracing import columns, kernel, where
from fastbpf.tracing.transport import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from fastbpf.asm import Code
    from fastbpf.asm.assembly import Part
    from fastbpf.record import FieldType
    from fastbpf.tracing.columns import Column, Origin
    from fastbpf.tracing.follow import Followed
    from fastbpf.tracing.transport import Transport

__all__ = ["Filters", "Plan", "compile_trace"]

# The largest per-CPU value (PCPU_MIN_UNIT_SIZE, include/linux/percpu.h).
_SCRATCH: Final = 32 << 10
# What is kept of a list of the tracepoint's own (__data_loc of anything but text); a longer one is null.
_LIST: Final = 1024
# Arrays up to this size are copied word by word, larger ones by a helper.
_WORDS: Final = 64

# A program's stack, and what the steps that write a record put aside there at most: what three helpers gave, registers.
_STACK: Final = 512
_STEPS: Final = 3 * 8 + 288

# Where the kernel keeps a syscall's registers (asm/ptrace.h and asm/syscall.h of each architecture): the bytes of
# pt_regs to read, the arguments from there on, and the number with how many bytes that has.
_REGISTERS: Final = {
    "x86_64": (56, 72, (56, 48, 40, 0, 16, 8), (64, 8)),
    "aarch64": (0, 288, (272, 8, 16, 24, 32, 40), (280, 4)),
}


@dataclass(frozen=True)
class Filters:
    """Which events are wanted, besides `where`: ids are the initial namespace's."""

    pid: int | None = None
    not_pid: int | None = None
    followed: Followed | None = None
    where: where.Condition | None = None


@dataclass(frozen=True)
class Plan:
    """A trace's program, and the record it writes."""

    code: Code
    record: type[Struct]


def compile_trace(
    probe: probes.Probe, chosen: list[Column], filters: Filters, transport: Transport, *, text: int
) -> Plan:
    """The program that sends the chosen columns of each wanted event."""
    if not kernel.has_helper(probe.program_type, "ktime_get_boot_ns"):
        chosen = [replace(column, type=ktime) if column.key == "ts" else column for column in chosen]
    # A stream of several traces knows their records by these names.
    layout = Struct.of(probe.name, {column.name: column.type for column in chosen})
    writer = _Writer(probe, chosen, filters, layout, text, transport)
    return Plan(assemble(*writer.program()), layout)


class _Writer:
    # Registers: r6 the context, r9 the record, r7 its length so far, r8 what a step needs across a call.
    def __init__(
        self,
        probe: probes.Probe,
        chosen: list[Column],
        filters: Filters,
        layout: type[Struct],
        text: int,
        transport: Transport,
    ) -> None:
        self.probe = probe
        self.chosen = chosen
        self.filters = filters
        self.layout = layout
        self.text = text
        self.transport = transport
        # Older kernels read what is theirs and what is a process's with the same helpers, and have one clock.
        self.apart = kernel.has_helper(probe.program_type, "probe_read_kernel")
        self.boottime = kernel.has_helper(probe.program_type, "ktime_get_boot_ns")
        self.asked = sorted(filters.where.names) if filters.where else []
        tails = {column.key: self._most(column.type) for column in chosen if self._in_tail(column.type)}
        for key in self.asked:
            place = columns.origin(probe, key)
            if isinstance(place, probes.Field) and self._in_tail(columns.field_type(place, text)):
                tails.setdefault(_full(key), text + 1)
        self.tails = tails
        # Places of texts that only the expression needs stand behind the record's own fields, and are not sent.
        self.extra = {key: n for n, key in enumerate(sorted(tails.keys() - {column.key for column in chosen}))}
        self.fixed = -(-(layout.size + 4 * len(self.extra)) // 8) * 8
        self.limit = self.fixed + sum(tails.values())
        self.scratch = self.limit + max(text + 2, *tails.values()) if tails else 0
        if self.scratch > _SCRATCH:
            raise LayoutError(
                f"a record could take {self.scratch} bytes, and the kernel gives a program {_SCRATCH}; "
                "name fewer fields, or a smaller text="
            )
        # What the steps have put aside on the stack, from its top down.
        self.depth = 0
        self.kept: dict[str, int] = {}
        self.read: set[str] = set()
        self.has_scratch = False

    def program(self) -> Iterator[Part]:
        yield mov(r6, r1)
        yield from self._filter_by_task()
        yield from self._filter_by_expression()
        in_place = self.transport if isinstance(self.transport, Ring) and not self.tails else None
        if self.tails:
            yield from self._open_scratch()
        elif in_place:
            yield from in_place.reserve(self.layout.size, self._aside)
        else:
            yield from self._open_room()
        for column in self.chosen:
            if not self._in_tail(column.type):
                yield from self._store(column)
        if self.tails:
            for column in self.chosen:
                if self._in_tail(column.type):
                    yield from self._read_tail(column.key, column.origin)
        if in_place:
            yield from in_place.submit()
        else:
            yield from self.transport.output(r7 if self.tails else self.layout.size, self._aside)
        yield from self._count_the_lost()
        yield label("done")
        yield mov(r0, 0)
        yield exit_()

    def _count_the_lost(self) -> Iterator[Part]:
        for number, reason in enumerate(self.transport.reasons):
            if number:
                yield ja("count")
            yield label(reason)
            yield ld_map_value(r1, self.transport.counters, 8 * number)
        yield label("count")
        yield mov(r2, 1)
        yield atomic_add(r1, 0, r2)

    # Filters, the cheap ones first

    def _filter_by_task(self) -> Iterator[Part]:
        wanted = self.filters
        if wanted.pid is not None or wanted.not_pid is not None:
            yield from self._keep("#pid_tgid", 8, [*call.get_current_pid_tgid()])
            yield rsh(r0, 32)
            if wanted.pid is not None:
                yield jne32(r0, wanted.pid, "done")
            if wanted.not_pid is not None:
                yield jeq32(r0, wanted.not_pid, "done")
        if wanted.followed is not None:
            yield from self._keep("#pid_tgid", 8, [*call.get_current_pid_tgid()])
            # The command itself is known by its id, which is nobody else's before we have waited for it.
            yield ld_map_value(r1, wanted.followed.root, 0)
            yield ldxw(r1, r1, 0)
            yield mov(r2, r0)
            yield rsh(r2, 32)
            yield jeq(r1, r2, "followed")
            at = self._aside(8)
            yield stxw(r10, at, r0)
            yield call.map_lookup_elem(wanted.followed.tasks, r10 + at)
            yield jeq(r0, 0, "done")
            yield label("followed")

    def _filter_by_expression(self) -> Iterator[Part]:
        if self.filters.where is None:
            return
        places: dict[str, where.Place | where.TextPlace] = {}
        for part in self.filters.where.conjuncts:
            for key in sorted(part.names - places.keys()):
                origin = columns.origin(self.probe, key)
                kind = None if isinstance(origin, columns.Builtin) else columns.field_type(origin, self.text)
                if kind is not None and self._in_tail(kind):
                    full = _full(key)
                    yield from self._open_scratch()
                    if full not in self.read:
                        yield from self._read_tail(full, origin)
                    places[key] = where.TextPlace(r9, self._place(full), self.limit)
                else:
                    size = 8 if kind is None else kind.size
                    if isinstance(origin, columns.Builtin):
                        size = origin.type.size
                    full = key if isinstance(origin, columns.Builtin) else _full(key)
                    if full not in self.kept:
                        at = self._aside(size)
                        self.kept[full] = at
                        yield from self._value(origin, r10, at)
                    places[key] = where.Place(r10, self.kept[full])
            yield part.emit(places, "done")

    # The record

    def _open_scratch(self) -> Iterator[Part]:
        if self.has_scratch:
            return
        self.has_scratch = True
        at = self._aside(8)
        scratch = MapSpec("percpu_array", value=raw[self.scratch], max_entries=1, name="scratch")
        yield stw(r10, at, 0)
        yield call.map_lookup_elem(scratch, r10 + at)
        yield jeq(r0, 0, "done")
        yield mov(r9, r0)
        yield mov(r7, self.fixed)

    # Where a record of fixed size is put together that the kernel copies.
    def _open_room(self) -> Iterator[Part]:
        size = -(-self.layout.size // 8) * 8
        if self.depth + size > _STACK - _STEPS:
            self.scratch = size
            yield from self._open_scratch()
            return
        yield mov(r9, r10)
        yield add(r9, self._aside(size))
        # The kernel takes no bytes of the stack that were never written.
        written = {self.layout.offset(column.name) + at for column in self.chosen for at in range(column.type.size)}
        for at in range(0, size, 8):
            if not written.issuperset(range(at, at + 8)):
                yield stdw(r9, at, 0)

    def _store(self, column: Column) -> Iterator[Part]:
        to = self.layout.offset(column.name)
        size = column.type.size
        if column.key in self.kept:
            # The expression has it already.
            at = self.kept[column.key]
            for offset, width in _words(size, 8):
                yield _LOAD[width](r0, r10, at + offset)
                yield _STORE[width](r9, to + offset, r0)
            return
        yield from self._value(column.origin, r9, to)

    # Values: instructions that put one at base + offset

    def _value(self, origin: Origin, base: Register, to: int) -> Iterator[Part]:
        if isinstance(origin, columns.Builtin):
            yield from self._builtin(origin, base, to)
            return
        read = origin.read
        match read:
            case probes.Scalar(offset=offset, load=load, size=size):
                yield _LOAD[load](r0, r6, offset)
                yield _STORE[size](base, to, r0)
            case probes.RawArg(index=index, size=size):
                yield ldxdw(r0, r6, 8 * index)
                yield _STORE[size](base, to, r0)
            case probes.SyscallArg(index=index):
                at, arguments, _ = yield from self._registers()
                yield ldxdw(r0, r10, at + arguments[index])
                yield stxdw(base, to, r0)
            case probes.SyscallNumber():
                at, _, (offset, size) = yield from self._registers()
                yield _LOAD[size](r0, r10, at + offset)
                if size == 4:
                    yield lsh(r0, 32)
                    yield arsh(r0, 32)
                yield stxdw(base, to, r0)
            case probes.Array(offset=offset, size=size, count=count):
                yield from self._copy(offset, size * count, size, base, to)
            case probes.Chars(offset=offset, count=count) | probes.Bytes(offset=offset, count=count):
                yield from self._copy(offset, count, 1, base, to)
            case _:
                raise AssertionError(read)

    def _builtin(self, builtin: columns.Builtin, base: Register, to: int) -> Iterator[Part]:
        match builtin.name:
            case "ts" | "ts_raw":
                yield from self._keep("#ts", 8, [*(call.ktime_get_boot_ns() if self.boottime else call.ktime_get_ns())])
                yield stxdw(base, to, r0)
            case "pid" | "tid":
                yield from self._keep("#pid_tgid", 8, [*call.get_current_pid_tgid()])
                if builtin.name == "pid":
                    yield rsh(r0, 32)
                yield stxw(base, to, r0)
            case "uid" | "gid":
                yield from self._keep("#uid_gid", 8, [*call.get_current_uid_gid()])
                if builtin.name == "gid":
                    yield rsh(r0, 32)
                yield stxw(base, to, r0)
            case "cpu":
                yield call.get_smp_processor_id()
                yield stxw(base, to, r0)
            case "comm":
                yield call.get_current_comm(base + to, 16)
            case "cgroup":
                yield call.get_current_cgroup_id()
                yield stxdw(base, to, r0)

    # Calls a helper once and keeps what it gave on the stack; the value is in r0 afterwards.
    def _keep(self, name: str, size: int, instructions: list[Part]) -> Iterator[Part]:
        if name in self.kept:
            yield ldxdw(r0, r10, self.kept[name])
            return
        yield from instructions
        self.kept[name] = self._aside(size)
        yield stxdw(r10, self.kept[name], r0)

    def _aside(self, size: int) -> int:
        self.depth += -(-size // 8) * 8
        if self.depth > _STACK:
            raise LayoutError("this expression needs more than a program's 512 bytes of stack; name fewer fields in it")
        return -self.depth

    def _copy(self, offset: int, size: int, align: int, base: Register, to: int) -> Iterator[Part]:
        if size > _WORDS:
            yield mov(r3, r6)
            yield add(r3, offset)
            yield self._read_kernel(base + to, size, r3)
            return
        step = align
        while step < 8 and offset % (2 * step) == 0 and to % (2 * step) == 0:
            step *= 2
        for at, width in _words(size, step):
            yield _LOAD[width](r0, r6, offset + at)
            yield _STORE[width](base, to + at, r0)

    def _registers(self) -> Generator[Part, None, tuple[int, tuple[int, ...], tuple[int, int]]]:
        machine = platform.machine()
        if machine not in _REGISTERS:
            raise ProbeError(
                f"where a syscall's arguments are is not known for {machine}; trace its tracepoint:syscalls:…"
            )
        start, size, arguments, number = _REGISTERS[machine]
        if "#registers" not in self.kept:
            self.kept["#registers"] = self._aside(size)
            yield ldxdw(r3, r6, 0)
            yield add(r3, start)
            yield self._read_kernel(r10 + self.kept["#registers"], size, r3)
        return self.kept["#registers"], arguments, number

    # The tail

    def _in_tail(self, kind: FieldType) -> bool:
        return kind.code.startswith("text[") or kind.code.endswith("[]")

    def _most(self, kind: FieldType) -> int:
        return self.text + 1 if kind.code.startswith("text[") else _LIST

    def _place(self, key: str) -> int:
        if key in self.extra:
            return self.layout.size + -self.layout.size % 4 + 4 * self.extra[key]
        return self.layout.offset(next(column.name for column in self.chosen if column.key == key))

    def _read_tail(self, key: str, origin: Origin) -> Iterator[Part]:
        if key in self.read or isinstance(origin, columns.Builtin):
            return
        self.read.add(key)
        place = self._place(key)
        null, end = f"null {key}", f"end {key}"
        # The room that is left is compared with what is needed, so that the verifier sees it too.
        yield jgt(r7, self.limit, null)
        match origin.read:
            case probes.UserText(offset=offset):
                yield ldxdw(r3, r6, offset)
                yield self._text(call.probe_read_user_str if self.apart else call.probe_read_str, null)
            case probes.DataLoc(offset=offset, relative=relative, text=True):
                yield self._source(offset, relative=relative)
                yield self._text(call.probe_read_kernel_str if self.apart else call.probe_read_str, null)
            case probes.DataLoc(offset=offset, relative=relative):
                yield ldxw(r8, r6, offset)
                yield rsh(r8, 16)
                yield jgt(r8, _LIST, null)
                yield self._source(offset, relative=relative)
                yield mov(r1, r9)
                yield add(r1, r7)
                yield self._read_kernel(r1, r8, r3)
                yield jne(r0, 0, null)
                yield mov(r0, r8)
            case read:
                raise AssertionError(read)
        yield mov(r1, r0)
        yield lsh(r1, 16)
        yield or_(r1, r7)
        yield stxw(r9, place, r1)
        yield add(r7, r0)
        yield ja(end)
        yield label(null)
        yield stw(r9, place, 0)
        yield label(end)

    @property
    def _read_kernel(self) -> Callable[..., Part]:
        return call.probe_read_kernel if self.apart else call.probe_read

    # One more character than is kept is sent, so that the reader knows that there was more; r0 is the length.
    def _text(self, helper: Callable[..., Part], null: str) -> Iterator[Part]:
        yield mov(r1, r9)
        yield add(r1, r7)
        yield helper(r1, self.text + 2, r3)
        yield jslt(r0, 1, null)
        yield jgt(r0, self.text + 2, null)
        yield sub(r0, 1)

    def _source(self, offset: int, *, relative: bool) -> Iterator[Part]:
        yield ldxw(r3, r6, offset)
        yield and_(r3, 0xFFFF)
        yield add(r3, r6)
        if relative:
            yield add(r3, offset + 4)


_LOAD: Final = {1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw}
_STORE: Final = {1: stxb, 2: stxh, 4: stxw, 8: stxdw}


def _words(size: int, widest: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        width = widest
        while width > size - at:
            width //= 2
        yield at, width
        at += width


def _full(key: str) -> str:
    return key if key in columns.BUILTINS or key.startswith("args.") else f"args.{key}"
