"""Streams: how they are read, waited for, interrupted, forked and closed."""

from __future__ import annotations

import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from tests.kernel.producers import Child, Numbered, Numberer, Recorder, program_exists, script, threads

import fastbpf as fb

ROOT = Path(__file__).parents[2]
NO_WAKEUP = 1


class Number(fb.Struct):
    number: fb.u64


@pytest.fixture(params=[False, True], ids=["foreground", "background"])
def background(request):
    return request.param


@pytest.fixture
def recorder():
    with Recorder() as recorder:
        yield recorder


def write(recorder, *values, flags=0):
    for value in values:
        assert recorder.write(struct.pack("<Q", value), flags)


def numbers(table):
    return pa.table(table)["number"].to_pylist()


def eventually(condition):
    # For what the kernel does in its own time, after the call that asks for it.
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Reading


def test_read_gives_exactly_so_many_rows_and_the_others_next(recorder, background):
    with fb.RingBuffer(recorder.ring, Number, background=background) as stream:
        write(recorder, *range(10))
        assert numbers(stream.read(rows=4)) == [0, 1, 2, 3]
        assert numbers(stream.read(rows=0)) == []
        assert numbers(stream.read(rows=1)) == [4]
        write(recorder, 10)
        assert numbers(stream.read(rows=6)) == [5, 6, 7, 8, 9, 10]
        assert numbers(stream.read(seconds=0)) == []
        assert stream.stats[:3] == (11, 11, 0)


@pytest.mark.parametrize("max_rows", [1, 3, 64, 65_536])
def test_read_waits_for_rows_that_come_later(recorder, background, max_rows):
    with fb.RingBuffer(recorder.ring, Number, background=background, max_rows=max_rows) as stream:
        got = []
        reader = threading.Thread(target=lambda: got.extend(numbers(stream.read(rows=50))))
        reader.start()
        for n in range(53):
            write(recorder, n)
        reader.join(20)
        assert got == list(range(50))
        assert numbers(stream.read(seconds=0)) == [50, 51, 52]


def test_reading_for_no_time_sees_what_is_there(recorder, background):
    with fb.RingBuffer(recorder.ring, Number, background=background) as stream:
        for n in range(50):
            write(recorder, n, flags=NO_WAKEUP * (n % 2))
            assert numbers(stream.read(seconds=0)) == [n]


def test_a_program_that_wakes_nobody_is_seen_without_a_wakeup(recorder, background):
    # The stream has long gone to sleep, as each look that it counts shows: none is made but every 100 ms. A read of no
    # time at all sees the record nevertheless.
    with fb.RingBuffer(recorder.ring, Number, background=background) as stream:
        assert numbers(stream.read(seconds=0)) == []
        before = stream.stats.wakeups
        eventually(lambda: not background or stream.stats.wakeups > before + 3)
        write(recorder, 1, 2, flags=NO_WAKEUP)
        assert numbers(stream.read(seconds=0)) == [1, 2]
        write(recorder, 3, flags=NO_WAKEUP)
        assert numbers(stream.read(rows=1)) == [3]


def test_iteration_gives_batches_of_at_most_so_many_rows(recorder, background):
    with fb.RingBuffer(recorder.ring, Number, background=background, max_rows=4) as stream:
        write(recorder, *range(10))
        stream.stop()
        batches = list(stream)
        assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert [n for batch in batches for n in batch["number"].to_pylist()] == list(range(10))
        assert stream.ended
        assert list(stream) == []
        assert numbers(stream.read(rows=5)) == []
        assert numbers(stream.take(rows=5)) == []
        assert stream.stats.batches == 3


def test_both_ways_to_read_give_the_same_rows():
    tables = []
    for background in (False, True):
        with Numberer(1 << 20) as numberer:
            with fb.RingBuffer(numberer.ring, Numbered, background=background, max_rows=100) as stream:
                numberer.fill(10)
                tables.append(stream.read(rows=10 * numberer.PER_FILL).drop_columns(["ts", "cpu"]))
    assert tables[0].combine_chunks() == tables[1].combine_chunks()


def test_what_cannot_be_read_is_refused(recorder):
    with fb.RingBuffer(recorder.ring, Number) as stream:
        for read in (stream.read, stream.take):
            with pytest.raises(ValueError, match="seconds=5 or rows=1000"):
                read()
            with pytest.raises(ValueError, match="seconds=-1"):
                read(seconds=-1)
            with pytest.raises(ValueError, match="rows=-1"):
                read(rows=-1)
            with pytest.raises(ValueError, match="seconds=inf"):
                read(seconds=float("inf"))
            with pytest.raises(ValueError, match=f"rows={2**63}: give a whole number from 0 to {2**63 - 1}"):
                read(rows=2**63)
            for rows in ("a", 1.5, True):
                with pytest.raises(TypeError, match=f"rows={rows!r}: give a whole number"):
                    read(rows=rows)
            with pytest.raises(TypeError, match="seconds='5s': give a number"):
                read(seconds="5s")


