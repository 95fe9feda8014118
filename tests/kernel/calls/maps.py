"""Maps of every type, and what lies in them: locks, timers, records, storage."""

from __future__ import annotations

import mmap
import os
import socket
import time
from struct import pack, unpack

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

import fastbpf as fb
from fastbpf.asm import *


@executes("map_lookup_elem", "map_update_elem", "map_delete_elem")
def elements():
    for kind in ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "array", "percpu_array", "lpm_trie"):
        key = 8 if kind == "lpm_trie" else 4
        with RawMap(kind, key, 8, 4, 1 if kind == "lpm_trie" else 0) as map:
            found, _ = run(
                TC,
                [stdw(fp, -8, 0), stw(fp, -8, 3), stdw(fp, -16, 77)],
                [call.map_update_elem(map, fp - 8, fp - 16, 0), keep(0)],
                [call.map_lookup_elem(map, fp - 8), jeq(r0, 0, "out"), ldxdw(r0, r0, 0), keep(1)],
                [call.map_delete_elem(map=map, key=fp - 8), keep(2)],
                [call.map_lookup_elem(map, fp - 8), jeq(r0, 0, "none"), ldxdw(r0, r0, 0), label("none"), keep(3)],
            )
        # elements of arrays stay
        array = "array" in kind
        assert [signed(value) for value in found[:4]] == [0, 77, -22 if array else 0, 77 if array else 0], kind
    with RawMap("array", 4, 8) as inner, RawMap("array_of_maps", 4, 4, 1, inner=inner) as outer:
        outer.update(bytes(4), pack("<I", inner.fd))
        inner.update(bytes(4), pack("<Q", 5))
        find = [mov(r1, r0), mov(r2, fp), add(r2, -4), call_id(1), jeq(r0, 0, "out"), ldxdw(r0, r0, 0)]
        assert run(TC, stw(fp, -4, 0), call.map_lookup_elem(outer, fp - 4), jeq(r0, 0, "out"), find, keep(0))[0][0] == 5
    with RawMap("array", 4, 8) as inner, RawMap("hash_of_maps", 4, 4, 1, inner=inner) as outer:
        outer.update(bytes(4), pack("<I", inner.fd))
        inner.update(bytes(4), pack("<Q", 6))
        again = [call.map_lookup_elem(r0, fp - 4), jeq(r0, 0, "out"), ldxdw(r0, r0, 0)]
        assert (
            run(TC, stw(fp, -4, 0), call.map_lookup_elem(outer, fp - 4), jeq(r0, 0, "out"), again, keep(0))[0][0] == 6
        )
    with socket.create_server(("127.0.0.1", 0)) as server:
        for kind in ("sockmap", "sockhash"):
            with RawMap(kind, 4, 8, 2) as map, RawMap(kind, 4, 8, 2) as other:
                map.update(bytes(4), pack("<Q", server.fileno()))
                found, _ = run(
                    TC,
                    [stw(fp, -4, 0), call.map_lookup_elem(map, fp - 4), jeq(r0, 0, "out"), mov(r7, r0)],
                    [ldxw(r0, r7, ctx.bpf_sock.src_port), keep(0), call.map_update_elem(other, fp - 4, r7, 0), keep(1)],
                    [call.sk_release(r7), keep(2), call.map_delete_elem(other, fp - 4), keep(3)],
                )
                assert found[:4] == [server.getsockname()[1], 0, 0, 0], kind
    for kind in ("devmap", "devmap_hash", "xskmap"):
        with RawMap(kind, 4, 4, 1) as map:
            if kind != "xskmap":
                map.update(bytes(4), pack("<I", IFINDEX_LO))
            read = [ldxw(r0, r0, 0)] if kind != "xskmap" else []
            found, _ = run(
                XDP,
                [stw(fp, -4, 0), call.map_lookup_elem(map, fp - 4), jeq(r0, 0, "none"), read, label("none"), keep(0)],
            )
            assert found[0] == (IFINDEX_LO if read else 0), kind


