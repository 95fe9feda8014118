"""Which columns a trace has: the fields that were asked for, each with its type and where its value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from fastbpf import probes, record
from fastbpf.errors import ProbeError
from fastbpf.tracing import where

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastbpf.record import FieldType

__all__ = ["BUILTINS", "Builtin", "Column", "choose", "kinds"]


@dataclass(frozen=True)
class Builtin:
    """A field that every probe has."""

    name: str
    type: FieldType
    meaning: str


BUILTINS: Final = {
    builtin.name: builtin
    for builtin in (
        Builtin("ts", record.boottime, "when, in UTC"),
        Builtin("pid", record.u32, "the process, as the initial namespace numbers it"),
        Builtin("tid", record.u32, "the thread, likewise"),
        Builtin("uid", record.u32, "the user"),
        Builtin("gid", record.u32, "the group"),
        Builtin("cpu", record.u32, "the CPU"),
        Builtin("comm", record.char[16], "the thread's name"),
        Builtin("cgroup", record.u64, "the cgroup's 64-bit id"),
    )
}
# `raw=True` adds the kernel's own reading beside the time.
RAW_TIME: Final = Builtin("ts_raw", record.u64, "nanoseconds of CLOCK_BOOTTIME")

_DEFAULT: Final = ("ts", "pid", "tid", "comm")

Origin = Builtin | probes.Field


@dataclass(frozen=True)
class Column:
    """One column of a trace. `key` is how expressions name it: "pid", or "args.pid" for the probe's own."""

    name: str
    key: str
    type: FieldType
    origin: Origin


def choose(probe: probes.Probe, fields: Iterable[str], *, text: int, raw: bool) -> list[Column]:
    """The columns for the fields that were asked for; by default the usual built-ins and all that the probe gives.

    Raises:
        ProbeError: a field that there is not, with the nearest names, or one that is named twice; `raw` without "ts".
        TypeError: a field that is no text.
    """
    own = {field.name: field for field in probe.fields}
    names = list(fields) or [*_DEFAULT, *(f"args.{name}" for name in own)]
    chosen: dict[str, Column] = {}
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"give the fields one by one: fb.trace(probe, 'ts', 'pid'), not {name!r}")
        column = _find(probe, own, name, text)
        if column.name in chosen:
            raise ProbeError(f"field {name!r} is named twice; name each field once")
        chosen[column.name] = column
        if raw and column.key == "ts":
            chosen[RAW_TIME.name] = Column(RAW_TIME.name, RAW_TIME.name, RAW_TIME.type, RAW_TIME)
    if raw and RAW_TIME.name not in chosen:
        raise ProbeError(f"raw=True adds {RAW_TIME.name} beside ts: name 'ts' among the fields too, or leave raw out")
    return list(chosen.values())


def kinds(probe: probes.Probe, text: int) -> dict[str, where.Kind]:
    """What an expression may name, and what can be asked of it."""
    found: dict[str, where.Kind] = {}
    for name, builtin in BUILTINS.items():
        found[name] = where.Chars(16) if name == "comm" else where.Number(builtin.type.size, signed=False)
    for field in probe.fields:
        kind = _kind(field, text)
        found.setdefault(field.name, kind)
        found[f"args.{field.name}"] = kind
    return found


def origin(probe: probes.Probe, key: str) -> Origin:
    """Where the value of a name in an expression comes from."""
    if key in BUILTINS:
        return BUILTINS[key]
    name = key.removeprefix("args.")
    return next(field for field in probe.fields if field.name == name)


def _find(probe: probes.Probe, own: Mapping[str, probes.Field], name: str, text: int) -> Column:
    if name in BUILTINS:
        return Column(name, name, BUILTINS[name].type, BUILTINS[name])
    plain = name.removeprefix("args.")
    if plain not in own:
        near = get_close_matches(plain, [*BUILTINS, *own], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        there = ", ".join([*BUILTINS, *(field for field in own if field not in BUILTINS)])
        raise ProbeError(f"{probe.text} has no field {name!r}; {hint}there are {there}")
    column = f"args_{plain}" if plain in BUILTINS or plain == RAW_TIME.name else plain
    return Column(column, f"args.{plain}", field_type(own[plain], text), own[plain])


def field_type(field: probes.Field, text: int) -> FieldType:
    """The type of the column that a probe's own field becomes."""
    match field.read:
        case probes.Scalar(size=size, signed=signed, boolean=boolean):
            return record.bool8 if boolean else _integer(size, signed=signed)
        case probes.RawArg(size=size, signed=signed):
            return _integer(size, signed=signed)
        case probes.SyscallArg():
            return record.u64
        case probes.SyscallNumber():
            return record.i64
        case probes.Array(size=size, signed=signed, count=count):
            return _integer(size, signed=signed)[count]
        case probes.Chars(count=count):
            return record.char[count]
        case probes.Bytes(count=count):
            return record.raw[count]
        case probes.UserText() | probes.DataLoc(text=True):
            return record.text[text]
        case probes.DataLoc(size=size, signed=signed):
            return record.tail("bytes" if size == 1 else _integer(size, signed=signed).code)


def _integer(size: int, *, signed: bool) -> FieldType:
    return {
        (1, False): record.u8,
        (2, False): record.u16,
        (4, False): record.u32,
        (8, False): record.u64,
        (1, True): record.i8,
        (2, True): record.i16,
        (4, True): record.i32,
        (8, True): record.i64,
    }[size, signed]


def _kind(field: probes.Field, text: int) -> where.Kind:
    match field.read:
        case probes.Scalar(size=size, signed=signed, boolean=boolean):
            return where.Number(size, signed, boolean)
        case probes.RawArg(size=size, signed=signed):
            return where.Number(size, signed)
        case probes.SyscallArg():
            return where.Number(8, signed=False)
        case probes.SyscallNumber():
            return where.Number(8, signed=True)
        case probes.Chars(count=count) if count <= 64:
            return where.Chars(count)
        case probes.UserText() | probes.DataLoc(text=True):
            return where.Text(text)
        case probes.Chars():
            return where.Opaque("a long text")
        case probes.Bytes():
            return where.Opaque("bytes")
        case probes.Array() | probes.DataLoc():
            return where.Opaque("a list")
