"""Streams whose reader is interrupted, whose records are bad, or whose buffers others hold: nothing is lost unseen."""

from __future__ import annotations

import os
import signal
import struct
import time
from contextlib import contextmanager

import pytest
from tests.kernel.producers import Numbered, Numberer, Recorder
from tests.kernel.test_perf_buffer import CPUS, Event, Writer, pinned

import fastbpf as fb


class Stamped(fb.Struct):
    number: fb.u64
    ts: fb.boottime


class Code(fb.Struct):
    kind: fb.u32
    code: fb.u32


class Sequenced(fb.Struct):
    seq: fb.u32
    other: fb.u32


@pytest.fixture
def recorder():
    with Recorder(1 << 16) as recorder:
        yield recorder


@pytest.fixture
def writer():
    with Writer() as writer:
        yield writer


def codes(*values):
    return [struct.pack("<II", 1, value) for value in values]


@pytest.mark.parametrize("background", [False, True])
def test_a_record_too_short_for_its_time_ends_its_stream_and_no_other(recorder, background):
    with (
        Recorder() as another,
        fb.RingBuffer(another.ring, Code) as other,
        fb.RingBuffer(recorder.ring, Stamped, ordered=True, background=background) as stream,
    ):
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for number in range(3):
            recorder.write(struct.pack("<QQ", number, now))
        recorder.write(b"tiny")
        got = []
        with pytest.raises(fb.LayoutError, match="4 bytes is too short to tell its time"):
            while True:
                got += next(stream)["number"].to_pylist()
        assert got == [0, 1, 2]
        another.write(codes(7)[0])
        assert other.read(rows=1)["code"].to_pylist() == [7]


def test_overwritten_buffers_in_order_can_be_iterated(writer):
    with fb.PerfBuffer(writer.array, Event, overwrite=True, ordered=True) as stream:
        got = []
        for _ in range(5):
            for cpu in CPUS:
                with pinned(cpu):
                    writer.repeat(3)
            while (batch := stream.next_batch(0.05)) is not None:
                got += fb_rows(batch)
        assert got == list(range(15 * len(CPUS)))


def fb_rows(batch):
    import pyarrow as pa

    return pa.record_batch(batch)["number"].to_pylist()


@pytest.mark.parametrize("how", [{"background": False}, {"overwrite": True}, {}], ids=str)
def test_a_forked_child_that_exits_leaves_the_buffers_in_the_map(writer, how):
    with fb.PerfBuffer(writer.array, Event, **how) as stream:
        writer.repeat(5)
        child = os.fork()
        if child == 0:
            del stream  # as at a normal end
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        writer.repeat(5)
        assert writer.refused == 0
        assert stream.read(seconds=0).num_rows == 10


def test_one_sequence_over_two_buffers_has_no_gaps():
    with Recorder() as first, Recorder() as second:
        with fb.RingBuffer([first.ring, second.ring], Sequenced, sequence="seq") as stream:
            for seq in range(20):
                (first, second)[seq % 2].write(struct.pack("<II", seq, 0))
            assert stream.read(rows=20).num_rows == 20
            stream.stop()
            assert stream.read(seconds=0).num_rows == 0
        assert stream.stats.lost == 0


def test_what_cannot_be_meant_is_refused(recorder):
    class Narrow(fb.Struct):
        seq: fb.u16
        kind: fb.u8

    class Wide(fb.Struct):
        other: fb.u16
        kind: fb.u8

    with pytest.raises(ValueError, match="each once"):
        fb.RingBuffer([recorder.ring, recorder.ring], Code)
    with pytest.raises(ValueError, match="each once"):
        fb.RingBuffer([], Code)
    with pytest.raises(fb.LayoutError, match=r"2 bytes.*fb\.u32"):
        fb.RingBuffer(recorder.ring, Narrow, sequence="seq")
    with pytest.raises(fb.LayoutError, match="one number to 'kind'"):
        fb.RingBuffer(recorder.ring, {-1: Narrow, 255: Wide}, tag="kind")
    with fb.MapSpec("array", value=fb.u64, max_entries=1).create() as lost:
        with pytest.raises(ValueError, match="give one"):
            fb.RingBuffer(recorder.ring, Sequenced, sequence="seq", lost=lost)


