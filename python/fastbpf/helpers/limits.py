"""What explains that this kernel refuses a helper: capabilities that are missing, lockdown, how it was built."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

# include/uapi/linux/capability.h
_CAPABILITIES: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
# Before 5.8 it was the only one, and it still stands for these.
_ABOVE: Final = "CAP_SYS_ADMIN"
_STANDS_FOR: Final = {"CAP_PERFMON", "CAP_BPF", "CAP_NET_ADMIN"}
_MODES: Final = ("none", "integrity", "confidentiality")


def lacks(capability: str) -> bool:
    """Whether this thread lacks a capability, or one that stands for it. Source: proc(5), CapEff.

    bpf(2) takes CAP_SYS_ADMIN in the place of CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (kernel/bpf/token.c). Where there
    is no /proc to tell, nothing is said to be missing.
    """
    try:
        told = Path("/proc/thread-self/status").read_text("ascii", "replace")
    except OSError:
        return False
    effective = int(next(line.split()[1] for line in told.splitlines() if line.startswith("CapEff:")), 16)
    enough = [capability, *([_ABOVE] if capability in _STANDS_FOR else [])]
    return not any(effective >> _CAPABILITIES[one] & 1 for one in enough if one in _CAPABILITIES)


def locked_down(mode: str) -> bool | None:
    """Whether the kernel is locked down in this mode or a stricter one; None where it does not tell.

    Source: securityfs, `lockdown`; where that is not mounted, how the kernel was built.
    """
    try:
        told = Path("/sys/kernel/security/lockdown").read_text("ascii")  # "none [integrity] confidentiality"
    except OSError:
        for forced in reversed(_MODES[1:]):
            if configured(f"LOCK_DOWN_KERNEL_FORCE_{forced.upper()}"):
                # Which is the least: it can be made stricter.
                return True if _MODES.index(mode) <= _MODES.index(forced) else None
        return False if configured("SECURITY_LOCKDOWN_LSM") is False else None
    found = told.partition("[")[2].partition("]")[0]
    return found in _MODES and _MODES.index(mode) <= _MODES.index(found)


def configured(option: str) -> bool | None:
    """Whether the kernel was built with an option, `BPF_EVENTS` for `CONFIG_BPF_EVENTS`; None where nobody tells.

    Source: /proc/config.gz, or the file that distributions put into /boot.
    """
    options = _options()
    return None if options is None else option in options


@cache
def _options() -> frozenset[str] | None:
    import gzip

    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{os.uname().release}")):
        try:
            raw = path.read_bytes()
        except OSError:
            continue
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("ascii", "replace")
        lines = (line.partition("=") for line in text.splitlines() if line.startswith("CONFIG_"))
        return frozenset(name.removeprefix("CONFIG_") for name, _, value in lines if value in {"y", "m"})
    return None
