"""Perf buffers: what programs write is what is read, stamped by the kernel, with every loss counted."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import threading
import time
from contextlib import ExitStack

import polars as pl
import pytest
from tests.kernel.producers import Child

import fastbpf as fb
from fastbpf.asm import *

CURRENT_CPU = 0xFFFFFFFF


class Event(fb.Struct):
    number: fb.u64
    pid: fb.u32


class Writer:
    """Writes to a perf_event_array, on the CPU that it is told to, and counts what the helper answers."""

    def __init__(self, entries=0, longest=4096, name="perf"):
        self.array = fb.MapSpec("perf_event_array", max_entries=entries, name="events").create()
        source = fb.MapSpec("array", value=fb.raw[longest], max_entries=1, name="source")
        counters = fb.MapSpec("array", value=fb.u64[2], max_entries=1, name="counters")
        once = assemble(
            mov(r6, r1),
            ldxdw(r5, r1, 0),
            jgt(r5, longest, "out"),
            ld_map_value(r4, source, 0),
            mov(r1, r6),
            ld_map(r2, self.array),
            const(r3, CURRENT_CPU),
            call_id(25),
            exit_(),
            label("out"),
            mov(r0, -1),
            exit_(),
        )
        # As often as it is told: numbers from the counter, and the answer counted.
        many = assemble(
            mov(r6, r1),
            ldxdw(r8, r1, 0),
            mov(r7, 0),
            label("next"),
            jge(r7, r8, "done"),
            ld_map_value(r1, counters, 0),
            mov(r2, 1),
            atomic_fetch_add(r1, 0, r2),
            stxdw(fp, -16, r2),
            call.get_current_pid_tgid(),
            rsh(r0, 32),
            stxdw(fp, -8, r0),
            mov(r1, r6),
            ld_map(r2, self.array),
            const(r3, CURRENT_CPU),
            mov(r4, fp),
            add(r4, -16),
            mov(r5, 16),
            call_id(25),
            jeq(r0, 0, "written"),
            ld_map_value(r1, counters, 8),
            mov(r2, 1),
            atomic_add(r1, 0, r2),
            label("written"),
            add(r7, 1),
            jlt(r7, 4096, "next"),
            label("done"),
            mov(r0, 0),
            exit_(),
        )
        self._stack = ExitStack()
        with self._stack as stack:
            stack.enter_context(self.array)
            self.counters = stack.enter_context(counters.create())
            self.program = stack.enter_context(fb.ProgramSpec("raw_tracepoint", once, name="once").load())
            self.repeated = stack.enter_context(
                fb.ProgramSpec("raw_tracepoint", many, name="many").load({"counters": self.counters})
            )
            self._stack = stack.pop_all()
        self.source = self.program.maps["source"]

    def write(self, record):
        """What the helper answers."""
        self.source[0] = record
        answer = self.program.test_run(ctx=struct.pack("<Q", len(record))).retval
        return struct.unpack("<i", struct.pack("<I", answer))[0]

    def repeat(self, times):
        while times > 0:
            self.repeated.test_run(ctx=struct.pack("<Q", min(times, 4096)))
            times -= 4096

    @property
    def happened(self):
        return self.counters[0][0]

    @property
    def refused(self):
        return self.counters[0][1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


@pytest.fixture
def writer():
    with Writer() as writer:
        yield writer


@pytest.fixture(params=[False, True], ids=["foreground", "background"])
def background(request):
    return request.param


def pinned(cpu):
    """Runs on one CPU, as a context manager."""

    class Pinned:
        def __enter__(self):
            self.before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {cpu})

        def __exit__(self, *_):
            os.sched_setaffinity(0, self.before)

    return Pinned()


CPUS = sorted(os.sched_getaffinity(0))


def test_what_is_written_is_read_with_its_time_and_cpu(writer, background):
    with fb.PerfBuffer(writer.array, Event, background=background) as stream:
        assert stream.schema.names == ["ts", "cpu", "number", "pid"]
        before = time.time_ns()
        written = []
        for number in range(100):
            with pinned(random.Random(number).choice(CPUS)):
                cpu = CPUS[0] if len(os.sched_getaffinity(0)) > 1 else next(iter(os.sched_getaffinity(0)))
                assert writer.write(struct.pack("<QQ", number, 7)) == 0
                written.append((number, cpu))
        table = stream.read(rows=100)
        after = time.time_ns()
        rows = sorted(zip(table["number"].to_pylist(), table["cpu"].to_pylist(), strict=True))
        assert rows == written
        times = table["ts"].cast("int64").to_pylist()
        assert all(before - 10_000 <= at <= after + 10_000 for at in times)
        assert stream.stats[:4] == (100, 100, 0, 0)


def test_names_of_the_record_stay_its_own(writer):
    class Own(fb.Struct):
        ts: fb.ktime
        cpu: fb.u32

    with fb.PerfBuffer(writer.array, Own) as stream:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        writer.write(struct.pack("<QQ", now, 99))
        batch = next(stream)
        assert batch.schema.names == ["sample_ts", "sample_cpu", "ts", "cpu"]
        assert batch["cpu"].to_pylist() == [99]
        first, second = (batch[name].cast("int64").to_pylist()[0] for name in ("sample_ts", "ts"))
        assert first - second == pytest.approx(0, abs=10**9)


@pytest.mark.parametrize("longest", [12, 40, 44, 1000, 3500])
def test_records_of_any_length_wrap_and_stay_whole(longest):
    class Long(fb.Struct):
        number: fb.u32
        data: fb.raw[longest - 4]

    choices = random.Random(longest)
    with Writer() as writer, fb.PerfBuffer(writer.array, Long, buffer=4096 if longest < 1000 else 8192) as stream:
        for number in range(700):
            record = struct.pack("<I", number) + choices.randbytes(longest - 4)
            assert writer.write(record) == 0
            batch = next(stream)
            assert batch["number"].to_pylist() == [number]
            assert batch["data"].to_pylist() == [record[4:]]


def test_text_of_any_length_comes_through(writer):
    class Text(fb.Struct):
        text: fb.text[100]

    with fb.PerfBuffer(writer.array, Text) as stream:
        texts = ["x" * n for n in range(60)]
        for text in texts:
            writer.write(struct.pack("<I", len(text) << 16 | 4) + text.encode())
        got = stream.read(rows=60).sort_by("ts")["text"].to_pylist()
        assert got == texts


def test_what_finds_no_room_is_counted_by_the_kernel_exactly(writer):
    with fb.PerfBuffer(writer.array, Event, buffer=4096, background=False) as stream:
        with pinned(CPUS[0]):
            writer.repeat(10_000)
        # Nothing was written behind the losses: no record tells of them.
        assert writer.refused > 0
        assert stream.stats.lost == writer.refused
        rows = stream.read(seconds=0).num_rows
        assert rows + stream.stats.lost == writer.happened == 10_000
    assert stream.stats.lost == writer.refused


def test_gaps_tell_of_all_losses_but_the_last(writer):
    with fb.PerfBuffer(writer.array, Event, buffer=4096, sequence="number", background=False) as stream:
        rows = 0
        with pinned(CPUS[0]):
            for _ in range(20):
                writer.repeat(200)
                rows += stream.read(seconds=0).num_rows
            assert rows + writer.refused == writer.happened
            # Those behind the last event leave no gap: one more event shows them.
            writer.repeat(1)
            assert stream.read(seconds=0).num_rows == 1
        stream.stop()
        assert stream.read(seconds=0).num_rows == 0
        assert stream.stats.lost == writer.refused


def test_an_event_from_a_cpu_without_a_buffer_is_told_to_the_program(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        with pinned(CPUS[-1]):
            del writer.array[CPUS[-1]]
            assert writer.write(struct.pack("<QQ", 1, 2)) == -2
        assert stream.stats.lost == 0


def test_closing_takes_the_buffers_out_of_the_map(writer):
    with fb.PerfBuffer(writer.array, Event):
        assert writer.write(struct.pack("<QQ", 1, 2)) == 0
        with pytest.raises(fb.StreamError, match="has a reader already"):
            fb.PerfBuffer(writer.array, Event)
    assert writer.write(struct.pack("<QQ", 1, 2)) == -2
    with fb.PerfBuffer(writer.array, Event) as stream:
        assert writer.write(struct.pack("<QQ", 3, 2)) == 0
        assert stream.read(rows=1)["number"].to_pylist() == [3]


def test_a_few_events_are_found_and_many_wake(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        time.sleep(0.05)  # idle by now
        writer.repeat(3)
        assert stream.read(rows=3).num_rows == 3
        time.sleep(0.05)
        writer.repeat(4000)
        assert stream.read(rows=4000).num_rows == 4000


def test_the_newest_events_are_kept_where_they_overwrite(writer):
    with fb.PerfBuffer(writer.array, Event, buffer=4096, overwrite=True) as stream:
        with pinned(CPUS[0]):
            writer.repeat(10_000)
            first = stream.read(seconds=0)["number"].to_pylist()
            assert first == list(range(first[0], 10_000))
            assert 50 < len(first) < 4096 // 40
            assert stream.read(seconds=0).num_rows == 0
            writer.repeat(3)
            assert stream.read(seconds=0)["number"].to_pylist() == [10_000, 10_001, 10_002]
        assert stream.stats.received == len(first) + 3


def test_snapshots_of_all_cpus_are_in_order(writer):
    with fb.PerfBuffer(writer.array, Event, overwrite=True, ordered=True) as stream:
        for number in range(200):
            with pinned(CPUS[number % len(CPUS)]):
                writer.repeat(1)
        table = stream.read(seconds=0)
        assert table["number"].to_pylist() == list(range(200))
        assert set(table["cpu"].to_pylist()) == set(CPUS)


def test_events_of_all_cpus_come_in_the_order_of_the_kernels_times(writer):
    with fb.PerfBuffer(writer.array, Event, ordered=True) as stream:
        for number in range(300):
            with pinned(CPUS[number % len(CPUS)]):
                writer.repeat(1)
        assert stream.read(rows=300)["number"].to_pylist() == list(range(300))
        assert stream.stats.late == 0


def test_paused_buffers_lose_and_count(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        writer.repeat(5)
        stream.pause()
        writer.repeat(7)
        stream.resume()
        writer.repeat(2)
        assert stream.read(rows=7).num_rows == 7
        assert stream.stats.lost == 7
        assert writer.refused in (0, 7)
    with pytest.raises(fb.StreamError, match="closed"):
        stream.pause()


def test_rings_cannot_be_paused():
    with fb.MapSpec("ringbuf", max_entries=4096).create() as ring, fb.RingBuffer(ring, Event) as stream:
        assert not hasattr(stream, "pause")


def test_a_ring_and_perf_buffers_are_one_stream_in_order(writer):
    from tests.kernel.producers import Recorder

    class Numbered(fb.Struct):
        ts: fb.boottime
        number: fb.u64

    with Recorder(1 << 16) as recorder:
        parts = [fb.RingBuffer(recorder.ring, Numbered), fb.PerfBuffer(writer.array, Event)]
        with fb.Stream(parts, ordered=True) as stream:
            for number in range(100):
                recorder.write(struct.pack("<QQ", time.clock_gettime_ns(time.CLOCK_BOOTTIME), number))
                writer.repeat(1)
            tables = stream.read_all(rows=200)
        assert tables["Numbered"]["number"].to_pylist() == list(range(100))
        assert tables["Event"]["number"].to_pylist() == list(range(100))
        ring, perf = (tables[name]["ts"].cast("int64").to_pylist() for name in ("Numbered", "Event"))
        both = [at for pair in zip(ring, perf, strict=True) for at in pair]
        assert both == sorted(both)


def test_several_types_of_record_come_through_perf_buffers(writer):
    class Open(fb.Struct):
        kind: fb.u32
        pid: fb.u32

    class Exit(fb.Struct):
        kind: fb.u32
        code: fb.i64

    with fb.PerfBuffer(writer.array, {1: Open, 2: Exit}, tag="kind") as stream:
        for n in range(50):
            writer.write(struct.pack("<II", 1, n))
            writer.write(struct.pack("<IIq", 2, 0, -n))
        tables = stream.read_all(rows=100)
        assert sorted(tables["Open"]["pid"].to_pylist()) == list(range(50))
        assert sorted(tables["Exit"]["code"].to_pylist()) == list(range(-49, 1))
        assert pl.DataFrame(tables["Open"]).columns == ["ts", "cpu", "kind", "pid"]


def test_two_producers_and_every_event_is_accounted_for(writer):
    def produce(cpu):
        with pinned(cpu):
            for _ in range(50):
                writer.repeat(2000)

    with fb.PerfBuffer(writer.array, Event, buffer="64KiB") as stream:
        threads = [threading.Thread(target=produce, args=(cpu,)) for cpu in CPUS[:2]]
        for one in threads:
            one.start()
        rows = 0
        while any(one.is_alive() for one in threads):
            rows += stream.read(seconds=0.01).num_rows
        stream.stop()
        rows += stream.read(seconds=0).num_rows
        while (batch := stream.next_batch(0)) is not None:
            rows += len(batch)
        stats = stream.stats
        assert stats.lost == writer.refused
        assert rows == stats.delivered
        assert writer.happened == rows + stats.lost == 50 * 2000 * len(threads)


def test_a_task_reads_perf_buffers(writer):
    async def main():
        with fb.PerfBuffer(writer.array, Event) as stream:
            asyncio.get_running_loop().call_later(0.03, writer.repeat, 5)
            got = []
            async for batch in stream:
                got += batch["number"].to_pylist()
                if len(got) == 5:
                    break
            return got

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_maps_that_are_none_or_too_small_are_refused():
    with fb.MapSpec("ringbuf", max_entries=4096).create() as ring:
        with pytest.raises(fb.LayoutError, match="perf_event_array"):
            fb.PerfBuffer(ring, Event)
    if max(CPUS) > 0:
        with fb.MapSpec("perf_event_array", max_entries=1).create() as small:
            with pytest.raises(fb.LayoutError, match="has 1 entries, none for CPU 1"):
                fb.PerfBuffer(small, Event)
    with fb.MapSpec("perf_event_array").create() as array:
        with pytest.raises(ValueError, match="buffer='3 parsecs'"):
            fb.PerfBuffer(array, Event, buffer="3 parsecs")


def test_a_record_that_is_shorter_than_its_layout_is_told(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        writer.write(b"abc")
        with pytest.raises(fb.LayoutError, match="is shorter than its layout, which has 16"):
            next(stream)


def test_a_fork_leaves_the_parents_buffers_alone(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        child = os.fork()
        if child == 0:
            os._exit(0 if stream.closed else 1)
        assert os.waitpid(child, 0)[1] == 0
        writer.repeat(2)
        assert stream.read(rows=2).num_rows == 2


def test_a_traced_child_is_seen_on_its_cpu():
    array = fb.MapSpec("perf_event_array", name="events")
    code = assemble(
        mov(r6, r1),
        call.get_current_pid_tgid(),
        rsh(r0, 32),
        stxdw(fp, -8, r0),
        mov(r1, r6),
        ld_map(r2, array),
        const(r3, CURRENT_CPU),
        mov(r4, fp),
        add(r4, -8),
        mov(r5, 8),
        call_id(25),
        mov(r0, 0),
        exit_(),
    )

    class Pid(fb.Struct):
        pid: fb.u64

    with (
        fb.ProgramSpec("tracepoint", code, name="pids").load() as program,
        fb.PerfBuffer(program.maps["events"], Pid, buffer="1MiB") as stream,
        Child(CPUS[-1]) as child,
    ):
        with program.attach("tracepoint:syscalls:sys_enter_getppid"):
            child.getppid(50)
            got = 0
            while got < 50:
                batch = pl.DataFrame(next(stream)).filter(pl.col("pid") == child.pid)
                assert set(batch["cpu"]) <= {CPUS[-1]}
                got += len(batch)
        assert got == 50
