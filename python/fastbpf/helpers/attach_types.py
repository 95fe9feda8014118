"""What programs are attached to, as far as it decides which helpers they may call."""

from __future__ import annotations

from typing import Final, NamedTuple

#: The attach types of the kernel in the order of their numbers from 0 (enum bpf_attach_type, Linux 6.18).
ATTACH_TYPES: Final[tuple[str, ...]] = (
    *("cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_sock_ops"),
    *("sk_skb_stream_parser", "sk_skb_stream_verdict", "cgroup_device", "sk_msg_verdict"),
    *("cgroup_inet4_bind", "cgroup_inet6_bind", "cgroup_inet4_connect", "cgroup_inet6_connect"),
    *("cgroup_inet4_post_bind", "cgroup_inet6_post_bind", "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg"),
    *("lirc_mode2", "flow_dissector", "cgroup_sysctl", "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg"),
    *("cgroup_getsockopt", "cgroup_setsockopt", "trace_raw_tp", "trace_fentry", "trace_fexit", "modify_return"),
    *("lsm_mac", "trace_iter", "cgroup_inet4_getpeername", "cgroup_inet6_getpeername"),
    *("cgroup_inet4_getsockname", "cgroup_inet6_getsockname", "xdp_devmap", "cgroup_inet_sock_release"),
    *("xdp_cpumap", "sk_lookup", "xdp", "sk_skb_verdict", "sk_reuseport_select"),
    *("sk_reuseport_select_or_migrate", "perf_event", "trace_kprobe_multi", "lsm_cgroup", "struct_ops"),
    *("netfilter", "tcx_ingress", "tcx_egress", "trace_uprobe_multi", "cgroup_unix_connect"),
    *("cgroup_unix_sendmsg", "cgroup_unix_recvmsg", "cgroup_unix_getpeername", "cgroup_unix_getsockname"),
    *("netkit_primary", "netkit_peer", "trace_kprobe_session", "trace_uprobe_session"),
)

# The plain attach type, where the kernel wants none.
_PLAIN: Final = ""


class Hook(NamedTuple):
    """What a program is loaded for. `attach_type` is a number, `target` a type in the kernel's BTF: kind and name."""

    name: str
    attach_type: int
    target: tuple[int, str] | None = None
    sleepable: bool = False
    may_sleep: bool = False
    """Whether a program that is not `sleepable` here could be, or could be for another function."""


# For each program type the attach types that between them allow all that any of them does; the most usual first, save
# that tracepoints take the verifier five times as long as an iterator. A type that is not here has none, or they make
# no difference.
_TRIED: Final = {
    "cgroup_skb": ("cgroup_inet_ingress", "cgroup_inet_egress"),
    "cgroup_sock": ("cgroup_inet_sock_create", "cgroup_inet4_post_bind", "cgroup_inet6_post_bind"),
    "sock_ops": ("cgroup_sock_ops",),
    "cgroup_device": ("cgroup_device",),
    "cgroup_sock_addr": ("cgroup_inet4_connect", "cgroup_inet4_bind"),
    "sk_reuseport": ("sk_reuseport_select", "sk_reuseport_select_or_migrate"),
    "cgroup_sysctl": ("cgroup_sysctl",),
    "cgroup_sockopt": ("cgroup_setsockopt", "cgroup_getsockopt"),
    "sk_lookup": ("sk_lookup",),
    "netfilter": ("netfilter",),
    "tracing": ("trace_iter", "trace_fentry", "trace_fexit", "modify_return", "trace_raw_tp"),
    "lsm": ("lsm_mac", "lsm_cgroup"),
    "struct_ops": ("struct_ops",),
}

# Kinds of types in BTF (include/uapi/linux/btf.h), and one of each that every kernel with this attach type has.
_STRUCT, _TYPEDEF, _FUNC = 4, 8, 12
_TARGETS: Final = {
    "trace_raw_tp": (_TYPEDEF, "btf_trace_sched_switch"),
    "trace_fentry": (_FUNC, "bpf_fentry_test1"),
    "trace_fexit": (_FUNC, "bpf_fentry_test1"),
    "modify_return": (_FUNC, "bpf_modify_return_test"),
    "trace_iter": (_FUNC, "bpf_iter_task"),
    "lsm_mac": (_FUNC, "bpf_lsm_file_open"),
    "lsm_cgroup": (_FUNC, "bpf_lsm_socket_bind"),
    "struct_ops": (_STRUCT, "tcp_congestion_ops"),
}
# struct_ops says which member, by its index: one of these is a function in every kernel.
_MEMBERS: Final = range(12)
_ALWAYS_SLEEPS: Final = {"syscall"}
# Newer kernels say of a helper that it is for programs that may sleep; for older ones it takes a program that does.
_MAY_SLEEP: Final = {"trace_fentry", "trace_fexit", "modify_return", "trace_iter", "lsm_mac", "struct_ops"}
_TRIED_ASLEEP: Final = {
    ("kprobe", _PLAIN),
    ("kprobe", "trace_uprobe_multi"),
    ("tracing", "trace_iter"),
    ("lsm", "lsm_mac"),
}


def hooks(prog_type: str, attach_type: str | None = None) -> list[Hook]:
    """What to load programs of a type for, to see all that they may call; the most usual first."""
    names = _TRIED.get(prog_type, (_PLAIN,)) if attach_type is None else (attach_type,)
    found = []
    for name in names:
        target, number = _TARGETS.get(name), ATTACH_TYPES.index(name) if name else 0
        sleepy = (prog_type, name) in _TRIED_ASLEEP
        first = Hook(name, number, target, prog_type in _ALWAYS_SLEEPS, sleepy or name in _MAY_SLEEP)
        if name == "struct_ops":
            found += [first._replace(attach_type=member) for member in _MEMBERS]
            continue
        found.append(first)
        if sleepy:
            found.append(first._replace(sleepable=True))
    return found
