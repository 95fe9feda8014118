"""Days on which things go wrong: records that stay busy, readers that stall, fail, fork and are closed."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from tests.kernel.disks import disk
from tests.kernel.producers import Numbered, Numberer, Recorder, on_two_cpus, script
from tests.kernel.test_perf_buffer import Event, Writer

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.capture import replay

ROOT = Path(__file__).parents[2]


class Number(fb.Struct):
    number: fb.u64


class OfRing:
    """Numbered events in a ring buffer, made when it is told to."""

    def __init__(self, size=4096):
        self._numberer = Numberer(size)
        self.fill = self._numberer.fill

    def stream(self, **how):
        return fb.RingBuffer(self._numberer.ring, Numbered, lost=self._numberer.lost, **how)

    @property
    def happened(self):
        return self._numberer.happened

    def __enter__(self):
        self._numberer.__enter__()
        return self

    def __exit__(self, *_):
        self._numberer.__exit__()


class OfPerf:
    """The same in perf buffers, whose losses the kernel counts."""

    def __init__(self, size=4096):
        self._writer = Writer()
        self._size = size

    def fill(self, times=1):
        for _ in range(times):
            self._writer.repeat(Numberer.PER_FILL)

    def stream(self, **how):
        return fb.PerfBuffer(self._writer.array, Event, buffer=self._size, **how)

    @property
    def happened(self):
        return self._writer.happened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._writer.__exit__()


@pytest.fixture(params=[OfRing, OfPerf], ids=["ring", "perf"])
def kind(request):
    return request.param


def known(stats):
    return stats.delivered + stats.queued + stats.lost + (stats.missed or 0) + stats.dropped


def numbers(batch):
    return pa.record_batch(batch)["number"].to_pylist()


def rest(stream):
    """What a stream that was stopped still has."""
    got = []
    while (batch := stream.next_batch(20)) is not None:
        got += numbers(batch)
    assert stream.ended
    return got


# Records that stay busy


class Slow:
    """A program that reserves a record, and submits it when it is told to; it can be run in another thread."""

    def __init__(self, size=4096):
        ring = fb.MapSpec("ringbuf", max_entries=size, name="ring")
        value = fb.MapSpec("array", value=fb.u64[2], max_entries=1, name="told")
        # told[0]: go on, which a loop is told by 1
        ends = ld_map_value(r1, value, 0), ldxdw(r0, r1, 0), and_(r0, 1), exit_()
        code = assemble(
            call.ringbuf_reserve(ring, 8, 0),
            jeq(r0, 0, "full"),
            mov(r6, r0),
            # told[1]: reserved
            ld_map_value(r1, value, 8),
            mov(r2, 1),
            stxdw(r1, 0, r2),
            call.loop(1 << 12, "outer", None, 0),
            stdw(r6, 0, 1_000_000),
            call.ringbuf_submit(r6, 0),
            label("full"),
            mov(r0, 0),
            exit_(),
            label("outer"),
            call.loop(1 << 20, "inner", None, 0),
            ends,
            label("inner"),
            ends,
        )
        self._program = fb.ProgramSpec("syscall", code, name="slow").load()
        self.ring = self._program.maps["ring"]
        self._told = self._program.maps["told"]

    @contextmanager
    def busy(self):
        """A record is reserved and not committed while the block runs."""
        self._told[0] = (0, 0)
        runs = threading.Thread(target=self._program.test_run)
        runs.start()
        try:
            while self._told[0][1] == 0:
                time.sleep(0.001)
            yield
        finally:
            self._told[0] = (1, 1)
            runs.join(60)
            assert not runs.is_alive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._program.close()


@contextmanager
def writing_into(ring):
    """Writes numbers into a ring that exists."""
    source = fb.MapSpec("array", value=fb.u64, max_entries=1, name="source")
    named = fb.MapSpec("ringbuf", max_entries=ring.spec.max_entries, name="ring")
    code = assemble(ld_map_value(r2, source, 0), call.ringbuf_output(named, r2, 8, 0), exit_())
    with fb.ProgramSpec("raw_tracepoint", code, name="write").load(maps={"ring": ring}) as program:

        def write(*values):
            for value in values:
                program.maps["source"][0] = value
                assert program.test_run().retval == 0

        yield write


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_record_that_stays_busy_holds_back_what_comes_after_it_and_nothing_else(background):
    with Slow() as slow, writing_into(slow.ring) as write:
        with fb.RingBuffer(slow.ring, Number, background=background) as stream:
            write(1, 2, 3)
            with slow.busy():
                write(4, 5)
                assert numbers(stream.next_batch(20, least=3)) == [1, 2, 3]
                before = stream.stats.wakeups
                assert stream.next_batch(2.0) is None
                looks = stream.stats.wakeups - before
                assert not stream.ended
                # a look every 25 ms, and more of them at first
                assert looks < 200, looks
            assert stream.read(rows=3)["number"].to_pylist() == [1_000_000, 4, 5]
            assert stream.stats[:3] == (6, 6, 0)


def test_stopping_does_not_wait_for_ever_for_a_busy_record():
    with Slow() as slow, writing_into(slow.ring) as write:
        with fb.RingBuffer(slow.ring, Number) as stream:
            write(1)
            with slow.busy():
                write(2)
                stream.stop()
                assert rest(stream) == [1]
            assert stream.stats[:3] == (1, 1, 0)
        # Closing counts what is there by then.
        assert stream.stats[:3] == (3, 1, 2)


def test_closing_while_a_record_is_busy():
    with Slow() as slow, writing_into(slow.ring) as write:
        with slow.busy():
            with fb.RingBuffer(slow.ring, Number) as stream:
                write(1)
                assert stream.next_batch(0.05) is None
            assert stream.stats[:3] == (0, 0, 0)
        # They are there for whoever reads next.
        with fb.RingBuffer(slow.ring, Number) as stream:
            assert stream.read(rows=2, seconds=20)["number"].to_pylist() == [1_000_000, 1]


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_discarded_records_at_the_head_are_passed(background):
    with Recorder() as recorder, fb.RingBuffer(recorder.ring, Number, background=background) as stream:
        for n in range(300):
            # More than the ring holds in all, none of them an event, and the last one's wake-up may be swallowed.
            for _ in range(n % 7):
                assert recorder.discard()
            assert recorder.write(struct.pack("<Q", n))
            for _ in range(n % 3):
                assert recorder.discard()
            assert stream.read(rows=1)["number"].to_pylist() == [n]
        assert stream.stats[:3] == (300, 300, 0)
        # Nothing but discards: no events, and room again.
        for _ in range(20):
            while recorder.discard():
                pass
            assert stream.read(seconds=0).num_rows == 0
        assert stream.stats.received == 300


# Readers


def test_a_reader_that_stalls_costs_what_the_buffer_cannot_hold_and_all_of_it_is_counted(kind):
    with kind(4096) as producer, producer.stream(max_rows=1) as stream:
        # many times what the queue and the buffer hold
        for _ in range(40):
            producer.fill(20)
            assert known(stream.stats) <= producer.happened
        stats = stream.stats
        assert stats.delivered == 0
        assert stats.lost > 0
        assert known(stats) <= producer.happened == 800 * Numberer.PER_FILL
        stream.stop()
        got = rest(stream)
        stats = stream.stats
        assert producer.happened == known(stats) == len(got) + stats.lost
        assert len(set(got)) == len(got) > 0
    assert stream.stats == stats


@pytest.mark.parametrize(
    ("overflow", "background"),
    [("block", False), ("block", True), ("drop_newest", True), ("drop_oldest", True)],
)
@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_two_producers_on_two_cpus_and_a_slow_reader(kind, overflow, background, size):
    """Small batches fill the queue soon, so that a slow reader makes the policy act."""
    got = []
    with kind(size) as producer:
        with producer.stream(overflow=overflow, background=background, max_rows=50) as stream:
            done = threading.Event()

            def read():
                while not done.is_set():
                    if (batch := stream.next_batch(0.02)) is not None:
                        got.extend(numbers(batch))
                    time.sleep(0.005)

            reader = threading.Thread(target=read)
            reader.start()
            on_two_cpus(lambda: producer.fill(400))
            done.set()
            reader.join(20)
            middle = stream.stats
            assert known(middle) <= producer.happened
            stream.stop()
            got += rest(stream)
            stats = stream.stats
            assert producer.happened == known(stats) == 2 * 400 * Numberer.PER_FILL
            assert (stats.queued, stats.delivered) == (0, len(got))
            assert stats.dropped == 0 or overflow != "block"
            for name in ("received", "delivered", "lost", "dropped"):
                assert getattr(middle, name) <= getattr(stats, name)
        assert stream.stats == stats
    assert len(set(got)) == len(got)


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_two_producers_on_two_cpus_until_the_queue_overflows(kind, overflow):
    with kind(4 << 20) as producer, producer.stream(overflow=overflow) as stream:
        taken = 0
        while stream.stats.dropped == 0:
            on_two_cpus(lambda: producer.fill(1500))
            taken += len(stream.next_batch(20) or ())
        on_two_cpus(lambda: producer.fill(1500))
        stream.stop()
        left = rest(stream)
        stats = stream.stats
        assert producer.happened == known(stats) == taken + len(left) + stats.dropped + stats.lost
        assert len(set(left)) == len(left)


def test_closing_while_another_thread_reads(kind):
    with kind(1 << 20) as producer:
        for _ in range(20):
            stream = producer.stream(max_rows=64)
            before = producer.happened
            seen, told = [], []

            def read(stream=stream, seen=seen, told=told):
                try:
                    for batch in stream:
                        seen.extend(numbers(batch))
                except fb.StreamError as error:
                    told.append(str(error))

            reader = threading.Thread(target=read)
            reader.start()
            producer.fill(20)
            while not seen:
                time.sleep(0.0005)
            stream.close()
            reader.join(20)
            assert told == ["this stream is closed; its statistics can still be read"]
            stats = stream.stats
            # Losses of the ring are counted by its program, which does not begin anew with each stream.
            assert stats.delivered == len(seen)
            assert stats.delivered + stats.queued <= producer.happened - before
            assert seen == sorted(set(seen)) or kind is OfPerf
            with producer.stream() as drain:
                drain.stop()
                left = rest(drain)
            if kind is OfRing:
                # What that one had not taken yet stayed in the ring.
                assert stats.queued + stats.delivered + len(left) == 20 * Numberer.PER_FILL


FORKED = """
import os, sys, threading, time
import fastbpf as fb
from tests.kernel.test_stream_reliability import OfPerf, OfRing, numbers

