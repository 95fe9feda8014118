"""Captures: equal batches come back, and whatever happens to the file, wrong rows never do."""

import json
import struct
import sys
from pathlib import Path
from zlib import crc32

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.sinks.records import STATS, Event, batch, record

import fastbpf as fb
from fastbpf.capture import CaptureError, frames, replay
from fastbpf.errors import StreamError
from fastbpf.sinks import SinkError
from fastbpf.stream import Stats

RECORDED = (Path(__file__).parents[2] / "data/openat.fbpf").read_bytes()
CLOCKS = (0, 1_700_000_000 * 10**9, 0)


class Open(fb.Struct):
    kind: fb.u32
    pid: fb.u32
    name: fb.char[8]


class Exit(fb.Struct):
    kind: fb.u32
    code: fb.i32


class Text(fb.Struct):
    ts: fb.boottime
    text: fb.text[64]


def described(layout, *before):
    return {"columns": [*before, *layout.columns()], "size": layout.size, "told": {"fastbpf.record": layout.__name__}}


def source(layout, buffer="ring"):
    return {"buffer": buffer, "tables": [described(layout)], "tag": None}


EVENTS = [source(Event)]
SAMPLE = (("ts", -20, "ktime"), ("cpu", -12, "u32"))
MIXED = [
    {"buffer": "ring", "tables": [described(Open), described(Exit)], "tag": ["kind", 0, 4, [[1, 0], [2, 1]]]},
    {"buffer": "perf", "tables": [described(Text, ("time", -20, "ktime"), ("cpu", -12, "u32"))], "tag": None},
    source(Exit),
]


def ring(payload):
    """struct bpf_ringbuf_hdr, and padding."""
    return struct.pack("=II", len(payload), 0) + payload + bytes(-len(payload) % 8)


def sample(time, cpu, payload):
    """perf_event_open(2): PERF_RECORD_SAMPLE (9) with PERF_SAMPLE_TIME, _CPU and _RAW."""
    padded = payload + bytes((-len(payload) - 4) % 8)
    return struct.pack("=IHHQIII", 9, 0, 28 + len(padded), time, cpu, 0, len(padded)) + padded


def data(*runs, clocks=CLOCKS):
    """The payload of a DATA frame."""
    lengths = b"".join(struct.pack("<II", number, len(part)) for number, part in runs)
    return struct.pack("<qqqQ", *clocks, len(runs)) + lengths + b"".join(part for _, part in runs)


def framed(*contents):
    """Frames around payloads."""
    out = b"\x89FBPF\r\n\x02"
    for number, (kind, payload) in enumerate(contents):
        header = struct.pack("<4sIQI", kind, number, len(payload), crc32(payload))
        out += header + struct.pack("<I", crc32(header)) + payload
    return out


def made(*parts, sources=None, order=sys.byteorder, stats=None, rows=None):
    """A capture written by hand, as capture/__init__.py describes the format; bytes are of the first source."""
    head = json.dumps({"sources": EVENTS if sources is None else sources, "fastbpf.byte_order": order}).encode()
    count = sum(part.count(b"proc-") for part in parts if isinstance(part, bytes)) if rows is None else rows
    done = json.dumps({**(stats or STATS._asdict()), "rows": count}).encode()
    told = [(b"DATA", data((0, part)) if isinstance(part, bytes) else data(*part)) for part in parts]
    return framed((b"HEAD", head), *told, (b"DONE", done))


def mixture():
    """Runs of three sources in four frames, and the rows of each type."""
    opened = [ring(struct.pack("=II8s", 1, n, b"cat")) for n in range(8)]
    exited = [ring(struct.pack("=Ii", 2, -n)) for n in range(8)]
    words = [f"word {n}".encode() for n in range(8)]
    texts = [sample(n, n % 3, struct.pack("=QII", n, len(w) << 16 | 16, 0) + w) for n, w in enumerate(words)]
    parts, codes = [], []
    for n in range(0, 8, 2):
        both = opened[n] + exited[n] + opened[n + 1] + exited[n + 1]
        parts.append([(0, both), (1, texts[n]), (2, exited[n]), (1, texts[n + 1]), (2, exited[n + 1])])
        codes += [-n, -n - 1, -n, -n - 1]
    expected = {
        "Open": [{"kind": 1, "pid": n, "name": "cat"} for n in range(8)],
        "Exit": [{"kind": 2, "code": code} for code in codes],
        # CLOCK_MONOTONIC is UTC here, and CLOCK_BOOTTIME is not.
        "Text": [{"time": n, "cpu": n % 3, "ts": CLOCKS[1] + n, "text": f"word {n}"} for n in range(8)],
    }
    return made(*parts, sources=MIXED, rows=32), expected


