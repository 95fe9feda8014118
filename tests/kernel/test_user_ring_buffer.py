"""Tables go into user ring buffers; what programs drain has to be what Struct.pack makes of the rows."""

from __future__ import annotations

import gc
import math
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.producers import script

import fastbpf as fb
from fastbpf.asm import *

ROOT = Path(__file__).parents[2]
PAGE = 4096
NO_WAKEUP = 1  # BPF_RB_NO_WAKEUP


class Number(fb.Struct):
    number: fb.u64


class Echo:
    """A user ring buffer whose records a program copies into a ring buffer, when it is told to."""

    def __init__(self, size, room=PAGE, flags=0, most=1 << 30):
        self.towards = fb.MapSpec("user_ringbuf", max_entries=room, name="towards")
        back = fb.MapSpec("ringbuf", max_entries=1 << 20, name="back")
        left = fb.MapSpec("array", value=fb.u64, max_entries=1, name="left")
        code = assemble(
            ld_map_value(r1, left, 0),
            stdw(r1, 0, most),
            call.user_ringbuf_drain(self.towards, "each", None, flags),
            exit_(),
            label("each"),
            call.dynptr_data(r1, 0, size),
            jeq(r0, 0, "stop"),
            mov(r2, r0),
            call.ringbuf_output(back, r2, size, 0),
            jne(r0, 0, "stop"),
            # as many as were asked for
            ld_map_value(r1, left, 0),
            mov(r0, -1),
            atomic_fetch_add(r1, 0, r0),
            jeq(r0, 1, "stop"),
            mov(r0, 0),
            exit_(),
            label("stop"),
            mov(r0, 1),
            exit_(),
        )
        self._program = fb.ProgramSpec("raw_tracepoint", code, name="echo").load()
        self.ring = self._program.maps["towards"]
        self.back = self._program.maps["back"]
        self._whole = fb.Struct.of("Whole", {"data": fb.raw[size]})

    def drain(self):
        return struct.unpack("<i", struct.pack("<I", self._program.test_run().retval))[0]

    def records(self):
        """The bytes of the records that were drained."""
        with fb.RingBuffer(self.back, self._whole) as stream:
            return stream.read(seconds=0)["data"].to_pylist()

    def numbers(self):
        return [struct.unpack("<Q", data)[0] for data in self.records()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._program.close()


def numbers(start, end):
    return pa.table({"number": pa.array(range(start, end), pa.uint64())})


# What goes in comes out

FLOATS = st.floats(width=32, allow_nan=False)
WHOLE = {
    **{f"u{n}": (getattr(fb, f"u{n}"), st.integers(0, 2**n - 1)) for n in (8, 16, 32, 64)},
    **{f"i{n}": (getattr(fb, f"i{n}"), st.integers(-(2 ** (n - 1)), 2 ** (n - 1) - 1)) for n in (8, 16, 32, 64)},
    **{f"be{n}": (getattr(fb, f"be{n}"), st.integers(0, 2**n - 1)) for n in (16, 32, 64)},
    "i32be": (fb.i32.be, st.integers(-(2**31), 2**31 - 1)),
    "ktime": (fb.ktime, st.integers(0, 2**64 - 1)),
    "port": (fb.port, st.integers(0, 65535)),
}
PLAIN = {
    **WHOLE,
    "f32": (fb.f32, FLOATS),
    "f64": (fb.f64, st.floats(allow_nan=False)),
    "f32be": (fb.f32.be, FLOATS),
    "bool8": (fb.bool8, st.booleans()),
    "ipv4": (fb.ipv4, st.ip_addresses(v=4).map(str)),
    "ipv6": (fb.ipv6, st.ip_addresses(v=6).map(str)),
    "mac": (fb.mac, st.binary(min_size=6, max_size=6).map(lambda data: data.hex(":"))),
    "raw4": (fb.ipv4.raw, st.binary(min_size=4, max_size=4)),
    "bytes": (fb.raw[5], st.binary(max_size=5)),
    "text": (fb.char[9], st.text("aZ 0ß€😀", max_size=9).filter(lambda text: len(text.encode()) <= 9)),
    "list": (fb.i16[3], st.lists(st.integers(-(2**15), 2**15 - 1), min_size=3, max_size=3)),
    "floats": (fb.f32[2], st.lists(FLOATS, min_size=2, max_size=2)),
    "big": (fb.u32.be[2], st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2)),
}
# Where Python's values do not say it, or another type has to do.
TYPES = {
    "u64": pa.uint64(),
    "be64": pa.uint64(),
    "ktime": pa.uint64(),
    "port": pa.uint16(),
    "list": pa.list_(pa.int64()),
}


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(sorted(PLAIN)), min_size=1, max_size=8, unique=True))
    layout = fb.Struct.of("Random", {name: PLAIN[name][0] for name in names}, packed=draw(st.booleans()))
    rows = draw(st.lists(st.fixed_dictionaries({name: PLAIN[name][1] for name in names}), min_size=1, max_size=30))
    table = pa.table({name: pa.array([row[name] for row in rows], TYPES.get(name)) for name in reversed(names)})
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=2)))
    parts = [table.slice(start, end - start) for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return layout, rows, pa.concat_tables(parts)


FORMS = {
    "pyarrow": lambda table: table,
    "polars": pl.DataFrame,
    "batch": lambda table: table.combine_chunks().to_batches()[0],
}


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from(sorted(FORMS)))
def test_random_tables_arrive_as_struct_packs_them(made, library):
    layout, rows, table = made
    with Echo(layout.size, 16 * PAGE) as echo:
        with fb.UserRingBuffer(echo.ring, layout) as ring:
            assert ring.write(FORMS[library](table)) == len(rows)
            assert ring.unread == len(rows) * (-(-(layout.size + 8) // 8) * 8)
            assert echo.drain() == len(rows)
            assert (ring.unread, ring.written) == (0, len(rows))
        assert echo.records() == [layout(**row).pack() for row in rows]


def test_a_table_comes_back_through_a_ring_buffer():
    class Flow(fb.Struct):
        source: fb.ipv4
        port: fb.u16
        load: fb.f64
        name: fb.char[8]

    given = pa.table(
        {
            "source": ["10.0.0.1", "192.168.7.255"],
            "port": pa.array([80, 443], pa.uint16()),
            "load": [0.5, -math.inf],
            "name": ["a", "müßig"],
        }
    )
    with Echo(Flow.size) as echo, fb.UserRingBuffer(echo.ring, Flow) as ring:
        assert ring.write(given) == 2
        assert echo.drain() == 2
        with fb.RingBuffer(echo.back, Flow) as stream:
            assert stream.read(rows=2).to_pylist() == given.to_pylist()


def test_frames_of_several_libraries():
    class Row(fb.Struct):
        a: fb.i32
        name: fb.char[4]
        on: fb.bool8

    values = {"a": [-1, 7], "name": ["x", "yz"], "on": [True, False]}
    frames = [
        pa.table(values),
        pa.record_batch(values),
        pl.DataFrame(values),
        pl.DataFrame(values).with_columns(pl.col("name").cast(pl.Categorical)),
        pd.DataFrame(values),
        pd.DataFrame(values, index=[5, 9]).astype({"name": "category"}),
        pa.RecordBatchReader.from_batches(pa.table(values).schema, pa.table(values).to_batches(max_chunksize=1)),
    ]
    with Echo(Row.size) as echo, fb.UserRingBuffer(echo.ring, Row) as ring:
        for frame in frames:
            assert ring.write(frame) == 2
        assert echo.drain() == 2 * len(frames)
        records = [Row(a=-1, name="x", on=True).pack(), Row(a=7, name="yz", on=False).pack()]
        assert echo.records() == records * len(frames)


def test_what_read_gives_can_be_written():
    with Echo(8) as echo, fb.UserRingBuffer(echo.ring, Number) as ring:
        ring.write(numbers(0, 5))
        echo.drain()
        with fb.RingBuffer(echo.back, Number) as stream:
            assert ring.write(stream.next_batch()) == 5
        echo.drain()
        assert echo.numbers() == list(range(5))


# Room


def test_a_full_ring_takes_the_first_rows_and_the_rest_is_the_callers():
    with Echo(8) as echo, fb.UserRingBuffer(echo.ring, Number) as ring:
        fits = PAGE // 16
        assert ring.write(numbers(0, 1000)) == fits
        assert ring.write(numbers(fits, 1000)) == 0
        assert ring.unread == PAGE
        assert echo.drain() == fits
        assert ring.write(numbers(fits, 1000)) == fits
        assert echo.drain() == fits
        assert echo.numbers() == list(range(2 * fits))


@pytest.mark.parametrize("size", [1, 8, 17, 100, 1000, PAGE - 8])
def test_records_wrap_around(size):
    class Record(fb.Struct):
        data: fb.raw[size]

    random = np.random.default_rng(size)
    rows = [random.bytes(size) for _ in range(3 * PAGE // (size + 8) + 7)]
    table = pa.table({"data": rows})
    with Echo(size) as echo, fb.UserRingBuffer(echo.ring, Record) as ring:
        start, seen = 0, []
        while start < len(rows):
            wanted = min(int(random.integers(1, 200)), len(rows) - start)
            written = ring.write(table.slice(start, wanted))
            assert 0 < written <= wanted
            start += written
            assert echo.drain() == written
            seen += echo.records()
        assert seen == rows


@pytest.mark.parametrize("flags", [0, NO_WAKEUP])
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_writing_waits_for_room_that_programs_make(flags, timeout):
    # A program that leaves some of the records each time, so that the ring is writable for the kernel all along.
    with Echo(8, flags=flags, most=100) as echo, fb.UserRingBuffer(echo.ring, Number) as ring:
        outcome = []
        writer = threading.Thread(target=lambda: outcome.append(ring.write(numbers(0, 2000), timeout=timeout)))
        writer.start()
        drained = 0
        while drained < 2000:
            now = echo.drain()
            assert 0 <= now <= 100
            drained += now
        writer.join(20)
        assert outcome == [2000]
        assert echo.numbers() == list(range(2000))


def test_waiting_does_not_spin():
    # Half of the ring is free, but that is not enough: the kernel calls it writable all the same.
    class Large(fb.Struct):
        data: fb.raw[PAGE // 2]

    with Echo(Large.size) as echo, fb.UserRingBuffer(echo.ring, Large) as ring:
        row = pa.table({"data": [bytes(Large.size)]})
        assert ring.write(row) == 1
        before = time.thread_time()
        assert ring.write(row, timeout=1.0) == 0
        # looks every 100 ms
        assert time.thread_time() - before < 0.5


def test_several_threads_write_whole_batches():
    with Echo(8, 16 * PAGE) as echo, fb.UserRingBuffer(echo.ring, Number) as ring:
        threads = [
            threading.Thread(target=lambda n=n: [ring.write(numbers(k, k + 10)) for k in range(n, n + 500, 10)])
            for n in (0, 1000, 2000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert echo.drain() == ring.written == 1500
        seen = echo.numbers()
    assert sorted(seen) == [n + k for n in (0, 1000, 2000) for k in range(500)]
    for start in range(0, 1500, 10):
        assert seen[start : start + 10] == list(range(seen[start], seen[start] + 10))


def test_another_writer_goes_on_where_the_last_one_was():
    with Echo(8) as echo:
        for n in range(5):
            with fb.UserRingBuffer(echo.ring, Number) as ring:
                assert ring.write(numbers(100 * n, 100 * n + 3)) == 3
        assert echo.drain() == 15
        assert echo.numbers() == [100 * n + k for n in range(5) for k in range(3)]


# What is refused


class Typed(fb.Struct):
    small: fb.u8
    name: fb.char[4]
    single: fb.f32
    pair: fb.u16[2]
    address: fb.ipv4
    on: fb.bool8
    wide: fb.f64
    took: fb.duration


GOOD = {
    "small": [1, 2, 3],
    "name": ["a", "b", "c"],
    "single": [1.0, 2.0, 3.0],
    "pair": [[1, 2], [3, 4], [5, 6]],
    "address": ["1.1.1.1"] * 3,
    "on": [True] * 3,
    "wide": [1, 2, 3],
    "took": pa.array([1, 2, 3], pa.duration("us")),
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"small": [1, 2, 256]}, r"column \"small\", row 2: 256 does not fit"),
        ({"small": [1, -1, 2]}, r"column \"small\", row 1: -1 does not fit"),
        ({"small": [1, None, 2]}, r"column \"small\", row 1: null"),
        ({"small": [1.0, 2.0, 3.0]}, r"column \"small\" is of the type Float64; give integers"),
        ({"small": ["1", "2", "3"]}, r"column \"small\" is of the type Utf8; give integers"),
        ({"name": ["a", "b", "münze"]}, r"column \"name\", row 2: münze does not fit"),
        ({"name": [1, 2, 3]}, r"column \"name\" is of the type Int64; give text or bytes"),
        ({"single": [1.0, 1e39, 1.0]}, r"column \"single\", row 1: 1e39 does not fit"),
        ({"single": [1, 2, 2**24 + 1]}, r"column \"single\", row 2: 16777217 does not fit"),
        ({"pair": [[1, 2], [3], [5, 6]]}, r"column \"pair\", row 1: \[3\] has not 2 elements"),
        ({"pair": [[1, 2], [3, 4], [5, 65536]]}, r"column \"pair\", row 2: 65536 does not fit"),
        ({"pair": [[1, 2], [3, None], [5, 6]]}, r"column \"pair\", row 1: null among"),
        ({"pair": [[1.0, 2.0]] * 3}, r"column \"pair\" is of the type .*; give lists of 2 numbers"),
        ({"pair": [1, 2, 3]}, r"column \"pair\" is of the type Int64; give lists of 2 numbers"),
        ({"address": ["1.1.1.1", "1.1.1", "1.1.1.1"]}, r"column \"address\", row 1: 1.1.1 does not fit"),
        ({"on": [1, 0, 1]}, r"column \"on\" is of the type Int64; give bools"),
        ({"wide": [1, 2**53 + 1, 3]}, r"column \"wide\", row 1: 9007199254740993 does not fit"),
        ({"took": pa.array([1, -1, 1], pa.duration("us"))}, r"column \"took\", row 1: .* does not fit"),
        ({"took": pa.array([1, 1, 2**62], pa.duration("s"))}, r"column \"took\", row 2: .* does not fit"),
        (
            {"took": pa.array([1, 1, 2], pa.timestamp("ns"))},
            r"column \"took\" is of the type Timestamp.*; give integers",
        ),
    ],
)
def test_a_column_that_does_not_fit_is_refused_before_anything_is_written(changed, told):
    table = pa.table({**GOOD, **changed})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    with Echo(Typed.size) as echo, fb.UserRingBuffer(echo.ring, Typed) as ring:
        for one in (table, chunked):
            with pytest.raises(fb.LayoutError, match=told):
                ring.write(one)
        assert ring.unread == ring.written == 0
        assert ring.write(pa.table(GOOD)) == 3
        assert echo.drain() == 3


def test_a_missing_column_is_told_also_without_rows():
    with Echo(8) as echo, fb.UserRingBuffer(echo.ring, Number) as ring:
        with pytest.raises(fb.LayoutError, match='there is no column "number", only nummer, other'):
            ring.write(pa.table({"nummer": [1], "other": [2]}))
        with pytest.raises(fb.LayoutError, match='column "number" is of the type Utf8'):
            ring.write(pa.table({"number": pa.array([], pa.string())}))
        assert ring.write(numbers(0, 0)) == 0
        for rows in ([1, 2], {"number": [1]}, None):
            with pytest.raises(TypeError, match="does not speak Arrow's interface"):
                ring.write(rows)
        for timeout, error in (("1s", TypeError), (-1, ValueError)):
            with pytest.raises(error, match=f"timeout={timeout!r}"):
                ring.write(numbers(0, 1), timeout=timeout)


def test_what_cannot_be_written_to_is_refused():
    spec = fb.MapSpec("user_ringbuf", max_entries=PAGE, name="towards")
    with spec.create() as map, fb.MapSpec("ringbuf", max_entries=PAGE, name="back").create() as back:
        with pytest.raises(fb.LayoutError, match=r'"back" is not a user ring buffer .*MapSpec\("user_ringbuf"\)'):
            fb.UserRingBuffer(back, Number)
        with pytest.raises(fb.LayoutError, match=r'"towards" is not a ring buffer'):
            fb.RingBuffer(map, Number)
        with pytest.raises(TypeError, match=r"create\(\) the map first"):
            fb.UserRingBuffer(spec, Number)
        with pytest.raises(fb.LayoutError, match="a record's layout is a Struct"):
            fb.UserRingBuffer(map, fb.u64)
        too_long = fb.Struct.of("Long", {"data": fb.raw[PAGE - 7]})
        with pytest.raises(fb.LayoutError, match="4089 bytes and its header of 8 do not fit into a ring of 4096"):
            fb.UserRingBuffer(map, too_long)
        for kind in (fb.text[8], fb.stack[4], fb.Struct.of("Deep", {"stack": fb.stack[4]})[2]):
            layout = fb.Struct.of("Odd", {"a": fb.u8, "odd": kind})
            with pytest.raises(fb.LayoutError, match='field "odd" cannot be written from a column'):
                fb.UserRingBuffer(map, layout)
        with fb.UserRingBuffer(map, Number):
            with pytest.raises(fb.StreamError, match="has a writer already"):
                fb.UserRingBuffer(map, Number)
    with spec.create() as large, pytest.raises(fb.LayoutError, match="longer than a program can read"):
        fb.UserRingBuffer(large, fb.Struct.of("Huge", {f"x{n}": fb.raw[1 << 20] for n in range(16)}))
    for size in (0, 100, PAGE + 1):
        with pytest.raises(fb.LayoutError, match="power of two of at least a page"):
            fb.MapSpec("user_ringbuf", max_entries=size)
    with pytest.raises(fb.LayoutError, match=r"to fb\.UserRingBuffer"):
        fb.MapSpec("user_ringbuf", key=fb.u32, max_entries=PAGE)


# Closing, forks, signals


def test_closing_wakes_a_writer_that_waits():
    with Echo(8) as echo:
        ring = fb.UserRingBuffer(echo.ring, Number)
        told = []

        def write():
            try:
                ring.write(numbers(0, 1000), timeout=None)
            except fb.StreamError as error:
                told.append(str(error))

        writer = threading.Thread(target=write)
        writer.start()
        while ring.unread < PAGE:
            pass
        ring.close()
        ring.close()
        writer.join(20)
        assert told == ["this ring is closed"]
        assert (ring.closed, ring.written) == (True, PAGE // 16)
        for look in (lambda: ring.unread, lambda: ring.write(numbers(0, 1))):
            with pytest.raises(fb.StreamError, match="closed"):
                look()
        # what was written is there
        assert echo.drain() == PAGE // 16


def test_a_writer_that_nobody_holds_lets_go_of_the_ring():
    with Echo(8) as echo:
        fb.UserRingBuffer(echo.ring, Number).write(numbers(0, 1))
        gc.collect()
        with fb.UserRingBuffer(echo.ring, Number) as ring:
            assert ring.unread == 16


FORKED = """
import os, sys
import pyarrow as pa
import fastbpf as fb

class Number(fb.Struct):
    number: fb.u64

table = pa.table({"number": [1, 2]})
with fb.MapSpec("user_ringbuf", max_entries=4096).create() as map, fb.UserRingBuffer(map, Number) as ring:
    ring.write(table)
    if (child := os.fork()) == 0:
        for what in (lambda: ring.write(table), lambda: ring.unread):
            try:
                print("no error:", what())
            except fb.StreamError as error:
                print(str(error).replace(str(os.getppid()), "PARENT"), flush=True)
        sys.exit()
    print(os.waitpid(child, 0)[1], ring.write(table), ring.unread)
"""


def test_a_forked_child_is_told():
    refused = "this ring belongs to process PARENT, which forked this one, and has one writer"
    assert script(FORKED, cwd=ROOT).splitlines() == [refused, refused, "0 2 64"]


INTERRUPTED = """
import os, signal, threading
import pyarrow as pa
import fastbpf as fb

class Number(fb.Struct):
    number: fb.u64

with fb.MapSpec("user_ringbuf", max_entries=4096).create() as map, fb.UserRingBuffer(map, Number) as ring:
    def interrupt():
        while ring.unread < 4096:
            pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        ring.write(pa.table({"number": range(1000)}), timeout=None)
    except KeyboardInterrupt:
        print(ring.written)
"""


def test_ctrl_c_ends_a_wait():
    assert script(INTERRUPTED, cwd=ROOT) == "256\n"
