"""Programs: from assembled code to a program in the kernel, and onto a probe."""

from __future__ import annotations

import errno
import os
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from fastbpf.asm import Code, assemble
from fastbpf.asm.rodata import ReadOnly, laid_out
from fastbpf.errors import CheckError, KernelError, LayoutError, VerifierError
from fastbpf.helpers.limits import lacks
from fastbpf.kernel_version import KernelVersion
from fastbpf.links import Link
from fastbpf.maps import Map, MapSpec, check_given, read_only
from fastbpf.names import check_name
from fastbpf.privileges import remedied, with_memlock
from fastbpf.symbols import btf_id, functions
from fastbpf.verifier_log import VerifierStats, explained, statistics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from fastbpf import _native

__all__ = ["Program", "ProgramInfo", "ProgramSpec", "TestRun"]

# enum bpf_prog_type, include/uapi/linux/bpf.h, in its order
_NAMES: Final = """
unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit
sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2 sk_reuseport
flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup syscall
netfilter
"""
_TYPES: Final = {name: number for number, name in enumerate(_NAMES.split()) if number}
_SLEEPABLE: Final = 1 << 4  # BPF_F_SLEEPABLE, include/uapi/linux/bpf.h
# What the kernel wants to be told with these types, and a ProgramSpec does not say.
_FUNCTION: Final = "which of its functions or structs the program is for (attach_btf_id)"
_PLACE: Final = "where the program is to be attached (expected_attach_type)"
_UNTOLD: Final = {
    **dict.fromkeys(("tracing", "struct_ops", "ext", "lsm"), _FUNCTION),
    **dict.fromkeys(("cgroup_sock_addr", "cgroup_sockopt", "lirc_mode2", "sk_lookup", "netfilter"), _PLACE),
}
_UNTOLD_ERRORS: Final = {errno.EPERM, errno.EINVAL, 524}  # 524: ENOTSUPP, which is the kernel's own


class TestRun(NamedTuple):
    """What a test run gave: the program's return value, nanoseconds a run, and its packet and context afterwards."""

    retval: int
    duration: int
    data: bytes
    ctx: bytes


TestRun.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of the name


class ProgramInfo(NamedTuple):
    """What the kernel knows of a program; run time and count only while `kernel.bpf_stats_enabled` is on."""

    id: int
    name: str
    tag: str
    verified_insns: int
    run_time_ns: int
    run_cnt: int
    recursion_misses: int


@dataclass(frozen=True)
class ProgramSpec:
    """What a program is to be: a description that touches no kernel.

    Args:
        type: the kernel's name for the program type: "tracepoint", "raw_tracepoint", "xdp", "socket_filter" …
        code: what `fastbpf.asm.assemble` gives.
        name: at most 15 of A-Z a-z 0-9 _ and ., shown by bpftool.
        license: the kernel lets programs under "GPL" call all helpers.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import *
    >>> fb.ProgramSpec("socket_filter", assemble(mov(r0, 1), exit_()), name="pass_one").name
    'pass_one'
    """

    type: str
    code: Code
    name: str = ""
    license: str = "GPL"

    def __post_init__(self) -> None:
        if self.type not in list(_TYPES):
            near = get_close_matches(str(self.type), _TYPES)
            hint = f"did you mean {near[0]!r}?" if near else "there are tracepoint, raw_tracepoint, xdp and others"
            raise LayoutError(f"there is no program type {self.type!r}; {hint}")
        if not isinstance(self.code, Code):
            object.__setattr__(self, "code", assemble(self.code))
        check_name(self.name)

    def load(self, maps: Mapping[str, Map] | None = None, *, check: bool = False, stats: bool = False) -> Program:
        """Has the kernel verify the program, and the maps made that its code names.

        Args:
            maps: maps that exist already, by the names that the code's `MapSpec`s have, and of their types and sizes.
            check: look for mistakes here first, see `Code.check`; what it warns of becomes a Python warning.
            stats: keep in `Program.stats` what the verification took.

        Raises:
            CheckError: `check` found mistakes, which its message and its `.findings` tell; the kernel was not asked.
            VerifierError: the verifier refused; `.log` has all of its words, `.source` the line that is to blame.
            AsmError: the code names a function or a variable that this kernel does not have.
            LayoutError: a given map is not what the code names, or nothing in the code has its name.
            KernelError: the kernel refused for another reason, privileges for instance.
        """
        if check:
            self._check()
        given = dict(maps or {})
        with ExitStack() as made:
            live: dict[int, Map] = {}
            by_name: dict[str, Map] = dict(given)
            named = cast("list[Map | MapSpec]", [one for one in self.code.maps if not isinstance(one, ReadOnly)])
            for name in given.keys() - {one.spec.name if isinstance(one, Map) else one.name for one in named}:
                raise LayoutError(f"the code names no map {name!r}")
            for one in named:
                if isinstance(one, Map):
                    if given.get(one.spec.name, one) is not one:
                        raise LayoutError(
                            f"the code names a living map {one.spec.name!r}; it takes no other in its place"
                        )
                    live[id(one)] = one
                    by_name.setdefault(one.spec.name, one)
                    continue
                if one.name and one.name in by_name:
                    known = by_name[one.name]
                    if one.name in given:
                        check_given(one, known)
                    elif known.spec != one:
                        raise LayoutError(
                            f"the code names two different maps {one.name!r}; one map a name within a load"
                        )
                else:
                    known = made.enter_context(one.create())
                    by_name[one.name or f"map{len(live)}"] = known
                live[id(one)] = known
            content, starts = laid_out(one for one in self.code.maps if isinstance(one, ReadOnly))
            constants = made.enter_context(read_only(content)).fileno() if starts else -1

            def place(one: object) -> int | tuple[int, int]:
                return (constants, starts[one]) if isinstance(one, ReadOnly) else live[id(one)].fileno()

            linked = self.code.link(place, btf_id)
            native = self._load_native(linked, stats=stats)
            owned = made.pop_all()
        return Program(self, native, by_name, owned)

    def _check(self) -> None:
        findings = self.code.check(self.type)
        if any(found.severity == "error" for found in findings):
            raise CheckError(findings)
        # What only older kernels refuse is no news here. What this one should lack is: it may have it all the same.
        for found in self.code.check(self.type, max(KernelVersion.running(), KernelVersion(5, 10))):
            warnings.warn(f"{found.source or f'slot {found.slot}'}: {found.message}", stacklevel=3)

    def _load_native(self, instructions: bytes, *, stats: bool) -> _native.Program:
        from fastbpf import _native

        # The kernel runs these where it may sleep, and no others (kernel/bpf/verifier.c, check_attach_btf_id).
        flags = _SLEEPABLE if self.type == "syscall" else 0
        starts = functions(self.code, self.name)
        try:
            return with_memlock(
                lambda: _native.Program(
                    *(_TYPES[self.type], instructions, self.license, self.name),
                    flags=flags,
                    functions=starts,
                    statistics=stats,
                )
            )
        except VerifierError as error:
            number = error.errno or 0
            told = explained(error, self.code)
            if told.slot is None and number in _UNTOLD_ERRORS and self.type in _UNTOLD and not lacks("CAP_BPF"):
                what = f"fastbpf loads no {self.type} programs: the kernel asks {_UNTOLD[self.type]}"
                raise KernelError(number, f"{what}, and a ProgramSpec does not tell (errno {number})") from None
            if not error.log and number in {errno.EPERM, errno.ENOSYS, errno.ENOMEM}:
                what = f"cannot load the program: {os.strerror(number).lower()} (errno {number})"
                raise remedied(KernelError(number, what)) from None
            raise told from None
        except KernelError as error:
            raise remedied(error) from None


