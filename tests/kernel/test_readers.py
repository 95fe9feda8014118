"""One reader a ring, and what becomes of the records around one that is not as declared."""

import pyarrow as pa
import pytest

import fastbpf as fb
from fastbpf.asm import *

RING = fb.MapSpec("ringbuf", max_entries=64 << 10, name="ring")


class Pair(fb.Struct):
    first: fb.u64
    second: fb.u64


def writer(size):
    code = assemble(
        stdw(fp, -16, 7),
        stdw(fp, -8, 8),
        call.ringbuf_output(RING, fp - 16, size, 0),
        mov(r0, 0),
        exit_(),
    )
    return fb.ProgramSpec("raw_tracepoint", code, name=f"write{size}")


@pytest.fixture
def programs():
    with RING.create() as ring, writer(16).load({"ring": ring}) as whole, writer(8).load({"ring": ring}) as short:
        yield ring, whole, short


@pytest.mark.parametrize("background", [True, False])
def test_records_in_front_of_a_short_one_are_delivered_and_all_are_counted(programs, background):
    ring, whole, short = programs
    for program, times in ((whole, 100), (short, 1), (whole, 20)):
        for _ in range(times):
            program.test_run()
    with fb.RingBuffer(ring, Pair, background=background) as stream:
        table = stream.read(rows=100)
        assert table.to_pydict() == {"first": [7] * 100, "second": [8] * 100}
        with pytest.raises(fb.LayoutError, match="8 bytes is shorter than its layout, which has 16"):
            stream.read(rows=1)
    stats = stream.stats
    assert (stats.received, stats.delivered, stats.queued) == (121, 100, 21)
    assert stats.bytes == 120 * 24 + 16


def test_a_ring_has_one_reader_at_a_time(programs):
    ring, whole, _ = programs
    with fb.RingBuffer(ring, Pair) as stream:
        with pytest.raises(fb.StreamError, match="has a reader already"):
            fb.RingBuffer(ring, Pair)
        whole.test_run()
        assert stream.read(rows=1).num_rows == 1
    with fb.RingBuffer(ring, Pair, background=False) as stream:
        whole.test_run()
        assert stream.read(rows=1).num_rows == 1


def test_a_stream_without_latency_looks_no_more_often_than_it_gains_by(programs):
    ring, whole, _ = programs
    with fb.RingBuffer(ring, Pair, max_latency=0) as stream:
        for _ in range(50):
            whole.test_run()
        assert stream.read(rows=50).num_rows == 50
        # A pump that did not pause would have looked at the ring without end.
        assert stream.stats.wakeups < 100_000


@pytest.mark.parametrize("background", [True, False])
def test_a_deadline_bounds_what_is_read_though_events_go_on(programs, background):
    ring, whole, _ = programs
    with fb.RingBuffer(ring, Pair, background=background, max_rows=1) as stream:
        for _ in range(3):
            whole.test_run()
        reader = pa.RecordBatchReader.from_stream(stream.take(seconds=0))
        assert reader.read_next_batch().num_rows == 1
        whole.test_run()
        assert sum(batch.num_rows for batch in reader) == 2
        assert stream.read(rows=1).num_rows == 1