def read(path):
    """The rows that can be read, and the error that ended it."""
    rows = []
    try:
        with replay(path, max_rows=50) as capture:
            for one in capture:
                one.validate(full=True)
                rows += one.to_pylist()
    except CaptureError as error:
        return rows, error
    return rows, None


def read_all(path):
    """The rows of each type that can be read, and the error that ended it."""
    rows = {}
    try:
        with replay(path) as capture:
            rows = {name: [] for name in capture.names}
            while (one := capture.next_batch()) is not None:
                rows[capture.names[one.table]] += plain(pa.record_batch(one))
    except CaptureError as error:
        return rows, error
    return rows, None


def plain(batch):
    times = [n for n, kind in enumerate(batch.schema.types) if pa.types.is_timestamp(kind)]
    for n in times:
        batch = batch.set_column(n, batch.schema.names[n], batch.column(n).cast(pa.int64()))
    return batch.to_pylist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def truth(folder):
    path = folder / "truth.fbpf"
    path.write_bytes(RECORDED)
    rows, error = read(path)
    assert error is None
    return rows


def test_what_the_page_describes_is_read(tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(made(b"".join(map(record, range(5))), b"".join(map(record, range(5, 9)))))
    with replay(path) as capture:
        table = capture.read()
        assert table.to_pylist() == pa.table(pa.Table.from_batches([pa.record_batch(batch(9))])).to_pylist()
        assert capture.ended
        assert capture.stats == STATS
        assert table.schema == Event.schema
        assert all(a.metadata == b.metadata for a, b in zip(table.schema, Event.schema, strict=True))
        assert table.schema.metadata[b"fastbpf.received"] == b"7"
        assert table.schema.metadata[b"fastbpf.record"] == b"Event"


def test_any_mix_of_buffers_and_types_is_read(tmp_path):
    path = tmp_path / "a.fbpf"
    whole, expected = mixture()
    path.write_bytes(whole)
    assert read_all(path) == (expected, None)
    with replay(path) as capture:
        assert capture.names == ["Open", "Exit", "Text"]
        tables = capture.read_all()
        assert {name: table.num_rows for name, table in tables.items()} == {"Open": 8, "Exit": 16, "Text": 8}
        assert {name: table.schema.names for name, table in tables.items()} == {
            name: schema.names for name, schema in capture.schemas.items()
        }
        for use in (lambda: capture.schema, capture.read, lambda: pa.table(capture)):
            with pytest.raises(StreamError, match=r"Open, Exit, Text.*read_all"):
                use()


def test_each_byte_of_a_mixture_matters(tmp_path):
    path = tmp_path / "a.fbpf"
    whole, expected = mixture()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            rows, error = read_all(path)
            assert error is not None
            assert error.offset <= at
            assert all(own == expected[name][: len(own)] for name, own in rows.items())


@given(data=st.data())
def test_no_flip_goes_unnoticed(data, folder, truth):
    damaged = bytearray(RECORDED)
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4, unique=True)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    path = folder / "flipped.fbpf"
    path.write_bytes(damaged)
    rows, error = read(path)
    assert error is not None
    assert rows == truth[: len(rows)]
    assert 0 <= error.offset < len(damaged)


@given(length=st.integers(0, len(RECORDED) - 1))
def test_no_truncation_goes_unnoticed(length, folder, truth):
    path = folder / "cut.fbpf"
    path.write_bytes(RECORDED[:length])
    rows, error = read(path)
    assert error is not None
    assert rows == truth[: len(rows)]
    assert error.offset <= length