@executes("map_push_elem", "map_pop_elem", "map_peek_elem")
def queues():
    for kind, order in (("queue", (1, 1, 2)), ("stack", (2, 2, 1))):
        with RawMap(kind, 0, 8, 4) as map:
            found, _ = run(
                TC,
                [[stdw(fp, -8, value), call.map_push_elem(map, fp - 8, 0)] for value in (1, 2)],
                [call.map_peek_elem(map, fp - 16), ldxdw(r0, fp, -16), keep(0)],
                [[call.map_pop_elem(map, fp - 16), ldxdw(r0, fp, -16), keep(n)] for n in (1, 2)],
                [call.map_pop_elem(map, fp - 16), keep(3)],
            )
            assert tuple(found[:3]) == order
            assert signed(found[3]) == -2
    with RawMap("bloom_filter", 0, 8, 8) as map:
        found, _ = run(
            TC,
            [stdw(fp, -8, 5), call.map_push_elem(map, fp - 8, 0), keep(0), call.map_peek_elem(map, fp - 8), keep(1)],
        )
        assert found[:2] == [0, 0]


@executes("map_lookup_percpu_elem", "for_each_map_elem")
def each():
    cpu = min(os.sched_getaffinity(0))
    for kind in ("percpu_array", "percpu_hash", "lru_percpu_hash"):
        with RawMap(kind, 4, 8, 1) as percpu:
            found, _ = run(
                TC,
                [stw(fp, -4, 0), stdw(fp, -16, 0), call.map_update_elem(percpu, fp - 4, fp - 16, 0)],
                [call.map_lookup_percpu_elem(percpu, fp - 4, cpu), jeq(r0, 0, "out"), stdw(r0, 0, 9)],
                [call.map_lookup_percpu_elem(percpu, fp - 4, cpu), jeq(r0, 0, "out"), ldxdw(r0, r0, 0), keep(0)],
                [call.map_lookup_percpu_elem(percpu, fp - 4, 1 << 20), keep(1)],
            )
        assert found[:2] == [9, 0], kind
    with RawMap("hash", 4, 8, 8) as map:
        found, _ = run(
            TC,
            [[stw(fp, -4, n), stdw(fp, -16, n * n), call.map_update_elem(map, fp - 4, fp - 16, 0)] for n in (2, 3)],
            [stdw(fp, -24, 0), call.for_each_map_elem(map, "add", fp - 24, 0), keep(0), ldxdw(r0, fp, -24), keep(1)],
            after=[
                label("add"),
                ldxdw(r0, r3, 0),
                ldxdw(r1, r4, 0),
                add(r0, r1),
                stxdw(r4, 0, r0),
                mov(r0, 0),
                exit_(),
            ],
        )
    assert found[:2] == [2, 13]
    for kind in ("array", "percpu_array", "percpu_hash", "lru_hash", "lru_percpu_hash"):
        with RawMap(kind, 4, 8, 2) as map:
            found, _ = run(
                TC,
                [stw(fp, -4, 1), stdw(fp, -16, 0), call.map_update_elem(map, fp - 4, fp - 16, 0)],
                [call.for_each_map_elem(map=map, callback_fn="each", callback_ctx=None, flags=0), keep(0)],
                after=[label("each"), mov(r0, 0), exit_()],
            )
        assert found[0] == (2 if "array" in kind else 1)


def with_members(size, *members):
    """BTF of a map whose value is a struct with members that the kernel knows by name: struct bpf_timer and so on."""
    btf = Btf()
    u32, u64 = btf.int(), btf.int("unsigned long long", 8)
    numbered = []
    for name, kind, offset in members:
        if kind == "u64":
            number = u64
        elif kind.startswith("kptr "):
            pointed = btf.struct(kind.removeprefix("kptr "), 0)
            number = btf.add(2, "", btf.add(18, "kptr", pointed))
        else:
            number = btf.struct(kind, 16, ("x", u32, 0))
        numbered.append((name, number, offset))
    return btf, u32, btf.struct("value", size, *numbered)


@executes("spin_lock", "spin_unlock")
def locks():
    value = fb.Struct.of("Value", {"lock": fb.spin_lock, "n": fb.u64})
    with fb.MapSpec("array", value=value, max_entries=1).create() as map:
        found, _ = run(
            TC,
            [stw(fp, -4, 0), call.map_lookup_elem(map, fp - 4), jeq(r0, 0, "out"), mov(r7, r0)],
            [call.spin_lock(r7), ldxdw(r8, r7, 8), add(r8, 3), stxdw(r7, 8, r8), call.spin_unlock(r7), mov(r0, r8)],
            keep(0),
        )
        assert found[0] == 3 == map[0].n


