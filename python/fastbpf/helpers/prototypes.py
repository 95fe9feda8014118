"""What the kernel knows of each helper: its arguments, what it returns, since when, and for which programs.

>>> lookup = prototype(1)
>>> lookup.name, lookup.returns_kind, str(lookup.since)
('map_lookup_elem', 'map_value_or_null', '3.19')
>>> [(parameter.name, parameter.kind) for parameter in lookup.parameters]
[('map', 'map'), ('key', 'map_key')]

The facts stand in helpers.tsv. Argument kinds, results and
licences are those that Linux 6.18 checks (struct bpf_func_proto). First kernels follow the kernel's history; program
types join what the headers of older kernels say with what Linux 6.18 accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastbpf.helpers.facts import LINES
from fastbpf.kernel_version import KernelVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

# The program types of the kernel in the order of their numbers from 1 (enum bpf_prog_type, Linux 6.18), and the first
# kernel that has each.
_SINCE = """
3.19 socket_filter
4.1 kprobe sched_cls sched_act
4.7 tracepoint
4.8 xdp
4.9 perf_event
4.10 cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit
4.13 sock_ops
4.14 sk_skb
4.15 cgroup_device
4.17 sk_msg raw_tracepoint cgroup_sock_addr
4.18 lwt_seg6local lirc_mode2
4.19 sk_reuseport
4.20 flow_dissector
5.2 cgroup_sysctl raw_tracepoint_writable
5.3 cgroup_sockopt
5.5 tracing
5.6 struct_ops ext
5.7 lsm
5.9 sk_lookup
5.14 syscall
6.4 netfilter
"""
_TYPES_SINCE = {name: since for since, *names in map(str.split, _SINCE.strip().splitlines()) for name in names}

#: The program types of the kernel, in the order of their numbers from 1.
PROGRAM_TYPES: tuple[str, ...] = tuple(_TYPES_SINCE)

# What they may call hangs on what they are attached to; lirc_mode2 is a driver that few kernels have.
_OPEN_ENDED = frozenset({"tracing", "struct_ops", "ext", "lsm", "lirc_mode2"})


class Parameter(NamedTuple):
    """One parameter of a helper, as the kernel checks it."""

    name: str
    type: str
    """In C, such as `"const void *"`."""
    kind: str
    """What the register must hold:

    `"map"` (a map itself), `"map_key"` and `"map_value"` (memory of that map's size), `"mem_read"` and `"mem_write"`
    (memory that the helper reads or writes), `"size"` (how much memory the parameter before it points to),
    `"alloc_size"` (a constant: how much memory the result points to), `"ctx"` (the program's context), `"ringbuf_mem"`
    (a reserved record), `"func"` (a callback), `"pointer"` (a socket, a timer, a dynptr: whatever else has to be a
    certain pointer), `"scalar"` (any value that was written), `"unchecked"` (some program types look at it, others do
    not even ask whether it was written).
    """
    nullable: bool
    """Whether 0 will do in place of the pointer (of memory with a size parameter: together with size 0)."""
    initialised: bool
    """False where the memory may hold nothing yet, because the helper only writes it. Kernels before 6.12 want numbers
    that a helper returns through a pointer (`bpf_strtol`) to be initialised all the same."""
    zero_ok: bool
    """Of a size: whether it may be 0."""
    size: int | None
    """Of `"mem_read"` and `"mem_write"`: the number of bytes, where it is fixed."""
    size_index: int | None
    """Of `"mem_read"` and `"mem_write"`: the index of the parameter that says how many bytes, where it is not fixed."""


class Prototype(NamedTuple):
    """A helper function. Its `id` is the immediate of the call instruction, its `name` has no `bpf_`.

    >>> comm = prototype(16)
    >>> comm.name, comm.gpl_only, comm.allows("kprobe"), comm.allows("lsm")
    ('get_current_comm', False, True, True)
    >>> buffer, size = comm.parameters
    >>> buffer.kind, buffer.initialised, buffer.size_index, size.zero_ok
    ('mem_write', False, 1, False)
    """

    id: int
    name: str
    returns: str
    """In C, such as `"long"`."""
    returns_kind: str
    """What r0 holds for the verifier: `"scalar"`, `"void"` (nothing: r0 cannot be read, even where the C type says
    `long`, as after `bpf_tail_call`), `"map_value"`, `"map_value_or_null"`, `"ringbuf_mem_or_null"`, `"pointer"` or
    `"pointer_or_null"`."""
    ret_refined: bool
    """Whether some kernel knows more of the result than its kind says: bounds of a number, or that the element of an
    array under a constant key cannot be NULL (Linux 6.18 does)."""
    parameters: tuple[Parameter, ...]
    variadic: bool
    """Whether more values may follow in the registers left (`bpf_trace_printk`). The kernel does not check them."""
    since: KernelVersion
    program_types: frozenset[str]
    gpl_only: bool
    """Whether only programs under a licence compatible with the GPL may call it, whatever their type."""
    acquires: str | None
    """What has to be given back on every path: `"ringbuf"` (a record), `"dynptr"` (a record behind a dynptr, even where
    the reservation failed) or `"reference"`. A lookup acquires a reference too where the map holds sockets.
    """
    releases: str | None
    """What it gives back, in the same words."""

    def allows(self, program_type: str) -> bool | None:
        """Whether programs of this type may call it, on some kernel and for some attach type.

        None where that cannot be known: what programs for tracing, lsm, struct_ops and ext may call hangs on what they
        are attached to. Raises `ValueError` for a type that does not exist.

        >>> prototype(44).name, prototype(44).allows("xdp"), prototype(44).allows("kprobe"), prototype(44).allows("ext")
        ('xdp_adjust_head', True, False, None)
        """
        return allowed(self.program_types, program_type)


def allowed(program_types: frozenset[str], program_type: str) -> bool | None:
    """What `Prototype.allows` says of a helper that these types may call."""
    if program_type in program_types:
        return True
    if program_type in _OPEN_ENDED:
        return None
    if program_type in PROGRAM_TYPES:
        return False
    raise ValueError(f"{program_type!r} is no program type; {nearest(program_type, PROGRAM_TYPES)}")


def type_since(program_type: str) -> KernelVersion:
    """The first kernel that has programs of this type.

    >>> print(type_since("xdp"))
    4.8
    """
    return KernelVersion.of(_TYPES_SINCE[program_type])


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of a refusal: `the nearest: xdp, lsm`, or all that there are where nothing is near."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(str(word), names)
    return f"the nearest: {', '.join(near)}" if near else f"there are {', '.join(names)}"


_read: dict[int, Prototype] = {}


def prototype(id: int) -> Prototype | None:
    """The helper of that number, or None: there are 211, and the kernel adds none (it adds kfuncs instead).

    >>> prototype(212) is None
    True
    """
    if id not in _read:
        if not 0 < id <= len(LINES):
            return None
        _read[id] = _prototype(id, LINES[id - 1])
    return _read[id]


def _prototype(id: int, line: tuple[str, ...]) -> Prototype:
    name, since, returns, returns_kind, flags, parameters, program_types = line[:7]
    marks = dict(flag.partition("=")[::2] for flag in flags.split(","))
    texts = [] if parameters == "-" else parameters.split("; ")
    variadic = texts[-1:] == ["..."]
    return Prototype(
        id=id,
        name=name,
        returns=returns,
        returns_kind=returns_kind,
        ret_refined="refined" in marks,
        parameters=tuple(_parameter(place, text) for place, text in enumerate(texts[: len(texts) - variadic])),
        variadic=variadic,
        since=KernelVersion.of(since),
        program_types=types_of(program_types),
        gpl_only="gpl" in marks,
        acquires=marks.get("acquires"),
        releases=marks.get("releases"),
    )


# "void *to: mem_write~?": the kind; its bytes (mem_read:20), ~ need not be initialised, ? may be NULL, size0 may be 0.
def _parameter(place: int, text: str) -> Parameter:
    c, _, rule = text.partition(": ")
    name = c[max(c.rfind(" "), c.rfind("*")) + 1 :]
    kind, _, size = rule.rstrip("?~").partition(":")
    return Parameter(
        name=name,
        type=c.removesuffix(name).rstrip(" "),
        kind="size" if kind == "size0" else kind,
        nullable="?" in rule,
        initialised="~" not in rule,
        zero_ok=kind == "size0",
        size=int(size) if size else None,
        size_index=place + 1 if kind.startswith("mem_") and not size else None,  # the kernel wants it right behind
    )


def types_of(text: str) -> frozenset[str]:
    """The program types of a line: "xdp sched_cls", or "all -ext", which is all but ext."""
    words = text.split()
    if words[0] != "all":
        return frozenset(words)
    return frozenset(PROGRAM_TYPES).difference(word[1:] for word in words[1:])