@given(noise=st.binary(max_size=200), source=st.integers(0, 4), form=st.sampled_from(["runs", "frame", "file"]))
def test_no_bytes_crash_it(noise, source, form, folder):
    path = folder / "noise.fbpf"
    if form == "runs":
        path.write_bytes(made([(source, noise)], sources=MIXED))
    elif form == "frame":
        head = json.dumps({"sources": MIXED, "fastbpf.byte_order": sys.byteorder}).encode()
        path.write_bytes(framed((b"HEAD", head), (b"DATA", noise), (b"DONE", noise)))
    else:
        path.write_bytes(noise)
    rows, error = read_all(path)
    if form != "runs":
        assert error is not None
        assert not any(rows.values())


@given(
    first=st.lists(st.sampled_from(["open", "exit", "text", "bad"]), max_size=30),
    max_rows=st.sampled_from([1, 3, 64, 65_536]),
)
def test_what_stands_before_a_record_that_cannot_be_is_given(first, max_rows, folder):
    path = folder / "bad.fbpf"
    made_of = {
        "open": ring(struct.pack("=II8s", 1, 7, b"cat")),
        "exit": ring(struct.pack("=Ii", 2, 7)),
        "text": ring(struct.pack("=I", 2)),  # shorter than its layout
        "bad": ring(struct.pack("=Ii", 3, 7)),  # of no type
    }
    good = next((at for at, kind in enumerate(first) if kind in {"bad", "text"}), len(first))
    path.write_bytes(made([(0, b"".join(made_of[kind] for kind in first))], sources=MIXED, rows=len(first)))
    rows, error = [], None
    capture = replay(path, max_rows=max_rows)
    try:
        while (one := capture.next_batch()) is not None:
            assert len(one) <= max_rows
            rows += [capture.names[one.table].lower()] * len(one)
    except CaptureError as broken:
        error = broken
    assert sorted(rows) == sorted(first[:good])
    assert (error is None) == (good == len(first))
    assert error is None or error.frame == 1


@example([("a", 0, "u64[1048576]")], 8 << 20, "ring")  # a row larger than any batch should be
@given(
    st.lists(
        st.tuples(
            st.text(max_size=4),
            st.integers(-30, 1 << 65),
            st.sampled_from(
                ["u8", "u64", "char[16]", "text[9]", "u32[]", "bytes[]", "record", "ktime", "u64[1048576]", "?", ""]
            ),
        ),
        max_size=4,
    ),
    st.integers(-8, 1 << 65),
    st.sampled_from(["ring", "perf", "pipe"]),
)
def test_no_layout_crashes_it(folder, columns, size, buffer):
    path = folder / "layout.fbpf"
    told = {"buffer": buffer, "tables": [{"columns": columns, "size": size, "told": {}}], "tag": None}
    path.write_bytes(made(record(1) * 3, sources=[told]))
    read(path)


@given(
    st.recursive(
        st.none() | st.integers(-1, 9) | st.sampled_from(["ring", "kind"]),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.sampled_from(["buffer", "tables", "tag", "columns", "size", "told"]), inner)
        ),
    )
)
def test_no_header_crashes_it(folder, sources):
    path = folder / "header.fbpf"
    for told in (sources, [sources], [{**MIXED[0], "tag": sources}], [{**MIXED[0], "tables": sources}]):
        path.write_bytes(made(record(1), sources=told))
        read_all(path)