@executes("timer_init", "timer_set_callback", "timer_start", "timer_cancel")
def timers():
    with RawMap("array", 4, 24, 2, types=with_members(24, ("timer", "bpf_timer", 0), ("n", "u64", 16))) as map:
        find = [call.map_lookup_elem(map, fp - 4), jeq(r0, 0, "out"), mov(r7, r0)]
        begin = [call.timer_init(r7, map, 1), keep(0), call.timer_set_callback(r7, "tick"), keep(1)]
        tick = [label("tick"), stdw(r3, 16, 42), mov(r0, 0), exit_()]
        forget()
        with program(
            TC,
            [stw(fp, -4, 0), find, begin, call.timer_start(r7, 1000, 0), keep(2)],
            [stw(fp, -4, 1), find, begin, call.timer_start(r7, 3_600_000_000_000, 0), call.timer_cancel(r7), keep(3)],
            after=tick,
        ) as fd:
            run_once(fd, PACKET)
            until = time.monotonic() + 5
            while (fired := unpack("<Q", map.lookup(bytes(4))[16:])[0]) != 42 and time.monotonic() < until:
                time.sleep(0.001)
            assert fired == 42
            assert unpack("<Q", map.lookup(pack("<I", 1))[16:])[0] == 0
        assert results()[:4] == [0, 0, 0, 1]


@executes("kptr_xchg")
def kernel_pointers():
    with RawMap("array", 4, 8, 1, types=with_members(8, ("task", "kptr task_struct", 0))) as map:
        found, _ = run(
            SYSCALL,
            [kfunc.bpf_task_from_pid(os.getpid()), jeq(r0, 0, "out"), mov(r7, r0)],
            [stw(fp, -4, 0), call.map_lookup_elem(map, fp - 4), jne(r0, 0, "there")],
            [kfunc.bpf_task_release(r7), ja("out"), label("there"), mov(r8, r0)],
            [call.kptr_xchg(r8, r7), jeq(r0, 0, "first"), kfunc.bpf_task_release(r0), ja("out"), label("first")],
            [call.kptr_xchg(r8, None), jeq(r0, 0, "out"), ldxw(r7, r0, member("task_struct", "pid"))],
            [kfunc.bpf_task_release(r0), mov(r0, r7), keep(0)],
        )
        assert found[0] == os.getpid()


@executes("ringbuf_output", "ringbuf_reserve", "ringbuf_submit", "ringbuf_discard", "ringbuf_query")
def rings():
    with RawMap("ringbuf", 0, 0, 4096) as ring:
        found, _ = run(
            TC,
            [call.ringbuf_output(ring, b"hello", None, 0), keep(0), call.ringbuf_query(ring, 0), keep(1)],
            [call.ringbuf_reserve(ring, 24, 0), jeq(r0, 0, "out"), stdw(r0, 0, 1), call.ringbuf_submit(r0, 0)],
            [call.ringbuf_query(ring, 0), keep(2)],
            [call.ringbuf_reserve(ring, 24, 0), jeq(r0, 0, "out"), call.ringbuf_discard(r0, 0)],
            [call.ringbuf_query(ring, 3), keep(3)],
        )
        assert found[:4] == [0, 16, 16 + 32, 16 + 32 + 32]  # a head of 8 bytes each, rounded up to 8


@executes("ringbuf_reserve_dynptr", "ringbuf_submit_dynptr", "ringbuf_discard_dynptr")
def dynptr_records():
    with RawMap("ringbuf", 0, 0, 4096) as ring:
        found, _ = run(
            TC,
            [call.ringbuf_reserve_dynptr(ring, 24, 0, fp - 16), keep(0), call.ringbuf_submit_dynptr(fp - 16, 0)],
            [call.ringbuf_reserve_dynptr(ring, 24, 0, fp - 16), keep(1), call.ringbuf_discard_dynptr(fp - 16, 0)],
            [call.ringbuf_query(ring, 3), keep(2)],
        )
        assert found[:3] == [0, 0, 64]


