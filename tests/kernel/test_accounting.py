"""Events that happened = delivered + queued + lost + missed + dropped, exactly, whatever is full, slow or closed."""

from __future__ import annotations

import os
import threading

import pytest
from tests.kernel.producers import Child, Numbered, Numberer

import fastbpf as fb
from fastbpf.asm import *

ENDLESS = "while True: os.getppid()"


def accounted(stats):
    return stats.delivered + stats.queued + stats.lost + (stats.missed or 0) + stats.dropped


class Watched:
    """A stream whose statistics have to grow, and to stay once it is closed."""

    def __init__(self, stream):
        self.stream = stream
        self._before = stream.stats

    def look(self):
        stats = self.stream.stats
        for name in ("received", "delivered", "lost", "missed", "dropped", "cut", "bytes", "batches", "wakeups"):
            before, now = getattr(self._before, name), getattr(stats, name)
            assert (before is None) == (now is None)
            assert before is None or before <= now, (name, before, now)
        assert stats.queued == stats.received - stats.delivered >= 0
        self._before = stats
        return stats

    def final(self):
        assert self.stream.closed
        stats = self.look()
        assert self.stream.stats == stats
        return stats


def numbers(table):
    return table["number"].to_pylist()


@pytest.mark.parametrize("kind", ["raw_tracepoint", "tracepoint"])
@pytest.mark.parametrize("background", [False, True])
def test_a_ring_of_one_page(kind, background):
    got = []
    with Numberer(4096, kind) as numberer, Child() as child:
        with fb.RingBuffer(numberer.ring, Numbered, background=background, lost=numberer.lost) as stream:
            watched = Watched(stream)
            numberer.attach(child)
            for _ in range(5):
                child.getppid(2000)
                got += numbers(stream.read(seconds=0))
                assert accounted(watched.look()) == numberer.happened
            numberer.detach()
            stream.stop()
            got += numbers(stream.read(seconds=5))
            assert watched.look().lost > 0
        stats = watched.final()
        assert numberer.happened == accounted(stats) == 10_000
        # a program that goes on after its stream was closed changes nothing
        numberer.fill(40)
        assert watched.final() == stats
    assert watched.final() == stats
    assert stats.queued == 0
    assert len(got) == stats.delivered
    assert got == sorted(set(got))
    assert stats.bytes == 32 * stats.received  # 8 bytes of header, 24 of payload


def test_a_reader_that_does_not_read():
    # A batch a row: the queue takes some, then the ring fills, then events are lost.
    with Numberer(4096) as numberer, Child() as child:
        with fb.RingBuffer(numberer.ring, Numbered, max_rows=1, lost=numberer.lost) as stream:
            watched = Watched(stream)
            numberer.attach(child)
            for _ in range(20):
                child.getppid(1000)
                assert watched.look().delivered == 0
            stalled = watched.look()
            assert stalled.lost > 0
            assert stalled.queued > 0
            first = numbers(stream.read(rows=stalled.queued))
            assert len(first) == stalled.queued
            child.getppid(1000)
            numberer.detach()
            stream.stop()
            rest = numbers(stream.read(seconds=20))
            assert numberer.happened == 21_000
        stats = watched.final()
        assert accounted(stats) == 21_000
        assert stats.queued == 0
        assert stats.delivered == len(first) + len(rest)
        assert first + rest == sorted({*first, *rest})


def test_closing_counts_what_nobody_read():
    with Numberer(1 << 20) as numberer:
        with fb.RingBuffer(numberer.ring, Numbered, max_rows=100, lost=numberer.lost) as stream:
            watched = Watched(stream)
            numberer.fill(20)
            stream.read(rows=150)
        stats = watched.final()
        assert (stats.delivered, accounted(stats)) == (150, 20 * Numberer.PER_FILL)
        assert stats.queued == 20 * Numberer.PER_FILL - 150


