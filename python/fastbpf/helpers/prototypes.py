"""What the kernel knows of each helper: its arguments, what it returns, since when, and for which programs.

>>> lookup = prototype(1)
>>> lookup.name, lookup.returns_kind, str(lookup.since)
('map_lookup_elem', 'map_value_or_null', '3.19')
>>> [(parameter.name, parameter.kind) for parameter in lookup.parameters]
[('map', 'map'), ('key', 'map_key')]

The facts stand in prototypes.tsv, a line a helper, read when the first is asked for. Argument kinds, results and
licences are those that Linux 6.18 checks (struct bpf_func_proto). First kernels follow the kernel's history; program
types join what the headers of older kernels say with what Linux 6.18 accepts.
"""

from __future__ import annotations

from typing import NamedTuple

from fastbpf.kernel_version import KernelVersion

#: The program types of the kernel, in the order of their numbers from 1 (enum bpf_prog_type, Linux 6.18).
PROGRAM_TYPES: tuple[str, ...] = (
    *("socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event", "cgroup_skb"),
    *("cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg"),
    *("raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector"),
    *("cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext", "lsm"),
    *("sk_lookup", "syscall", "netfilter"),
)

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
        if program_type in self.program_types:
            return True
        if program_type in _OPEN_ENDED:
            return None
        if program_type in PROGRAM_TYPES:
            return False
        from difflib import get_close_matches

        near = get_close_matches(str(program_type), PROGRAM_TYPES) or PROGRAM_TYPES
        raise ValueError(f"{program_type!r} is no program type; the nearest: {', '.join(near)}")


_lines: list[str] = []
_read: dict[int, Prototype] = {}


def prototype(id: int) -> Prototype | None:
    """The helper of that number, or None: there are 211, and the kernel adds none (it adds kfuncs instead).

    >>> prototype(212) is None
    True
    """
    if id not in _read:
        if not _lines:
            from pathlib import Path

            _lines.extend(Path(__file__).with_suffix(".tsv").read_text("utf-8").splitlines())
        if not 0 < id < len(_lines):  # the first line names the columns
            return None
        _read[id] = _prototype(id, _lines[id])
    return _read[id]


def _prototype(id: int, line: str) -> Prototype:
    name, since, returns, returns_kind, flags, parameters, program_types = line.split("\t")
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
        program_types=_types(program_types.split()),
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


# "xdp sched_cls", or "all -ext": all but ext.
def _types(words: list[str]) -> frozenset[str]:
    if words[0] != "all":
        return frozenset(words)
    return frozenset(PROGRAM_TYPES).difference(word[1:] for word in words[1:])
