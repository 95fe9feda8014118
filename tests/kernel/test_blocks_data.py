"""Blocks about data do on the running kernel what they say, and nothing else.

Every block is run between a prologue that fills registers and stack with values of its own and an epilogue that keeps
what it finds there: what a block does not say that it changes must be as it was.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
import time as clock
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import (
    atomics,
    latency,
    loops,
    maps,
    memory,
    printing,
    process,
    random,
    ringbuf,
    sampling,
    strings,
    time,
)
from fastbpf.blocks.operand import goals, settled
from fastbpf.blocks.stack import Stack

REGISTERS = (r0, r1, r2, r3, r4, r5, r6, r7, r8, r9)
M64 = (1 << 64) - 1
# Below it the epilogue keeps registers and the way that was taken; above it the stack is the block's.
LOW = -400
KEPT = {register: LOW - 8 - 8 * register.number for register in REGISTERS}
WAY = LOW - 96
FILLED = 0xA5A5_A5A5_5A5A_5A5B
DUMP = fb.MapSpec("array", value=fb.raw[512], max_entries=1, name="dump")
libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Found:
    """What a run left: the registers that can be read, the block's part of the stack, whether the block failed."""

    registers: dict[Register, int]
    stack: bytes
    failed: bool

    def at(self, place: Address, size: int) -> bytes:
        begin = place.offset - LOW
        return self.stack[begin : begin + size]

    def number(self, place: Address, size: int = 8) -> int:
        return int.from_bytes(self.at(place, size), sys.byteorder)


def sentinel(register):
    return 0x1111_1111_1111_1111 * (register.number + 1) & M64


def watched(body, *, given=(), lost=(), before=(), behind=()):
    """A program that runs `body` on known ground, `given` registers excepted, which `before` sets."""
    body = settled(body)
    ground = [const(r1, FILLED), [stxdw(fp, offset, r1) for offset in range(LOW, 0, 8)]]
    known = [const(register, sentinel(register)) for register in REGISTERS if register not in given]
    keep = [stxdw(fp, KEPT[register], register) for register in REGISTERS if register not in lost]
    copied = [(ldxdw(r0, fp, offset), stxdw(r1, offset + 512, r0)) for offset in range(-512, 0, 8)]
    empty = [stdw(fp, offset, 0) for offset in range(-512, LOW, 8)]
    return assemble(
        empty,
        [mov(r6, r1), ground, mov(r1, r6)],
        before,
        known,
        body,
        [keep, stdw(fp, WAY, 1), ja("dump")],
        [label("fail"), keep, stdw(fp, WAY, 2)] if "fail" in goals(body) else [],
        [label("dump"), ld_map_value(r1, DUMP, 0), copied],
        [mov(r0, 0), exit_()],
        behind,
    )


def found(program, lost, ctx=None):
    if program.spec.type in {"raw_tracepoint", "syscall"}:
        program.test_run(ctx=ctx or bytes(16))
    else:
        program.test_run(bytes(64))
    raw = program.maps["dump"][0]
    words = {register: unpack("=Q", raw[offset + 512 : offset + 520])[0] for register, offset in KEPT.items()}
    registers = {register: word for register, word in words.items() if register not in lost}
    return Found(registers, raw[LOW + 512 :], unpack("=Q", raw[WAY + 512 : WAY + 520])[0] == 2)