with {"ring": OfRing, "perf": OfPerf}[sys.argv[1]](1 << 20) as producer, producer.stream(max_rows=16) as stream:
    got = []
    reader = threading.Thread(target=lambda: [got.extend(numbers(batch)) for batch in stream])
    reader.start()
    for _ in range(20):
        producer.fill(3)
        # The reader may hold any lock at this moment.
        if (child := os.fork()) == 0:
            try:
                stream.read(seconds=0)
            except fb.StreamError as error:
                os._exit(0 if "forked" in str(error) or "closed" in str(error) else 2)
            os._exit(3)
        assert os.waitpid(child, 0)[1] == 0
    stream.stop()
    reader.join(20)
    print(len(set(got)), len(got), producer.happened, stream.stats.lost)
"""


@pytest.mark.parametrize("name", ["ring", "perf"])
def test_forks_while_another_thread_reads(name):
    unique, read, happened, lost = map(int, script(FORKED, name, cwd=ROOT).split())
    assert unique == read == happened - lost == 60 * Numberer.PER_FILL - lost
    assert lost == 0


class FailedError(Exception):
    pass


def test_an_exception_in_the_consumer_loses_nothing(kind):
    with kind(1 << 20) as producer, producer.stream(max_rows=10) as stream:
        producer.fill(10)
        got = []
        for n in range(6):
            try:
                for batch in stream:
                    got += numbers(batch)
                    if n % 2:
                        raise FailedError
                    break
            except FailedError:
                continue
        # The same with a bounded stream that its consumer leaves half read.
        with pytest.raises(FailedError):
            for batch in pa.RecordBatchReader.from_stream(stream.take(rows=100)):
                got += numbers(batch)
                raise FailedError
        stream.stop()
        got += rest(stream)
        assert sorted(got) == list(range(10 * Numberer.PER_FILL))
        assert known(stream.stats) == producer.happened


def test_a_program_that_is_loaded_anew_in_mid_stream():
    """The ring, its counters and the stream stay; the programs that write change, also while they run."""

    def program(mark):
        shared = {"ring": ring, "counter": counter, "lost": lost}
        named = {name: fb.MapSpec(one.spec.type, value=one.spec.value, max_entries=one.spec.max_entries, name=name)
                 for name, one in shared.items()}  # fmt: skip
        code = assemble(
            [mov(r7, 0), label("next")],
            [ld_map_value(r1, named["counter"], 0), mov(r2, 1), atomic_fetch_add(r1, 0, r2), stxdw(fp, -16, r2)],
            [stdw(fp, -8, mark), call.ringbuf_output(named["ring"], fp - 16, 16, 0), jsge(r0, 0, "written")],
            [ld_map_value(r1, named["lost"], 0), mov(r2, 1), atomic_add(r1, 0, r2), label("written")],
            [add(r7, 1), jlt(r7, 100, "next"), mov(r0, 0), exit_()],
        )
        return fb.ProgramSpec("raw_tracepoint", code, name=f"version{mark}").load(maps=shared)

    class Marked(fb.Struct):
        number: fb.u64
        mark: fb.u64

    with ExitStack() as stack:
        ring = stack.enter_context(fb.MapSpec("ringbuf", max_entries=4096, name="ring").create())
        counter, lost = (
            stack.enter_context(fb.MapSpec("array", value=fb.u64, max_entries=1, name=name).create())
            for name in ("counter", "lost")
        )
        stream = stack.enter_context(fb.RingBuffer(ring, Marked, lost=lost, max_rows=30))
        rows = []
        old = program(0)
        for mark in range(1, 9):
            new = program(mark)
            # both of them, then the new one alone
            on_two_cpus(lambda old=old, new=new: [one.test_run() for _ in range(20) for one in (old, new)])
            old.close()
            old = new
            rows += stream.read(seconds=0).to_pylist()
            assert known(stream.stats) <= counter[0]
        old.test_run()
        old.close()
        stream.stop()
        rows += stream.read(seconds=20).to_pylist()
        stats = stream.stats
        assert counter[0] == known(stats) == 8 * 2 * 20 * 2 * 100 + 100
        assert len(rows) == stats.delivered
        assert {row["mark"] for row in rows} <= set(range(9))
        assert len({row["number"] for row in rows}) == len(rows)


def test_several_streams_in_several_threads():
    def consume(producer, number):
        with producer.stream(max_rows=32 * (number + 1), background=number % 2 == 0) as stream:
            ready.wait()
            for _ in range(30):
                producer.fill(3)
                while (batch := stream.next_batch(0.001)) is not None:
                    got[number] += numbers(batch)
            stream.stop()
            got[number] += rest(stream)
            assert producer.happened == known(stream.stats) == len(got[number]) + stream.stats.lost
            done.append(number)

    with ExitStack() as stack:
        producers = [stack.enter_context(kind(4096 << n)) for n in range(3) for kind in (OfRing, OfPerf)]
        got = [[] for _ in producers]
        done = []
        ready = threading.Barrier(len(producers))
        threads = [threading.Thread(target=consume, args=(one, n)) for n, one in enumerate(producers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(done) == list(range(len(producers)))
    for one in got:
        assert len(set(one)) == len(one) > 0


# Disks


def test_a_disk_that_fills_under_a_recording_leaves_a_capture_that_replays(tmp_path):
    endless = [sys.executable, "-c", "import os\nwhile True: os.getppid()"]
    with disk(tmp_path / "disk", "1m") as place:
        command = [sys.executable, "-m", "fastbpf", "record", "raw_tracepoint:sys_enter", "-o", place / "a.fbpf"]
        done = subprocess.run([*command, "--", *endless], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        with replay(place / "a.fbpf") as capture:
            rows = capture.read().num_rows
        assert f"holds {rows} rows" in done.stderr
        assert rows > 0


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("kind", [OfRing, OfPerf])
def test_a_read_that_has_a_few_events_and_waits_for_more_sleeps(kind, background):
    with kind() as source, source.stream(background=background) as stream:
        source.fill()
        before = stream.stats.wakeups
        rows = stream.read(seconds=1).num_rows
        looks = stream.stats.wakeups - before
        assert rows + stream.stats.lost == source.happened
    # It looks every 10 ms at most once its buffer is idle; without sleeping it does so a million times.
    assert looks < 2000
