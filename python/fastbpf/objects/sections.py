"""What the name of a section says about the programs in it, as compilers and libbpf agree on it.

Source: Documentation/bpf/libbpf/program_types.rst.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fastbpf.helpers.attach_types import ATTACH_TYPES

__all__ = ["Purpose", "purpose"]

# The beginning of the section's name, the type, and the attach type where the kernel has to know it at load.
_SECTIONS: Final = """
socket               socket_filter
sk_reuseport         sk_reuseport     sk_reuseport_select
sk_reuseport/migrate sk_reuseport     sk_reuseport_select_or_migrate
kprobe               kprobe
kretprobe            kprobe
kprobe.multi         kprobe           trace_kprobe_multi
kretprobe.multi      kprobe           trace_kprobe_multi
kprobe.session       kprobe           trace_kprobe_session
ksyscall             kprobe
kretsyscall          kprobe
uprobe               kprobe
uretprobe            kprobe
uprobe.multi         kprobe           trace_uprobe_multi
uretprobe.multi      kprobe           trace_uprobe_multi
uprobe.session       kprobe           trace_uprobe_session
usdt                 kprobe
tc                   sched_cls
tc/ingress           sched_cls
tc/egress            sched_cls
tcx/ingress          sched_cls
tcx/egress           sched_cls
netkit/primary       sched_cls
netkit/peer          sched_cls
classifier           sched_cls
action               sched_act
tracepoint           tracepoint
tp                   tracepoint
raw_tracepoint       raw_tracepoint
raw_tp               raw_tracepoint
raw_tracepoint.w     raw_tracepoint_writable
raw_tp.w             raw_tracepoint_writable
tp_btf               tracing          trace_raw_tp
fentry               tracing          trace_fentry
fexit                tracing          trace_fexit
fmod_ret             tracing          modify_return
iter                 tracing          trace_iter
lsm                  lsm              lsm_mac
lsm_cgroup           lsm              lsm_cgroup
freplace             ext
struct_ops           struct_ops
syscall              syscall
xdp                  xdp
xdp/devmap           xdp              xdp_devmap
xdp/cpumap           xdp              xdp_cpumap
perf_event           perf_event
lwt_in               lwt_in
lwt_out              lwt_out
lwt_xmit             lwt_xmit
lwt_seg6local        lwt_seg6local
sockops              sock_ops         cgroup_sock_ops
sk_skb               sk_skb
sk_skb/stream_parser sk_skb           sk_skb_stream_parser
sk_skb/stream_verdict sk_skb          sk_skb_stream_verdict
sk_skb/verdict       sk_skb           sk_skb_verdict
sk_msg               sk_msg           sk_msg_verdict
lirc_mode2           lirc_mode2       lirc_mode2
flow_dissector       flow_dissector   flow_dissector
cgroup/skb           cgroup_skb
cgroup_skb/ingress   cgroup_skb       cgroup_inet_ingress
cgroup_skb/egress    cgroup_skb       cgroup_inet_egress
cgroup/sock          cgroup_sock      cgroup_inet_sock_create
cgroup/sock_create   cgroup_sock      cgroup_inet_sock_create
cgroup/sock_release  cgroup_sock      cgroup_inet_sock_release
cgroup/post_bind4    cgroup_sock      cgroup_inet4_post_bind
cgroup/post_bind6    cgroup_sock      cgroup_inet6_post_bind
cgroup/dev           cgroup_device    cgroup_device
cgroup/sysctl        cgroup_sysctl    cgroup_sysctl
cgroup/getsockopt    cgroup_sockopt   cgroup_getsockopt
cgroup/setsockopt    cgroup_sockopt   cgroup_setsockopt
cgroup/bind4         cgroup_sock_addr cgroup_inet4_bind
cgroup/bind6         cgroup_sock_addr cgroup_inet6_bind
cgroup/connect4      cgroup_sock_addr cgroup_inet4_connect
cgroup/connect6      cgroup_sock_addr cgroup_inet6_connect
cgroup/connect_unix  cgroup_sock_addr cgroup_unix_connect
cgroup/sendmsg4      cgroup_sock_addr cgroup_udp4_sendmsg
cgroup/sendmsg6      cgroup_sock_addr cgroup_udp6_sendmsg
cgroup/sendmsg_unix  cgroup_sock_addr cgroup_unix_sendmsg
cgroup/recvmsg4      cgroup_sock_addr cgroup_udp4_recvmsg
cgroup/recvmsg6      cgroup_sock_addr cgroup_udp6_recvmsg
cgroup/recvmsg_unix  cgroup_sock_addr cgroup_unix_recvmsg
cgroup/getpeername4  cgroup_sock_addr cgroup_inet4_getpeername
cgroup/getpeername6  cgroup_sock_addr cgroup_inet6_getpeername
cgroup/getpeername_unix cgroup_sock_addr cgroup_unix_getpeername
cgroup/getsockname4  cgroup_sock_addr cgroup_inet4_getsockname
cgroup/getsockname6  cgroup_sock_addr cgroup_inet6_getsockname
cgroup/getsockname_unix cgroup_sock_addr cgroup_unix_getsockname
sk_lookup            sk_lookup        sk_lookup
netfilter            netfilter        netfilter
"""
_KNOWN: Final = {name: (kind, *attach) for name, kind, *attach in map(str.split, _SECTIONS.strip().splitlines())}

# include/uapi/linux/bpf.h
_SLEEPABLE: Final = 1 << 4
_FRAGS: Final = 1 << 5
# Kinds of types in BTF, and what the kernel calls the one that a program of these sections is for.
_TYPEDEF, _FUNC = 8, 12
_TARGETS: Final = {
    "tp_btf": (_TYPEDEF, "btf_trace_"),
    "fentry": (_FUNC, ""),
    "fexit": (_FUNC, ""),
    "fmod_ret": (_FUNC, ""),
    "iter": (_FUNC, "bpf_iter_"),
    "lsm": (_FUNC, "bpf_lsm_"),
    "lsm_cgroup": (_FUNC, "bpf_lsm_"),
}
# Short for, in the text of a probe.
_SHORT: Final = {"tp": "tracepoint", "raw_tp": "raw_tracepoint"}


class Purpose(NamedTuple):
    """What a program is for.

    `type` is the kernel's name, "unspec" if the section does not tell; `probe` the place as text. `attach_type` and
    `target`, a kind and a name in the kernel's BTF, are what the kernel wants to know at load.
    """

    type: str
    probe: str
    attach_type: int = 0
    target: tuple[int, str] | None = None
    flags: int = 0


def purpose(section: str) -> Purpose:
    """What the programs of a section are for.

    >>> purpose("tp/syscalls/sys_enter_openat")[:2]
    ('tracepoint', 'tracepoint:syscalls:sys_enter_openat')
    >>> purpose("uprobe.s//usr/bin/bash:readline")[:2]
    ('kprobe', 'uprobe:/usr/bin/bash:readline')
    >>> purpose("xdp.frags")[:2], purpose("elsewhere")[:2]
    (('xdp', 'xdp'), ('unspec', 'elsewhere'))
    """
    # libbpf loads programs of such a section only when they are asked for
    whole = section.removeprefix("?")
    first, slash, rest = whole.partition("/")
    flags = 0
    for ending, flag in ((".s", _SLEEPABLE), (".frags", _FRAGS)):
        if first.endswith(ending) and first.removesuffix(ending).partition(".")[0] in _KNOWN:
            first, flags = first.removesuffix(ending), flag
    whole = first + slash + rest
    # "cgroup/connect4" is one itself, "kprobe/do_unlinkat" has what it is for behind it.
    name = next((name for name in (whole, "/".join(whole.split("/")[:2]), first) if name in _KNOWN), None)
    if name is None:
        return Purpose("unspec", section)
    kind, *attach = _KNOWN[name]
    target = _TARGETS.get(name)
    of = whole.removeprefix(name).removeprefix("/")
    if kind in {"tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "kprobe", "tracing", "lsm"} and of:
        probe = f"{_SHORT.get(name, name)}:{of.replace('/', ':') if kind == 'tracepoint' else of}"
    else:
        probe = name
    number = ATTACH_TYPES.index(attach[0]) if attach else 0
    told = (target[0], target[1] + of) if target else None
    return Purpose(kind, probe, number, told, flags | (_SLEEPABLE if kind == "syscall" else 0))
