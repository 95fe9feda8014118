"""What programs may read and write of their context, and what a read gives: the kernel's rules, by program type.

The rules were learnt from the kernel's sources (net/core/filter.c, kernel/bpf/cgroup.c, kernel/trace/bpf_trace.c) and
hold for Linux 5.10 to 7.2; a test asks the running kernel about every offset and size. They join what all attach types
of a program type allow.

>>> from fastbpf.asm.context.access import accesses
>>> xdp = accesses("xdp")
>>> xdp.allows(0, 4, write=False), xdp.allows(0, 8, write=False), xdp.certainly_refused(0, 8, write=False)
(True, False, True)
>>> xdp.gives(0), xdp.gives(12)
('packet', 'scalar')
>>> xdp.describe(0)
'ctx.xdp_md.data at offset 0, which xdp programs read by 4 bytes'
"""

from __future__ import annotations

from fastbpf.asm.context.contexts import ctx, machine, registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal, TypeAlias

    from fastbpf.asm.context.field import Field

    # start, end, the sizes taken in between, whether only at the start
    Rule: TypeAlias = tuple[int, int, frozenset[int], bool]
    Given: TypeAlias = Literal["scalar", "packet", "packet_end", "packet_meta", "pointer"]

__all__ = ["Access", "accesses", "struct_of"]

# A rule: fields ("first..last": those between, too; "*": all) or offsets ("0-95"), a colon, and the sizes in bytes that
# are taken anywhere in there; after ^ only at the very beginning.
_HEAD: Final = "len..tc_index:124 cb:1248 hash:124"
_TAIL: Final = "gso_segs:124 sk:8 gso_size:124"
_STAMPS: Final = "tstamp_type:1 hwtstamp:8"
_ADDRESSES: Final = "napi_id..family:124 remote_ip4..local_ip6:4 remote_port..local_port:124"
_TC: Final = (
    "sk_buff",
    f"{_HEAD} tc_classid:124 data..data_end:4 napi_id:124 data_meta:4 tstamp:8 wire_len:124 {_TAIL} {_STAMPS}",
    "mark:4 queue_mapping:4 priority:4 tc_index:4 cb:1248 tc_classid:4 tstamp:8",
)
_LWT: Final = ("sk_buff", f"{_HEAD} data..data_end:4 napi_id:124 {_TAIL}", "mark:4 priority:4 cb:1248")
# Arguments are numbers or pointers of 8 bytes; the lower half of a number can be read alone.
_ARGS: Final = ("args", " ".join(f"{at}-{at + 7}:^1248" for at in range(0, 96, 8)), "")

