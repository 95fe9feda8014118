"""What the kernel's refusals mean for whoever ran into them, and the one limit that we raise ourselves."""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING, TypeVar

from fastbpf.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Said to whoever does not run it already.
DOCTOR = "`fastbpf doctor` tells what this machine allows"


def remedied(error: KernelError) -> KernelError:
    """The same refusal with a sentence on what to do, where there is something that helps in general."""
    number = error.errno or 0
    remedy = {
        errno.EPERM: f"run as root, or with CAP_BPF and CAP_PERFMON; {DOCTOR}",
        errno.EACCES: f"run as root, or with CAP_BPF and CAP_PERFMON; {DOCTOR}",
        errno.ENOSYS: f"this kernel has no bpf(2), or a sandbox hides it; {DOCTOR}",
        errno.ENOMEM: "ask for less: fewer entries or a smaller buffer",
    }.get(number)
    # Rust's words for it and ours become the same.
    name = os.strerror(number)
    cause = str(error).replace(f"{name} (os error {number})", f"{name.lower()} (errno {number})")
    return KernelError(number, f"{cause}; {remedy}") if remedy else error


def with_memlock(make: Callable[[], T]) -> T:
    """Calls `make`; where the kernel refuses with EPERM, once more with RLIMIT_MEMLOCK raised.

    Kernels before 5.11 charge programs and maps to that limit (kernel/bpf/syscall.c, bpf_charge_memlock).
    """
    try:
        return make()
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (ValueError, OSError):
            raise error from None
        return make()
