"""Probe text → a link: one function a kind of probe, and which programs each kind takes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from fastbpf.errors import KernelError, ProbeError

from . import did_you_mean, interfaces, kprobes, near, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbpf import _native

__all__ = ["attach"]


def attach(program: _native.Program, program_type: str, text: str) -> tuple[_native.Link, str]:
    """The link that keeps the program on the probe, and the probe's text in full.

    Raises `ProbeError` when there is no such probe or it takes another type of program; `KernelError` when the kernel
    refuses.
    """
    prefix, _, place = text.partition(":")
    kind = _KINDS.get(prefix)
    if kind is None:
        known = ", ".join(one.form for one in dict.fromkeys(_KINDS.values()))
        hint = did_you_mean(near(text))
        raise ProbeError(f"{text!r} names no kind of probe that a program can be attached to: {known}{hint}")
    if program_type != kind.program_type:
        raise ProbeError(f"{text} takes programs of type {kind.program_type}; this one is of type {program_type}")
    try:
        return kind.attach(program, place)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise ProbeError(f"the kernel has no {text}; `fastbpf probes` lists what there is") from None
        if error.errno == errno.EEXIST:
            message = f"this program is already on {text}; load it again for a second one"
            raise KernelError(errno.EEXIST, message) from None
        raise


def _tracepoint(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    from fastbpf import _native

    probe = resolve(f"tracepoint:{place}")
    return _native.Link.tracepoint(program, probe.tracepoint_id), probe.text


def _raw_tracepoint(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    from fastbpf import _native

    return _native.Link.raw_tracepoint(program, place), f"raw_tracepoint:{place}"


class _Kind(NamedTuple):
    form: str
    program_type: str
    attach: Callable[[_native.Program, str], tuple[_native.Link, str]]


_TRACEPOINT = _Kind("tracepoint:CATEGORY:NAME (t:)", "tracepoint", _tracepoint)
_RAW_TRACEPOINT = _Kind("raw_tracepoint:NAME (rt:)", "raw_tracepoint", _raw_tracepoint)
_KPROBE = _Kind("kprobe:FUNCTION[+OFFSET] (k:)", "kprobe", kprobes.entry)
_KRETPROBE = _Kind("kretprobe:FUNCTION (kr:)", "kprobe", kprobes.returns)
_KINDS = {
    **dict.fromkeys(("tracepoint", "t"), _TRACEPOINT),
    **dict.fromkeys(("raw_tracepoint", "rawtracepoint", "rt"), _RAW_TRACEPOINT),
    **dict.fromkeys(("kprobe", "k"), _KPROBE),
    **dict.fromkeys(("kretprobe", "kr"), _KRETPROBE),
    "xdp": _Kind("xdp:INTERFACE", "xdp", interfaces.xdp),
    "tc": _Kind("tc:INTERFACE:ingress or tc:INTERFACE:egress", "sched_cls", interfaces.tc),
}
