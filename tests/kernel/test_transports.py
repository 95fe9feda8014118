"""What a trace is sent through makes no difference to its rows, and none of them is unaccounted for."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from tests.kernel.producers import Child
from tests.kernel.raw_bpf import perf_event

import fastbpf as fb
from fastbpf.errors import KernelError
from fastbpf.maps import MapSpec
from fastbpf.tracing import kernel

GETPPID = "tracepoint:syscalls:sys_enter_getppid"
OPENAT = "tracepoint:syscalls:sys_enter_openat"
SYS_ENTER = "raw_tracepoint:sys_enter"
PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT = 1, 10
RINGBUF = 27  # BPF_MAP_TYPE_RINGBUF

CPUS = sorted(os.sched_getaffinity(0))[:2]
WAYS = [("ring", None), ("ring", "cpu"), ("perf", None)]


@pytest.fixture
def perf(monkeypatch):
    """Traces are sent through perf buffers."""
    monkeypatch.setattr(kernel, "has_ring_buffers", lambda: False)


def through_perf_buffers(*arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "has_ring_buffers", lambda: False)
        return fb.trace(*arguments, **options)


def rest(trace):
    trace.stop()
    return trace.read(seconds=20)


def accounted(stats):
    return stats.delivered + stats.queued + stats.lost + (stats.missed or 0) + stats.dropped


def of(*children):
    return f"pid in ({', '.join(str(child.pid) for child in children)},)"


# A machine that stops for longer than the look-back makes late ones, which are counted.
def out_of_order(times):
    return sum(after < before for before, after in pairwise(times))


# The same events, seen by two traces at once


MANY = [f"arg{n} != {n + 7}" for n in range(6)]


@pytest.mark.parametrize(
    ("probe", "fields", "where", "scratch"),
    [
        (SYS_ENTER, ["pid"], None, False),
        (SYS_ENTER, ["cpu", "arg3", "comm", "tid", "cgroup", "uid", "id", "gid", "pid"], None, False),
        (SYS_ENTER, ["id", "arg0", "arg1"], "arg0 != 77", False),
        # More than the stack has room for, beside what the expression needs.
        (
            SYS_ENTER,
            ["pid", "tid", "uid", "gid", "cpu", "comm", "cgroup", "id", *(f"arg{n}" for n in range(6))],
            " and ".join([*MANY, "id >= 0", "uid >= 0", "cgroup != 77", "comm != 'x'", "cpu >= 0", "tid != 1"]),
            True,
        ),
        (OPENAT, [], "mode != 3", True),
        (OPENAT, ["dfd"], "filename != '/nowhere/3'", True),
        (OPENAT, ["flags", "filename", "comm"], "filename != '/nowhere/3' and flags != 77", True),
        ("tracepoint:syscalls:sys_enter_renameat2", [], None, True),
    ],
)
def test_a_perf_buffer_carries_what_a_ring_does(probe, fields, where, scratch):
    rename = {"x86_64": 316, "aarch64": 276}[os.uname().machine]
    with Child() as child, ExitStack() as stack:
        traces = [
            stack.enter_context(trace(probe, *fields, where=where, pid=child.pid))
            for trace in (fb.trace, through_perf_buffers)
        ]
        assert [sorted(trace.lost_by_reason) for trace in traces] == [["no room"], ["no buffer", "no room", "other"]]
        assert ("scratch" in traces[1].program.maps) == scratch
        child.run(
            f"""
for n in range(300):
    libc.openat(-100, b'/nowhere/%d' % (n % 7) + b'x' * (n % 290), n, 0)
    libc.openat(-100, ctypes.c_void_p(8), 0, 0)
    libc.syscall({rename}, -100, b'one' * (n % 50), 5, b'two', 1)
    os.getppid()
