"""What this machine is, and what it allows.

`doctor` tries what tracing needs, through the kernel, and says what to do about what does not work.
"""

from __future__ import annotations

import errno
import os
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fastbpf.asm import assemble, exit_, mov, r0
from fastbpf.errors import Error, KernelError
from fastbpf.maps import MapSpec
from fastbpf.privileges import DOCTOR
from fastbpf.probes import tracefs
from fastbpf.programs import ProgramSpec
from fastbpf.record import u64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Check", "doctor", "identity"]


def identity() -> dict[str, str]:
    """This machine and this fastbpf, as files and captures keep it.

    >>> sorted(identity())
    ['arch', 'boot_id', 'byte_order', 'kernel', 'page_size', 'version']
    """
    return {
        # Not imported: the package stands above its modules.
        "version": sys.modules["fastbpf"].__version__,
        "kernel": platform.release(),
        "arch": platform.machine(),
        "byte_order": sys.byteorder,
        "page_size": str(os.sysconf("SC_PAGE_SIZE")),
        "boot_id": _read("/proc/sys/kernel/random/boot_id") or "",
    }


class Check(NamedTuple):
    """One thing that was looked at: is it `ok`, what was `found`, what to do (`remedy`), is it `needed` for tracing."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = False


def doctor() -> list[Check]:
    """Tries all that tracing needs, and looks at what explains a refusal. Tracing works if what is `needed` is ok."""
    return list(_checks())


def _checks() -> Iterator[Check]:
    yield _capabilities()
    page = os.sysconf("SC_PAGE_SIZE")
    yield _tried("bpf(2)", lambda: _map(MapSpec("array", value=u64, max_entries=1)))
    yield _tried("ring buffer", lambda: _map(MapSpec("ringbuf", max_entries=page)))
    yield _tried("tracepoint program", lambda: _load("tracepoint"))
    yield _tried("tracefs", lambda: f"{tracefs.root()}, {len(tracefs.tracepoints())} tracepoints")
    yield _tried("attach tracepoint", _attach_tracepoint)
    yield _tried("attach raw tracepoint", lambda: _attach("raw_tracepoint", "raw_tracepoint:sys_enter"), needed=False)
    yield _btf()
    yield _lockdown()
    yield _memlock()
    yield from _settings()


def _tried(name: str, work: Callable[[], str], *, needed: bool = True) -> Check:
    try:
        return Check(name, True, work(), needed=needed)
    except Error as error:
        cause, _, remedy = str(error).removesuffix(f"; {DOCTOR}").partition("; ")
        if isinstance(error, KernelError) and error.errno in {errno.EPERM, errno.ENOSYS} and _seccomp():
            remedy = f"{remedy}; a seccomp filter is set (as containers do): allow bpf(2) and perf_event_open(2) in it"
        return Check(name, False, cause, remedy, needed)


def _map(spec: MapSpec) -> str:
    spec.create().close()
    return "can be made"


_NOTHING: Final = assemble(mov(r0, 0), exit_())


def _load(kind: str) -> str:
    ProgramSpec(kind, _NOTHING).load().close()
    return "can be loaded"


def _attach(kind: str, probe: str) -> str:
    with ProgramSpec(kind, _NOTHING).load() as program, program.attach(probe) as link:
        return f"works, through {'a link' if link.kind in {'perf_event', 'raw_tracepoint'} else link.kind}"


def _attach_tracepoint() -> str:
    # One that is rarely passed, if it is there.
    rare = "syscalls:sys_enter_sethostname"
    events = tracefs.tracepoints()
    event = rare if rare in events else next(iter(events), rare)
    return _attach("tracepoint", f"tracepoint:{event}")


# include/uapi/linux/capability.h
_CAPABILITIES: Final = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


def _capabilities() -> Check:
    effective = int(_status("CapEff") or "0", 16)
    held = {name for name, bit in _CAPABILITIES.items() if effective >> bit & 1}
    found = ", ".join(sorted(held)) or "neither CAP_BPF and CAP_PERFMON nor CAP_SYS_ADMIN"
    ok = "CAP_SYS_ADMIN" in held or {"CAP_BPF", "CAP_PERFMON"} <= held
    return Check(
        "capabilities", ok, found, "" if ok else "run as root, or give them: setcap cap_bpf,cap_perfmon+ep PROGRAM"
    )


def _btf() -> Check:
    path = "/sys/kernel/btf/vmlinux"
    if os.access(path, os.R_OK):
        return Check("BTF", True, path)
    return Check("BTF", False, f"no {path}", "use a kernel with CONFIG_DEBUG_INFO_BTF; tracepoints work without")


def _lockdown() -> Check:
    # "[none] integrity confidentiality", security/lockdown/lockdown.c
    text = _read("/sys/kernel/security/lockdown")
    if text is None:
        return Check("lockdown", True, "the kernel does not tell")
    mode = text.partition("[")[2].partition("]")[0]
    ok = mode != "confidentiality"
    return Check(
        "lockdown", ok, mode, "" if ok else "boot without lockdown=confidentiality: programs may read nothing under it"
    )


def _memlock() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    told = "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard} bytes"
    if not _charges_memlock(soft, hard):
        return Check("memlock", True, "the kernel does not count maps to it")
    if hard == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Check("memlock", True, f"maps count to it ({told}); it is raised when needed")
    return Check(
        "memlock",
        False,
        f"maps count to it, and it is {told}",
        "raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity",
    )


def _charges_memlock(soft: int, hard: int) -> bool:
    from fastbpf import _native

    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
        _native.Map(2, 4, 8, 1, 0, "", 1).close()  # BPF_MAP_TYPE_ARRAY
    except KernelError as error:
        # Without the privilege there is no answer, and no map either.
        return error.errno == errno.EPERM and _capabilities().ok
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return False


def _settings() -> Iterator[Check]:
    for name, meaning in (
        ("perf_event_paranoid", "above 1, users without CAP_PERFMON may not use perf events"),
        ("unprivileged_bpf_disabled", "0: users without CAP_BPF may load a few kinds of programs, none that trace"),
    ):
        value = _read(f"/proc/sys/kernel/{name}")
        yield Check(name, True, f"{value}; {meaning}" if value else "the kernel does not tell")


def _seccomp() -> bool:
    return _status("Seccomp") == "2"


def _status(key: str) -> str | None:
    for line in (_read("/proc/self/status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return value.strip()
    return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None