@pytest.mark.parametrize(
    "tag", [["kind", 0, 4, [[1, 0], [2, 9]]], ["kind", 1 << 62, 4, [[1, 0]]], ["kind", 0, (1 << 64) - 1, [[1, 0]]]]
)
def test_no_tag_crashes_it(tag, tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(made([(0, ring(bytes(16)))], sources=[{**MIXED[0], "tag": tag}]))
    rows, error = read_all(path)
    assert error is not None
    assert not any(rows.values())


def test_frames_that_are_swapped_are_noticed(tmp_path):
    path = tmp_path / "a.fbpf"
    parts = [record(i) for i in range(3)]
    whole, other = made(*parts), made(parts[1], parts[0], parts[2])
    assert len(whole) == len(other)
    starts = [i for i in range(len(whole)) if whole[i : i + 4] == b"DATA"]
    path.write_bytes(
        whole[: starts[0]] + whole[starts[1] : starts[2]] + whole[starts[0] : starts[1]] + whole[starts[2] :]
    )
    rows, error = read(path)
    assert rows == []
    assert "frame 2 stands where frame 1 should" in str(error)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no capture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no capture"),
        (frames.MAGIC[:-1] + b"\x03" + RECORDED[8:], "version 3, and this fastbpf reads 2; use a newer"),
        (frames.MAGIC[:-1] + b"\x01" + RECORDED[8:], "version 1, and this fastbpf reads 2; record it anew"),
        (RECORDED[:8], "frame 0, byte 8: the file ends here"),
        (made() + b"x", "something follows"),
        (made(order="big" if sys.byteorder == "little" else "little"), "-endian machine"),
        (made(rows=1), "the accounting has 1 rows, the capture 0"),
        (made(stats={"lost": 1}), "the accounting lacks 'received'"),
        (made(record(0)[:-8]), "frame 1"),
        (made(b"\0\0\0\x80" + record(0)[4:]), "unfinished"),
        (made(sources=[{**EVENTS[0], "tables": [{"columns": [["a", 0, "u128"]], "size": 8, "told": {}}]}]), "u128"),
        (made(sources=[{"buffer": "ring"}]), "no layout"),
        (made(sources=[]), "names no source"),
        (made(sources=[{**EVENTS[0], "buffer": "pipe"}]), "no kind of buffer"),
        (
            made(
                sources=[
                    source(Exit),
                    {**source(Open), "tables": [{**described(Open), "told": {"fastbpf.record": "Exit"}}]},
                ]
            ),
            "are called",
        ),
        (made([(1, record(0))]), "no source 1"),
        (made([(0, sample(1, 2, bytes(32)))], sources=[source(Event)]), "frame 1"),
        (made([(0, record(0))], sources=[source(Event, "perf")]), "frame 1"),
    ],
)
def test_what_is_wrong_is_told(data, why, tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(data)
    rows, error = read(path)
    assert rows == []
    assert why in str(error)
    assert str(path) in str(error)


def test_what_stands_before_the_damage_is_given(tmp_path):
    path = tmp_path / "a.fbpf"
    whole = bytearray(made(*(record(i) for i in range(5))))
    starts = [i for i in range(len(whole)) if whole[i : i + 4] == b"DATA"]
    whole[starts[3] + 60] ^= 1
    path.write_bytes(whole)
    rows, error = read(path)
    assert [row["pid"] for row in rows] == [0, 1, 2]
    assert (error.frame, error.offset) == (4, starts[3])
    assert f"frame 4, byte {starts[3]}" in str(error)


def test_it_is_read_once(tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(RECORDED)
    capture = replay(path)
    assert pa.table(capture).num_rows == capture.stats.delivered
    with pytest.raises(StreamError, match="replay it anew"):
        pa.table(capture)
    capture.close()
    with pytest.raises(StreamError, match="closed"):
        capture.next_batch()


def test_batches_are_split(tmp_path):
    path = tmp_path / "a.fbpf"
    path.write_bytes(made(*(record(i) for i in range(5))))
    with replay(path) as capture:
        sizes = []
        while (one := capture.next_batch(most=2)) is not None:
            sizes.append(len(one))
    assert sizes == [2, 2, 1]


def test_recorded_data_is_of_its_own_child_only():
    rows, error = read(Path(__file__).parents[2] / "data/openat.fbpf")
    assert error is None
    assert {row["comm"] for row in rows} <= {"sh", "cat", "seq", "head", "find", "ls", "mkdir", "rm"}
    assert b"/root" not in RECORDED
    assert len(RECORDED) < 200_000


def test_stats_are_whole():
    assert set(STATS._asdict()) == set(Stats._fields)
    assert issubclass(CaptureError, ValueError)
    assert issubclass(SinkError, OSError)