class Program:
    """A program in the kernel that this process owns, with the maps that were made for it in `maps`, by name."""

    def __init__(self, spec: ProgramSpec, native: _native.Program, maps: Mapping[str, Map], owned: ExitStack) -> None:
        self.spec = spec
        self.maps = dict(maps)
        self._native = native
        self._owned = owned

    def __repr__(self) -> str:
        return f"<fastbpf.Program {self.spec.name or '(no name)'}: {self.spec.type}>"

    @property
    def id(self) -> int:
        """The kernel's number for this program, as bpftool shows it."""
        return self.info.id

    @property
    def info(self) -> ProgramInfo:
        """What the kernel knows of it now. Source: bpf(2), BPF_OBJ_GET_INFO_BY_FD."""
        return ProgramInfo(**self._native.info())  # type: ignore[arg-type]  # the names are the fields

    @property
    def stats(self) -> VerifierStats | None:
        """What its verification took, if it was loaded with `stats=True`."""
        return statistics(self._native.log) if self._native.log else None

    def fileno(self) -> int:
        """The file descriptor, which stays this object's."""
        return self._native.fileno()

    def close(self) -> None:
        """Lets go of the program and of the maps that were made for it; links keep it alive until they are closed."""
        self._native.close()
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, probe: str) -> Link:
        """Puts the program on a probe, until the link is closed.

        ========================================  ================  ===================================================
        probe                                     type of program   runs
        ========================================  ================  ===================================================
        `tracepoint:CATEGORY:NAME`, `t:`          tracepoint        at the tracepoint, on its record
        `raw_tracepoint:NAME`, `rt:`              raw_tracepoint    at the tracepoint, on the kernel's own arguments
        `kprobe:FUNCTION`, `k:`                   kprobe            where a function of the kernel begins
        `kprobe:FUNCTION+OFFSET`                  kprobe            at the instruction so many bytes further on
        `kretprobe:FUNCTION`, `kr:`               kprobe            where the function returns
        `xdp:INTERFACE`                           xdp               on packets before the stack, in the driver if it can
        `tc:INTERFACE:ingress`, `…:egress`        sched_cls         on packets that come in or go out
        ========================================  ================  ===================================================

        Interfaces are those of the network namespace of the thread that calls. XDP needs Linux 5.9, and an interface
        takes one program; tc needs 6.6 (tcx), and its programs run in the order in which they came.

        Raises:
            ProbeError: no such probe, or not one for this type of program.
            KernelError: the kernel refused, or has nothing of that kind.

        Source: bpf(2), BPF_LINK_CREATE, BPF_RAW_TRACEPOINT_OPEN; perf_event_open(2).
        """
        from fastbpf.probes.attach import attach

        try:
            return Link(*attach(self._native, self.spec.type, probe))
        except KernelError as error:
            raise remedied(error) from None

    def test_run(self, data: bytes | None = None, ctx: bytes | None = None, repeat: int = 0) -> TestRun:
        """Runs the program once (or `repeat` times) here, without a probe.

        Args:
            data: the packet, for programs that take one; the kernel refuses fewer than 14 bytes.
            ctx: the context: a raw tracepoint's arguments, 8 bytes each; a syscall program may change it.
            repeat: how often; 0 and 1 are once.

        Raises:
            KernelError: the kernel refused; it has no test runs for tracepoint programs (errno 524).

        Source: bpf(2), BPF_PROG_TEST_RUN; net/bpf/test_run.c.
        """
        try:
            return TestRun(*self._native.test_run(data, ctx, repeat))
        except KernelError as error:
            if error.errno == 524:  # ENOTSUPP, which is the kernel's own
                raise KernelError(
                    524, f"the kernel cannot test-run a {self.spec.type} program; attach it instead"
                ) from None
            raise remedied(error) from None