def test_perf_events_between_stop_and_close_are_counted(writer):
    with fb.PerfBuffer(writer.array, Event) as stream:
        writer.repeat(5)
        stream.stop()
        writer.repeat(7)
    assert stream.stats.received + stream.stats.lost == 12 == writer.happened


def test_closing_while_a_program_writes_counts_each_event(writer):
    import threading

    over = threading.Event()

    def produce():
        while not over.is_set():
            writer.repeat(4096)

    for _ in range(10):
        before = writer.happened, writer.refused
        over.clear()
        producer = threading.Thread(target=produce)
        with fb.PerfBuffer(writer.array, Event, buffer="64KiB") as stream:
            producer.start()
            stream.read(rows=1000)
        over.set()
        producer.join()
        happened, refused = writer.happened - before[0], writer.refused - before[1]
        # What the program was refused is what found no room, or no buffer any more.
        assert happened == refused + stream.stats.received


class InterruptionError(Exception):
    pass


@contextmanager
def interruptions(every):
    """A signal whose handler raises, again and again."""

    def handler(*_):
        raise InterruptionError

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, every)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_read_loses_nothing():
    with Numberer(1 << 20) as numberer, fb.RingBuffer(numberer.ring, Numbered, lost=numberer.lost) as stream:
        rows, interrupted = 0, 0
        with interruptions(0.0005) as arm:
            while interrupted < 200:
                numberer.fill(20)
                try:
                    arm()
                    rows += stream.read(seconds=0.0004).num_rows
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except InterruptionError:
                    interrupted += 1
        stream.stop()
        while not stream.ended:
            rows += stream.read(seconds=1).num_rows
        # Python may look at signals between any two steps of ours too, so that few are gone where hundreds were before.
        assert stream.stats.lost == 0
        assert numberer.happened - rows <= numberer.happened // 100


def test_a_counter_that_was_closed_costs_no_events(recorder):
    lost = fb.MapSpec("array", value=fb.u64, max_entries=1).create()
    with fb.RingBuffer(recorder.ring, Code, lost=lost) as stream:
        lost.close()
        for record in codes(1, 2):
            recorder.write(record)
        assert next(stream)["code"].to_pylist()[0] == 1
        assert stream.stats.lost is None


def test_a_stream_of_streams_keeps_what_was_good_before_an_error():
    class Other(fb.Struct):
        kind: fb.u32
        other: fb.u64

    with Recorder() as first, Recorder() as second:
        parts = [
            fb.RingBuffer(first.ring, Code, background=False),
            fb.RingBuffer(second.ring, {2: Other}, tag="kind", background=False),
        ]
        for record in codes(1, 2, 3):
            first.write(record)
        second.write(struct.pack("<IIQ", 2, 0, 5))
        second.write(struct.pack("<IIQ", 9, 0, 5))
        with fb.Stream(parts) as stream:
            got = []
            with pytest.raises(fb.LayoutError, match="kind 9"):
                while True:
                    got.append(next(stream).num_rows)
            assert sum(got) == 4


def test_what_was_given_back_comes_through_the_combined_stream(recorder):
    part = fb.RingBuffer(recorder.ring, Code)
    for record in codes(*range(5)):
        recorder.write(record)
    batch = part.next_batch()
    part._give_back(batch)
    with fb.Stream([part]) as stream:
        assert stream.read(rows=5)["code"].to_pylist() == list(range(5))


def test_reading_does_not_end_a_pause(writer):
    with fb.PerfBuffer(writer.array, Event, overwrite=True) as stream:
        writer.repeat(5)
        stream.pause()
        assert stream.read(seconds=0).num_rows == 5
        writer.repeat(5)
        assert stream.read(seconds=0).num_rows == 0
        stream.resume()
        writer.repeat(2)
        assert stream.read(seconds=0).num_rows == 2


def test_a_stream_of_one_trace_ends_with_its_command():
    trace = fb.trace("tracepoint:syscalls:sys_enter_getppid", command=["python3", "-c", "import os; os.getppid()"])
    with fb.Stream([trace]) as stream:
        assert stream.read(seconds=60).num_rows >= 1
        assert stream.ended