@pytest.mark.parametrize("background", [False, True])
def test_two_producers_on_two_processors(background):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    with (
        Numberer(16 << 10) as numberer,
        Child(cpus[0]) as one,
        Child(cpus[-1]) as two,
        fb.RingBuffer(numberer.ring, Numbered, background=background, max_rows=500, lost=numberer.lost) as stream,
    ):
        watched = Watched(stream)
        numberer.attach(one, two)
        rows = []
        for child in (one, two):
            child.start("for _ in range(30_000): os.getppid()")
        for _ in range(30):
            rows += stream.read(rows=300, seconds=0.01).to_pylist()
            watched.look()
        for child in (one, two):
            child.wait()
        numberer.detach()
        stream.stop()
        rows += stream.read(seconds=20).to_pylist()
        stats = watched.look()
        assert numberer.happened == 60_000 == accounted(stats)
        assert len(rows) == stats.delivered
        assert {(row["pid"], row["cpu"]) for row in rows} <= {(one.pid, cpus[0]), (two.pid, cpus[-1])}
        for child in (one, two):
            # On one processor nothing overtakes: times and numbers ascend.
            own = [(row["number"], row["ts"].value) for row in rows if row["pid"] == child.pid]
            assert own == sorted(set(own))


@pytest.mark.parametrize("size", [4096, 1 << 20])
@pytest.mark.parametrize("kind", ["raw_tracepoint", "tracepoint"])
def test_closing_in_mid_stream_while_programs_run(kind, size):
    seen = []
    failures = []

    def iterate():
        try:
            for batch in stream:
                seen.extend(batch["number"].to_pylist())
                watched.look()
                if len(seen) > 2000:
                    enough.set()
        except fb.StreamError as error:
            failures.append(error)

    with Numberer(size, kind) as numberer, Child() as one, Child() as two:
        stream = fb.RingBuffer(numberer.ring, Numbered, max_rows=64, lost=numberer.lost)
        with stream:
            watched = Watched(stream)
            numberer.attach(one, two)
            one.start(ENDLESS)
            two.start(ENDLESS)
            enough = threading.Event()
            reader = threading.Thread(target=iterate)
            reader.start()
            assert enough.wait(20)
            # The children go on. The program is taken off, then the stream closed under its reader.
            numberer.detach()
            happened = numberer.happened
            stream.close()
            reader.join(5)
            assert not reader.is_alive()
        assert [str(error) for error in failures] == ["this stream is closed; its statistics can still be read"]
        stats = watched.final()
        assert numberer.happened == happened == accounted(stats)
        assert len(set(seen)) == len(seen) == stats.delivered


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("probe", ["raw_tracepoint:sys_enter", "tracepoint:syscalls:sys_enter_close"])
def test_a_trace_closed_in_mid_stream_has_no_holes(probe):
    # The child numbers its calls. With room for all, what was delivered is the first of them, without a hole, and
    # closing counts the others that happened before the program was taken off.
    fd = "fd" if probe.startswith("tracepoint") else "arg0"
    seen = []
    enough = threading.Event()

    def iterate():
        with pytest.raises(fb.StreamError):
            for batch in stream:
                seen.extend(batch[fd].to_pylist())
                if len(seen) > 5000:
                    enough.set()

    close = {"x86_64": 3, "aarch64": 57}[os.uname().machine]
    where = "fd >= 1000000" if fd == "fd" else f"id == {close} and arg0 >= 1000000"
    with Child() as child:
        with fb.trace(probe, fd, pid=child.pid, where=where, max_rows=100, buffer="64MiB") as stream:
            watched = Watched(stream)
            child.start("n = 1_000_000\nwhile True:\n libc.close(n)\n n += 1")
            reader = threading.Thread(target=iterate)
            reader.start()
            assert enough.wait(20)
            stream.close()
            reader.join(5)
            assert not reader.is_alive()
        stats = watched.final()
        assert (stats.lost, stats.missed, stats.dropped) == (0, 0, 0)
        assert seen == list(range(1_000_000, 1_000_000 + len(seen)))
        assert stats.delivered == len(seen)


