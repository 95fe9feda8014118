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

from fastbpf.capture import CaptureError, frames, replay
from fastbpf.errors import StreamError
from fastbpf.sinks import SinkError
from fastbpf.stream import Stats

RECORDED = (Path(__file__).parents[2] / "data/openat.fbpf").read_bytes()
CLOCKS = struct.pack("<qqq", 0, 1_700_000_000 * 10**9, 0)


def made(*parts, layout=None, order=sys.byteorder, stats=None, rows=None):
    """A capture written by hand, as capture/__init__.py describes the format."""
    layout = layout or {"columns": Event.columns(), "size": Event.size}
    head = json.dumps({"layout": layout, "fastbpf.byte_order": order}).encode()
    count = sum(part.count(b"proc-") for part in parts) if rows is None else rows
    done = json.dumps({**(stats or STATS._asdict()), "rows": count}).encode()
    contents = [(b"HEAD", head), *((b"DATA", CLOCKS + part) for part in parts), (b"DONE", done)]
    out = b"\x89FBPF\r\n\x01"
    for number, (kind, payload) in enumerate(contents):
        header = struct.pack("<4sIQI", kind, number, len(payload), crc32(payload))
        out += header + struct.pack("<I", crc32(header)) + payload
    return out


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


@given(noise=st.binary(max_size=200), as_capture=st.booleans())
def test_no_bytes_crash_it(noise, as_capture, folder):
    path = folder / "noise.fbpf"
    path.write_bytes(made(noise) if as_capture else noise)
    rows, _ = read(path)
    assert as_capture or not rows


@example([("a", 0, "u64[1048576]")], 8 << 20)  # a row larger than any batch should be
@given(
    st.lists(
        st.tuples(
            st.text(max_size=4),
            st.integers(-8, 1 << 65),
            st.sampled_from(
                ["u8", "u64", "char[16]", "text[9]", "u32[]", "bytes[]", "record", "ktime", "u64[1048576]", "?", ""]
            ),
        ),
        max_size=4,
    ),
    st.integers(-8, 1 << 65),
)
def test_no_layout_crashes_it(folder, columns, size):
    path = folder / "layout.fbpf"
    path.write_bytes(made(record(1) * 3, layout={"columns": columns, "size": size}))
    read(path)


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
        (frames.MAGIC[:-1] + b"\x02" + RECORDED[8:], "version 2"),
        (RECORDED[:8], "frame 0, byte 8: the file ends here"),
        (made() + b"x", "something follows"),
        (made(order="big" if sys.byteorder == "little" else "little"), "-endian machine"),
        (made(rows=1), "the accounting has 1 rows, the capture 0"),
        (made(stats={"lost": 1}), "the accounting lacks 'received'"),
        (made(record(0)[:-8]), "frame 1"),
        (made(b"\0\0\0\x80" + record(0)[4:]), "unfinished"),
        (made(layout={"columns": [["a", 0, "u128"]], "size": 8}), "u128"),
        (made(layout={"columns": []}), "no layout"),
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