def test_what_cannot_be_streamed_is_refused(recorder):
    for record in (3, dict, fb.u64):
        with pytest.raises(fb.LayoutError, match="a record's layout is a Struct"):
            fb.RingBuffer(recorder.ring, record)
    for ring in (recorder.ring.spec, recorder.program, 3):
        with pytest.raises(TypeError, match=r"load the program or create\(\) the map first"):
            fb.RingBuffer(ring, Number)
    for options in ({"max_rows": 1.5}, {"max_rows": "9"}, {"max_latency": "1ms"}):
        with pytest.raises(TypeError, match="=".join(map(str, options)) + "="):
            fb.RingBuffer(recorder.ring, Number, **options)


# Arrow's interface


def test_a_part_can_be_taken_once(recorder):
    with fb.RingBuffer(recorder.ring, Number) as stream:
        taken = stream.take(rows=3)
        write(recorder, *range(5))
        assert pa.schema(taken) == stream.schema
        assert pl.DataFrame(taken)["number"].to_list() == [0, 1, 2]
        with pytest.raises(fb.StreamError, match="read already; take another"):
            pa.table(taken)
        assert numbers(stream.take(seconds=0)) == [3, 4]


def test_a_stream_without_an_end_names_take(recorder):
    with fb.RingBuffer(recorder.ring, Number) as stream:
        with pytest.raises(TypeError, match=r"take\(seconds=5\) or take\(rows=1000\)"):
            pa.table(stream)
        assert pa.schema(stream) == Number.schema
    assert pa.schema(stream) == Number.schema


# Closing


def test_closing_wakes_a_reader_in_another_thread(recorder, background):
    outcome = []

    def iterate():
        try:
            outcome.extend(map(len, stream))
        except fb.StreamError as error:
            outcome.append(str(error))

    stream = fb.RingBuffer(recorder.ring, Number, background=background)
    reader = threading.Thread(target=iterate)
    reader.start()
    write(recorder, 1)
    eventually(lambda: outcome)
    stream.close()
    reader.join(5)
    assert not reader.is_alive()
    assert outcome == [1, "this stream is closed; its statistics can still be read"]


def test_a_closed_stream_says_so(recorder):
    stream = fb.RingBuffer(recorder.ring, Number)
    write(recorder, 1, 2)
    stream.close()
    stream.close()
    assert stream.closed
    stream.stop()
    for read in (lambda: stream.read(seconds=0), lambda: next(stream), lambda: pa.table(stream.take(rows=1))):
        with pytest.raises(Exception, match="this stream is closed"):
            read()
    assert stream.stats[:3] == (2, 0, 2)


def test_stopping_wakes_a_reader_and_ends_its_iteration(recorder, background):
    seen = []
    stream = fb.RingBuffer(recorder.ring, Number, background=background)
    reader = threading.Thread(target=lambda: seen.extend(n for batch in stream for n in batch["number"].to_pylist()))
    with stream:
        reader.start()
        write(recorder, *range(20))
        eventually(lambda: seen)
        stream.stop()
        reader.join(5)
        assert not reader.is_alive()
    assert seen == list(range(20))


GETPPID = "tracepoint:syscalls:sys_enter_getppid"


class Instead:
    """Stands in for a link: does something else first when it is closed."""

    def __init__(self, trace, first):
        self._link, self._first = trace._links[0], first
        trace._links[0] = self

    def close(self):
        self._first()
        self._link.close()


def test_closing_waits_for_another_thread_that_detaches():
    entered, go = threading.Event(), threading.Event()
    with Child() as child, fb.trace(GETPPID, pid=child.pid) as trace:
        Instead(trace, lambda: (entered.set(), go.wait(20)))
        stopper, closer = threading.Thread(target=trace.stop), threading.Thread(target=trace.close)
        stopper.start()
        assert entered.wait(20)
        closer.start()
        closer.join(0.1)
        assert closer.is_alive()
        # still attached: these count
        child.getppid(7)
        go.set()
        stopper.join(20)
        closer.join(20)
        assert (trace.closed, trace.detached) == (True, True)
        assert (trace.stats.received, trace.stats.queued, trace.stats.lost) == (7, 7, 0)