@pytest.mark.usefixtures("transport")
def test_a_trace_counts_what_finds_no_room():
    with Child() as child:
        with fb.trace(
            "tracepoint:syscalls:sys_enter_getppid", "ts", pid=child.pid, buffer=4096, background=False
        ) as trace:
            watched = Watched(trace)
            child.getppid(5000)
            assert watched.look().delivered == 0
            table = trace.read(seconds=0)
            stats = watched.look()
            assert stats.lost > 0
            child.getppid(1)
            trace.stop()
            table = [*table["ts"].to_pylist(), *trace.read(seconds=5)["ts"].to_pylist()]
            assert len(table) == watched.look().delivered
        assert accounted(watched.final()) == 5001
        assert table == sorted(table)


def test_streams_one_after_another_on_one_ring():
    with Numberer(4096) as numberer, Child() as child:
        numberer.attach(child)
        streams = []
        seen = []
        for background in (False, True) * 3:
            with fb.RingBuffer(
                numberer.ring, Numbered, max_rows=32, background=background, lost=numberer.lost
            ) as stream:
                child.start("for _ in range(3000): os.getppid()")
                seen += numbers(stream.read(rows=64))
            child.wait()
            streams.append(stream)
        numberer.detach()
        with fb.RingBuffer(numberer.ring, Numbered, lost=numberer.lost) as last:
            last.stop()
            seen += numbers(last.read(seconds=20))
        stats = [stream.stats for stream in (*streams, last)]
        assert numberer.happened == 18_000 == sum(one.received for one in stats) + last.stats.lost
        assert len(seen) == sum(one.delivered for one in stats)
        assert seen == sorted(set(seen))


# In an interrupt that comes while a tracepoint program runs, no other may run. A raw tracepoint's program may, so that
# one knows how often the event happened.
TIMER = "hrtimer_expire_entry"


def in_process(pid, *parts):
    return call.get_current_pid_tgid(), rsh(r0, 32), jne32(r0, pid, "done"), parts, label("done"), mov(r0, 0), exit_()


def count(name):
    counter = fb.MapSpec("array", value=fb.u64, max_entries=1, name=name)
    return ld_map_value(r1, counter, 0), mov(r2, 1), atomic_add(r1, 0, r2)


@pytest.mark.usefixtures("transport")
def test_what_the_kernel_skipped_is_missed():
    with Child() as child:
        every = assemble(mov(r6, r1), count("all"), in_process(child.pid, count("own")))
        runs = assemble(count("runs"), mov(r0, 0), exit_())
        busy = assemble(in_process(child.pid, mov(r6, 0), label("again"), add(r6, 1), jlt(r6, 30_000, "again")))
        with (
            fb.ProgramSpec("raw_tracepoint", every).load() as happened,
            fb.ProgramSpec("tracepoint", runs).load() as ran,
            fb.ProgramSpec("tracepoint", busy).load() as keeps_busy,
            happened.attach(f"raw_tracepoint:{TIMER}"),
            ran.attach(f"tracepoint:timer:{TIMER}"),
            keeps_busy.attach("tracepoint:syscalls:sys_enter_getppid"),
            fb.trace(f"tracepoint:timer:{TIMER}", "ts", pid=child.pid) as trace,
        ):
            watched = Watched(trace)
            # The child runs only while all are attached: for it, each of them saw the same events. What is received
            # after the look leaves at least one that was skipped.
            while (stats := watched.look()).received == 0 or happened.maps["own"][0] < stats.received + 40:
                child.getppid(1000)
                child.run("for _ in range(100_000): pass")
            child.sleeps()
            trace.close()
            stats = watched.final()
            own = happened.maps["own"][0]
            # What was skipped in any process on this machine, and what happened before and after the trace. The runs
            # are read first, so that none is missing from what happened.
            ran_for = ran.maps["runs"][0]
            skipped = happened.maps["all"][0] - ran_for
        assert stats.lost == 0
        assert own - stats.received > 0
        assert own - stats.received <= stats.missed <= skipped


def test_nothing_is_known_of_what_a_program_of_ones_own_missed():
    with Numberer(4096) as numberer, fb.RingBuffer(numberer.ring, Numbered) as stream:
        assert (stream.stats.missed, stream.stats.lost) == (None, None)
