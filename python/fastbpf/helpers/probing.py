"""Which helpers the running kernel really allows: the verifier is given a tiny program for each, and none is kept."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Mapping
from functools import cache, partial
from struct import pack
from typing import TYPE_CHECKING, Final, NamedTuple

from fastbpf.errors import KernelError
from fastbpf.helpers.attach_types import ATTACH_TYPES, Hook, hooks
from fastbpf.helpers.helper import Helper, HelperError
from fastbpf.helpers.limits import configured, lacks, locked_down
from fastbpf.helpers.prototypes import PROGRAM_TYPES, nearest
from fastbpf.helpers.registry import all, get
from fastbpf.kernel_version import KernelVersion
from fastbpf.privileges import with_memlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Probed", "Verdict", "probe"]

# r0 = 0; exit, and with 1: what a program may return hangs on its hook
_END, _END_WITH_1 = (pack("<BBhiBBhi", 0xB7, 0, 0, result, 0x95, 0, 0, 0) for result in (0, 1))
_SLEEPING: Final = "in sleepable programs"
_SLEEPABLE: Final = 1 << 4  # BPF_F_SLEEPABLE, include/uapi/linux/bpf.h

# What the verifier says (kernel/bpf/verifier.c, check_helper_call) and what it means; 6.18 and older kernels differ.
_SAYS: Final = {
    "cannot use helper": "type",
    "unknown func": "type",
    "invalid func": "kernel",
    "might sleep": "sleep",
    "not allowed in probe": "function",
    "not supported for program type": "type",
}
# Types whose programs run in functions of the kernel.
_IN_FUNCTIONS: Final = {"tracing", "lsm"}
# What loading takes besides CAP_BPF, since 5.8 (kernel/bpf/syscall.c, bpf_prog_load).
_TRACE: Final = {
    *("kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable"),
    *("tracing", "lsm"),
}
_ONLY_BPF: Final = {"socket_filter", "cgroup_skb", "sk_reuseport", "sk_lookup", "syscall"}


class Verdict(NamedTuple):
    """What the kernel says of one helper.

    `status` is "allowed", or what forbids it: "type" (it is not for programs of this type), "kernel" (this kernel does
    not have it), "capability", "lockdown", "config" (how the kernel was built), or "unknown". `why` says the same in
    words, or where it is allowed.
    """

    helper: Helper
    status: str
    why: str = ""

    @property
    def allowed(self) -> bool:
        """Whether programs may call it."""
        return self.status == "allowed"

    def __str__(self) -> str:
        return f"{self.helper.name}: {self.status}{f', {self.why}' if self.why else ''}"


class Probed(Mapping[str, Verdict]):
    """What `probe` found: a mapping from the names of all helpers to their verdicts, in the order of their numbers."""

    def __init__(self, prog_type: str, attach_type: str | None, verdicts: Sequence[Verdict]) -> None:
        self.prog_type = prog_type
        self.attach_type = attach_type
        self.kernel = KernelVersion.running()
        self._verdicts = {one.helper.name: one for one in verdicts}

    def __getitem__(self, helper: str | int) -> Verdict:
        """The verdict on the helper of that name, with or without `bpf_`, or of that number."""
        return self._verdicts[get(helper).name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verdicts)

    def __len__(self) -> int:
        return len(self._verdicts)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The names of the helpers that programs may call."""
        return tuple(name for name, one in self._verdicts.items() if one.allowed)

    @property
    def withheld(self) -> tuple[Verdict, ...]:
        """What programs of this type could call but for a capability, lockdown, or how the kernel was built."""
        return tuple(one for one in self._verdicts.values() if one.status not in {"allowed", "type", "kernel"})

    def __repr__(self) -> str:
        hook = f" ({self.attach_type})" if self.attach_type else ""
        counted = Counter(one.status for one in self.withheld)
        held = "".join(f", {count} withheld: {status}" for status, count in counted.items())
        return f"<{self.prog_type}{hook} on Linux {self.kernel}: {len(self.allowed)} of {len(self)} helpers{held}>"


def probe(prog_type: str, attach_type: str | None = None) -> Probed:
    """Asks the running kernel which helpers programs of a type may call.

    Args:
        prog_type: the kernel's name, such as "xdp".
        attach_type: only what is allowed when the program is for this one, such as "cgroup_inet4_connect"; else what is
            allowed for any.

    Raises:
        HelperError: there is no such type.
        KernelError: no program of this type can be loaded here: privileges are missing, or the kernel has none.

    It takes the privileges that loading such a program takes. Nothing is attached, and nothing stays loaded. Sources:
    bpf(2), BPF_PROG_LOAD; kernel/bpf/verifier.c, check_helper_call.
    """
    check_type(prog_type)
    if attach_type is not None and attach_type not in ATTACH_TYPES:
        raise HelperError(f"{attach_type!r} is no attach type; {nearest(attach_type, ATTACH_TYPES)}")
    known = all()
    verdicts: dict[int, Verdict] = {}
    heard: dict[int, str] = {}
    loadable, forbidden = _hooks(prog_type, attach_type)
    for place, hook in enumerate(loadable):
        asked = [one for one in known if one.id not in verdicts]
        for one, answer in zip(asked, _ask(prog_type, hook, asked), strict=True):
            said = _meaning(*answer, one)
            if said == "allowed":
                verdicts[one.id] = Verdict(one, said, _where(hook) if place or one.category == "iter" else "")
            elif said == "sleep" and hook.may_sleep:
                verdicts[one.id] = Verdict(one, "allowed", _SLEEPING)
            elif heard.get(one.id) not in {"sleep", "function"}:
                heard[one.id] = said
    found = [verdicts.get(one.id) or _refused(one, prog_type, heard[one.id], forbidden) for one in known]
    return Probed(prog_type, attach_type, found)