@executes("dynptr_from_mem", "dynptr_read", "dynptr_write", "dynptr_data")
def dynptrs():
    with RawMap("array", 4, 32) as map:
        map.update(bytes(4), bytes(range(32)))
        found, _ = run(
            TC,
            [ld_map_value(r7, map, 0), call.dynptr_from_mem(r7, 32, 0, fp - 16), keep(0)],
            [call.dynptr_read(fp - 24, 8, fp - 16, 4, 0), keep(1), ldxdw(r0, fp, -24), keep(2)],
            [call.dynptr_write(fp - 16, 0, b"12345678", None, 0), keep(3)],
            [call.dynptr_data(fp - 16, 0, 8), jeq(r0, 0, "out"), ldxdw(r0, r0, 0), keep(4)],
        )
    assert found[:2] == [0, 0]
    assert found[2].to_bytes(8, "little") == bytes(range(4, 12))
    assert found[3] == 0
    assert found[4].to_bytes(8, "little") == b"12345678"


@executes("user_ringbuf_drain")
def user_ring():
    page = mmap.PAGESIZE
    with RawMap("user_ringbuf", 0, 0, page) as ring:
        # the positions of consumer and producer, a page each, then the data
        with mmap.mmap(ring.fd, 2 * page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=page) as producer:
            producer[page : page + 16] = pack("<IIQ", 8, 0, 4711)
            producer[:8] = pack("<Q", 16)
            found, _ = run(
                TC,
                [
                    stdw(fp, -8, 0),
                    call.user_ringbuf_drain(ring, "sample", fp - 8, 0),
                    keep(0),
                    ldxdw(r0, fp, -8),
                    keep(1),
                ],
                after=[
                    [label("sample"), mov(r6, r2), call.dynptr_data(r1, 0, 8), jeq(r0, 0, "none"), ldxdw(r0, r0, 0)],
                    [stxdw(r6, 0, r0), label("none"), mov(r0, 0), exit_()],
                ],
            )
    assert found[:2] == [1, 4711]


@executes("tail_call")
def tail_calls():
    with RawMap("prog_array", 4, 4, 1) as programs, loaded(TC, assemble(seen(12), mov(r0, 7), exit_())) as target:
        programs.update(bytes(4), pack("<I", target))
        _, ran = run(TC, call.tail_call(r6, programs, 0))
        assert ran.retval == 7


@executes("redirect_map")
def redirect_maps():
    for kind in ("devmap", "devmap_hash", "cpumap", "xskmap"):
        with RawMap(kind, 4, 4, 1) as map:
            if kind != "xskmap":
                map.update(bytes(4), pack("<I", IFINDEX_LO if kind.startswith("devmap") else 64))
            found, _ = run(XDP, call.redirect_map(map, 0, 1), keep(0), call.redirect_map(map, 9, 1), keep(1))
        # XDP_REDIRECT; where there is nothing, the action in the flags
        assert found[:2] == [1 if kind == "xskmap" else 4, 1], kind


@executes("task_storage_get", "task_storage_delete", "cgrp_storage_get", "cgrp_storage_delete")
def storages():
    with (
        RawMap("task_storage", 4, 4, 0, 1, types=plain_value()) as tasks,
        RawMap("cgrp_storage", 4, 4, 0, 1, types=plain_value()) as groups,
    ):
        found, _ = run(
            SYSCALL,
            [
                call.get_current_task_btf(),
                mov(r7, r0),
                call.task_storage_get(tasks, r7, b"\7\0\0\0", 1),
                jeq(r0, 0, "out"),
            ],
            [ldxw(r0, r0, 0), keep(0), call.task_storage_delete(tasks, r7), keep(1)],
            [kfunc.bpf_cgroup_from_id(1), jeq(r0, 0, "out"), mov(r7, r0)],
            [
                call.cgrp_storage_get(groups, r7, b"\5\0\0\0", 1),
                jeq(r0, 0, "none"),
                ldxw(r0, r0, 0),
                keep(2),
                label("none"),
            ],
            [call.cgrp_storage_delete(groups, r7), keep(3), kfunc.bpf_cgroup_release(r7)],
        )
    assert found[:4] == [7, 0, 5, 0]
