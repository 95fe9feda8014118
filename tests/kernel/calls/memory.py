"""Memory, time, who runs the program, callbacks, stacks."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

import fastbpf as fb
from fastbpf.asm import *


@executes(
    *("probe_read", "probe_read_str", "probe_read_kernel", "probe_read_kernel_str", "probe_read_user"),
    *("probe_read_user_str", "copy_from_user", "copy_from_user_task"),
)
def reads():
    text = ctypes.create_string_buffer(b"known bytes\0\0\0\0", 16)
    there, first = address(text), int.from_bytes(text.raw[:8], "little")
    with RawMap("array", 4, 16) as map:
        map.update(bytes(4), text.raw)
        found, _ = run(
            SYSCALL,
            [ld_map_value(r7, map, 0), [stdw(fp, at, 0) for at in (-8, -16)]],
            [call.probe_read_kernel(fp - 16, 8, r7), keep(0), ldxdw(r0, fp, -16), keep(1)],
            [call.probe_read_kernel_str(fp - 16, 16, r7), keep(2), ldxdw(r0, fp, -16), keep(3)],
            [call.probe_read_user(fp - 16, 8, there), keep(4), ldxdw(r0, fp, -16), keep(5)],
            [call.probe_read_user_str(fp - 16, 16, there), keep(6), ldxdw(r0, fp, -16), keep(7)],
            [call.probe_read(fp - 16, 8, r7), keep(8), ldxdw(r0, fp, -16), keep(9)],
            [call.probe_read_str(fp - 16, 16, r7), keep(10), ldxdw(r0, fp, -16), keep(11)],
            [call.copy_from_user(fp - 16, 8, there), keep(12), ldxdw(r0, fp, -16), keep(13)],
            [call.get_current_task_btf(), mov(r8, r0)],
            [call.copy_from_user_task(fp - 16, 8, there, r8, 0), keep(14), ldxdw(r0, fp, -16), keep(15)],
            [call.probe_read_kernel(fp - 16, 8, 1), keep(16)],
        )
    assert found[:16] == [0, first, 12, first, 0, first, 12, first, 0, first, 12, first, 0, first, 0, first]
    assert signed(found[16]) in {-14, -34}


@executes("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns", "jiffies64")
def times():
    clocks = [time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC, time.CLOCK_TAI]
    before = [time.clock_gettime_ns(clock) for clock in clocks]
    names = ("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns", "jiffies64")
    found, _ = run(TC, [[getattr(call, name)(), keep(n)] for n, name in enumerate(names)])
    for low, value, clock in zip(before, found, clocks, strict=False):
        assert low - 100_000_000 <= value <= time.clock_gettime_ns(clock)  # the coarse one is some ticks late
    later, _ = run(TC, [[getattr(call, name)(), keep(n)] for n, name in enumerate(names)])
    assert all(b >= a for a, b in zip(found, later, strict=True))
    assert found[4] > 0


@executes(
    *("get_prandom_u32", "get_smp_processor_id", "get_numa_node_id", "get_current_pid_tgid", "get_current_uid_gid"),
    *("get_current_comm", "get_current_task", "get_current_task_btf", "task_pt_regs", "get_ns_current_pid_tgid"),
    *("get_current_cgroup_id", "get_current_ancestor_cgroup_id"),
)
def who():
    space = Path("/proc/self/ns/pid").stat()
    found, _ = run(
        TC,
        [[call.get_prandom_u32(), keep(n)] for n in range(4)],
        [call.get_smp_processor_id(), keep(4), call.get_numa_node_id(), keep(5), call.get_current_pid_tgid(), keep(6)],
        [call.get_current_uid_gid(), keep(7), call.get_current_comm(fp - 16, 16), keep(8)],
        [ldxdw(r0, fp, -16), keep(9), ldxdw(r0, fp, -8), keep(10)],
        [call.get_current_task(), keep(11), call.get_current_task_btf(), mov(r7, r0), keep(12)],
        [call.task_pt_regs(r7), keep(13)],
        [call.get_ns_current_pid_tgid(space.st_dev, space.st_ino, fp - 24, 8), keep(14), ldxdw(r0, fp, -24), keep(15)],
        [call.get_current_cgroup_id(), keep(16), call.get_current_ancestor_cgroup_id(0), keep(17)],
    )
    assert len(set(found[:4])) > 1
    assert max(found[:4]) < 1 << 32
    assert found[4] in os.sched_getaffinity(0)
    assert Path(f"/sys/devices/system/cpu/cpu{found[4]}").exists()
    assert Path(f"/sys/devices/system/node/node{found[5]}").exists() or found[5] == 0
    pid_tgid = os.getpid() << 32 | threading.get_native_id()
    assert found[6] == pid_tgid
    assert found[7] == os.getgid() << 32 | os.getuid()
    comm = b"".join(value.to_bytes(8, "little") for value in found[9:11]).rstrip(b"\0").decode()
    assert (found[8], comm) == (0, Path("/proc/thread-self/comm").read_text().strip())
    assert found[11] == found[12] > 1 << 63
    assert found[13] > 1 << 63
    assert found[14] == 0
    assert found[15] & 0xFFFF_FFFF == threading.get_native_id()
    assert found[15] >> 32 == os.getpid()
    assert found[16:18] == [own_group(), 1]


@executes("per_cpu_ptr", "this_cpu_ptr")
def variables():
    # variables of the kernel need CONFIG_KALLSYMS_ALL; memory of our own, a copy for each CPU, does not
    btf = Btf()
    u32 = btf.int()
    memory = btf.struct("memory", 8, ("n", btf.int("unsigned long long", 8), 0))
    value = btf.struct("value", 8, ("memory", btf.add(2, "", btf.add(18, "percpu_kptr", memory)), 0))
    main = btf.add(12, "main", btf.add(13, "", u32))
    fd = btf.load()
    try:
        with RawMap("array", 4, 8, types=(fd, u32, value)) as map:
            found, _ = run(
                Setting("sched_cls", btf=(fd, main)),
                [kfunc.bpf_percpu_obj_new_impl(memory, None), jeq(r0, 0, "out"), mov(r7, r0), stw(fp, -4, 0)],
                [call.map_lookup_elem(map, fp - 4), jne(r0, 0, "there"), kfunc.bpf_percpu_obj_drop_impl(r7, None)],
                [ja("out"), label("there"), mov(r8, r0), call.kptr_xchg(r8, r7), jeq(r0, 0, "first")],
                [kfunc.bpf_percpu_obj_drop_impl(r0, None), label("first"), ldxdw(r7, r8, 0), jeq(r7, 0, "out")],
                [call.this_cpu_ptr(r7), stdw(r0, 0, 5), call.get_smp_processor_id(), mov(r8, r0)],
                [call.per_cpu_ptr(r7, r8), jeq(r0, 0, "none"), ldxdw(r0, r0, 0), keep(0)],
                [label("none"), call.per_cpu_ptr(r7, 1 << 20), keep(1), mov(r0, 1), keep(2)],
            )
    finally:
        os.close(fd)
    assert found[:3] == [5, 0, 1]


@executes("send_signal", "send_signal_thread")
def signals():
    # it stays pending where it is blocked
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGURG, signal.SIGWINCH})
    found, _ = run(TC, call.send_signal(signal.SIGWINCH), keep(0), call.send_signal_thread(signal.SIGURG), keep(1))
    assert found[:2] == [0, 0]
    assert signal.sigtimedwait({signal.SIGURG}, 5)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGURG, signal.SIGWINCH})


@executes("find_vma", "loop")
def callbacks():
    text = ctypes.create_string_buffer(8)
    start = member("vm_area_struct", "vm_mm")  # which names the memory of the task
    found, _ = run(
        TC,
        [stdw(fp, -8, 0), call.loop(10, "count", fp - 8, 0), keep(0), ldxdw(r0, fp, -8), keep(1)],
        [call.loop(5, "stop", None, 0), keep(2), call.get_current_task_btf(), mov(r7, r0), stdw(fp, -8, 0)],
        [call.find_vma(r7, address(text), "area", fp - 8, 0), keep(3), ldxdw(r0, fp, -8), keep(4)],
        after=[
            [label("count"), ldxdw(r0, r2, 0), add(r0, r1), stxdw(r2, 0, r0), mov(r0, 0), exit_()],
            [label("stop"), mov(r0, 1), exit_()],
            [label("area"), ldxdw(r0, r2, start), stxdw(r3, 0, r0), mov(r0, 0), exit_()],
        ],
    )
    assert found[:4] == [10, 45, 1, 0]
    assert found[4] > 1 << 63


@executes("get_task_stack", "get_stack", "get_stackid", "get_branch_snapshot", "get_attach_cookie")
def stacks():
    with fb.MapSpec("stack_trace", value=fb.u64[10], max_entries=8).create() as traces:
        found, _ = run(
            RAW,
            [call.get_current_task_btf(), mov(r7, r0), [stdw(fp, at, 0) for at in range(-64, 0, 8)]],
            [call.get_task_stack(r7, fp - 64, 64, 0), keep(0), call.get_stack(r6, fp - 64, 64, 0), keep(1)],
            [ldxdw(r0, fp, -64), keep(2), call.get_stackid(r6, traces, 0), keep(3)],
            [call.get_branch_snapshot(fp - 64, 48, 0), keep(4), call.get_attach_cookie(r6), keep(5)],
        )
        assert 0 < found[0] <= 64
        assert 0 < found[1] <= 64
        assert found[2] > 1 << 63
        assert min(traces[found[3]]) > 1 << 63
        assert signed(found[4]) in {-2, -22} or found[4] <= 48  # without hardware that records branches
        assert found[5] == 0
