"""Probe text → what the probe gives and what to attach.

A probe is a place in the kernel where a BPF program runs. Its text is what bpftrace users know::

    tracepoint:CATEGORY:NAME      t:CATEGORY:NAME     a tracepoint with a format, `tracepoint:sched:sched_switch`
    raw_tracepoint:sys_enter      rt:sys_enter        every syscall, as it begins
    raw_tracepoint:sys_exit       rt:sys_exit         every syscall, as it ends

`resolve` reads one such text, `matching` lists what there is.

>>> probe = resolve("rt:sys_exit")
>>> probe.text, probe.program_type
('raw_tracepoint:sys_exit', 'raw_tracepoint')
>>> [field.name for field in probe.fields]
['id', 'ret']
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fastbpf.errors import KernelError, ProbeError

from . import tracefs
from .fields import (
    Array,
    Bytes,
    Chars,
    DataLoc,
    Field,
    RawArg,
    Read,
    Scalar,
    SyscallArg,
    SyscallNumber,
    UserText,
)
from .formats import parse

__all__ = [
    "Array",
    "Bytes",
    "Chars",
    "DataLoc",
    "Field",
    "Probe",
    "RawArg",
    "Read",
    "Scalar",
    "SyscallArg",
    "SyscallNumber",
    "UserText",
    "matching",
    "parse",
    "resolve",
]

_KINDS = {
    "tracepoint": "tracepoint",
    "t": "tracepoint",
    "raw_tracepoint": "raw_tracepoint",
    "rawtracepoint": "raw_tracepoint",
    "rt": "raw_tracepoint",
}

# What bpftrace knows besides, and xdp: nothing of ours resembles them.
_OTHER_KINDS = frozenset(
    (
        *("kprobe", "k", "kretprobe", "kr", "kfunc", "kretfunc", "fentry", "f", "fexit", "fr", "iter", "it"),
        *("uprobe", "u", "uretprobe", "ur", "usdt", "U", "profile", "p", "interval", "i", "BEGIN", "END"),
        *("software", "s", "hardware", "h", "watchpoint", "w", "asyncwatchpoint", "aw", "xdp"),
    )
)

# A raw tracepoint has no format: these are the two whose arguments we know (include/trace/events/syscalls.h).
_RAW_FIELDS = {
    "sys_enter": (
        Field("id", "long", RawArg(1, 8, signed=True)),
        *(Field(f"arg{n}", "unsigned long", SyscallArg(n)) for n in range(6)),
    ),
    "sys_exit": (Field("id", "long", SyscallNumber()), Field("ret", "long", RawArg(1, 8, signed=True))),
}


@dataclass(frozen=True)
class Probe:
    """A place in the kernel where a program runs, as `resolve` and `matching` give it.

    `kind` is `"tracepoint"` or `"raw_tracepoint"`, `category` and `name` are the kernel's (the two raw
    tracepoints are defined in `raw_syscalls`).
    """

    kind: str
    category: str
    name: str

    @property
    def text(self) -> str:
        """The probe as text, in full: what `resolve` takes."""
        return f"tracepoint:{self.category}:{self.name}" if self.kind == "tracepoint" else f"{self.kind}:{self.name}"

    @property
    def program_type(self) -> str:
        """The type of the BPF programs that run here, by the kernel's name."""
        return self.kind

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """What the probe gives, in the kernel's order; a tracepoint's format is read on first use.

        Raises `KernelError` when tracefs may not be read, `ProbeError` when the tracepoint is gone.
        """
        if self.kind == "raw_tracepoint":
            return _RAW_FIELDS[self.name]
        return parse(self._read("format"), syscall=self.category == "syscalls")

    @cached_property
    def tracepoint_id(self) -> int:
        """The number by which perf_event_open(2) knows the tracepoint (`config` of PERF_TYPE_TRACEPOINT).

        Raises like `fields`, and `ProbeError` for a raw tracepoint, which has none.
        """
        if self.kind == "raw_tracepoint":
            raise ProbeError(f"{self.text} has no tracepoint id; a raw tracepoint attaches by its name, {self.name!r}")
        return int(self._read("id"))

    def _read(self, file: str) -> str:
        try:
            return tracefs.read(f"events/{self.category}/{self.name}/{file}")
        except FileNotFoundError as error:
            raise ProbeError(f"{self.text} is gone; was its kernel module unloaded?") from error


