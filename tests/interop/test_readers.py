"""Who reads our batches through Arrow's PyCapsule interface, and sees the same values. Needs no privileges."""

from __future__ import annotations

import datetime as dt
import struct

import duckdb
import nanoarrow as na
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.unit.record.decoding import RingDecoder

import fastbpf as fb
from fastbpf.record import tail

CLOCKS = (10**18, 2 * 10**17, -(10**9))


class All(fb.Struct):
    u8: fb.u8
    u16: fb.u16
    u32: fb.u32
    u64: fb.u64
    i8: fb.i8
    i16: fb.i16
    i32: fb.i32
    i64: fb.i64
    flag: fb.bool8
    ktime: fb.ktime
    boottime: fb.boottime
    tai: fb.tai
    comm: fb.char[16]
    list: fb.i16[3]
    raw: fb.raw[3]
    text: fb.text[8]
    tail: tail("u32")
    bytes: tail("bytes")


INTEGERS = ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64")
TIMES = ("ktime", "boottime", "tai")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def row(n):
    """The n-th row: small values, bounds, nulls and text of every length take turns."""
    signed = {
        name: (-1) ** n * (n << bits - 7) % (1 << bits - 1)
        for name, bits in zip(INTEGERS[4:], (8, 16, 32, 64), strict=True)
    }
    return {
        **{name: (2 ** int(name[1:]) - 1 - n) % 2 ** int(name[1:]) for name in INTEGERS[:4]},
        **signed,
        "flag": n % 3 == 0,
        # microseconds, which is what datetime has
        **dict.fromkeys(TIMES, (n + 1) * 10**15 + n * 1000),
        "comm": ("", "bash", "sixteen bytes ok", "ä€", "bash")[n % 5],
        "list": [n - 5, -n, 0],
        "raw": bytes([n % 256, 0, 255]),
        "text": None if n % 4 == 0 else "€" * (n % 3),
        "tail": None if n % 5 == 0 else list(range(n % 5 - 1)),
        "bytes": None if n % 6 == 0 else bytes(range(n % 6 - 1)),
    }


def record(values):
    """The row as it stands in a ring buffer: header, the fixed part, what is of any length."""
    tails = {
        "text": None if values["text"] is None else values["text"].encode(),
        "tail": None if values["tail"] is None else struct.pack(f"<{len(values['tail'])}I", *values["tail"]),
        "bytes": values["bytes"],
    }
    payload = bytearray(All.size)
    for name, kind in All.fields.items():
        start = All.offset(name)
        if name in tails:
            data = tails[name]
            payload[start : start + 4] = struct.pack("<I", 0 if data is None else len(data) << 16 | len(payload))
            payload += data or b""
        else:
            payload[start : start + kind.size] = kind.pack(values[name])
    return struct.pack("<II", len(payload), 0) + payload + bytes(-len(payload) % 8)