def check_type(prog_type: str) -> None:
    """Raises `HelperError` for a type that does not exist, and for ext, which has no helpers of its own."""
    if prog_type not in PROGRAM_TYPES:
        raise HelperError(f"{prog_type!r} is no program type; {nearest(prog_type, PROGRAM_TYPES)}")
    if prog_type == "ext":
        raise HelperError(
            "a program of type ext may call what the one may call that it replaces: probe that one's type"
        )


# The hooks for which a program that calls nothing loads, and the names of those that the kernel forbids.
def _hooks(prog_type: str, attach_type: str | None) -> tuple[list[Hook], list[str]]:
    loadable, refusals = [], {}
    for hook in hooks(prog_type, attach_type):
        try:
            with_memlock(partial(_load, prog_type, hook))
        except KernelError as error:
            refusals[hook] = error
            continue
        loadable.append(hook)
        if hook.name == "struct_ops":
            break  # its members allow the same
    if not loadable:
        raise next(iter(refusals.values()))
    return loadable, [hook.name for hook, error in refusals.items() if error.errno == errno.EPERM]


def _load(prog_type: str, hook: Hook) -> None:
    answers = _verdicts(prog_type, hook, [_END, _END_WITH_1])
    number, log = min(answers)  # 0 is no error
    if number:
        what = f"a program of type {prog_type}{f' ({hook.name})' if hook.name else ''}"
        raise KernelError(number, f"cannot load {what}: {_cause(prog_type, number, log)}")


def _cause(prog_type: str, number: int, log: str) -> str:
    if number == errno.EPERM:
        wanted = ["CAP_BPF", *(["CAP_PERFMON"] if prog_type in _TRACE else [])]
        wanted += [] if prog_type in _TRACE | _ONLY_BPF else ["CAP_NET_ADMIN"]
        if KernelVersion.running() < (5, 8):
            wanted = ["CAP_SYS_ADMIN"]
        if missing := [one for one in wanted if lacks(one)]:
            return f"this process lacks {' and '.join(missing)}; run as root, or give it them"
        return "the kernel forbids it to everybody, by lockdown or a security module; `fastbpf doctor` tells more"
    said = [line for line in log.splitlines() if line and not line.startswith("processed ")]
    if said:
        return f"{os.strerror(number).lower()} (errno {number}), {said[-1]}"
    if number == errno.EINVAL:
        return "this kernel knows no such programs; it is too old for them, was built without them, or there are none"
    return f"{os.strerror(number).lower()} (errno {number})"


def _ask(prog_type: str, hook: Hook, helpers: Sequence[Helper]) -> list[tuple[int, str]]:
    return _verdicts(prog_type, hook, [pack("<BBhi", 0x85, 0, 0, one.id) + _END for one in helpers])


def _verdicts(prog_type: str, hook: Hook, programs: list[bytes]) -> list[tuple[int, str]]:
    from fastbpf import _native

    target = _number(hook.target) if hook.target else 0
    if target is None:
        return [(errno.ENOENT, f"the kernel's BTF has no {hook.target}")] * len(programs)
    number = PROGRAM_TYPES.index(prog_type) + 1
    flags = _SLEEPABLE if hook.sleepable else 0
    return _native.program_verdicts(number, hook.attach_type, target, flags, programs)


# The kernel's number for a type of its BTF: the same until the machine boots again.
@cache
def _number(target: tuple[int, str]) -> int | None:
    from fastbpf import _native

    kind, name = target
    return _native.btf_id(name, kind)


# What the kernel's answer to a program means that calls a helper with no arguments written.
def _meaning(number: int, log: str, helper: Helper) -> str:
    if not number:
        return "allowed"
    for words, meaning in _SAYS.items():
        if words in log:
            return meaning
    if not log:
        cause = f"{os.strerror(number).lower()} (errno {number})"
        raise KernelError(number, f"the kernel does not say whether it allows {helper.name}: {cause}; try again")
    return "allowed"  # it complains of the arguments


def _where(hook: Hook) -> str:
    return _SLEEPING if hook.sleepable else f"for {hook.name}"


def _refused(one: Helper, prog_type: str, heard: str, forbidden: list[str]) -> Verdict:
    if heard == "sleep":
        return Verdict(one, "type", f"{_SLEEPING} only")
    if heard == "function" and prog_type in _IN_FUNCTIONS:
        return Verdict(one, "allowed", "in functions that the kernel lists for it")
    kernel = KernelVersion.running()
    if heard == "kernel" or one.min_kernel > kernel:
        return Verdict(one, "kernel", f"since Linux {one.min_kernel}, this is {kernel}")
    if heard != "type" or one.allows(prog_type) is not True:
        return Verdict(one, "type", f"not for programs of type {prog_type}")
    if one.capability and lacks(one.capability):
        return Verdict(one, "capability", f"it takes {one.capability}, which this process lacks")
    locked = one.lockdown and locked_down(one.lockdown)
    if locked:
        return Verdict(one, "lockdown", f"the kernel is locked down for {one.lockdown}")
    built = one.config and configured(one.config)
    if built is False:
        return Verdict(one, "config", f"the kernel was built without CONFIG_{one.config}")
    perhaps = []
    if forbidden:
        perhaps.append(f"keeping it for {', '.join(forbidden)}, which this process may not load")
    if locked is None and one.lockdown:
        perhaps.append("locked down (to see it, mount securityfs on /sys/kernel/security)")
    if built is None and one.config:
        perhaps.append(f"built without CONFIG_{one.config}")
    if perhaps:
        return Verdict(one, "unknown", f"perhaps the kernel is {', or '.join(perhaps)}")
    return Verdict(one, "type", f"not for programs of type {prog_type} on this kernel")
