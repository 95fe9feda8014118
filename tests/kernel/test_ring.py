"""Records go through the kernel's ring buffer and come out as Arrow; plain Python says what they have to be."""

from __future__ import annotations

import hashlib
import struct
import time
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.producers import Numbered, Numberer, Recorder

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.record import tail

SECOND = 1_000_000_000
# A wall clock may be slewed between a test's reading of it and the stream's.
LOOSE = 50_000_000

CLOCKS = {"ktime": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME, "tai": time.CLOCK_TAI}
FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q"}


def to_utc(clock):
    return time.time_ns() - time.clock_gettime_ns(clock)


def lossy(data):
    return data.decode(errors="replace")


def cut_texts(data, most):
    """What may be left of a text. Only where invalid bytes meet the cut is there more than one answer."""
    if len(data) <= most:
        return {lossy(data)}
    try:
        data.decode()
    except UnicodeDecodeError:
        return {lossy(data[:end]) for end in range(max(0, most - 3), most + 1)}
    return {data[:most].decode(errors="ignore")}


def is_right(code, data, got):
    """Whether a column of the type may show `got` for the bytes."""
    element, _, count = code.removesuffix("]").partition("[")
    if data is None:
        return got is None
    if code in FORMATS:
        return got == struct.unpack(f"<{FORMATS[code]}", data)[0]
    if code == "bool":
        return got is (data != b"\0")
    if code in CLOCKS:
        return abs(got - struct.unpack("<q", data)[0] - to_utc(CLOCKS[code])) < LOOSE
    if element == "char":
        return got == lossy(data.split(b"\0")[0])
    if element == "text":
        return got in cut_texts(data, int(count))
    if element == "bytes":
        return got == data
    size = struct.calcsize(FORMATS[element])
    whole = data[: len(data) // size * size]
    return got == [value for (value,) in struct.iter_unpack(f"<{FORMATS[element]}", whole)]


unicode = st.text(max_size=80).map(str.encode)
wild_text = st.one_of(
    unicode, st.binary(max_size=100), st.sampled_from(["ÄÖÜ€𝄞".encode() * 9, b"\xe2\x82" * 20, b"\0a"])
)


def chars(size):
    return st.one_of(
        st.binary(min_size=size, max_size=size),
        # text, a NUL, and what an earlier, longer text left behind it
        st.tuples(wild_text, st.binary(min_size=size, max_size=size)).map(lambda two: b"\0".join(two)[:size]),
        st.sampled_from([bytes(size), b"x" * size, b"\xff" * size]),
    )


def exactly(size):
    return st.one_of(st.binary(min_size=size, max_size=size), st.sampled_from([bytes(size), b"\xff" * size]))


# Each strategy gives (type, strategy of the value's bytes); None is a text that could not be read.
integers = st.sampled_from(list(FORMATS)).map(lambda name: (getattr(fb, name), exactly(getattr(fb, name).size)))
booleans = st.just((fb.bool8, exactly(1)))
times = st.sampled_from(list(CLOCKS)).map(
    lambda name: (getattr(fb, name), st.integers(0, 7 * 10**18).map(lambda ns: struct.pack("<q", ns)))
)
texts = st.sampled_from([16, 16, 1, 5, 33]).map(lambda size: (fb.char[size], chars(size)))
lists = st.tuples(st.sampled_from(list(FORMATS)), st.integers(1, 9)).map(
    lambda two: (getattr(fb, two[0])[two[1]], exactly(getattr(fb, two[0]).size * two[1]))
)
raws = st.integers(1, 40).map(lambda size: (fb.raw[size], exactly(size)))
tails = st.one_of(
    st.sampled_from([1, 2, 3, 4, 7, 64, 256]).map(lambda most: (fb.text[most], st.none() | wild_text)),
    st.sampled_from([*FORMATS, "bytes"]).map(lambda element: (tail(element), st.none() | st.binary(max_size=120))),
)
fields = st.one_of(integers, booleans, times, texts, lists, raws, tails, tails)


@dataclass
class Scenario:
    layout: type[fb.Struct]
    max_rows: int
    wasted: int
    # ("write", the values' bytes, the record, how often), ("discard", how often) or ("read", how many)
    steps: list[tuple] = field(default_factory=list)


@st.composite
def scenarios(draw):
    kinds = {f"f{n}": kind for n, kind in enumerate(draw(st.lists(fields, min_size=1, max_size=6)))}
    layout = fb.Struct.of("Any", {name: kind for name, (kind, _) in kinds.items()})
    scenario = Scenario(layout, draw(st.sampled_from([1, 2, 5, 63, 64, 65, 1000])), draw(st.integers(0, 126)))
    repeat = st.sampled_from([1, 1, 2, 9, 70])
    for step in draw(
        st.lists(st.sampled_from(["write", "write", "write", "discard", "read"]), min_size=1, max_size=25)
    ):
        if step == "write":
            values = {name: draw(strategy) for name, (_, strategy) in kinds.items()}
            garbage = draw(st.sampled_from([b"\0", b"\xa5"]))
            scenario.steps.append(
                (step, values, record(layout, values, garbage, draw(st.integers(0, 9))), draw(repeat))
            )
        else:
            scenario.steps.append((step, draw(repeat)))
    return scenario


def record(layout, values, garbage, gap):
    """The record as a program could have written it: rubbish between the fields, values of any length behind them."""
    data = bytearray(garbage * layout.size)
    for name, kind in layout.fields.items():
        value, at = values[name], layout.offset(name)
        if "text" in kind.code or kind.code.endswith("[]"):
            data += garbage * gap
            place = 0 if value is None else len(value) << 16 | len(data)
            data += value or b""
            value = struct.pack("<I", place)
        data[at : at + kind.size] = value
    return bytes(data)


def cells(batch):
    """The batch's columns as Python values, times in nanoseconds."""
    for column in batch.columns:
        yield (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def digest(batch):
    return hashlib.sha256(repr(list(cells(batch))).encode()).digest()


@pytest.mark.parametrize("background", [False, True])
@settings(max_examples=100, deadline=None)
@given(scenarios())
def test_columns_hold_what_was_written(background, scenario):
    kept = []
    written = []
    with (
        Recorder() as recorder,
        fb.RingBuffer(
            recorder.ring, scenario.layout, max_rows=scenario.max_rows, background=background, max_latency=0
        ) as stream,
    ):

        def read(**bounds):
            for batch in stream.read(**bounds).to_batches():
                batch.validate(full=True)
                assert 0 < len(batch) <= scenario.max_rows
                kept.append((batch, digest(batch)))

        # so that records wrap around the ring's end here and there
        assert all(recorder.discard() for _ in range(scenario.wasted))
        read(seconds=0)
        for step, *what in scenario.steps:
            if step == "write":
                values, data, times = what
                recorder.write(data, 1) and written.append(values)
                written += [values for _ in range(times - 1) if recorder.again(len(data), 1)]
            elif step == "discard":
                for _ in range(what[0]):
                    recorder.discard()
            else:
                left = len(written) - sum(len(batch) for batch, _ in kept)
                read(rows=min(left, what[0]))
        read(rows=len(written) - sum(len(batch) for batch, _ in kept))
        read(seconds=0)
    stats = stream.stats
    assert (stats.received, stats.delivered, stats.queued) == (len(written), len(written), 0)

    assert [digest(batch) for batch, _ in kept] == [before for _, before in kept]
    start = 0
    for batch, _ in kept:
        assert batch.schema.names == list(scenario.layout.fields)
        for (name, kind), column in zip(scenario.layout.fields.items(), cells(batch), strict=True):
            for values, got in zip(written[start : start + len(batch)], column, strict=True):
                assert is_right(kind.code, values[name], got), (kind, values[name], got)
        start += len(batch)
    assert start == len(written)
    most = {name: int(kind.code[5:-1]) for name, kind in scenario.layout.fields.items() if "text" in kind.code}
    assert stats.cut == sum(len(values[name] or b"") > size for values in written for name, size in most.items())


def test_the_columns_have_the_types_of_the_fields():
    layout = fb.Struct.of(
        "All",
        {
            **{name: getattr(fb, name) for name in FORMATS},
            **{name: getattr(fb, name) for name in CLOCKS},
            "flag": fb.bool8,
            "comm": fb.char[16],
            "list": fb.i16[3],
            "raw": fb.raw[5],
            "text": fb.text[8],
            "tail": tail("u32"),
            "bytes": tail("bytes"),
        },
    )
    integer = {"u": "uint", "i": "int"}
    expected = pa.schema(
        [
            *(pa.field(name, getattr(pa, f"{integer[name[0]]}{name[1:]}")(), nullable=False) for name in FORMATS),
            *(pa.field(name, pa.timestamp("ns", "UTC"), nullable=False) for name in CLOCKS),
            pa.field("flag", pa.bool_(), nullable=False),
            pa.field("comm", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("list", pa.list_(pa.field("item", pa.int16(), nullable=False), 3), nullable=False),
            pa.field("raw", pa.binary(5), nullable=False),
            pa.field("text", pa.string()),
            pa.field("tail", pa.list_(pa.field("item", pa.uint32(), nullable=False))),
            pa.field("bytes", pa.binary()),
        ]
    )
    with Recorder() as recorder, fb.RingBuffer(recorder.ring, layout) as stream:
        assert stream.schema == layout.schema == pa.schema(stream) == expected
        recorder.write(bytes(layout.size))
        assert stream.read(rows=1).schema == expected
        assert stream.read(rows=0).schema == expected


def test_the_kernels_clocks_become_utc():
    class Clocks(fb.Struct):
        ktime: fb.ktime
        boottime: fb.boottime
        tai: fb.tai

    ring = fb.MapSpec("ringbuf", max_entries=4096, name="ring")
    code = assemble(
        [(read(), stxdw(fp, at, r0)) for at, read in ((-24, call.ktime_get_ns), (-16, call.ktime_get_boot_ns))],
        call.ktime_get_tai_ns(),
        stxdw(fp, -8, r0),
        call.ringbuf_output(ring, fp - 24, 24, 0),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("raw_tracepoint", code).load() as program:
        with fb.RingBuffer(program.maps["ring"], Clocks) as stream:
            before = time.time_ns()
            program.test_run()
            after = time.time_ns()
            (row,) = zip(*cells(stream.read(rows=1).to_batches()[0]), strict=True)
    assert all(before - LOOSE <= moment <= after + LOOSE for moment in row)


def test_records_of_many_kilobytes():
    class Long(fb.Struct):
        number: fb.u64
        text: fb.text[60_000]
        other: fb.text[100]
        numbers: tail("u64")

    with Recorder(1 << 20, 1 << 17) as recorder, fb.RingBuffer(recorder.ring, Long, max_rows=100) as stream:
        kept = []
        for n in range(60):
            values = {
                "number": struct.pack("<Q", n),
                "text": f"{n} ".encode() * (n * 300),
                "other": ("€" * n).encode(),
                "numbers": None if n % 3 else struct.pack(f"<{n}Q", *range(n)),
            }
            assert recorder.write(record(Long, values, b"\xff", 0))
            kept += stream.read(rows=1).to_pylist()
        assert stream.stats.cut == sum(len(f"{n} ") * n * 300 > 60_000 for n in range(60)) + sum(
            3 * n > 100 for n in range(60)
        )
    for n, row in enumerate(kept):
        assert row == {
            "number": n,
            "text": (f"{n} " * (n * 300))[:60_000],
            "other": "€" * min(n, 33),
            "numbers": None if n % 3 else list(range(n)),
        }


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("max_rows", [1000, 65_536])
def test_batches_stay_as_they_were_while_more_is_read(background, max_rows):
    # Enough for columns' memory to be handed back and used again: some batches are let go at once, some kept.
    kept = []
    read = 0
    with (
        Numberer(1 << 20) as numberer,
        fb.RingBuffer(numberer.ring, Numbered, max_rows=max_rows, background=background, lost=numberer.lost) as stream,
    ):
        for round in range(60):
            numberer.fill(30)
            table = stream.read(rows=30 * Numberer.PER_FILL)
            assert len(table) == 30 * Numberer.PER_FILL
            for n, batch in enumerate(table.to_batches()):
                if (round + n) % 3 == 0:
                    kept.append((read, batch))
                read += len(batch)
            del table, batch
        assert stream.stats.lost == 0
        for start, batch in kept:
            assert batch["number"].to_pylist() == list(range(start, start + len(batch)))
    for start, batch in kept:
        assert batch["number"].to_pylist() == list(range(start, start + len(batch)))


def test_another_stream_begins_where_the_last_one_was_closed():
    class Number(fb.Struct):
        number: fb.u64

    with Recorder() as recorder:
        for n in range(10):
            recorder.write(struct.pack("<Q", n))
        with fb.RingBuffer(recorder.ring, Number, background=False, max_rows=4) as first:
            assert first.read(rows=4)["number"].to_pylist() == [0, 1, 2, 3]
        assert first.stats.queued == 6
        with fb.RingBuffer(recorder.ring, Number) as second:
            recorder.write(struct.pack("<Q", 10))
            assert second.read(rows=1)["number"].to_pylist() == [10]
            assert len(second.read(seconds=0)) == 0


def test_a_record_that_is_shorter_than_its_layout_is_told():
    class Wide(fb.Struct):
        a: fb.u64
        b: fb.u64

    with Recorder() as recorder, fb.RingBuffer(recorder.ring, Wide) as stream:
        recorder.write(bytes(16))
        assert len(stream.read(rows=1)) == 1
        recorder.write(bytes(12))
        with pytest.raises(fb.LayoutError, match=r"record of 12 bytes is shorter than its layout, which has 16"):
            stream.read(rows=1)


def test_a_text_that_points_out_of_its_record_is_told():
    class Text(fb.Struct):
        text: fb.text[16]

    for place in (5 << 16 | 4, 1 << 16 | 8, 0xFFFF_FFFF):
        with Recorder() as recorder, fb.RingBuffer(recorder.ring, Text, background=False) as stream:
            recorder.write(struct.pack("<II", place, 0))
            with pytest.raises(fb.LayoutError, match="text. points out of its record"):
                stream.read(rows=1)


def test_only_a_ring_buffer_can_be_read():
    class Number(fb.Struct):
        number: fb.u64

    with fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts").create() as array:
        with pytest.raises(fb.LayoutError, match=r"map \"counts\" is not a ring buffer .*MapSpec\(\"ringbuf\"\)"):
            fb.RingBuffer(array, Number)
    with fb.MapSpec("ringbuf", max_entries=4096).create() as ring:
        with pytest.raises(fb.LayoutError, match="Struct"):
            fb.RingBuffer(ring, int)
        with pytest.raises(ValueError, match="max_rows=0"):
            fb.RingBuffer(ring, Number, max_rows=0)
        with pytest.raises(ValueError, match="max_latency=-1"):
            fb.RingBuffer(ring, Number, max_latency=-1)
    with pytest.raises(fb.StreamError, match="closed"):
        fb.RingBuffer(ring, Number)