# Program type: its context, rules for reading, rules for writing, what else some kernel accepts.
_RULES: Final[dict[str, tuple[str, ...]]] = {
    "socket_filter": ("sk_buff", f"{_HEAD} napi_id:124 {_TAIL}", "cb:1248"),
    "sched_cls": _TC,
    "sched_act": _TC,
    "cgroup_skb": (
        "sk_buff",
        f"{_HEAD} data..data_end:4 {_ADDRESSES} tstamp:8 {_TAIL} hwtstamp:8",
        "mark:4 priority:4 cb:1248 tstamp:8",
    ),
    "lwt_in": _LWT,
    "lwt_out": _LWT,
    "lwt_xmit": _LWT,
    "lwt_seg6local": _LWT,
    "sk_skb": (
        "sk_buff",
        f"len..pkt_type:124 queue_mapping..tc_index:124 cb:1248 hash:124 data..data_end:4 {_ADDRESSES} {_TAIL}",
        "priority:4 tc_index:4",
    ),
    "flow_dissector": ("sk_buff", "data..data_end:4 flow_keys:8", ""),
    # programs bound to a device may write rx_queue_index
    "xdp": ("xdp_md", "data..egress_ifindex:4", "", "rx_queue_index:4"),
    "cgroup_sock": (
        "bpf_sock",
        (
            "bound_dev_if:4 family:^124 type:^124 protocol:^124 mark..priority:4 src_ip4..src_ip6:124 src_port:^124 "
            "dst_port..dst_ip4:^4 dst_port:12 dst_ip4..dst_ip6:124 state:^124 rx_queue_mapping:^124"
        ),
        "bound_dev_if:4 mark..priority:4",
    ),
    "cgroup_sock_addr": (
        "bpf_sock_addr",
        (
            "user_family:4 user_ip4:124 user_ip6:1248 user_port:124 family..protocol:4 "
            "msg_src_ip4:124 msg_src_ip6:1248 sk:8"
        ),
        "user_ip4:4 user_ip6:48 user_port:4 msg_src_ip4:4 msg_src_ip6:48",
    ),
    "cgroup_device": ("bpf_cgroup_dev_ctx", "access_type:124 major..minor:4", ""),
    "cgroup_sysctl": ("bpf_sysctl", "write..file_pos:124", "file_pos:4"),
    "cgroup_sockopt": ("bpf_sockopt", "sk..optval_end:8 level..retval:4", "level..retval:4"),
    "sock_ops": (
        "bpf_sock_ops",
        "op..sk_txhash:4 bytes_received..skb_data_end:8 skb_len:4 skb_tcp_flags:^124 skb_hwtstamp:8",
        "reply:4 sk_txhash:4",
    ),
    "sk_msg": ("sk_msg_md", "data..data_end:8 family..size:4 sk:8", ""),
    "sk_reuseport": (
        "sk_reuseport_md",
        "data..data_end:8 len:124 eth_protocol:24 ip_protocol..bind_inany:124 hash:4 sk..migrating_sk:8",
        "",
    ),
    "sk_lookup": ("bpf_sk_lookup", "sk:8 family..ingress_ifindex:124", ""),
    "netfilter": ("bpf_nf_ctx", "state..skb:8", ""),
    # newer kernels let uprobes write registers (7.2 does); some architectures have more than those with a name here
    "kprobe": ("pt_regs", "*:1248", "", "0-4095:1248"),
    "perf_event": ("bpf_perf_event_data", "*:8 sample_period..addr:1248", ""),
    "raw_tracepoint": ("bpf_raw_tracepoint_args", "0-95:1248", ""),
    # the buffer, which is its first argument, is a pointer
    "raw_tracepoint_writable": ("bpf_raw_tracepoint_args", "0-95:8 1-95:124", ""),
    "tracing": _ARGS,
    "lsm": _ARGS,
    # the first 8 bytes are the common fields'
    "tracepoint": ("", "8-8191:1248", ""),
    "syscall": ("", "0-65535:1248", "0-65535:1248"),
}

# Fields that give a pointer into the packet (of cgroup_sockopt: into the option's value), or its end.
_PACKET: Final[dict[str, Given]] = {
    "data": "packet",
    "data_end": "packet_end",
    "data_meta": "packet_meta",
    "optval": "packet",
    "optval_end": "packet_end",
    "skb_data": "packet",
    "skb_data_end": "packet_end",
}
# What a later kernel may add to a context at its end, in bytes.
_GROWTH: Final = 64