"""
        )
        child.run("pass")
        ring, perf = (rest(trace) for trace in traces)
        stats = [trace.stats for trace in traces]
    assert ring.num_rows >= 250
    # Whatever happened between the two attaching and detaching is in one of them only: at both ends.
    assert abs(ring.num_rows - perf.num_rows) < 200
    assert ring.schema.equals(perf.schema, check_metadata=False)
    times = [name for name in ring.schema.names if name == "ts"]
    rows = [table.drop_columns(times).to_pylist() for table in (ring, perf)]
    start = next(n for n in range(len(rows[0])) if rows[0][n : n + 100] == rows[1][:100])
    common = min(len(rows[0]) - start, len(rows[1]))
    assert common >= 250
    assert rows[0][start : start + common] == rows[1][:common]
    assert [one.lost for one in stats] == [0, 0]
    if len(rows[0]) == len(rows[1]):
        assert stats[0].cut == stats[1].cut


@pytest.mark.usefixtures("perf")
def test_rows_come_in_order_also_from_several_perf_buffers():
    with Child() as child, fb.trace(GETPPID, "cpu", "ts", pid=child.pid) as trace:
        child.run(f"for n in range(400):\n os.sched_setaffinity(0, {{({CPUS[0]}, {CPUS[-1]})[n % 2]}})\n os.getppid()")
        table = rest(trace)
        late = trace.stats.late
    times = table["ts"].cast("int64").to_pylist()
    assert table["cpu"].to_pylist()[:10] == (CPUS * 10)[:10]
    assert len(times) == 400
    assert out_of_order(times) <= late


@pytest.mark.usefixtures("perf")
def test_the_helpers_of_older_kernels_do(monkeypatch):
    monkeypatch.setattr(kernel, "_allowed", lambda _: frozenset())
    fields = ["ts", "dfd", "filename"]
    with Child() as child, fb.trace(OPENAT, *fields, raw=True, where="dfd == -77", pid=child.pid) as trace:
        code = str(trace.program.spec.code)
        before, began = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        child.run("libc.openat(-77, b'/nowhere/old', 0, 0); libc.openat(-77, ctypes.c_void_p(8), 0, 0)")
        after = time.time_ns()
        rows = rest(trace).to_pylist()
    # ktime_get_ns, probe_read_str and the ones that are newer
    assert {5, 45} <= {int(number) for number in re.findall(r"call bpf_\w+#(\d+)", code)}
    assert not {113, 114, 115, 125} & {int(number) for number in re.findall(r"call bpf_\w+#(\d+)", code)}
    assert [(row["dfd"], row["filename"]) for row in rows] == [(-77, "/nowhere/old"), (-77, None)]
    for row in rows:
        assert before - 50_000_000 <= row["ts"].value <= after + 50_000_000
        assert began <= row["ts_raw"] <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_traces_of_several_probes_become_one_stream():
    with Child(CPUS[0]) as child:
        parts = [
            fb.trace(GETPPID, "ts", "pid", pid=child.pid),
            fb.trace(OPENAT, "ts", "dfd", "filename", pid=child.pid, where="dfd == -77", shards="cpu"),
            through_perf_buffers("tracepoint:syscalls:sys_enter_close", "ts", "fd", pid=child.pid, where="fd > 1000"),
        ]
        with fb.Stream(parts, ordered=True) as stream:
            child.run("for n in range(50): os.getppid(); libc.openat(-77, b'%d' % n, 0, 0); libc.close(n + 2000)")
            stream.stop()
            tables = stream.read_all(seconds=20)
            assert stream.stats[:4] == (150, 150, 0, 0)
    assert tables["sys_enter_getppid"]["pid"].to_pylist() == [child.pid] * 50
    assert tables["sys_enter_openat"]["filename"].to_pylist() == [str(n) for n in range(50)]
    assert tables["sys_enter_close"]["fd"].to_pylist() == [n + 2000 for n in range(50)]
    assert [part.lost_by_reason["no room"] for part in parts] == [0, 0, 0]


# Asking


def test_the_kernel_is_asked_for_a_ring_once(monkeypatch):
    kernel.has_ring_buffers.cache_clear()
    assert kernel.has_ring_buffers()
    answers = [KernelError(22, "no such type"), KernelError(1, "not permitted")]

    def create(_):
        raise answers[0]

    with monkeypatch.context() as patch:
        patch.setattr(MapSpec, "create", create)
        assert kernel.has_ring_buffers()
        kernel.has_ring_buffers.cache_clear()
        assert not kernel.has_ring_buffers()
        kernel.has_ring_buffers.cache_clear()
        answers.pop(0)
        # Who may not ask has no answer, which is not remembered.
        with pytest.raises(KernelError, match="not permitted"):
            kernel.has_ring_buffers()
    assert kernel.has_ring_buffers()


# How large they are


def rings():
    """The sizes of this process's ring buffers, as the kernel tells them."""
    found = {}
    for file in Path("/proc/self/fdinfo").iterdir():
        try:
            told = file.read_text()
        except FileNotFoundError:
            continue  # that of the folder
        if re.search(rf"^map_type:\s+{RINGBUF}$", told, re.MULTILINE):
            number, size = (
                re.search(rf"^{name}:\s+(\d+)$", told, re.MULTILINE)[1] for name in ("map_id", "max_entries")
            )
            found[number] = int(size)
    return list(found.values())


