"""Every helper is called: by a program that runs in the kernel where such programs can be run, and its result checked.

Behind each call stands an instruction that notes it, so that what was executed is the kernel's word. Where a program
cannot be run for a test, it is loaded; what cannot be loaded here either stands in a table with its reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from tests.kernel.calls import events, groups, maps, memory, packets, sockets, text  # noqa: F401
from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.helpers.names import NAMES


@pytest.fixture(scope="module", autouse=True)
def network():
    """A thread in a network of its own, in which everything runs: what sends packets, sends them nowhere."""

    def enter():
        assert libc.unshare(0x4000_0000) == 0  # CLONE_NEWNET
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    with RESULTS, ThreadPoolExecutor(1, initializer=enter) as pool:
        yield lambda case: pool.submit(case).result()


def ssthresh():
    """The number of a member of struct tcp_congestion_ops."""
    members = kernel_btf()[0]["STRUCT", "tcp_congestion_ops"]["members"]
    return [one["name"] for one in members].index("ssthresh")


SEG6 = Setting("lwt_seg6local")
# name: what it is loaded in, and why it is not run
LOADED = {
    "lwt_seg6_store_bytes": (SEG6, call.lwt_seg6_store_bytes(r6, 0, b"1234", None), "no test runs of lwt_seg6local"),
    "lwt_seg6_adjust_srh": (SEG6, call.lwt_seg6_adjust_srh(r6, 0, 8), "no test runs of lwt_seg6local"),
    "lwt_seg6_action": (SEG6, call.lwt_seg6_action(r6, 3, bytes(16), None), "no test runs of lwt_seg6local"),
    "get_func_ip": (Setting("kprobe"), call.get_func_ip(r6), "no test runs of kprobe"),
    "skb_output": (
        Setting("tracing", attach=23, target="btf_trace_netif_receive_skb"),
        [ldxdw(r1, r6, 0), call.skb_output(r1, RawMap("perf_event_array", 4, 4), 0, b"data", None)],
        "its tracepoint would fire for everybody's packets",
    ),
    "tcp_send_ack": (
        Setting("struct_ops", attach=ssthresh(), target=kernel_btf()[0]["STRUCT", "tcp_congestion_ops"]["id"]),
        [ldxdw(r1, r6, 0), call.tcp_send_ack(r1, 0)],
        "a way of congestion control is for all sockets",
    ),
}

LSM = "lsm programs need a trampoline, which a kernel may refuse"
TRACING = "tracing programs of functions need a trampoline, which a kernel may refuse"
ENTRY = Setting("tracing", attach=24, target="bpf_fentry_test1")
EXIT = Setting("tracing", attach=25, target="bpf_fentry_test1")
# name: what loads where the kernel lets it, and why it may not; what it then says
CANNOT = {
    "probe_write_user": (
        Setting("kprobe"),
        [stdw(fp, -8, 0), call.probe_write_user(r6, fp - 8, 8)],
        "lockdown forbids it",
    ),
    "override_return": (Setting("kprobe"), call.override_return(r6, 0), "needs CONFIG_BPF_KPROBE_OVERRIDE"),
    "get_func_arg": (ENTRY, call.get_func_arg(r6, 0, fp - 8), TRACING),
    "get_func_arg_cnt": (ENTRY, call.get_func_arg_cnt(r6), TRACING),
    "get_func_ret": (EXIT, call.get_func_ret(r6, fp - 8), TRACING),
    "xdp_output": (
        Setting("tracing", attach=24, target="xdp_do_redirect"),
        [ldxdw(r1, r6, 8), call.xdp_output(r1, RawMap("perf_event_array", 4, 4), 0, b"data", None)],
        TRACING,
    ),
    "inode_storage_get": (
        Setting("lsm", attach=27, target="bpf_lsm_inode_unlink"),
        [
            ldxdw(r2, r6, 0),
            call.inode_storage_get(RawMap("inode_storage", 4, 4, 0, 1, types=plain_value()), r2, None, 1),
        ],
        LSM,
    ),
    "inode_storage_delete": (
        Setting("lsm", attach=27, target="bpf_lsm_inode_unlink"),
        [ldxdw(r2, r6, 0), call.inode_storage_delete(RawMap("inode_storage", 4, 4, 0, 1, types=plain_value()), r2)],
        LSM,
    ),
    "bprm_opts_set": (
        Setting("lsm", attach=27, target="bpf_lsm_bprm_creds_for_exec"),
        [ldxdw(r1, r6, 0), call.bprm_opts_set(r1, 0)],
        LSM,
    ),
    "ima_inode_hash": (
        Setting("lsm", attach=27, target="bpf_lsm_inode_unlink", flags=1 << 4),
        [ldxdw(r1, r6, 0), call.ima_inode_hash(r1, fp - 32, 32)],
        LSM,
    ),
    "ima_file_hash": (
        Setting("lsm", attach=27, target="bpf_lsm_file_open", flags=1 << 4),
        [ldxdw(r1, r6, 0), call.ima_file_hash(r1, fp - 32, 32)],
        LSM,
    ),
    **{
        name: (Setting("lirc_mode2"), getattr(call, name)(*arguments), "needs CONFIG_BPF_LIRC_MODE2")
        for name, arguments in {"rc_repeat": (r6,), "rc_keydown": (r6, 1, 2, 0), "rc_pointer_rel": (r6, 1, 1)}.items()
    },
}
REFUSALS = ("cannot use helper", "unknown func")
UNREAD = ("[Errno 1] Operation not permitted\n", "[Errno 22] Invalid argument\n")  # the verifier did not begin


def refusal(setting, parts, after=()):
    """What the kernel says against a program, "" if it loads it."""
    with contextlib.ExitStack() as stack:
        for insn in assemble(parts, after):
            if isinstance(insn.map, RawMap):
                stack.enter_context(insn.map)
        try:
            with program(setting, parts, after=after):
                return ""
        except AssertionError as refused:
            return str(refused)


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_call(name, network):
    number = NAMES.index(name)
    assert sum(name in table for table in (CASES, LOADED, CANNOT)) == 1
    if name in CASES:
        network(CASES[name])
        assert RESULTS.lookup(bytes(4))[512 + number] == 1, "the program never came there"
        return
    setting, parts, why = LOADED.get(name) or CANNOT[name]
    assert number in [insn.imm for insn in assemble(parts) if (insn.opcode, insn.src) == (0x85, 0)]
    said = network(lambda: refusal(setting, parts))
    assert not said or (name in CANNOT and (said in UNREAD or any(words in said for words in REFUSALS))), why


# A map of each type that takes no more than sizes: key, value, entries, flags.
SIZES = {
    **dict.fromkeys(("hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash"), (4, 8, 1, 0)),
    **dict.fromkeys(("prog_array", "perf_event_array", "cgroup_array"), (4, 4, 1, 0)),
    **dict.fromkeys(("devmap", "devmap_hash", "cpumap", "xskmap"), (4, 4, 1, 0)),
    **dict.fromkeys(("sockmap", "sockhash", "reuseport_sockarray"), (4, 8, 1, 0)),
    **dict.fromkeys(("queue", "stack", "bloom_filter"), (0, 8, 1, 0)),
    **dict.fromkeys(("ringbuf", "user_ringbuf"), (0, 0, 4096, 0)),
    **dict.fromkeys(("cgroup_storage", "percpu_cgroup_storage"), (8, 8, 0, 0)),
    **dict.fromkeys(("sk_storage", "task_storage", "cgrp_storage", "inode_storage"), (4, 4, 0, 1)),
    "stack_trace": (4, 80, 1, 0),
    "lpm_trie": (8, 8, 1, 1),
}
GENERAL = {
    "map_lookup_elem": lambda map: call.map_lookup_elem(map, fp - 8),
    "map_update_elem": lambda map: call.map_update_elem(map, fp - 8, fp - 128, 0),
    "map_delete_elem": lambda map: call.map_delete_elem(map, fp - 8),
    "map_push_elem": lambda map: call.map_push_elem(map, fp - 128, 0),
    "map_pop_elem": lambda map: call.map_pop_elem(map, fp - 128),
    "map_peek_elem": lambda map: call.map_peek_elem(map, fp - 128),
    "map_lookup_percpu_elem": lambda map: call.map_lookup_percpu_elem(map, fp - 8, 0),
    "for_each_map_elem": lambda map: call.for_each_map_elem(map, "each", None, 0),
    "redirect_map": lambda map: call.redirect_map(map, 0, 0),
}


@pytest.mark.parametrize("name", GENERAL)
def test_helpers_of_maps_are_called_with_each_type_that_they_take(name, network):
    network(CASES[name])
    ran = frozenset(MAPS)
    written = [[stdw(fp, at, 0) for at in range(-128, -16, 8)], stdw(fp, -8, 0)]
    each = [label("each"), mov(r0, 0), exit_()] if name == "for_each_map_elem" else ()
    for kind, (key, value, entries, flags) in SIZES.items():
        types = plain_value() if kind.endswith("_storage") and key == 4 else ()
        map = RawMap(kind, key, value, entries, flags, types=types)
        if not refusal(XDP if name == "redirect_map" else TC, [written, GENERAL[name](map)], after=each):
            assert (name, kind) in ran


# -- the same through fastbpf's own loading ----------------------------------------------------------------------------


def test_text_is_in_maps_that_nobody_can_change():
    parsed = fb.MapSpec("array", value=fb.u64, max_entries=4, name="parsed")
    code = assemble(
        [stdw(fp, -8, 0), call.strtol("-42", None, 0, fp - 8), ldxdw(r7, fp, -8)],
        [call.strncmp("same", None, "same"), mov(r8, r0), stdw(fp, -8, 7)],
        [call.snprintf(fp - 24, 16, "%d!", fp - 8, 8), mov(r9, r0)],
        [stw(fp, -28, 0), stxdw(fp, -8, r7), call.map_update_elem(parsed, fp - 28, fp - 8, 0)],
        [call.map_update_elem(parsed, b"\1\0\0\0", b"12345678", 0), mov(r0, r8), add(r0, r9), exit_()],
    )
    with fb.ProgramSpec("socket_filter", code).load() as loaded:
        maps = [
            bpftool("map", "show", "id", str(id)) for id in bpftool("prog", "show", "id", str(loaded.id))["map_ids"]
        ]
        constants = [one for one in maps if one["name"] == ".rodata"]
        # one map: "-42", "same", "%d!", the key and the value, each at a multiple of 8
        assert [one["bytes_value"] for one in constants] == [8 + 8 + 8 + 8 + 8]
        assert (constants[0]["frozen"], constants[0]["flags"]) == (1, 1 << 7)  # BPF_F_RDONLY_PROG
        assert loaded.test_run(PACKET).retval == 3
        assert list(loaded.maps) == ["parsed"]
        assert loaded.maps["parsed"][0] == (1 << 64) - 42
        assert loaded.maps["parsed"][1] == int.from_bytes(b"12345678", "little")


def test_more_texts_than_a_program_may_have_maps():
    texts = [f"text {number}" * (number % 5 + 1) for number in range(70)]
    code = assemble(
        mov(r6, 0),
        # each is itself, and not the next one
        [[call.strncmp(one, None, one), jne(r0, 0, "out"), add(r6, 1)] for one in texts],
        [[call.strncmp(one, None, other), jeq(r0, 0, "out"), add(r6, 1)] for one, other in pairwise(texts)],
        [label("out"), mov(r0, r6), exit_()],
    )
    with fb.ProgramSpec("socket_filter", code).load() as loaded:
        assert loaded.test_run(PACKET).retval == 70 + 69
        assert len(bpftool("prog", "show", "id", str(loaded.id))["map_ids"]) == 1


def bpftool(*arguments):
    return json.loads(subprocess.run(["bpftool", "-j", *arguments], capture_output=True, check=True).stdout)


def test_kernel_functions_are_called():
    code = assemble(
        [
            kfunc.bpf_task_from_pid(os.getpid()),
            jeq(r0, 0, "out"),
            mov(r6, r0),
            ldxw(r7, r6, member("task_struct", "tgid")),
        ],
        [kfunc.bpf_task_release(r6), mov(r0, r7), label("out"), exit_()],
    )
    with fb.ProgramSpec("syscall", code).load() as loaded:
        assert loaded.test_run().retval == os.getpid()
    assert {"bpf_task_from_pid", "bpf_rcu_read_lock"} <= set(dir(kfunc))