class Access:
    """The rules for the context of a program type. `accesses` makes them."""

    def __init__(self, prog_type: str, fields: Mapping[str, Field]) -> None:
        self._prog_type = prog_type
        self._fields = tuple(fields.values())
        _, reads, writes, others = (*_RULES[prog_type], "")[:4]
        self._reads, self._writes, self._others = (_rules(text, fields) for text in (reads, writes, others))
        places = [(field.offset, field.offset + field.size) for field in self._fields if field.size]
        self._end = max(end for _, end in places) if places else max(rule[1] for rule in self._reads)
        # where a field is; or, where the kernel has no fields but an array, all of it
        self._known = places or [(0, self._end)]

    def allows(self, offset: int, size: int, write: bool) -> bool:  # noqa: FBT001  # the third coordinate of an access
        """Whether Linux 6.18 accepts a read or write of `size` bytes at an offset, for some attach type."""
        return _meets(self._writes if write else self._reads, offset, size)

    def certainly_refused(self, offset: int, size: int, write: bool) -> bool:  # noqa: FBT001  # the third coordinate of an access
        """Whether every kernel refuses it.

        Neither this nor `allows` holds where kernels differ, and where a later one may have another field: in a gap
        between fields, and right behind the last.
        """
        if offset < 0:
            # The kernel looks only at where a tracepoint's record ends.
            return self._prog_type != "tracepoint"
        if offset % size:
            # Linux 7.2 takes it of a syscall program, whose context is plain memory.
            return self._prog_type != "syscall"
        if self.allows(offset, size, write) or _meets(self._others, offset, size):
            return False
        gap = not any(start < offset + size and offset < end for start, end in self._known)
        return not gap or offset >= self._end + _GROWTH

    def gives(self, offset: int) -> Given:
        """What a read there yields.

        "packet", "packet_end" and "packet_meta" bound the packet (of cgroup_sockopt: the option's value). "pointer" is
        every other pointer, which may be NULL, and what only BTF tells. The rest is "scalar".
        """
        if self._prog_type in ("tracing", "lsm") or (self._prog_type, offset) == ("raw_tracepoint_writable", 0):
            return "pointer"
        field = self._at(offset)
        if field is None:
            return "scalar"
        return _PACKET.get(field.name) or ("pointer" if field.type.endswith("*") else "scalar")

    def describe(self, offset: int) -> str:
        """The field there, and what programs of this type may do with it; or what is near."""
        programs = f"{self._prog_type} programs"
        field = self._at(offset)
        if field is None and not self._fields:
            return f"{programs} read offsets {min(rule[0] for rule in self._reads)} to {self._end - 1}"
        if field is None:
            before = [field.offset for field in self._fields if field.offset < offset]
            after = [field.offset for field in self._fields if field.offset > offset]
            near = [f"{self._at(at)!r} at offset {at}" for at in (*sorted(before)[-1:], *sorted(after)[:1])]
            return f"no field; nearest {'are' if len(near) > 1 else 'is'} {' and '.join(near)}"
        uses = [
            f"{verb} by {sizes} bytes"
            for verb, rules in (("read", self._reads), ("write", self._writes))
            if (sizes := _listed([size for size in (1, 2, 4, 8) if _meets(rules, field.offset, size)]))
        ]
        return f"{field!r} at offset {field.offset}, which {programs} {' and '.join(uses) or 'may not use'}"

    # the field that the byte at an offset is in; of an array, the element
    def _at(self, offset: int) -> Field | None:
        for field in self._fields if offset >= 0 else ():
            if field.elements == 0 or field.offset <= offset < field.offset + field.size:
                return field if field.elements is None else field[(offset - field.offset) // field[0].size]
        return None


def struct_of(prog_type: str) -> str | None:
    """The context of a program type, as it is called after `ctx.`; None: it has none, or we do not know it.

    >>> struct_of("sched_cls"), struct_of("tracing"), struct_of("syscall")
    ('sk_buff', 'args', None)
    """
    return _RULES[prog_type][0] or None if prog_type in _RULES else None


def accesses(prog_type: str) -> Access | None:
    """The rules for a program type's context; None: we do not know them (ext, struct_ops, lirc_mode2)."""
    if prog_type not in _MADE:
        _MADE[prog_type] = _access(prog_type)
    return _MADE[prog_type]


_MADE: Final[dict[str, Access | None]] = {}


def _access(prog_type: str) -> Access | None:
    struct = struct_of(prog_type)
    if struct == "args":
        return Access(prog_type, {"args": ctx.args})
    if struct in ("pt_regs", "bpf_perf_event_data"):
        fields = registers(struct, machine())
        return Access(prog_type, fields) if fields else None
    if struct:
        return Access(prog_type, getattr(ctx, struct)._members)
    return Access(prog_type, {}) if prog_type in _RULES else None


def _rules(text: str, fields: Mapping[str, Field]) -> list[Rule]:
    rules = []
    for word in text.split():
        place, sizes = word.split(":")
        if place == "*":
            start, end = 0, max(field.offset + field.size for field in fields.values())
        elif place[0].isdigit():
            start, end = (int(number) for number in place.split("-"))
            end += 1
        else:
            first, _, last_name = place.partition("..")
            final = fields[last_name or first]
            start, end = fields[first].offset, final.offset + final.size
        rules.append((start, end, frozenset(map(int, sizes.removeprefix("^"))), sizes[0] == "^"))
    return rules


def _meets(rules: list[Rule], offset: int, size: int) -> bool:
    return offset % size == 0 and any(
        size in sizes and (offset == start if at_start else start <= offset) and offset + size <= end
        for start, end, sizes, at_start in rules
    )


def _listed(sizes: list[int]) -> str:
    text = ", ".join(map(str, sizes))
    return " or ".join(text.rsplit(", ", 1))