def perf_buffers():
    """The sizes of this process's perf buffers, as the kernel tells them."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "[perf_event]" in line]
    spans = [line[0].split("-") for line in lines]
    return [int(end, 16) - int(start, 16) for start, end in spans]


@pytest.mark.parametrize("buffer", ["4096", "64KiB", "5MiB"])
@pytest.mark.parametrize("way", WAYS)
def test_the_size_is_that_of_all_buffers_together(way, buffer, monkeypatch):
    kind, shards = way
    if kind == "perf":
        monkeypatch.setattr(kernel, "has_ring_buffers", lambda: False)
    count = os.cpu_count()
    size = {"4096": 4096, "64KiB": 64 << 10, "5MiB": 8 << 20}[buffer]
    part = max(4096, 1 << (-(-size // count) - 1).bit_length())
    with fb.trace(GETPPID, "pid", pid=os.getpid(), buffer=buffer, shards=shards):
        if kind == "perf":
            # The kernel's page before each.
            assert perf_buffers() == [4096 + part] * count
            assert rings() == []
        elif shards:
            assert rings() == [part] * count
        else:
            assert rings() == [size]
    assert (rings(), perf_buffers()) == ([], [])


# Nothing is unaccounted for


@pytest.mark.parametrize("probe", [GETPPID, "tracepoint:syscalls:sys_enter_openat"])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_two_producers_and_buffers_that_are_too_small(way, background, probe, monkeypatch):
    kind, shards = way
    if kind == "perf":
        monkeypatch.setattr(kernel, "has_ring_buffers", lambda: False)
    work, fields = "os.getppid()", ["ts", "pid", "cpu"]
    if probe == OPENAT:
        work, fields = "libc.openat(-100, b'/nowhere', 0, 0)", ["ts", "pid", "cpu", "filename"]
    with Child(CPUS[0]) as one, Child(CPUS[-1]) as two:
        with fb.trace(
            *(probe, *fields), where=of(one, two), buffer=8192, shards=shards, background=background, max_rows=500
        ) as trace:
            for child in (one, two):
                child.start(f"for _ in range(20_000): {work}")
            rows = []
            for _ in range(10):
                rows += trace.read(rows=400, seconds=0.005).to_pylist()
            for child in (one, two):
                child.wait()
            rows += rest(trace).to_pylist()
            assert sum(trace.lost_by_reason.values()) == trace.stats.lost > 0
            assert accounted(trace.stats) == 40_000
        stats = trace.stats
        assert accounted(stats) == 40_000
        assert stats.queued == stats.dropped == 0
        # Who comes first may fill a buffer for both.
        both = {(one.pid, CPUS[0]), (two.pid, CPUS[-1])}
        seen = {(row["pid"], row["cpu"]) for row in rows}
        assert seen <= both if way == ("ring", None) else seen == both
        assert len(rows) == stats.delivered
        assert trace.lost_by_reason == {**dict.fromkeys(trace.lost_by_reason, 0), "no room": stats.lost}


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("shards", [None, "cpu"])
def test_closing_in_mid_stream(shards):
    # The children number their calls: what was delivered of each is the first of them, without a hole.
    endless = "n = 1_000_000\nwhile True:\n libc.close(n)\n n += 1"
    with Child(CPUS[0]) as one, Child(CPUS[-1]) as two:
        where = f"fd >= 1_000_000 and {of(one, two)}"
        with fb.trace(
            *("tracepoint:syscalls:sys_enter_close", "ts", "pid", "fd"),
            where=where,
            shards=shards,
            max_rows=100,
            buffer="32MiB",
        ) as trace:
            for child in (one, two):
                child.start(endless)
            rows = trace.read(rows=5000).to_pylist()
            trace.close()
        stats = trace.stats
    assert (stats.delivered, stats.lost, stats.missed, stats.dropped) == (5000, 0, 0, 0)
    assert stats.received == stats.delivered + stats.queued
    for child in (one, two):
        numbers = [row["fd"] for row in rows if row["pid"] == child.pid]
        assert numbers == list(range(1_000_000, 1_000_000 + len(numbers)))


@pytest.mark.parametrize("ordered", [False, True])
def test_a_ring_for_each_processor(ordered):
    with (
        Child(CPUS[0]) as one,
        Child(CPUS[-1]) as two,
        fb.trace(GETPPID, "ts", "pid", "cpu", where=of(one, two), shards="cpu", ordered=ordered) as trace,
    ):
        rings = dict(trace.program.maps["events"])
        assert len(set(rings.values())) == len(rings) == os.cpu_count()
        for child in (one, two):
            child.start("for _ in range(10_000): os.getppid()")
        for child in (one, two):
            child.wait()
        table = rest(trace)
        stats = trace.stats
        assert (stats.delivered, stats.lost, stats.missed, stats.queued) == (20_000, 0, 0, 0)
        rows = [(row["ts"].value, row["pid"], row["cpu"]) for row in table.to_pylist()]
        for child, cpu in ((one, CPUS[0]), (two, CPUS[-1])):
            own = [row for row in rows if row[1] == child.pid]
            assert len(own) == 10_000
            assert {row[2] for row in own} == {cpu}
            assert own == sorted(own)
        if ordered:
            assert out_of_order([row[0] for row in rows]) <= stats.late


@pytest.mark.parametrize("fields", [["pid"], ["pid", "filename"]])
@pytest.mark.parametrize("way", WAYS[1:])
def test_events_of_a_processor_without_a_buffer_are_counted(way, fields, monkeypatch):
    kind, shards = way
    if kind == "perf":
        monkeypatch.setattr(kernel, "has_ring_buffers", lambda: False)
    with (
        Child(CPUS[0]) as one,
        Child(CPUS[-1]) as two,
        fb.trace(OPENAT, *fields, where=f"dfd == -77 and {of(one, two)}", shards=shards) as trace,
    ):
        calls = "for _ in range(%d): libc.openat(-77, b'/nowhere', 0, 0)"
        one.run(calls % 10)
        del trace.program.maps["events"][CPUS[0]]
        one.run(calls % 300)
        two.run(calls % 500)
        assert trace.lost_by_reason == {**dict.fromkeys(trace.lost_by_reason, 0), "no buffer": 300}
        pids = rest(trace)["pid"].to_pylist()
        assert sorted(pids) == sorted([one.pid] * 10 + [two.pid] * 500)
        assert trace.stats.lost == 300
    assert trace.lost_by_reason["no buffer"] == trace.stats.lost == 300
    assert accounted(trace.stats) == 810


@pytest.mark.usefixtures("perf")
def test_what_the_kernel_refuses_for_other_reasons_is_counted_too():
    # It refuses output to another processor's event (-EOPNOTSUPP).
    event = perf_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT, cpu=CPUS[-1])
    try:
        with Child(CPUS[0]) as child, fb.trace(GETPPID, "pid", pid=child.pid) as trace:
            trace.program.maps["events"][CPUS[0]] = event
            child.getppid(40)
            assert trace.lost_by_reason == {"no room": 0, "no buffer": 0, "other": 40}
            assert trace.stats.lost == 40
    finally:
        os.close(event)


def test_nothing_is_known_of_losses_once_the_program_is_closed():
    with Child() as child, fb.trace(GETPPID, "pid", pid=child.pid) as trace:
        trace.program.close()
    assert trace.lost_by_reason is trace.stats.lost is None


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_what_a_slow_reader_of_a_trace_does_not_take_is_dropped(overflow):
    with Child() as child, fb.trace(GETPPID, "ts", "pid", pid=child.pid, max_rows=1, overflow=overflow) as trace:
        happened = 0
        while trace.stats.dropped == 0:
            child.getppid(2000)
            happened += 2000
        rest(trace)
        stats = trace.stats
    assert stats.lost == 0
    assert accounted(stats) == happened
    assert stats.delivered > 0
