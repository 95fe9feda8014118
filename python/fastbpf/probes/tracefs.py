"""The tracing file system: where it is, which tracepoints it lists, and the files of each."""

from __future__ import annotations

import errno
import os

from fastbpf.errors import KernelError

__all__ = ["ROOTS", "read", "root", "tracepoints"]

_HOME = "/sys/kernel/tracing"

ROOTS = (_HOME, "/sys/kernel/debug/tracing")
"""Where tracefs may be mounted; the second is its place on kernels and systems that mount it with debugfs."""


def root() -> str:
    """The directory where tracefs is mounted.

    Raises `KernelError` when it is not mounted, and when this process may not look into it.

    Source: the kernel's Documentation/trace/ftrace.rst.
    """
    refused: OSError | None = None
    for path in ROOTS:
        try:
            os.stat(f"{path}/events")
        except PermissionError as error:
            refused = refused or error
        except OSError:
            continue
        else:
            return path
    if refused:
        raise _not_permitted(refused)
    raise KernelError(
        errno.ENOENT, f"tracefs is not mounted at {' or '.join(ROOTS)}; mount it: mount -t tracefs tracefs {_HOME}"
    )


def read(path: str) -> str:
    """The text of the file `path`, which is relative to tracefs.

    Raises `KernelError` when tracefs is not there or not permitted, `FileNotFoundError` when the file is not.
    """
    try:
        with open(f"{root()}/{path}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except PermissionError as error:
        raise _not_permitted(error) from error


def tracepoints() -> list[str]:
    """Every tracepoint that a program can attach to, as `category:name`, in the kernel's order.

    Raises `KernelError` like `root`.

    Events that somebody defined at run time (kprobe, uprobe and synthetic ones) are not tracepoints, nor are the
    formats in the category `ftrace`; the kernel refuses programs there.
    """
    events = read("available_events").split()
    dynamic = _dynamic_events()
    return [event for event in events if event not in dynamic] if dynamic else events


def _dynamic_events() -> frozenset[str]:
    # Lines are "p:GROUP/EVENT place …"; a synthetic event's is "s:EVENT …" (kernel/trace/trace_dynevent.c).
    try:
        lines = read("dynamic_events").splitlines()
    except FileNotFoundError:
        return frozenset()
    names = (line.split()[0].partition(":")[2] for line in lines if line.strip())
    return frozenset(name.replace("/", ":", 1) if "/" in name else f"synthetic:{name}" for name in names)


def _not_permitted(error: OSError) -> KernelError:
    # Root meets EPERM here only under lockdown (tracefs asks LOCKDOWN_TRACEFS on every open).
    if error.errno == errno.EPERM and os.geteuid() == 0:
        remedy = "the kernel is locked down: boot without lockdown=confidentiality"
    else:
        remedy = f"run as root, or mount tracefs with a group of yours: mount -o remount,gid=GROUP,mode=750 {_HOME}"
    return KernelError(error.errno or errno.EACCES, f"no permission to read {error.filename}; {remedy}")
