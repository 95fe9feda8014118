"""kprobes: where functions of the kernel begin and return, by perf events (perf_event_open(2); Linux 4.17)."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastbpf.errors import KernelError, ProbeError

if TYPE_CHECKING:
    from fastbpf import _native

__all__ = ["entry", "returns"]

_PMU = Path("/sys/bus/event_source/devices/kprobe")


def entry(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    """`kprobe:FUNCTION`, or `kprobe:FUNCTION+OFFSET`, an instruction so many bytes behind its beginning."""
    function, plus, offset = place.partition("+")
    if plus and not re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", offset):
        raise ProbeError(f"'kprobe:{place}': {offset!r} is no offset in bytes, such as 16 or 0x10")
    number = int(offset, 16 if offset[:2] in {"0x", "0X"} else 10) if plus else 0
    if number >= 1 << 64:
        raise ProbeError(f"'kprobe:{place}': no function is as long as that")
    return _attach(program, f"kprobe:{place}", function, number, returning=False)


def returns(program: _native.Program, place: str) -> tuple[_native.Link, str]:
    """`kretprobe:FUNCTION`."""
    if "+" in place:
        raise ProbeError(f"'kretprobe:{place}': a function returns wherever it does; leave the offset out")
    return _attach(program, f"kretprobe:{place}", place, 0, returning=True)


def _attach(
    program: _native.Program, text: str, function: str, offset: int, *, returning: bool
) -> tuple[_native.Link, str]:
    from fastbpf import _native

    if not function:
        raise ProbeError(f"{text!r} names no function; write kprobe:FUNCTION")
    try:
        pmu = int((_PMU / "type").read_text("ascii"))
        # "config:0": the bit of `config` that asks for the return.
        bit = int((_PMU / "format/retprobe").read_text("ascii").rpartition(":")[2])
    except OSError:
        message = "this kernel has no kprobes (CONFIG_KPROBES or CONFIG_KPROBE_EVENTS is off), or /sys is not mounted"
        remedy = "attach to a tracepoint or raw_tracepoint instead"
        raise KernelError(errno.EOPNOTSUPP, f"cannot attach to {text}: {message}; {remedy}") from None
    try:
        return _native.Link.kprobe(program, pmu, returning << bit, function, offset), text
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise ProbeError(
                f"the kernel has no function {function!r} that can be probed{_nearest(function)}"
            ) from None
        cause = {
            errno.EADDRNOTAVAIL: "several functions have this name",
            errno.EILSEQ: "no instruction begins there",
            errno.EINVAL: "the function is shorter, or no probe may be there (kprobes/blacklist in debugfs)",
        }.get(error.errno or 0)
        raise (KernelError(error.errno or 0, f"cannot attach to {text}: {cause}") if cause else error) from None


# The nearest names of functions, for the end of a sentence; nothing where the kernel does not tell its names.
def _nearest(name: str) -> str:
    from difflib import get_close_matches

    try:
        symbols = Path("/proc/kallsyms").read_text("utf-8", "replace")
    except OSError:
        return ""
    names = set(re.findall(r"^\S+ [tT] (\S+)", symbols, re.MULTILINE))
    # To compare all of them takes a second.
    close = get_close_matches(name, [one for one in names if abs(len(one) - len(name)) <= 2], n=3, cutoff=0.75)
    return f"; did you mean {' or '.join(close)}?" if close else ""