ROWS = [row(n) for n in range(150)]
EXPECTED = [
    {
        **values,
        **{
            name: EPOCH + dt.timedelta(microseconds=(values[name] + offset) // 1000)
            for name, offset in zip(TIMES, CLOCKS, strict=True)
        },
    }
    for values in ROWS
]


@pytest.fixture(scope="module")
def batches():
    decoder = RingDecoder(All.columns(), All.size, 64)
    data = b"".join(map(record, ROWS))
    return [*decoder.decode(data, CLOCKS), decoder.finish()]


def plain(rows):
    """Rows as each reader gives them, with Python's own types."""

    def value(cell):
        if isinstance(cell, pd.Timestamp):
            return cell.to_pydatetime()
        if hasattr(cell, "tolist"):
            cell = cell.tolist()
        return bytes(cell) if isinstance(cell, bytearray | memoryview) else cell

    rows = [{name: value(cell) for name, cell in row.items()} for row in rows]
    for row in rows:
        for name in TIMES:
            row[name] = row[name].astimezone(dt.UTC)
        for name in ("list", "tail"):
            row[name] = None if row[name] is None else list(row[name])
    return rows


def each(batches, read):
    return plain([row for batch in batches for row in read(batch)])


def test_the_batches_have_as_many_rows_as_was_asked(batches):
    assert [len(batch) for batch in batches] == [batch.num_rows for batch in batches] == [64, 64, 22]
    assert all(batch.column_names == list(All.fields) for batch in batches)


def test_pyarrow(batches):
    for batch in batches:
        pa.record_batch(batch).validate(full=True)
        assert pa.record_batch(batch).schema == pa.schema(batch) == All.schema
    assert each(batches, lambda batch: pa.record_batch(batch).to_pylist()) == EXPECTED
    assert each(batches, lambda batch: pa.table(batch).to_pylist()) == EXPECTED


def test_polars(batches):
    assert each(batches, lambda batch: pl.DataFrame(batch).to_dicts()) == EXPECTED
    frame = pl.concat([pl.DataFrame(batch) for batch in batches])
    assert frame.schema["ktime"] == pl.Datetime("ns", "UTC")
    assert frame.schema["comm"] in (pl.Categorical, pl.String) or frame["comm"].dtype == pl.Categorical
    assert frame.filter(pl.col("text").is_null()).height == sum(row["text"] is None for row in ROWS)


def test_duckdb(batches):
    def read(batch):
        # Times as numbers: as datetime they would take a package more.
        moments = ", ".join(f"epoch_us({name}::timestamptz) as {name}" for name in TIMES)
        relation = duckdb.from_arrow(pa.table(batch)).project(f"* replace ({moments})")
        for values in relation.fetchall():
            row = dict(zip(relation.columns, values, strict=True))
            yield {**row, **{name: EPOCH + dt.timedelta(microseconds=row[name]) for name in TIMES}}

    assert each(batches, read) == EXPECTED


def test_pandas(batches):
    def read(batch):
        frame = pd.DataFrame.from_arrow(batch)
        assert frame["comm"].dtype == "category"
        assert str(frame["tai"].dtype).startswith("datetime64[ns, UTC")
        for name in ("text", "tail", "bytes"):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        return frame.to_dict("records")

    assert each(batches, read) == EXPECTED


def test_nanoarrow(batches):
    def read(batch):
        array = na.Array(batch)
        return array.to_pylist()

    assert each(batches, read) == EXPECTED


def test_a_slice_is_read_from_its_offset(batches):
    for start, length in ((0, 64), (1, 5), (63, 1), (60, 100), (10, 0)):
        part = batches[0].slice(start, length)
        rows = EXPECTED[start : min(start + length, 64)]
        assert plain(pa.record_batch(part).to_pylist()) == rows
        assert plain(pl.DataFrame(part).to_dicts()) == rows
        assert plain(na.Array(part).to_pylist()) == rows


def test_a_batch_outlives_what_decoded_it():
    decoder = RingDecoder(All.columns(), All.size, 64)
    (batch,) = decoder.decode(b"".join(map(record, ROWS[:64])), CLOCKS) or [decoder.finish()]
    table = pa.table(batch)
    del decoder, batch
    assert plain(table.to_pylist()) == EXPECTED[:64]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<II", 1 << 31 | 8, 0) + bytes(8), "unfinished"),
        (struct.pack("<II", 800, 0) + bytes(8), "800 bytes does not fit"),
        (struct.pack("<IIQ", 8, 0, 1) + struct.pack("<III", 8, 0, 1), "middle of a record"),
    ],
)
def test_what_are_no_records_of_a_ring(data, message):
    with pytest.raises(fb.StreamError, match=f"not the bytes of a buffer: .*{message}"):
        RingDecoder([("number", 0, "u64")], 8, 10).decode(data, (0, 0, 0))


def test_discarded_records_are_passed():
    data = struct.pack("<IIQ", 8, 0, 1) + struct.pack("<IIQ", 1 << 30 | 8, 0, 2) + struct.pack("<IIQ", 8, 0, 3)
    decoder = RingDecoder([("number", 0, "u64")], 8, 10)
    assert decoder.decode(data, (0, 0, 0)) == []
    assert pa.record_batch(decoder.finish())["number"].to_pylist() == [1, 3]
    assert decoder.finish() is None
