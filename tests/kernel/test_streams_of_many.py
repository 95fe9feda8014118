"""Streams of several buffers, of several types of record, in order, and with a reader that is slow or asynchronous."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import struct
import sys
import threading
import time
from contextlib import ExitStack

import pyarrow as pa
import pytest
from tests.kernel.producers import Child, Numbered, Numberer, Recorder

import fastbpf as fb
from fastbpf.asm import *


class Open(fb.Struct):
    kind: fb.u32
    pid: fb.u32
    name: fb.char[8]


class Exit(fb.Struct):
    kind: fb.u32
    code: fb.i32


class Text(fb.Struct):
    kind: fb.u32
    text: fb.text[64]


class Stamped(fb.Struct):
    ts: fb.boottime
    number: fb.u64


def opened(pid, name=b"cat"):
    return struct.pack("<II8s", 1, pid, name)


def exited(code):
    return struct.pack("<Ii", 2, code)


def texted(text):
    return struct.pack("<II", 7, len(text) << 16 | 8) + text


@pytest.fixture
def recorder():
    with Recorder(1 << 20) as recorder:
        yield recorder


# Several types of record in one buffer


def test_a_tag_selects_the_type(recorder):
    with fb.RingBuffer(recorder.ring, {1: Open, 2: Exit}, tag="kind") as stream:
        for n in range(100):
            recorder.write(opened(n))
            recorder.write(exited(-n))
        tables = stream.read_all(rows=200)
        assert tables["Open"]["pid"].to_pylist() == list(range(100))
        assert tables["Exit"]["code"].to_pylist() == [-n for n in range(100)]
        assert stream.stats[:3] == (200, 200, 0)
        assert list(stream.schemas) == ["Open", "Exit"]


def test_a_batch_says_of_which_type_it_is(recorder):
    with fb.RingBuffer(recorder.ring, {1: Open, 2: Exit}, tag="kind") as stream:
        recorder.write(exited(3))
        batch = next(stream)
        assert batch.schema.metadata[b"fastbpf.record"] == b"Exit"
        assert batch.to_pylist() == [{"kind": 2, "code": 3}]


def test_one_table_is_refused_where_there_are_several(recorder):
    with fb.RingBuffer(recorder.ring, {1: Open, 2: Exit}, tag="kind") as stream:
        for one in (lambda: stream.schema, lambda: stream.read(seconds=0), lambda: stream.take(seconds=0)):
            with pytest.raises(fb.StreamError, match=r"Open, Exit.*read_all"):
                one()


@pytest.mark.parametrize("max_rows", [1, 7, 64, 100_000])
def test_any_mixture_of_types_decodes_as_each_alone(recorder, max_rows):
    choices = random.Random(max_rows)
    expected = {"Open": [], "Exit": [], "Text": []}
    with fb.RingBuffer(recorder.ring, {1: Open, 2: Exit, 7: Text}, tag="kind", max_rows=max_rows) as stream:
        for n in range(3000):
            match choices.choice("oooooeet"):
                case "o":
                    recorder.write(opened(n, b"x%d" % (n % 5)))
                    expected["Open"].append({"kind": 1, "pid": n, "name": f"x{n % 5}"})
                case "e":
                    recorder.write(exited(n))
                    expected["Exit"].append({"kind": 2, "code": n})
                case "t":
                    text = bytes(choices.choices(range(97, 123), k=choices.randrange(60)))
                    recorder.write(texted(text))
                    expected["Text"].append({"kind": 7, "text": text.decode()})
        tables = stream.read_all(rows=3000)
    assert {name: table.to_pylist() for name, table in tables.items()} == expected


def test_an_undeclared_type_is_told_behind_what_came_before(recorder):
    with fb.RingBuffer(recorder.ring, {1: Open, 2: Exit}, tag="kind") as stream:
        recorder.write(opened(5))
        recorder.write(struct.pack("<II", 9, 0))
        # The reader gets what is good first, however much of it each batch has.
        got = 0
        with pytest.raises(fb.LayoutError, match="a record has kind 9.*declared are 1, 2"):
            while True:
                got += next(stream).num_rows
        assert got == 1


@pytest.mark.parametrize(
    ("record", "tag", "told"),
    [
        ({1: Open, 2: Stamped}, "kind", "has no field 'kind'"),
        ({1: Open}, None, "name it with tag="),
        ({}, "kind", "no type of record"),
        (Open, "kind", "give them as"),
        ({1 << 40: Open}, "kind", "does not fit"),
        ({"1": Open}, "kind", "no number"),
        ({1: Open}, "name", "has to be an integer"),
        ({1: int}, "kind", "is a Struct"),
    ],
)
def test_tags_that_cannot_be_are_refused(recorder, record, tag, told):
    with pytest.raises(fb.LayoutError, match=told):
        fb.RingBuffer(recorder.ring, record, tag=tag)


# Several buffers


def test_rings_of_one_program_are_one_stream():
    with Recorder(1 << 16) as first, Recorder(1 << 16) as second:
        with fb.RingBuffer([first.ring, second.ring], Exit) as stream:
            for n in range(50):
                (first if n % 2 else second).write(exited(n))
            assert sorted(stream.read(rows=50)["code"].to_pylist()) == list(range(50))
        with fb.RingBuffer(second.ring, Exit) as stream:
            second.write(exited(1))
            assert stream.read(rows=1).num_rows == 1


def test_streams_become_one_and_nothing_of_them_is_lost():
    with Recorder(1 << 16) as first, Recorder(1 << 16) as second, Recorder(1 << 16) as third:
        parts = [fb.RingBuffer(first.ring, Open), fb.RingBuffer(second.ring, Exit), fb.RingBuffer(third.ring, Exit)]
        for n in range(20):
            first.write(opened(n))
            second.write(exited(n))
        assert parts[1].read(rows=5)["code"].to_pylist() == [0, 1, 2, 3, 4]
        with fb.Stream(parts) as stream:
            for n in range(20, 40):
                first.write(opened(n))
                third.write(exited(n))
            tables = stream.read_all(rows=75)
            assert tables["Open"]["pid"].to_pylist() == list(range(40))
            assert tables["Exit"]["code"].to_pylist() == list(range(5, 40))
            assert stream.stats[:3] == (80, 80, 0)
        for part in parts:
            assert part.closed
            with pytest.raises(fb.StreamError):
                part.read(rows=1)


def test_streams_that_cannot_become_one_are_left_as_they_are():
    with Recorder(1 << 16) as first, Recorder(1 << 16) as second:
        one, closed = fb.RingBuffer(first.ring, Exit), fb.RingBuffer(second.ring, Exit)
        closed.close()
        with pytest.raises(fb.StreamError, match="stopped or closed"):
            fb.Stream([one, closed])
        with pytest.raises(fb.LayoutError, match="ordered=True goes by"):
            fb.Stream([one], ordered=True)
        with pytest.raises(ValueError, match="each once"):
            fb.Stream([one, one])
        with pytest.raises(TypeError, match="is made of streams"):
            fb.Stream([first.ring])
        first.write(exited(4))
        assert one.read(rows=1)["code"].to_pylist() == [4]
        one.close()


def test_a_combined_stream_counts_what_its_parts_lost():
    with ExitStack() as stack:
        numberers = [stack.enter_context(Numberer(4096)) for _ in range(2)]
        parts = [fb.RingBuffer(one.ring, Numbered, lost=one.lost, background=False) for one in numberers]
        stream = stack.enter_context(fb.Stream(parts, background=False))
        for one in numberers:
            one.fill(10)
        rows = stream.read(seconds=0).num_rows
        happened = sum(one.happened for one in numberers)
        assert stream.stats.lost > 0
        assert rows + stream.stats.lost == happened == 2 * 10 * Numberer.PER_FILL
    assert stream.stats.lost + rows == happened


# Order


def test_events_of_two_processors_come_in_the_order_of_their_times():
    cpus = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as stack:
        numberers = [stack.enter_context(Numberer(1 << 20)) for _ in cpus]
        children = [stack.enter_context(Child(cpu)) for cpu in cpus]
        for numberer, child in zip(numberers, children, strict=True):
            numberer.attach(child)
        parts = [fb.RingBuffer(one.ring, Numbered, lost=one.lost) for one in numberers]
        stream = stack.enter_context(fb.Stream(parts, ordered=True))
        for child in children:
            child.start("for _ in range(5000): os.getppid()")
        table = stream.read(rows=10_000)
        for child in children:
            child.wait()
        times = table["ts"].cast("int64").to_pylist()
        late = sum(after < before for before, after in itertools.pairwise(times))
        assert stream.stats.late >= late
        # The look-back is far longer than a program runs: a machine that stops for so long is what makes late ones.
        if stream.stats.late == 0:
            assert times == sorted(times)
        assert len(set(table["pid"].to_pylist())) == len(children)
        for child in children:
            own = table.filter(pa.compute.equal(table["pid"], child.pid))
            assert own["number"].to_pylist() == list(range(5000))


def test_what_comes_too_late_is_given_and_counted(recorder):
    base = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 10**10
    with fb.RingBuffer(recorder.ring, Stamped, ordered=True, look_back=0.0) as stream:
        recorder.write(struct.pack("<QQ", base + 2_000_000, 1))
        assert stream.read(rows=1)["number"].to_pylist() == [1]
        recorder.write(struct.pack("<QQ", base + 500_000, 0))
        assert stream.read(rows=1)["number"].to_pylist() == [0]
        assert (stream.stats.late, stream.stats.lateness) == (1, 0.0015)


def test_what_is_there_together_is_sorted_whatever_its_order(recorder):
    times = list(range(500))
    random.Random(5).shuffle(times)
    base = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with fb.RingBuffer(recorder.ring, Stamped, ordered=True, look_back=3600, background=False) as stream:
        for number in times:
            recorder.write(struct.pack("<QQ", base + number, number))
        stream.stop()
        assert stream.read(rows=500)["number"].to_pylist() == list(range(500))
        assert stream.stats.late == 0


def test_an_ordered_ring_that_fills_gives_before_the_time(recorder):
    base = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    count = (1 << 20) // 24
    with fb.RingBuffer(recorder.ring, Stamped, ordered=True, look_back=3600) as stream:
        written = sum(recorder.write(struct.pack("<QQ", base + n, n)) for n in range(2 * count))
        stream.stop()
        assert stream.read(rows=written)["number"].to_pylist()[:1000] == list(range(1000))
        assert stream.stats.received == written


# A slow reader


def rows_of(stream):
    got = []
    while (batch := stream.next_batch(0)) is not None:
        got += pa.record_batch(batch)["number"].to_pylist()
    return got


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_what_a_slow_reader_has_no_room_for_is_dropped_and_counted(overflow):
    with (
        Numberer(1 << 20) as numberer,
        fb.RingBuffer(numberer.ring, Numbered, lost=numberer.lost, overflow=overflow) as stream,
    ):
        # More than the queue holds, at a pace that the pump keeps up with.
        for _ in range(500):
            numberer.fill(50)
            while stream.stats.received + stream.stats.lost < numberer.happened:
                pass
        stream.stop()
        stats = stream.stats
        assert stats.lost == 0
        assert stats.dropped > 0
        assert numberer.happened == stats.delivered + stats.queued + stats.lost + stats.dropped
        got = rows_of(stream)
        assert len(got) == stats.queued
        assert got == sorted(got)
        if overflow == "drop_oldest":
            assert got[-1] == numberer.happened - 1
            assert got == list(range(got[0], got[-1] + 1))
        else:
            assert got[:100_000] == list(range(100_000))
        assert stream.stats.delivered + stats.dropped == numberer.happened


def test_dropping_is_refused_where_nothing_is_queued(recorder):
    with pytest.raises(ValueError, match="background=False"):
        fb.RingBuffer(recorder.ring, Exit, overflow="drop_oldest", background=False)
    with pytest.raises(ValueError, match="did you mean 'drop_oldest'"):
        fb.RingBuffer(recorder.ring, Exit, overflow="drop-oldest")


# Losses that others count


def test_gaps_in_a_sequence_are_lost(recorder):
    class Sequenced(fb.Struct):
        seq: fb.u32
        cpu: fb.u32

    with fb.RingBuffer(recorder.ring, Sequenced, sequence="seq") as stream:
        for seq in [0, 1, 4, 3, 9]:
            recorder.write(struct.pack("<II", seq, 0))
        assert stream.read(rows=5).num_rows == 5
        stream.stop()
        assert stream.read(seconds=0).num_rows == 0
        assert stream.stats.lost == 5
    with fb.RingBuffer(recorder.ring, Sequenced, sequence=("seq", "cpu")) as stream:
        for seq, cpu in [(0, 0), (0, 1), (1, 0), (5, 1), (2, 0)]:
            recorder.write(struct.pack("<II", seq, cpu))
        assert stream.read(rows=5).num_rows == 5
    assert stream.stats.lost == 4


def test_gaps_equal_what_the_program_counted():
    with (
        Numberer(4096) as numberer,
        fb.RingBuffer(numberer.ring, Numbered, sequence="number", background=False) as stream,
    ):
        rows = 0
        for _ in range(20):
            numberer.fill(2)
            rows += stream.read(seconds=0).num_rows
        numberer.fill(0)
        stream.stop()
        rows += stream.read(rows=1).num_rows
        last = numberer.happened
        # Those behind the last that came leave no gap.
        counted = numberer.lost[0]
        assert stream.stats.lost <= counted
        assert rows + counted == last
        assert stream.stats.lost >= counted - 2 * Numberer.PER_FILL


def test_losses_are_counted_in_what_the_program_has():
    class Counts(fb.Struct):
        seen: fb.u64
        lost: fb.u64

    spec = fb.MapSpec("array", value=Counts, max_entries=1)
    with Recorder() as recorder, spec.create() as counts:
        counts[0] = Counts(seen=10, lost=3)
        with fb.RingBuffer(recorder.ring, Exit, lost=(counts, "lost")) as stream:
            assert stream.stats.lost == 3
            counts[0] = Counts(seen=10, lost=4)
            assert stream.stats.lost == 4
        with pytest.raises(fb.LayoutError, match="name the field"):
            fb.RingBuffer(recorder.ring, Exit, lost=counts)
        with pytest.raises(fb.LayoutError, match="has no field 'los'"):
            fb.RingBuffer(recorder.ring, Exit, lost=(counts, "los"))


def test_each_batch_carries_the_account(recorder):
    with fb.RingBuffer(recorder.ring, Exit) as stream:
        recorder.write(exited(1))
        first = next(stream)
        recorder.write(exited(1))
        second = next(stream)
    assert [int(batch.schema.metadata[b"fastbpf.received"]) for batch in (first, second)] == [1, 2]
    assert [int(batch.schema.metadata[b"fastbpf.delivered"]) for batch in (first, second)] == [1, 2]
    assert b"fastbpf.lost" not in first.schema.metadata


# asyncio


def test_a_task_reads_while_others_run(recorder):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        other = asyncio.create_task(tick())
        got = []
        with fb.RingBuffer(recorder.ring, Exit) as stream:
            asyncio.get_running_loop().call_later(0.05, recorder.write, exited(7))
            asyncio.get_running_loop().call_later(0.1, recorder.write, exited(8))
            async for batch in stream:
                got += batch["code"].to_pylist()
                if got == [7, 8]:
                    break
        other.cancel()
        return got, ticks

    got, ticks = asyncio.run(main())
    assert got == [7, 8]
    assert ticks > 0


def test_a_task_that_is_cancelled_has_taken_nothing(recorder):
    async def main():
        with fb.RingBuffer(recorder.ring, Exit) as stream:
            for n in range(100):
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                waiting.cancel()
                recorder.write(exited(n))
                try:
                    batch = await waiting
                except asyncio.CancelledError:
                    batch = await anext(stream)
                assert batch["code"].to_pylist() == [n]
            assert stream.stats[:3] == (100, 100, 0)

    asyncio.run(main())


def test_many_streams_in_one_loop_need_no_threads():
    from tests.kernel.producers import threads

    async def consume(stream, count):
        got = []
        async for batch in stream:
            got += batch["code"].to_pylist()
            if len(got) == count:
                break
        return got

    async def main(recorders):
        with ExitStack() as stack:
            streams = [stack.enter_context(fb.RingBuffer(one.ring, Exit)) for one in recorders]
            before = threading.active_count()
            tasks = [asyncio.create_task(consume(stream, 20)) for stream in streams]
            for n in range(20):
                for one in recorders:
                    one.write(exited(n))
                await asyncio.sleep(0)
            got = await asyncio.gather(*tasks)
            assert threading.active_count() == before
            assert threads("fastbpf-pump") == 1
            return got

    with ExitStack() as stack:
        recorders = [stack.enter_context(Recorder()) for _ in range(30)]
        assert asyncio.run(main(recorders)) == [list(range(20))] * 30


def test_async_iteration_ends_with_the_stream(recorder):
    async def count(stream):
        return sum([batch.num_rows async for batch in stream])

    with fb.RingBuffer(recorder.ring, Exit) as stream:
        recorder.write(exited(1))
        stream.stop()
        assert asyncio.run(count(stream)) == 1
        assert stream.ended


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("shards", [None, "cpu"])
def test_async_iteration_of_a_trace_ends_with_its_command(shards):
    async def count(stream):
        return sum([batch.num_rows async for batch in stream])

    command = [sys.executable, "-c", "import os\nfor _ in range(1000): os.getppid()"]
    with fb.trace("tracepoint:syscalls:sys_enter_getppid", command=command, shards=shards) as one:
        assert asyncio.run(count(one)) == 1000
        assert one.command.returncode == 0


def test_async_closing_wakes_the_task_that_waits(recorder):
    async def main():
        stream = fb.RingBuffer(recorder.ring, Exit)
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.02)
        with pytest.raises(fb.StreamError, match="another task"):
            await anext(stream)
        stream.close()
        with pytest.raises(fb.StreamError, match="closed"):
            await waiting

    asyncio.run(main())
    with fb.RingBuffer(recorder.ring, Exit, background=False) as stream:
        with pytest.raises(fb.StreamError, match="background=True"):
            asyncio.run(anext_of(stream))


async def anext_of(stream):
    return await anext(stream)
