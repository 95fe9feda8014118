"""What the name of a section says, judged by libbpf."""

from __future__ import annotations

import ctypes

import pytest

from fastbpf.objects.sections import _KNOWN, purpose
from fastbpf.programs import _TYPES

# Newer than the libbpf that Debian 12 has.
_NEWER = (
    "tc/",
    "tcx/",
    "sk_skb/verdict",
    "netkit/",
    "uprobe.multi",
    "uretprobe.multi",
    "uprobe.session",
    "kprobe.session",
    "netfilter",
)
_NEWER += tuple(name for name in _KNOWN if name.endswith("_unix"))
_ALONE = {"fentry", "fexit", "fmod_ret", "lsm", "lsm_cgroup", "iter", "tp_btf", "kprobe.multi", "kretprobe.multi"}
_ALONE |= {"kprobe", "tracepoint", "tp", "raw_tp", "raw_tracepoint", "raw_tp.w", "raw_tracepoint.w", "uprobe"}
_ALONE |= {"struct_ops", "ksyscall", "kretsyscall", "usdt", "freplace", "kretprobe", "uretprobe"}


@pytest.fixture(scope="module")
def libbpf():
    library = ctypes.CDLL("libbpf.so.1")
    library.libbpf_set_print(None)

    def asked(section):
        kind, attach = ctypes.c_int(-1), ctypes.c_int(-1)
        found = library.libbpf_prog_type_by_name(section.encode(), ctypes.byref(kind), ctypes.byref(attach))
        return (kind.value, attach.value) if found == 0 else None

    return asked


@pytest.mark.parametrize("section", [name for name in _KNOWN if not name.startswith(_NEWER)])
def test_types_are_libbpfs(libbpf, section):
    asked = f"{section}/name" if section in _ALONE else section
    kind, attach = libbpf(asked)
    told = purpose(asked)
    assert _TYPES[told.type] == kind
    # Where libbpf has one and we have none, the kernel can do without.
    assert told.attach_type in {attach, 0}


@pytest.mark.parametrize(
    "section", ["fentry.s/f", "fexit.s/f", "lsm.s/f", "iter.s/f", "uprobe.s//bin/sh:f", "xdp.frags"]
)
def test_endings_are_libbpfs(libbpf, section):
    kind, attach = libbpf(section)
    told = purpose(section)
    assert _TYPES[told.type] == kind
    assert told.attach_type in {attach, 0}
    assert told.flags == (1 << 5 if section == "xdp.frags" else 1 << 4)


@pytest.mark.parametrize("section", ["", "x", "text", "kprobes", "cgroup", "cgroup/elsewhere", ".s", "xdp_", "sk"])
def test_what_libbpf_does_not_know_is_unspecified(libbpf, section):
    assert libbpf(section) is None
    assert purpose(section).type == "unspec"


@pytest.mark.parametrize(
    ("section", "probe"),
    [
        ("tp/sched/sched_switch", "tracepoint:sched:sched_switch"),
        ("raw_tp/sys_enter", "raw_tracepoint:sys_enter"),
        ("kprobe/do_unlinkat", "kprobe:do_unlinkat"),
        ("kretprobe/do_unlinkat", "kretprobe:do_unlinkat"),
        ("fentry.s/vfs_read", "fentry:vfs_read"),
        ("uprobe//usr/lib/libc.so.6:malloc", "uprobe:/usr/lib/libc.so.6:malloc"),
        ("usdt//usr/bin/python3:python:gc__start", "usdt:/usr/bin/python3:python:gc__start"),
        ("?xdp", "xdp"),
        ("xdp/drop_all", "xdp"),
        ("cgroup/connect4", "cgroup/connect4"),
    ],
)
def test_probes_are_written_as_everywhere(section, probe):
    assert purpose(section).probe == probe