def test_closing_that_is_interrupted_leaves_nothing():
    def interrupt():
        raise KeyboardInterrupt

    before = everything_of_bpf()
    trace = fb.trace(GETPPID, pid=1)
    link = Instead(trace, interrupt)
    with pytest.raises(KeyboardInterrupt):
        trace.close()
    assert everything_of_bpf() == before
    link._first = lambda: None
    trace.close()
    assert trace.closed
    assert trace.stats.lost == 0


def test_a_trace_whose_program_was_closed_first_leaves_nothing():
    before = everything_of_bpf()
    trace = fb.trace(GETPPID, pid=1)
    trace.program.close()
    trace.close()
    assert trace.closed
    assert everything_of_bpf() == before
    assert (trace.stats.received, trace.stats.lost, trace.stats.missed) == (0, None, None)


def everything_of_bpf():
    return held("bpf"), held("perf"), mappings()


def test_closing_frees_the_kernels_objects_while_the_stream_is_still_held():
    with Recorder() as recorder:
        before = held("bpf"), mappings()
        stream = fb.RingBuffer(recorder.ring, Number)
        assert (held("bpf"), mappings()) == (before[0] + 1, before[1] + 2)
        stream.close()
        assert (held("bpf"), mappings()) == before


def held(what=""):
    names = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            names.append(str(fd.readlink()))
    return sum(what in name for name in names)


def everything():
    return held(), mappings(), len(list(Path("/proc/self/task").iterdir()))


