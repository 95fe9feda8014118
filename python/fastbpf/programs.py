"""Programs: from assembled code to a program in the kernel, and onto a probe."""

from __future__ import annotations

import errno
import re
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from fastbpf.asm import Code, assemble
from fastbpf.errors import KernelError, LayoutError, ProbeError, VerifierError
from fastbpf.links import Link
from fastbpf.maps import Map, MapSpec
from fastbpf.names import check_name
from fastbpf.privileges import remedied, with_memlock

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

    def load(self, maps: Mapping[str, Map] | None = None) -> Program:
        """Has the kernel verify the program, and the maps made that its code names.

        Args:
            maps: maps that exist already, by the names that the code's `MapSpec`s have.

        Raises:
            VerifierError: the verifier refused; `.log` has all of its words, `.source` the line that is to blame.
            KernelError: the kernel refused for another reason, privileges for instance.
        """
        given = dict(maps or {})
        with ExitStack() as made:
            live: dict[int, Map] = {}
            by_name: dict[str, Map] = dict(given)
            named = cast("tuple[Map | MapSpec, ...]", self.code.maps)
            for name in given.keys() - {one.spec.name if isinstance(one, Map) else one.name for one in named}:
                raise LayoutError(f"the code names no map {name!r}")
            for one in named:
                if isinstance(one, Map):
                    live[id(one)] = one
                    by_name.setdefault(one.spec.name, one)
                    continue
                if one.name and one.name in by_name:
                    known = by_name[one.name]
                    if one.name not in given and known.spec != one:
                        raise LayoutError(
                            f"the code names two different maps {one.name!r}; one map a name within a load"
                        )
                else:
                    known = made.enter_context(one.create())
                    by_name[one.name or f"map{len(live)}"] = known
                live[id(one)] = known
            native = self._load_native(self.code.link(lambda one: live[id(one)].fileno()))
            owned = made.pop_all()
        return Program(self, native, by_name, owned)

    def _load_native(self, instructions: bytes) -> _native.Program:
        from fastbpf import _native

        try:
            return with_memlock(lambda: _native.Program(_TYPES[self.type], instructions, self.license, self.name))
        except VerifierError as error:
            raise _explained(error, self) from None


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
        """Puts the program on a probe: "tracepoint:CATEGORY:NAME" or "raw_tracepoint:NAME".

        Raises:
            ProbeError: no such probe, or not one for this type of program.
            KernelError: the kernel refused.
        """
        from fastbpf import _native, probes

        kind, _, name = probe.partition(":")
        try:
            if kind in {"raw_tracepoint", "rt"}:
                self._check_type("raw_tracepoint", probe)
                return Link(_native.Link.raw_tracepoint(self._native, name), probe)
            place = probes.resolve(probe)
            self._check_type(place.program_type, place.text)
            return Link(_native.Link.tracepoint(self._native, place.tracepoint_id), place.text)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                raise ProbeError(f"the kernel has no {probe}; `fastbpf probes` lists what there is") from None
            if error.errno == errno.EEXIST:
                text = f"this program is already on {probe}; load it again for a second one"
                raise KernelError(errno.EEXIST, text) from None
            raise remedied(error) from None

    def _check_type(self, needed: str, probe: str) -> None:
        if self.spec.type != needed:
            raise ProbeError(f"{probe} takes a {needed} program; this one is a {self.spec.type} program")

    def test_run(self, data: bytes | None = None, ctx: bytes | None = None, repeat: int = 0) -> TestRun:
        """Runs the program once (or `repeat` times) here, without a probe.

        Args:
            data: the packet, for programs that take one; the kernel refuses fewer than 14 bytes.
            ctx: the context: a raw tracepoint's arguments, 8 bytes each.
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


_INSTRUCTION: Final = re.compile(r"^(\d+): \([0-9a-f]{2}\) ")
# Lines of the log that say where the verifier was, not what is wrong.
_NOISE: Final = re.compile(
    r"^(processed \d+ insns|verification time|stack depth|\d+: |from \d+ to|mark_precise|func#|last_idx|regs=|parent |"
    r"BPF program|max_states|arg#|; |live regs|Live regs|(cur|old) state: |\s*$)"
)


def _explained(error: VerifierError, spec: ProgramSpec) -> KernelError:
    log = error.log
    number = error.errno or 0
    if not log:
        if number in {errno.EPERM, errno.ENOSYS, errno.ENOMEM}:
            return remedied(KernelError(number, f"cannot load the program: {str(error).rpartition(': ')[2]}"))
        return VerifierError(number, f"{error}; the verifier said nothing", (), None)
    said = [line for line in log if not _NOISE.match(line)]
    at = [(int(found[1]), line) for line in log if (found := _INSTRUCTION.match(line))]
    source: Any = spec.code.source(at[-1][0]) if at and at[-1][0] < len(spec.code) else None
    where = f"{source}: " if source else ""
    which = f" (at instruction {at[-1][1].split(';')[0].strip()})" if at else ""
    return VerifierError(
        number,
        f"{where}the verifier refused: {said[-1].strip() if said else log[-1]}{which}; .log has all that it said",
        tuple(log),
        None if source is None else str(source),
    )
