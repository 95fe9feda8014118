"""Recording any mix of buffers: replayed, it is what the live stream of the same records gives."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import pytest
from tests.kernel.producers import Numbered, Numberer, Recorder
from tests.kernel.test_perf_buffer import Writer, pinned

import fastbpf as fb
from fastbpf.sinks import Output, SinkError


class Open(fb.Struct):
    kind: fb.u32
    pid: fb.u32
    ts: fb.ktime
    name: fb.char[8]


class Exit(fb.Struct):
    kind: fb.u32
    code: fb.i32
    ts: fb.boottime


class Text(fb.Struct):
    kind: fb.u32
    text: fb.text[64]
    ts: fb.boottime


class Pair(fb.Struct):
    x: fb.u16
    y: fb.be16


class Sampled(fb.Struct):
    number: fb.u64
    pairs: Pair[3]


START = 10**9
# Far more than two looks at the clocks differ by.
STEP = 10**6
TYPES = {1: Open, 2: Exit, 7: Text}


def texted(n):
    text = f"text {n} ".encode() * (n % 6)
    return struct.pack("<IIQ", 7, len(text) << 16 | 16, START + n * STEP) + text


def record(n):
    """The n-th, of a type that n chooses."""
    if n % 5 == 4:
        return texted(n)
    return (
        struct.pack("<IIQ8s", 1, n, START + n * STEP, b"cat") if n % 2 else struct.pack("<IiQ", 2, -n, START + n * STEP)
    )


def sampled(n):
    return struct.pack("<Q6H4x", n, *range(n % 100, n % 100 + 6))


class Bench:
    """Two rings and a perf buffer."""

    def __init__(self, stack):
        self.rings = [stack.enter_context(Recorder(1 << 20)) for _ in range(2)]
        self.perf = stack.enter_context(Writer(longest=64))
        stack.enter_context(pinned(min(os.sched_getaffinity(0))))

    def write(self, count):
        for n in range(count):
            assert self.rings[n % 3 == 0].write(record(n))
            if n % 4 == 0:
                self.perf.write(sampled(n))  # without a reader it goes nowhere

    @contextmanager
    def stream(self, kind, **how):
        with ExitStack() as stack:
            tagged = lambda ring: fb.RingBuffer(ring, TYPES, tag="kind", **how)  # noqa: E731
            if kind == "ring":
                stream = fb.RingBuffer([one.ring for one in self.rings], TYPES, tag="kind", **how)
            elif kind == "perf":
                stream = fb.PerfBuffer(self.perf.array, Sampled, **how)
            else:
                parts = [tagged(self.rings[0].ring), fb.PerfBuffer(self.perf.array, Sampled, **how)]
                parts.append(tagged(self.rings[1].ring))
                own = {name: value for name, value in how.items() if name != "decode"}
                stream = fb.Stream(parts, **own)
            yield stack.enter_context(stream)


@pytest.fixture
def bench():
    with ExitStack() as stack:
        yield Bench(stack)


def same(replayed, live):
    """Tables with equal schemas (what they tell of the clocks and the account apart), and equal rows."""
    assert list(replayed) == list(live)
    for name, once in live.items():
        # Rings are read in no order.
        key = "number" if "number" in once.schema.names else "ts"
        table, again = once.sort_by(key), replayed[name].sort_by(key)
        assert again.schema.equals(table.schema, check_metadata=False)
        for ours, theirs in zip(again.schema, table.schema, strict=True):
            assert ours.metadata == theirs.metadata
            assert ours.nullable == theirs.nullable
        told = again.schema.metadata
        assert told.keys() == table.schema.metadata.keys()
        assert [told[key] for key in (b"fastbpf.record", b"fastbpf.boot_id")] == [
            table.schema.metadata[key] for key in (b"fastbpf.record", b"fastbpf.boot_id")
        ]
        # The kernel stamps each sample anew.
        plain = [name for name in table.schema.names if name != "ts" or key == "ts"]
        times = [name for name in plain if pa.types.is_timestamp(table.schema.field(name).type)]
        rest = [name for name in plain if name not in times]
        assert again.select(rest).to_pylist() == table.select(rest).to_pylist()
        for one in times:
            # The offsets of the clocks are measured again and again, ever better.
            pairs = zip(again[one].cast(pa.int64()).to_pylist(), table[one].cast(pa.int64()).to_pylist(), strict=True)
            assert all(abs(a - b) < 100_000 for a, b in pairs)


@pytest.mark.parametrize("how", [{}, {"background": False}, {"max_rows": 70}], ids=str)
@pytest.mark.parametrize("kind", ["ring", "perf", "both"])
def test_replay_gives_what_the_live_stream_gives(bench, kind, how, tmp_path):
    with bench.stream(kind, **how) as stream:
        bench.write(1000)
        live = stream.read_all(seconds=0)
    with bench.stream(kind, decode=False, **how) as stream:
        bench.write(1000)
        rows = fb.Capture.record(stream, tmp_path / "a.fbpf", seconds=0)
    with fb.replay(tmp_path / "a.fbpf", max_rows=70) as capture:
        replayed = capture.read_all()
    assert rows == sum(table.num_rows for table in live.values()) == {"ring": 1000, "perf": 250, "both": 1250}[kind]
    same(replayed, live)
    assert capture.stats.received == capture.stats.delivered == rows


@pytest.mark.parametrize("kind", ["ring", "both"])
def test_an_ordered_stream_is_replayed_in_its_order(bench, kind, tmp_path):
    with bench.stream(kind, decode=False, ordered=True, look_back=3600) as stream:
        bench.write(999)
        stream.stop()
        rows = fb.Capture.record(stream, tmp_path / "a.fbpf")
    tables = fb.replay(tmp_path / "a.fbpf").read_all()
    assert rows == sum(table.num_rows for table in tables.values())
    for table in tables.values():
        times = table["ts"].cast("int64").to_pylist()
        assert times == sorted(times)
    assert tables["Open"]["pid"].to_pylist() == [n for n in range(999) if n % 2 and n % 5 != 4]
    assert tables["Exit"]["code"].to_pylist() == [-n for n in range(999) if not n % 2 and n % 5 != 4]
    if kind == "both":
        assert tables["Sampled"]["number"].to_pylist() == list(range(0, 999, 4))
        assert set(tables["Sampled"]["cpu"].to_pylist()) == {min(os.sched_getaffinity(0))}


def test_one_capture_goes_on_where_another_ended(bench, tmp_path):
    with bench.stream("ring", decode=False) as stream:
        bench.write(1000)
        assert fb.Capture.record(stream, tmp_path / "0.fbpf", rows=0) == 0
        assert fb.Capture.record(stream, tmp_path / "1.fbpf", rows=333) == 333
        assert fb.Capture.record(stream, tmp_path / "2.fbpf", seconds=0) == 667
        assert stream.stats[:3] == (1000, 1000, 0)
    opened = []
    for n in range(3):
        with fb.replay(tmp_path / f"{n}.fbpf") as capture:
            opened += capture.read_all()["Open"]["pid"].to_pylist()
    assert sorted(opened) == [n for n in range(1000) if n % 2 and n % 5 != 4]


def test_whatever_interrupts_it_leaves_a_whole_capture_and_loses_nothing(bench, tmp_path, monkeypatch):
    write = Output.write
    left = 0

    def interrupted(self, data):
        nonlocal left
        left -= 1
        if left == 0:
            write(self, bytes(data)[: len(data) // 2])
            raise KeyboardInterrupt
        return write(self, data)

    monkeypatch.setattr(Output, "write", interrupted)
    got, interruptions = [], 0
    with bench.stream("ring", decode=False, max_rows=20) as stream:
        # At each of the first writes: a frame is a header and three parts.
        for n in range(4, 24):
            bench.write(50)
            left, path = n, tmp_path / f"{n}.fbpf"
            try:
                fb.Capture.record(stream, path, seconds=0)
            except KeyboardInterrupt:
                interruptions += 1
            left = 0
            with fb.replay(path) as capture:
                got += capture.read_all()["Open"]["pid"].to_pylist()
        fb.Capture.record(stream, tmp_path / "rest.fbpf", seconds=0)
        got += fb.replay(tmp_path / "rest.fbpf").read_all()["Open"]["pid"].to_pylist()
    assert interruptions > 10
    assert sorted(got) == sorted([n for n in range(50) if n % 2 and n % 5 != 4] * 20)


def test_a_flight_recorder_is_recorded(bench, tmp_path):
    with fb.PerfBuffer(bench.perf.array, Sampled, buffer=4096, overwrite=True, decode=False) as stream:
        bench.write(2000)
        rows = fb.Capture.record(stream, tmp_path / "a.fbpf", seconds=0)
    with fb.replay(tmp_path / "a.fbpf") as capture:
        numbers = capture.read()["number"].to_pylist()
    assert 0 < rows == len(numbers) < 500
    assert numbers == list(range(2000 - 4 * rows, 2000, 4))


def test_losses_stand_in_the_capture(tmp_path):
    with Numberer(4096) as numberer:
        stream = fb.RingBuffer(numberer.ring, Numbered, lost=numberer.lost, decode=False, background=False)
        with stream:
            numberer.fill(10)
            rows = fb.Capture.record(stream, tmp_path / "a.fbpf", seconds=0)
        with fb.replay(tmp_path / "a.fbpf") as capture:
            table = capture.read()
        assert capture.stats.lost > 0
        assert rows + capture.stats.lost == numberer.happened
        assert int(table.schema.metadata[b"fastbpf.lost"]) == capture.stats.lost


def test_what_cannot_be_recorded_is_refused(bench, tmp_path):
    path = tmp_path / "a.fbpf"
    with bench.stream("ring") as stream:
        with pytest.raises(fb.StreamError, match="decode=False"):
            fb.Capture.record(stream, path, seconds=0)
    with bench.stream("ring", decode=False) as stream:
        with pytest.raises(ValueError, match="seconds=-1"):
            fb.Capture.record(stream, path, seconds=-1)
        assert not path.exists()
        path.write_bytes(b"mine")
        with pytest.raises(SinkError, match="exists already"):
            fb.Capture.record(stream, path, seconds=0)
        assert path.read_bytes() == b"mine"
        assert fb.Capture.record(stream, path, seconds=0, force=True) == 0
        with fb.replay(path) as capture:
            assert {name: table.num_rows for name, table in capture.read_all().items()} == dict.fromkeys(
                ("Open", "Exit", "Text"), 0
            )


def test_streams_become_one_if_all_decode_or_none(bench):
    parts = [fb.RingBuffer(bench.rings[0].ring, Exit), fb.RingBuffer(bench.rings[1].ring, Exit, decode=False)]
    with pytest.raises(fb.StreamError, match="decode=False"):
        fb.Stream(parts)
    for part in parts:
        part.read(seconds=0)
        part.close()


def test_types_of_one_name_are_refused(bench):
    class Exit(fb.Struct):
        other: fb.u64

    parts = [fb.RingBuffer(bench.rings[0].ring, TYPES[2]), fb.RingBuffer(bench.rings[1].ring, Exit)]
    with pytest.raises(fb.LayoutError, match=r'called "Exit".*rename'):
        fb.Stream(parts)
    for part in parts:
        part.close()