def observe(*blocks, given=(), before=(), behind=(), live=None, kind="raw_tracepoint", ctx=None, results=()):
    """Run blocks, check that they keep to what they say, and give what they left. `results` can be read afterwards."""
    lost = {register for block in blocks for register in getattr(block, "clobbers", ())} - set(results)
    code = watched(blocks, given=given, lost=lost, before=before, behind=behind)
    with fb.ProgramSpec(kind, code).load(maps=live) as program:
        seen = found(program, lost, ctx)
    changed = lost | set(given) | set(results)
    assert {r: v for r, v in seen.registers.items() if r not in changed} == {
        r: sentinel(r) for r in REGISTERS if r not in changed
    }
    ours = {at for block in blocks if getattr(block, "stack", None) for at in range(*block.stack)}
    fill = pack("=Q", FILLED) * (-LOW // 8)
    kept = [(at, seen.stack[at - LOW]) for at in range(LOW, 0) if at not in ours]
    assert kept == [(at, fill[at - LOW]) for at in range(LOW, 0) if at not in ours]
    return seen


@contextmanager
def created(*specs):
    live = {spec.name: spec.create() for spec in specs}
    try:
        yield live
    finally:
        for one in live.values():
            one.close()


# --- memory


@pytest.mark.parametrize("offset", range(-32, -23))
@pytest.mark.parametrize("size", [1, 3, 8, 13, 23])
def test_zero_at_every_alignment(offset, size):
    assert observe(memory.zero(fp + offset, size)).at(fp + offset, size) == bytes(size)


@pytest.mark.parametrize(
    ("value", "size", "each"),
    [(0x80, 12, 1), (0xFF, 5, 1), (-1, 16, 8), (0x1234_5678_9ABC_DEF0, 24, 8), (-2, 6, 2), (1 << 31, 8, 4)],
)
def test_fill(value, size, each):
    expected = (value % (1 << 8 * each)).to_bytes(each, sys.byteorder) * (size // each)
    assert observe(memory.fill(fp - 27, value, size, each=each)).at(fp - 27, size) == expected


@pytest.mark.parametrize("value", [0, 1, -1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, M64, -(1 << 63)])
def test_a_number_of_64_bits_is_stored_whole(value):
    assert observe(memory.store(fp - 8, value, 8)).number(fp - 8) == value & M64


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_store_and_load_by_size(size):
    seen = observe(memory.store(fp - 16, r7, size), memory.load(r3, fp - 16, size), results={r3})
    assert seen.registers[r3] == sentinel(r7) & (1 << 8 * size) - 1


class Record(fb.Struct):
    kind: fb.u8
    port: fb.u16
    count: fb.i32
    name: fb.char[5]
    ts: fb.u64
    pair: fb.u32[2]


def test_a_record_is_written_whole_its_gaps_too():
    values = {"kind": 255, "count": -5, "name": "curl", "ts": r8, "pair": (7, 0xFFFF_FFFF)}
    seen = observe(memory.init(fp - 64, Record, values))
    assert seen.at(fp - 64, Record.size) == Record(**{**values, "port": 0, "ts": sentinel(r8)}).pack()


# memory of the kernel's of which we know what it holds
KERNEL = fb.MapSpec("array", value=fb.raw[64], max_entries=1, name="kernel")
CONTENT = b"kernel memory".ljust(64, b"\0")


@contextmanager
def kernel_memory():
    with created(KERNEL) as live:
        live["kernel"][0] = CONTENT
        yield {"before": [ld_map_value(r8, KERNEL, 0)], "given": {r8}, "live": live}


def test_kernel_memory_is_read():
    with kernel_memory() as known:
        seen = observe(memory.read_kernel(fp - 32, 16, r8 + 6, fail="fail"), results={r0}, **known)
    assert (seen.failed, seen.registers[r0], seen.at(fp - 32, 16)) == (False, 0, CONTENT[6:22])


@pytest.mark.parametrize("read", [memory.read_kernel, memory.read_user])
def test_memory_that_is_not_there_is_read_as_zeros(read):
    seen = observe(read(fp - 32, 16, r8, fail="fail"), before=[mov(r8, 8)], given={r8}, results={r0})
    assert (seen.failed, seen.at(fp - 32, 16)) == (True, bytes(16))
    assert seen.registers[r0] - (1 << 64) in {-errno.EFAULT, -errno.ERANGE}


def test_user_memory_is_read():
    text = ctypes.create_string_buffer(b"from user space")
    read = memory.read_user(fp - 16, 16, r8, fail="fail")
    seen = observe(read, before=[ldxdw(r8, r1, 8)], given={r8}, ctx=pack("=QQ", 0, ctypes.addressof(text)))
    assert (seen.failed, seen.at(fp - 16, 16)) == (False, text.raw)


# --- strings


@pytest.mark.parametrize("text", [b"", b"a", b"seven77", b"eight888", b"longer than the place"])
def test_user_strings(text):
    given = ctypes.create_string_buffer(text)
    read = strings.read_user(fp - 8, 8, r8, fail="fail")
    context = pack("=QQ", 0, ctypes.addressof(given))
    seen = observe(read, before=[ldxdw(r8, r1, 8)], given={r8}, results={r0}, ctx=context)
    kept = text[:7] + b"\0"
    assert (seen.failed, seen.registers[r0], seen.at(fp - 8, len(kept))) == (False, len(kept), kept)


@pytest.mark.parametrize(("size", "kept"), [(7, b"kernel\0"), (32, b"kernel memory\0")])
def test_kernel_strings(size, kept):
    with kernel_memory() as known:
        seen = observe(strings.read_kernel(fp - 64, size, r8, fail="fail"), results={r0}, **known)
    assert (seen.failed, seen.registers[r0], seen.at(fp - 64, len(kept))) == (False, len(kept), kept)


@pytest.mark.parametrize("read", [strings.read_kernel, strings.read_user])
def test_a_string_that_is_not_there_fails(read):
    assert observe(read(fp - 8, 8, r8, fail="fail"), before=[mov(r8, 16)], given={r8}).failed


# --- time


CLOCKS = {
    "monotonic": clock.CLOCK_MONOTONIC,
    "boot": clock.CLOCK_BOOTTIME,
    "coarse": 6,  # CLOCK_MONOTONIC_COARSE
    "tai": clock.CLOCK_TAI,
}


@pytest.mark.parametrize("name", CLOCKS)
def test_each_clock_is_the_one_of_its_name(name):
    kind = "socket_filter" if name == "coarse" else "raw_tracepoint"
    before = clock.clock_gettime_ns(CLOCKS[name])
    seen = observe(time.now(r7, clock=name), time.stamp(fp - 8, clock=name), results={r7}, kind=kind)
    after = clock.clock_gettime_ns(CLOCKS[name])
    assert before <= seen.registers[r7] <= seen.number(fp - 8) <= after


def test_jiffies_go_on():
    first = observe(time.jiffies(r7), results={r7}).registers[r7]
    clock.sleep(0.05)
    ticks = observe(time.jiffies(), results={r0}).registers[r0] - first
    assert 3 <= ticks < 5000  # 100 to 1000 a second


@pytest.mark.parametrize("dst", REGISTERS, ids=repr)
def test_elapsed_in_every_register(dst):
    at = observe(time.stamp(fp - 8), time.elapsed(fp - 8, dst), results={dst})
    begin = {r6} if dst != r6 else {r7}
    (start,) = begin
    of = observe(time.now(start), time.elapsed(start, dst), results={dst})
    assert 0 < at.registers[dst] < 1_000_000_000
    assert 0 < of.registers[dst] < 1_000_000_000


def test_elapsed_since_a_place_at_the_result_itself():
    point = [mov(r6, fp), add(r6, -16)]
    seen = observe(time.stamp(fp - 8), time.elapsed(r6 + 8, r6), before=point, given={r6}, results={r6})
    assert 0 < seen.registers[r6] < 1_000_000_000


# --- random, sampling, loops

HISTOGRAM = fb.MapSpec("array", value=fb.u64, max_entries=100, name="histogram")
TURNS = 20_000


def histogram(*turn):
    """How often each number was in r0 at the end of a turn."""
    code = assemble(
        [loops.each(TURNS, "turn"), stxdw(fp, -8, r0), mov(r0, 0), ldxdw(r0, fp, -8), exit_()],
        [label("turn"), *turn, stxw(fp, -4, r0), maps.increment(HISTOGRAM, fp - 4)],
        [label("out"), mov(r0, 0), exit_()],
    )
    with fb.ProgramSpec("socket_filter", code).load() as program:
        assert program.test_run(bytes(64)).retval == TURNS
        return [program.maps["histogram"][n] for n in range(100)]


def near(count, share):
    return abs(count - TURNS * share) < 6 * (TURNS * share * (1 - share)) ** 0.5  # six standard deviations


@pytest.mark.parametrize(
    ("block", "n"), [(random.below(7), 7), (random.percentage(), 100), (random.boolean(), 2), (random.below(1), 1)]
)
def test_every_random_number_is_as_likely(block, n):
    counts = histogram(block)
    assert sum(counts) == TURNS
    assert all(near(count, 1 / n) for count in counts[:n]) or n == 1
    assert sum(counts[:n]) == TURNS


@pytest.mark.parametrize("weights", [(30, 50, 20), (1, 2, 1), (1, 1, 98)])
def test_choose_by_weight(weights):
    names = ("first", "second", "third")
    ways = [(label(name), mov(r0, n), ja("chosen")) for n, name in enumerate(names)]
    counts = histogram(random.choose(dict(zip(names, weights, strict=True))), ways, label("chosen"))
    assert sum(counts[:3]) == TURNS
    assert all(near(count, weight / sum(weights)) for count, weight in zip(counts, weights, strict=False))


def test_one_in_ten():
    taken = histogram(sampling.one_in(10, fail="out"), mov(r0, 5))
    assert near(taken[5], 0.1)
    assert sum(taken) == taken[5]


def test_one_in_one_is_always():
    assert histogram(sampling.one_in(1, fail="out"))[0] == TURNS


def test_random_numbers_have_32_bits():
    numbers = [observe(random.u32(r8), results={r8}).registers[r8] for _ in range(5)]
    assert len(set(numbers)) > 1
    assert max(numbers) < 1 << 32


@pytest.mark.parametrize("counter", [r1, r6])
def test_a_bounded_loop_counts(counter):
    seen = observe(mov(r8, 0), loops.bounded(counter, 10, add(r8, counter)), given={r8}, results={r8, counter})
    assert (seen.registers[r8], seen.registers[counter]) == (45, 10)


def test_loops_within_loops_and_ways_out():
    inner = loops.bounded(r7, 5, add(r8, 1))
    both = loops.bounded(r6, 100, inner, jgt(r8, 11, "fail"))
    seen = observe(mov(r8, 0), both, given={r8}, results={r6, r8})
    assert (seen.failed, seen.registers[r6], seen.registers[r8]) == (True, 2, 15)


def test_unrolled():
    turn = (jset(r6, 1, "odd"), add(r7, 1), label("odd"), rsh(r6, 1))
    seen = observe(loops.unrolled(16, *turn), before=[mov(r6, 0b1011), mov(r7, 0)], given={r6, r7}, results={r6, r7})
    assert (seen.registers[r6], seen.registers[r7]) == (0, 13)


def test_each_shares_memory_with_its_subprogram():
    each = [label("each"), ldxdw(r3, r2, 0), add(r3, r1), stxdw(r2, 0, r3), mov(r0, 0)]
    each += [jlt(r1, 99, "go on"), mov(r0, 1), label("go on"), exit_()]
    loop = loops.each(r7, "each", fp - 8)
    code = assemble(
        [stdw(fp, -8, 0), mov(r7, 1000), loop, mov(r6, r0), ldxdw(r0, fp, -8), lsh(r6, 16), add(r0, r6), exit_()], each
    )
    with fb.ProgramSpec("socket_filter", code).load() as program:
        assert program.test_run(bytes(64)).retval == 100 << 16 | sum(range(100))


# --- processes


def in_thread(what):
    """Run it in a thread of its own, whose tid is not the pid."""
    results = []
    thread = threading.Thread(target=lambda: results.append((what(), threading.get_native_id())))
    thread.start()
    thread.join()
    return results[0]


def test_process_and_thread():
    def run():
        return observe(process.pid(r7), process.tid(r8), results={r7, r8}).registers

    registers, tid = in_thread(run)
    assert (registers[r7], registers[r8]) == (os.getpid(), tid)
    assert tid != os.getpid()


def test_user_and_group():
    def run():
        # of this thread only: the C library would change all
        assert libc.syscall(119, 1234, 0, 0) == 0
        assert libc.syscall(117, 0xF000_0001, 0, 0) == 0
        return (
            observe(process.uid(r7), process.gid(r8), results={r7, r8}).registers,
            observe(process.only_uid(0xF000_0001, fail="fail")).failed,
            observe(process.only_gid(r7, fail="fail"), before=[mov(r7, 1234)], given={r7}).failed,
            observe(process.only_uid(1234, fail="fail")).failed,
        )

    (registers, *failed), _ = in_thread(run)
    assert (registers[r7], registers[r8]) == (0xF000_0001, 1234)
    assert failed == [False, False, True]


def test_all_at_once():
    def run():
        name = process.info(r7, r8, comm=fp - 16)
        halves = [process.pid(r1, r7), process.tid(r2, r7), process.uid(r3, r8), process.gid(r8, r8)]
        seen = observe(name, *halves, results={r1, r2, r3, r8})
        return seen, Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip()

    (seen, comm), tid = in_thread(run)
    assert [seen.registers[r] for r in (r1, r2, r3, r8)] == [os.getpid(), tid, os.getuid(), os.getgid()]
    assert seen.at(fp - 16, 16).rstrip(b"\0").decode() == comm


def test_only_one_process():
    def run():
        pid, tid = os.getpid(), threading.get_native_id()
        wanted = [process.only_pid(pid, "fail"), process.only_tid(tid, "fail")]
        others = [process.only_pid(tid, "fail"), process.only_tid(pid, "fail"), process.only_pid(0, "fail")]
        return [observe(one).failed for one in wanted], [observe(one).failed for one in others]

    (wanted, others), _ = in_thread(run)
    assert (wanted, others) == ([False, False], [True, True, True])


# --- maps

COUNTS = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=2, name="counts")


def key(number, at=fp - 4):
    return stw(fp, at.offset, number)


class Told:
    """As a block of the test's own: instructions that say what they write."""

    def __init__(self, *parts, clobbers=(), stack=None):
        self.parts, self.clobbers, self.stack = parts, clobbers, stack

    def __iter__(self):
        return iter(self.parts)


def keyed(number, value=0):
    return Told(key(number), stdw(fp, -16, value), stack=(-16, 0))


def test_lookup():
    with created(COUNTS) as live:
        live["counts"][7] = 70
        hit = observe(
            keyed(7), maps.lookup(COUNTS, fp - 4, r8, fail="fail"), Told(ldxdw(r8, r8, 0)), live=live, results={r8}
        )
        miss = observe(keyed(8), maps.lookup(COUNTS, fp - 4, r8, fail="fail"), live=live)
        unchecked = observe(keyed(8), maps.lookup(COUNTS, fp - 4, r8), live=live, results={r8})
    assert (hit.failed, hit.registers[r8]) == (False, 70)
    assert miss.failed
    assert (unchecked.failed, unchecked.registers[r8]) == (False, 0)


def test_keys_and_values_by_register():
    point = [mov(r7, fp), add(r7, -4), mov(r8, fp), add(r8, -16)]
    with created(COUNTS) as live:
        update = maps.update(COUNTS, r7, r8, fail="fail")
        swapped = [mov(r2, r8), mov(r3, r7), maps.update(COUNTS, r3, r2, fail="fail")]
        seen = observe(keyed(1, 5), update, before=point, given={r7, r8}, live=live)
        code = assemble(point, keyed(2, 6), *swapped, label("fail"), mov(r0, 0), exit_())
        with fb.ProgramSpec("socket_filter", code).load(maps=live) as program:
            program.test_run(bytes(64))
        assert (seen.failed, dict(live["counts"])) == (False, {1: 5, 2: 6})


@pytest.mark.parametrize(
    ("there", "flags", "failed", "after"),
    [
        ({}, maps.ANY, False, {1: 9}),
        ({1: 4}, maps.ANY, False, {1: 9}),
        ({}, maps.NOEXIST, False, {1: 9}),
        ({1: 4}, maps.NOEXIST, True, {1: 4}),
        ({}, maps.EXIST, True, {}),
        ({1: 4}, maps.EXIST, False, {1: 9}),
        ({2: 4, 3: 4}, maps.ANY, True, {2: 4, 3: 4}),
    ],
)
def test_update(there, flags, failed, after):
    with created(COUNTS) as live:
        live["counts"].update(there)
        seen = observe(keyed(1, 9), maps.update(COUNTS, fp - 4, fp - 16, flags, fail="fail"), live=live)
        assert (seen.failed, dict(live["counts"])) == (failed, after)


def test_delete():
    with created(COUNTS) as live:
        live["counts"].update({1: 1, 2: 2})
        gone = observe(keyed(1), maps.delete(COUNTS, fp - 4, fail="fail"), live=live)
        never = observe(keyed(3), maps.delete(COUNTS, fp - 4, fail="fail"), live=live)
        assert (gone.failed, never.failed, dict(live["counts"])) == (False, True, {2: 2})


@pytest.mark.parametrize(
    ("there", "failed", "value", "after"),
    [({}, False, 9, {1: 9}), ({1: 4}, False, 4, {1: 4}), ({2: 1, 3: 1}, True, None, {2: 1, 3: 1})],
)
def test_lookup_or_init(there, failed, value, after):
    with created(COUNTS) as live:
        live["counts"].update(there)
        find = maps.lookup_or_init(COUNTS, fp - 4, fp - 16, r8, fail="fail")
        # on the way to `fail`, r8 is what it was
        seen = observe(keyed(1, 9), find, Told(ldxdw(r8, r8, 0)), live=live, results={r8})
        assert (seen.failed, dict(live["counts"])) == (failed, after)
        assert seen.registers[r8] == (sentinel(r8) if failed else value)


class Traffic(fb.Struct):
    packets: fb.u32
    bytes: fb.u64
    dropped: fb.i32


TRAFFIC = fb.MapSpec("hash", key=fb.u32, value=Traffic, max_entries=2, name="traffic")


def test_increment_of_an_array():
    with created(HISTOGRAM) as live:
        for by in (1, -3, 1 << 40):
            assert not observe(keyed(5), maps.increment(HISTOGRAM, fp - 4, by, fail="fail"), live=live).failed
        assert live["histogram"][5] == (1 << 40) - 2
        assert observe(keyed(100), maps.increment(HISTOGRAM, fp - 4, fail="fail"), live=live).failed


def test_increment_makes_what_is_missing_only_when_told():
    with created(COUNTS) as live:
        assert observe(keyed(1), maps.increment(COUNTS, fp - 4, fail="fail"), live=live).failed
        assert not observe(keyed(1), maps.increment(COUNTS, fp - 4), live=live).failed
        assert dict(live["counts"]) == {}
        for _ in range(3):
            observe(keyed(1), maps.increment(COUNTS, fp - 4, r7, new=fp - 24, fail="fail"), live=live)
        assert dict(live["counts"]) == {1: 3 * sentinel(r7) & M64}
        live["counts"][2] = 0
        full = observe(keyed(3), maps.increment(COUNTS, fp - 4, new=fp - 24, fail="fail"), live=live)
        assert (full.failed, len(live["counts"])) == (True, 2)


def test_increment_of_a_field():
    with created(TRAFFIC) as live:
        for field, by in (("dropped", -1), ("bytes", 1500), ("packets", 0xFFFF_FFFF), ("packets", 3), ("bytes", r8)):
            observe(keyed(1), maps.increment(TRAFFIC, fp - 4, by, field=field, new=fp - 48), live=live)
        expected = Traffic(packets=2, bytes=1500 + sentinel(r8), dropped=-1)
        assert live["traffic"][1] == expected


@pytest.mark.parametrize("field", ["packets", "bytes"])
def test_no_count_is_lost_between_cpus(field):
    runs = 100_000
    count = maps.increment(TRAFFIC, fp - 4, 3, field=field, new=fp - 32)
    code = assemble(key(1), count, mov(r0, 0), exit_())
    with fb.ProgramSpec("socket_filter", code).load() as program:
        threads = [threading.Thread(target=program.test_run, args=(bytes(64), None, runs)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert getattr(program.maps["traffic"][1], field) == 9 * runs


# --- latency


def test_latency_from_one_program_to_another():
    starts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=4, name="starts")
    with created(starts) as live:
        assert observe(keyed(1), latency.finish(starts, fp - 4, r7, fail="fail"), live=live).failed
        before = clock.monotonic_ns()
        assert not observe(keyed(1), latency.start(starts, fp - 4, at=fp - 24, fail="fail"), live=live).failed
        begun = clock.monotonic_ns()
        clock.sleep(0.01)
        later = clock.monotonic_ns()
        seen = observe(keyed(1), latency.finish(starts, fp - 4, r7, fail="fail"), live=live, results={r7})
        assert later - begun <= seen.registers[r7] <= clock.monotonic_ns() - before
        assert observe(keyed(1), latency.finish(starts, fp - 4, r7, fail="fail"), live=live).failed


# --- atomics


@pytest.mark.parametrize("size", ["u32", "u64"])
@pytest.mark.parametrize("mask", [1, 1 << 31, 0xF0F0_F0F0])
def test_bits(size, mask):
    bits = (1 << int(size[1:])) - 1
    began = FILLED & bits
    for change, expected in (
        (atomics.set_bits, began | mask),
        (atomics.clear_bits, began & ~mask),
        (atomics.toggle_bits, began ^ mask),
        (atomics.add, began + mask & bits),
    ):
        number = observe(change(fp - 8, mask, size=size))
        register = observe(change(fp - 8, r7, size=size), before=[const(r7, mask)], given={r7})
        fetched = observe(change(fp - 8, mask, size=size, old=r3), results={r3})
        both = observe(change(fp - 8, r7, size=size, old=r3), before=[const(r7, mask)], given={r7}, results={r3})
        assert {seen.number(fp - 8) & bits for seen in (number, register, fetched, both)} == {expected}
        assert {seen.number(fp - 8) & ~bits for seen in (number, register, fetched, both)} == {FILLED & ~bits}
        assert fetched.registers[r3] == both.registers[r3] == began
        assert both.registers[r7] == mask


def test_up_and_down():
    assert observe(atomics.increment(fp - 8)).number(fp - 8) == FILLED + 1
    assert observe(atomics.decrement(fp - 8, old=r0), results={r0}).registers[r0] == FILLED
    assert observe(atomics.decrement(fp - 8)).number(fp - 8) == FILLED - 1


@pytest.mark.parametrize("size", ["u32", "u64"])
def test_compare_and_swap(size):
    bits = (1 << int(size[1:])) - 1
    began = FILLED & bits
    for expected, new, failed in ((began, 5, False), (began ^ 1, 5, True), (began, r7, False), (0, r7, True)):
        swap = atomics.compare_and_swap(fp - 8, expected, new, fail="fail", size=size)
        seen = observe(swap, results={r0})
        after = (sentinel(new) if new == r7 else new) & bits
        assert (seen.failed, seen.registers[r0]) == (failed, began)
        assert seen.number(fp - 8) & bits == (began if failed else after)
    by_register = atomics.compare_and_swap(fp - 8, r8, 5, fail="fail", size=size)
    seen = observe(by_register, before=[const(r8, FILLED)], given={r8})
    assert (seen.failed, seen.number(fp - 8) & bits) == (False, 5)


def test_update_by_compare_and_swap():
    double = atomics.update(fp - 8, r1, mul(r1, 2), xor(r1, r9), fail="fail", size="u32")
    seen = observe(double, results={r0, r1})
    began = FILLED & 0xFFFF_FFFF
    new = (began * 2 ^ sentinel(r9)) & 0xFFFF_FFFF
    assert (seen.failed, seen.registers[r0], seen.number(fp - 8, 4)) == (False, began, new)


def test_named_scratch_registers_of_r6_to_r9_are_used():
    new, began = 1 << 50, FILLED & M64
    swap = atomics.compare_and_swap(fp - 8, began, new, fail="fail", scratch=(r8, r9))
    seen = observe(swap, results={r0})
    assert (seen.failed, seen.registers[r0], seen.number(fp - 8)) == (False, began, new)
    double = atomics.update(fp - 8, r1, mul(r1, 2), fail="fail", scratch=(r7, r8))
    seen = observe(double, results={r0, r1})
    assert (seen.failed, seen.registers[r0], seen.number(fp - 8)) == (False, began, began * 2 & M64)


def test_updates_of_several_cpus_are_all_there():
    runs = 60_000
    one = fb.MapSpec("array", value=fb.u64[2], max_entries=1, name="cell")
    code = assemble(
        [ld_map_value(r6, one, 0), atomics.update(r6, r1, mul(r1, 5), add(r1, 1), fail="busy", tries=500)],
        [mov(r0, 0), exit_()],
        [label("busy"), atomics.increment(r6 + 8), mov(r0, 0), exit_()],
    )
    with fb.ProgramSpec("socket_filter", code).load() as program:
        threads = [threading.Thread(target=program.test_run, args=(bytes(64), None, runs)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        value, busy = program.maps["cell"][0]
    expected = 0
    for _ in range(2 * runs - busy):
        expected = (expected * 5 + 1) & M64
    assert value == expected


# --- ring buffers

EVENTS = fb.MapSpec("ringbuf", max_entries=4096, name="events")


class Event(fb.Struct):
    number: fb.u64
    word: fb.u32


def emitted(*parts, runs=1):
    """The records that a program put into the ring, read by fastbpf, and what its last run returned."""
    code = assemble(*parts, mov(r0, 1), exit_(), label("full"), mov(r0, 2), exit_())
    with fb.ProgramSpec("socket_filter", code).load() as program:
        with fb.RingBuffer(program.maps["events"], Event, background=False) as stream:
            results = [program.test_run(bytes(64)).retval for _ in range(runs)]
            batch = stream.read(seconds=0.05)
            return [tuple(row.values()) for row in batch.to_pylist()], results


def test_reserve_fill_submit():
    fill = [stdw(r6, 0, 7), stw(r6, 8, 9), memory.zero(r6 + 12, 4)]
    rows, results = emitted(ringbuf.reserve(EVENTS, 16, r6, fail="full"), fill, ringbuf.submit(r6), runs=3)
    assert (rows, results) == ([(7, 9)] * 3, [1, 1, 1])


def test_a_record_by_fields():
    filled = memory.init(r6, Event, {"number": r7, "word": 0xFFFF_FFFF})
    parts = [const(r7, 1 << 50), ringbuf.reserve(EVENTS, Event.size, r6, fail="full"), filled, ringbuf.submit(r6)]
    assert emitted(parts)[0] == [(1 << 50, 0xFFFF_FFFF)]


def test_discard():
    first = [ringbuf.reserve(EVENTS, 16, r6, fail="full"), memory.zero(r6, 16), ringbuf.discard(r6)]
    second = [
        ringbuf.reserve(EVENTS, 16, r6, fail="full"),
        memory.fill(r6, 1, 16),
        ringbuf.submit(r6, ringbuf.FORCE_WAKEUP),
    ]
    assert emitted(first, second)[0] == [(0x0101_0101_0101_0101, 0x0101_0101)]


@pytest.mark.parametrize(("size", "fits"), [(4073, True), (4080, True), (4081, False), (4088, False)])
def test_the_longest_record_of_a_ring(size, fits):
    # by a register that holds the map, of which the block knows nothing
    reserve = ringbuf.reserve(r6, size, r7, fail="full")
    assert emitted(ld_map(r6, EVENTS), reserve, ringbuf.discard(r7))[1] == [1 if fits else 2]
    if fits:
        assert emitted(ringbuf.reserve(EVENTS, size, r7, fail="full"), ringbuf.discard(r7))[1] == [1]
    else:
        with pytest.raises(fb.AsmError, match="never fits"):
            ringbuf.reserve(EVENTS, size, r7)


def test_a_ring_that_is_full():
    _, results = emitted(
        ringbuf.reserve(EVENTS, 2000, r6, fail="full"),
        memory.zero(r6, 16),
        ringbuf.submit(r6, ringbuf.NO_WAKEUP),
        runs=3,
    )
    assert results == [1, 1, 2]
    _, results = emitted(ringbuf.output(EVENTS, fp - 16, 16, fail="full"), runs=200)
    assert Counter(results)[2] == 200 - 4096 // 24


@pytest.mark.parametrize("place", [fp - 16, r6])
def test_output(place):
    filled = [memory.init(fp - 16, Event, {"number": 3, "word": 4}), mov(r6, fp), add(r6, -16)]
    assert emitted(filled, ringbuf.output(EVENTS, place, 16, fail="full")) == ([(3, 4)], [1])


def test_query():
    waiting = [memory.zero(fp - 16, 16), ringbuf.output(EVENTS, fp - 16, 16, ringbuf.NO_WAKEUP)] * 3
    asked = [ringbuf.query(EVENTS, what, register) for what, register in ((0, r6), (1, r7), (2, r8), (3, r9))]
    wrong = [jne(r6, 72, "full"), jne(r7, 4096, "full"), jne(r8, 0, "full"), jne(r9, 72, "full")]
    assert emitted(waiting, asked, wrong)[1] == [1]


def test_ring_blocks_keep_to_what_they_say():
    with created(EVENTS) as live:
        reserve = ringbuf.reserve(EVENTS, 16, r8, fail="fail")
        seen = observe(reserve, memory.zero(r8, 16), ringbuf.submit(r8), live=live)
        copied = observe(keyed(1), ringbuf.output(EVENTS, fp - 16, 16, fail="fail"), live=live, results={r0})
        asked = observe(ringbuf.query(EVENTS, ringbuf.AVAIL_DATA, r9), live=live, results={r9})
    assert (seen.failed, copied.registers[r0], asked.registers[r9]) == (False, 0, 48)


# --- printing


def test_lines_of_the_trace_log():
    token = f"fastbpf {os.getpid()} {clock.monotonic_ns()}"
    line = printing.trace_printk(f"{token}: %d%% of %llx", 50, r7, at=fp - 96)
    assert not observe(line).failed
    assert f"{token}: 50% of {sentinel(r7):x}" in Path("/sys/kernel/tracing/trace").read_text()


def test_arguments_may_be_any_register():
    token = f"fastbpf {os.getpid()} {clock.monotonic_ns()}"
    line = printing.trace_printk(f"{token} %llx %llx %llx", r0, r5, r3, at=fp - 128)
    observe(line)
    told = " ".join(f"{sentinel(register):x}" for register in (r0, r5, r3))
    assert f"{token} {told}" in Path("/sys/kernel/tracing/trace").read_text()


CONVERSIONS = (
    "%d %i %u %x %X %c %p %s %ld %lld %li %llX %5d %-5d %05d %+d %00d %lc %lp %hd %zu %q %f %o %pK %px %ps %pS"
)
CONVERSIONS += " %pB %pi4 %pI6 %pi5 %pi %pd %pks %pus %p, %pz %sa %s1 %s, %da %ca %5s %5c %5% %l %ll %llld %.3d %*d %"
CONVERSIONS += " %pksa %pki %#x %- %%%d %dd %pi4a %pI6c %pBa %psa %10p %s%d %s_ %ulx %p[ %0 100%% 100% %%% %c%c%c %d%hd"


@pytest.mark.parametrize("text", [*CONVERSIONS.split(), "% d", "% %", "a\tb\n", "\x01", "\x7f", "%p\n", "%s d", "%l d"])
def test_formats_are_refused_where_the_kernel_refuses_them(text):
    count = min(text.replace("%%", "").count("%"), 3)
    code = assemble(mov(r6, 0), call.trace_printk(text, None, *[r6] * count), exit_())
    with fb.ProgramSpec("raw_tracepoint", code, license="GPL").load() as program:
        taken = program.test_run(ctx=bytes(16)).retval < 1 << 31
    if taken:
        printing.trace_printk(text, *[r6] * count, at=fp - 16)
    else:
        with pytest.raises(fb.AsmError, match="is no conversion|refuses the character"):
            printing.trace_printk(text, *[r6] * count, at=fp - 16)


# --- the stack


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_places_of_the_stack_are_each_its_own(sizes):
    stack = Stack()
    places = [(stack.take(size), size) for size in sizes if stack.used + size + 8 < -LOW]
    blocks = [memory.fill(at, number + 1, size) for number, (at, size) in enumerate(places)]
    seen = observe(*blocks)
    assert [seen.at(at, size) for at, size in places] == [
        bytes([number + 1]) * size for number, (_, size) in enumerate(places)
    ]


# --- all together

KEPT_REGISTERS = st.sampled_from([r6, r7, r8, r9])
BYTES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: M64}


class Model:
    """The stack and the registers, as Python has them; None is what cannot be known."""

    def __init__(self):
        self.stack = list(pack("=Q", FILLED) * (-LOW // 8))
        self.registers = {register: sentinel(register) for register in REGISTERS}

    def write(self, at, data):
        self.stack[at - LOW : at - LOW + len(data)] = data

    def read(self, at, size):
        return self.stack[at - LOW : at - LOW + size]

    def number(self, at, size):
        data = self.read(at, size)
        return None if None in data else int.from_bytes(bytes(data), sys.byteorder)

    def forget(self, registers):
        for register in registers:
            self.registers[register] = None


@st.composite
def compositions(draw):
    """Blocks in a row, and what they leave."""
    model, blocks = Model(), []
    for _ in range(draw(st.integers(1, 8))):
        block = draw(st.sampled_from(POOL))(draw, model)
        blocks.append(block)
        # results that are known were set by the block's own maker
        model.forget(set(block.clobbers) - getattr(model, "set", set()))
        model.set = set()
    return blocks, model


def span(draw):
    size = draw(st.integers(1, 40))
    return draw(st.integers(LOW, -size)), size


def any_zero(draw, model):
    at, size = span(draw)
    model.write(at, [0] * size)
    return memory.zero(fp + at, size)


def any_fill(draw, model):
    at, size = span(draw)
    each = draw(st.sampled_from([1, 2, 4, 8]))
    size = max(size // each, 1) * each
    at = min(at, -size)
    value = draw(st.integers(-(1 << 8 * each - 1), BYTES[each]))
    model.write(at, (value & BYTES[each]).to_bytes(each, sys.byteorder) * (size // each))
    return memory.fill(fp + at, value, size, each=each, width=draw(st.sampled_from([1, 2, 4, 8])))


def any_copy(draw, model):
    source, size = span(draw)
    # near each other, so that they overlap
    target = min(max(source + draw(st.integers(-20, 20)), LOW), -size)
    model.write(target, model.read(source, size))
    return memory.copy(fp + source, fp + target, size, width=draw(st.sampled_from([1, 2, 4, 8])))


def any_store(draw, model):
    size = draw(st.sampled_from([1, 2, 4, 8]))
    at = draw(st.integers(LOW // size, -1)) * size
    if draw(st.booleans()):
        register = draw(KEPT_REGISTERS)
        value = model.registers[register]
        data = [None] * size if value is None else (value & BYTES[size]).to_bytes(size, sys.byteorder)
        model.write(at, data)
        return memory.store(fp + at, register, size)
    value = draw(st.integers(-(1 << 8 * size - 1), BYTES[size]))
    model.write(at, (value & BYTES[size]).to_bytes(size, sys.byteorder))
    return memory.store(fp + at, value, size)


def any_load(draw, model):
    size = draw(st.sampled_from([1, 2, 4, 8]))
    at, register = draw(st.integers(LOW // size, -1)) * size, draw(KEPT_REGISTERS)
    model.registers[register] = model.number(at, size)
    model.set = {register}
    return memory.load(register, fp + at, size)


def any_stamp(draw, model):
    at = draw(st.integers(LOW // 8, -1)) * 8
    model.write(at, [None] * 8)
    return time.stamp(fp + at, draw(st.sampled_from(["monotonic", "boot", "tai"])))


def any_bits(draw, model):
    size = draw(st.sampled_from(["u32", "u64"]))
    width = int(size[1:]) // 8
    at, mask = draw(st.integers(LOW // 8, -1)) * 8, draw(st.integers(0, BYTES[width]))
    change, result = draw(
        st.sampled_from(
            [
                (atomics.add, lambda old: old + mask),
                (atomics.set_bits, lambda old: old | mask),
                (atomics.clear_bits, lambda old: old & ~mask),
                (atomics.toggle_bits, lambda old: old ^ mask),
            ]
        )
    )
    old = model.number(at, width)
    model.write(at, [None] * width if old is None else (result(old) & BYTES[width]).to_bytes(width, sys.byteorder))
    register = draw(st.none() | KEPT_REGISTERS)
    if register:
        model.registers[register] = old
        model.set = {register}
    return change(fp + at, mask, size=size, old=register)


def any_call(draw, model):
    register = draw(KEPT_REGISTERS)
    at = draw(st.integers(LOW // 8, -3)) * 8
    return draw(
        st.sampled_from(
            [
                time.now(register),
                time.elapsed(fp + at, register),
                time.elapsed(r6, register),
                time.jiffies(),
                random.below(10, register),
                random.u32(register),
                sampling.one_in(1, "fail"),
                process.pid(register),
                process.gid(register),
                process.only_pid(os.getpid(), "fail"),
                maps.lookup(HISTOGRAM, fp + at),
                maps.lookup_or_init(ROOMY, fp + at, fp + at + 8, fail="fail"),
                maps.update(ROOMY, fp + at, fp + at + 8),
                maps.increment(ROOMY, fp + at, r9),
                maps.delete(ROOMY, fp + at),
                ringbuf.output(EVENTS, fp + at, 16),
                ringbuf.query(EVENTS, ringbuf.PROD_POS, register),
            ]
        )
    )


def any_read(draw, model):
    at, key = draw(st.integers(LOW // 8, -2)) * 8, draw(st.integers(LOW // 4, -1)) * 4
    if at <= key < at + 8:
        key = at + 8
    size = draw(st.integers(1, 16))
    block = draw(
        st.sampled_from(
            [
                process.info(r7, r8, comm=fp + at, size=size),
                memory.read_kernel(fp + at, size, r9),
                memory.read_user(fp + at, size, r6 + 8),
                strings.read_kernel(fp + at, size, r9),
                strings.read_user(fp + at, size, fp + key),
                latency.start(ROOMY, fp + key, at=fp + at),
                maps.increment(ROOMY, fp + key, new=fp + at),
            ]
        )
    )
    low, high = block.stack
    model.write(low, [None] * (high - low))
    return block


def any_loop(draw, model):
    at, times = draw(st.integers(LOW // 8, -1)) * 8, draw(st.integers(1, 4))
    old = model.number(at, 8)
    model.write(at, [None] * 8 if old is None else ((old + times) & M64).to_bytes(8, sys.byteorder))
    counter = draw(st.sampled_from([r5, r7]))
    model.registers[counter] = times
    model.set = {counter}
    return loops.bounded(counter, times, atomics.increment(fp + at))


ROOMY = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=4096, name="roomy")
POOL = [any_zero, any_fill, any_copy, any_store, any_load, any_stamp, any_bits, any_call, any_read, any_loop]


@given(compositions(), st.sampled_from(["raw_tracepoint", "socket_filter", "sched_cls", "syscall"]))
@settings(max_examples=150, deadline=None)
def test_blocks_in_any_order(drawn, kind):
    blocks, model = drawn
    unknown = {register for register, value in model.registers.items() if value is None}
    # a block that fails leaves those of later blocks as they were, which may be lost already
    unreadable = {r0, r1, r2, r3, r4, r5} & {register for block in blocks for register in block.clobbers}
    unknown |= unreadable
    code = watched(blocks, lost=unreadable)
    with fb.ProgramSpec(kind, code).load() as program:
        seen = found(program, unreadable)
    assert not seen.failed
    assert {r: v for r, v in seen.registers.items() if r not in unknown} == {
        r: v for r, v in model.registers.items() if r not in unknown
    }
    assert [None if known is None else byte for byte, known in zip(seen.stack, model.stack, strict=True)] == model.stack
    said = {at for block in blocks if block.stack for at in range(*block.stack)}
    fill = pack("=Q", FILLED) * (-LOW // 8)
    assert {at for at in range(LOW, 0) if seen.stack[at - LOW] != fill[at - LOW]} <= said