def resolve(text: str) -> Probe:
    """The probe that `text` names.

    Raises `ProbeError` when there is no such kind of probe or no such tracepoint, with the nearest names;
    `KernelError` when tracefs is not mounted or may not be read (raw tracepoints need no tracefs).

    >>> resolve("raw_tracepoint:sys_enter")
    Probe(kind='raw_tracepoint', category='raw_syscalls', name='sys_enter')
    """
    prefix, _, place = text.partition(":")
    kind = _KINDS.get(prefix)
    if kind == "tracepoint":
        return _tracepoint(text, place)
    if kind == "raw_tracepoint":
        return _raw_tracepoint(text, place)
    known = "tracepoint:CATEGORY:NAME (t:) and raw_tracepoint:NAME (rt:)"
    if prefix in _OTHER_KINDS:
        raise ProbeError(f"fastbpf does not trace {prefix} probes; it knows {known}")
    raise ProbeError(f"{text!r} names no kind of probe that is known: {known}{did_you_mean(near(text))}")


def matching(pattern: str = "*") -> list[Probe]:
    """The probes of the running kernel whose text matches `pattern`, sorted by text; formats are not read.

    A pattern with `*`, `?` or `[` must match the whole text, with its kind (or a short form of it) or without;
    any other matches wherever it is a part of the text.

    Raises `KernelError` when tracefs is not mounted or may not be read.
    """
    prefix, colon, rest = pattern.partition(":")
    if colon and prefix in _KINDS:
        pattern = f"{_KINDS[prefix]}:{rest}"
    probes = [Probe("raw_tracepoint", "raw_syscalls", name) for name in _RAW_FIELDS]
    probes += (Probe("tracepoint", *event.split(":", 1)) for event in sorted(tracefs.tracepoints()))
    if not _is_glob(pattern):
        return [probe for probe in probes if pattern in probe.text]

    from fnmatch import fnmatchcase

    return [p for p in probes if fnmatchcase(p.text, pattern) or fnmatchcase(p.text.partition(":")[2], pattern)]


def _is_glob(text: str) -> bool:
    return not set(text).isdisjoint("*?[")


def _tracepoint(text: str, place: str) -> Probe:
    events = tracefs.tracepoints()
    if place in events:
        return Probe("tracepoint", *place.split(":", 1))
    if _is_glob(place):
        raise ProbeError(f"{text!r} is a pattern, and a probe is one place; list what matches: fastbpf probes {text!r}")
    if place.startswith("ftrace:"):
        raise ProbeError(f"{text!r} is a record of ftrace's own, where no program can run")
    hint = did_you_mean(_nearest(place, events)) or "; all there are: fastbpf probes"
    raise ProbeError(f"there is no tracepoint {place!r} in this kernel{hint}")


def _raw_tracepoint(text: str, name: str) -> Probe:
    if name in _RAW_FIELDS:
        return Probe("raw_tracepoint", "raw_syscalls", name)
    cause = f"{text!r}: of the raw tracepoints only sys_enter and sys_exit are known by their arguments"
    raise ProbeError(cause + did_you_mean(_exact(name)))


def near(text: str) -> list[str]:
    """The tracepoints that somebody meant who left the kind out, or mistyped it: a hint, so no tracefs is no error."""
    try:
        events = tracefs.tracepoints()
    except KernelError:
        return []
    return _exact(text) or _nearest(text, events) or _nearest(text.partition(":")[2], events)


def _exact(name: str) -> list[str]:
    # Tracepoints that are named so, with or without their category. Only a hint, so no tracefs is no error.
    try:
        events = tracefs.tracepoints()
    except KernelError:
        return []
    return [event for event in events if name in (event, event.partition(":")[2])]


def _nearest(place: str, events: list[str]) -> list[str]:
    # What somebody meant: the name in another category; else a slip of the pen, else a part of a name.
    from difflib import get_close_matches

    category, _, name = place.rpartition(":")
    same = [event for event in events if event.endswith(f":{name}")]
    if same:
        return same
    close = get_close_matches(place, events, n=3, cutoff=0.7)
    if not category:
        by_name = {event.partition(":")[2]: event for event in events}
        close += (by_name[n] for n in get_close_matches(place, by_name, n=3, cutoff=0.7))
    longer = [event for event in events if name and event.startswith(category) and name in event.partition(":")[2]]
    return list(dict.fromkeys([*close, *sorted(longer, key=len)]))[:3]


def did_you_mean(events: list[str]) -> str:
    """The end of a sentence that refuses a probe: these tracepoints, or nothing."""
    names = [f"tracepoint:{event}" for event in events]
    return f"; did you mean {' or '.join(names)}?" if names else ""