def mappings():
    return sum("bpf" in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_many_cycles_leave_nothing(background):
    def cycle():
        with Recorder() as recorder, fb.RingBuffer(recorder.ring, Number, background=background, max_rows=10) as stream:
            write(recorder, *range(25))
            assert len(stream.read(rows=15)) == 15

    for _ in range(3):
        cycle()
    before = everything()
    for _ in range(100):
        cycle()
    # The pump may hold the last one for a moment.
    eventually(lambda: everything() <= before)


def test_many_traces_leave_nothing():
    def cycle():
        with Child() as child, fb.trace("tracepoint:syscalls:sys_enter_getppid", pid=child.pid) as trace:
            child.getppid(3)
            assert len(trace.read(rows=3)) == 3
            return trace.program.info.id

    cycle()
    before = everything()
    ids = [cycle() for _ in range(3)]
    eventually(lambda: everything() <= before)
    eventually(lambda: not any(map(program_exists, ids)))


def test_a_stream_that_nobody_closed_goes_when_nobody_holds_it():
    before = held("bpf")
    trace = fb.trace("tracepoint:syscalls:sys_enter_getppid", pid=1)
    number = trace.program.info.id
    assert program_exists(number)
    del trace
    gc.collect()
    assert held("bpf") == before
    eventually(lambda: not program_exists(number))


def test_one_thread_serves_all_streams():
    with Recorder() as one, Recorder() as two, Recorder() as three:
        streams = [fb.RingBuffer(each.ring, Number) for each in (one, two, three)]
        assert threads("fastbpf-pump") == 1
        for n in range(50):
            write(one, n)
            write(two, 100 + n)
            write(three, 200 + n)
        streams[1].close()
        assert numbers(streams[2].read(rows=50)) == list(range(200, 250))
        assert numbers(streams[0].read(rows=50)) == list(range(50))
        for stream in streams:
            stream.close()
    assert threads("fastbpf-pump") == 1


# Ctrl-C

INTERRUPTED = """
import os, signal, struct, sys, threading, time
import fastbpf as fb
from tests.kernel.producers import Recorder

class Number(fb.Struct):
    number: fb.u64

background = sys.argv[1] == "True"
with Recorder() as recorder, fb.RingBuffer(recorder.ring, Number, max_rows=2, background=background) as stream:
    write = lambda *values: [recorder.write(struct.pack("<Q", value)) for value in values]

    def interrupt():
        # Two batches are with the reader, who waits for more.
        while stream.stats.delivered < 4:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    write(*range(5))
    threading.Thread(target=interrupt).start()
    try:
        stream.read(rows=8, seconds=50)
    except KeyboardInterrupt:
        print("interrupted")
    write(5, 6, 7)
    print(stream.read(rows=3)["number"].to_pylist(), stream.read(rows=5)["number"].to_pylist())
"""


def test_ctrl_c_interrupts_a_read_and_loses_nothing(background):
    assert script(INTERRUPTED, background, cwd=ROOT) == "interrupted\n[0, 1, 2] [3, 4, 5, 6, 7]\n"


# Forks

FORKED = """
import os, struct, sys
import pyarrow as pa
import fastbpf as fb
from tests.kernel.producers import Recorder

class Number(fb.Struct):
    number: fb.u64

with Recorder() as recorder, fb.RingBuffer(recorder.ring, Number, background=sys.argv[1] == "True") as stream:
    write = lambda *values: [recorder.write(struct.pack("<Q", value)) for value in values]
    write(0, 1, 2)
    print(stream.read(rows=1)["number"].to_pylist(), flush=True)
    if (child := os.fork()) == 0:
        for what in (lambda: next(stream), lambda: stream.read(seconds=0), lambda: stream.stats, stream.stop):
            try:
                print("no error:", what())
            except fb.StreamError as error:
                print(str(error).replace(str(os.getppid()), "PARENT"))
        with Recorder() as own, fb.RingBuffer(own.ring, Number) as another:
            own.write(struct.pack("<Q", 99))
            print(another.read(rows=1)["number"].to_pylist(), flush=True)
        sys.exit()
    print(os.waitpid(child, 0)[1])
    write(3, 4)
    print(stream.read(rows=4)["number"].to_pylist(), stream.stats[:3])
"""


def test_a_forked_child_is_told_and_its_parent_goes_on(background):
    refused = "this stream belongs to process PARENT, which forked this one; open a stream of its own in the child"
    lines = script(FORKED, background, cwd=ROOT).splitlines()
    assert lines == ["[0]", *[refused] * 4, "[99]", "0", "[1, 2, 3, 4] (5, 5, 0)"]


FORKED_TRACE = """
import os, sys
import fastbpf as fb
from tests.kernel.producers import Child

child = Child()
with fb.trace("tracepoint:syscalls:sys_enter_getppid", "pid", pid=child.pid) as trace:
    child.getppid(2)
    if (fork := os.fork()) == 0:
        for what in (lambda: next(trace), lambda: trace.read(seconds=0), lambda: trace.stats):
            try:
                print("no error:", what())
            except fb.StreamError:
                pass
        os._exit(0) if sys.argv[1] == "hard" else sys.exit()
    assert os.waitpid(fork, 0)[1] == 0
    child.getppid(3)
    print(len(trace.read(rows=5)), trace.stats.lost)
child.__exit__()
"""


@pytest.mark.parametrize("way", ["hard", "soft"])
def test_a_forked_childs_end_leaves_the_program_attached(way):
    # soft: the child runs its exit handlers and the ends of its with statements, on what is its parent's
    assert script(FORKED_TRACE, way, cwd=ROOT) == "5 0\n"


FORKED_IN_TROUBLE = """
import os, signal, sys, threading
import fastbpf as fb

probe = "tracepoint:syscalls:sys_enter_getppid"
first = fb.trace(probe, "pid", pid=os.getpid())
try:
    fb.trace(probe, "pid", command=[sys.argv[1]])
except fb.KernelError as error:
    failed = error
second = fb.trace(probe, "pid", pid=os.getpid())

# Another thread is in the middle of closing, and will never go on in the child.
entered, go, link = threading.Event(), threading.Event(), second._links[0]
class Slow:
    def close(self):
        entered.set()
        go.wait()
        link.close()
second._links[0] = Slow()
closer = threading.Thread(target=second.close)
closer.start()
entered.wait()
if (fork := os.fork()) == 0:
    signal.alarm(10)
    for trace in (first, second):
        trace.close()
        try:
            print(trace.closed, trace.stats)
        except fb.StreamError:
            print(trace.closed, flush=True)
    os._exit(0)
print(os.waitpid(fork, 0)[1])
go.set()
closer.join()
first.close()
print(first.closed, second.closed)
"""


def test_a_fork_copes_with_a_trace_that_failed_and_one_that_closes(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    assert script(FORKED_IN_TROUBLE, broken, cwd=ROOT) == "True\nTrue\n0\nTrue True\n"


SURVIVED = """
import os, signal, time
import fastbpf as fb

trace = fb.trace("tracepoint:syscalls:sys_enter_getppid", "pid", pid=os.getpid(), command=None)
if (fork := os.fork()) == 0:
    signal.pause()
print(trace.program.info.id, fork, flush=True)
signal.pause()
"""


def test_a_child_that_outlives_its_parent_keeps_no_program():
    with subprocess.Popen([sys.executable, "-c", SURVIVED], stdout=subprocess.PIPE, text=True) as parent:
        try:
            program, child = map(int, parent.stdout.readline().split())
            assert program_exists(program)
            os.kill(child, 0)
        finally:
            parent.kill()
    try:
        os.kill(child, 0)
        eventually(lambda: not program_exists(program))
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
