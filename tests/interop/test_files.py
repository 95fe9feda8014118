"""Who reads the files that we write: the same rows come out of every form, in every reader that knows it.

The events are real: tests/data/openat.fbpf, which tests/record_capture.py recorded.
"""

import json
from pathlib import Path

import duckdb
import nanoarrow
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from fastbpf import sinks
from fastbpf.capture import replay

CAPTURE = Path(__file__).parents[1] / "data/openat.fbpf"
FORMS = [suffix[1:] for suffix in sinks.FORMS]
COLUMNS = ["ts", "pid", "tid", "comm", "dfd", "filename", "flags", "mode"]


@pytest.fixture(scope="module")
def events():
    """The rows as the decoder gives them."""
    return rows(replay(CAPTURE).read())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same capture in every form."""
    folder = tmp_path_factory.mktemp("files")
    for form in FORMS:
        with replay(CAPTURE, max_rows=100) as capture, sinks.open_sink(folder / f"events.{form}", capture) as sink:
            while (batch := capture.next_batch()) is not None:
                sink.write(batch)
            sink.close(capture.stats)
    return folder


def rows(table):
    """(ns since 1970, the others …); a text form has no type for time, then it is the ISO text's."""
    ts = table.column("ts").cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
    columns = [table.column(name).cast(pa.string()) if name == "comm" else table.column(name) for name in COLUMNS[1:]]
    return list(zip(ts.to_pylist(), *(column.to_pylist() for column in columns), strict=True))


def duck(path):
    return duckdb.connect().sql(f"select * from '{path}'").to_arrow_table()


def from_pandas(frame):
    return pa.Table.from_pandas(frame.assign(ts=pd.to_datetime(frame["ts"], utc=True)), preserve_index=False)


READERS = {
    ("pyarrow", "parquet"): pq.read_table,
    ("pyarrow", "arrow"): lambda path: pa.ipc.open_file(path).read_all(),
    ("pyarrow", "arrows"): lambda path: pa.ipc.open_stream(path).read_all(),
    ("pyarrow", "ndjson"): pa.json.read_json,
    ("pyarrow", "csv"): lambda path: pa.csv.read_csv(
        path, convert_options=pa.csv.ConvertOptions(strings_can_be_null=True)
    ),
    ("polars", "parquet"): lambda path: pl.read_parquet(path).to_arrow(),
    ("polars", "arrow"): lambda path: pl.read_ipc(path).to_arrow(),
    ("polars", "arrows"): lambda path: pl.read_ipc_stream(path).to_arrow(),
    ("polars", "ndjson"): lambda path: (
        pl.read_ndjson(path).with_columns(pl.col("ts").str.to_datetime(time_unit="ns", time_zone="UTC")).to_arrow()
    ),
    ("polars", "csv"): lambda path: (
        pl.read_csv(path).with_columns(pl.col("ts").str.to_datetime(time_unit="ns", time_zone="UTC")).to_arrow()
    ),
    ("duckdb", "parquet"): duck,
    ("duckdb", "ndjson"): duck,
    ("duckdb", "csv"): duck,
    ("pandas", "parquet"): lambda path: from_pandas(pd.read_parquet(path)),
    ("pandas", "arrow"): lambda path: from_pandas(pd.read_feather(path)),
    ("pandas", "ndjson"): lambda path: from_pandas(pd.read_json(path, lines=True, dtype=False)),
    ("pandas", "csv"): lambda path: from_pandas(pd.read_csv(path)),
    ("nanoarrow", "arrows"): lambda path: pa.table(nanoarrow.ArrayStream.from_path(path)),
}
# They keep times to the microsecond only.
COARSE = {("duckdb", "ndjson"), ("duckdb", "csv"), ("duckdb", "parquet")}


@pytest.mark.parametrize(("reader", "form"), READERS)
def test_the_rows_are_the_same(reader, form, written, events):
    read = rows(READERS[reader, form](str(written / f"events.{form}")))
    if (reader, form) in COARSE:
        read = [(ts // 1000, *rest) for ts, *rest in read]
        events = [(ts // 1000, *rest) for ts, *rest in events]
    assert read == events


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_a_reader(form):
    assert any(form == known for _, known in READERS)


def test_there_is_something_to_read(events):
    names = [row[COLUMNS.index("filename")] for row in events]
    assert len(events) > 500
    assert None in names  # a name that the probe could not read
    assert any(name and not name.isascii() for name in names)
    assert len({row[COLUMNS.index("comm")] for row in events}) > 3


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows"])
def test_types_come_back(form, written):
    schema = READERS["pyarrow", form](written / f"events.{form}").schema.remove_metadata()
    with replay(CAPTURE) as capture:
        told = capture.schema
    if form != "parquet":
        told = told.set(told.get_field_index("comm"), pa.field("comm", pa.string(), nullable=False))
    assert schema == told


def test_text_agrees_with_polars(written):
    lines = [json.loads(line) for line in (written / "events.ndjson").read_bytes().splitlines()]
    frame = pl.read_parquet(written / "events.parquet")
    times = frame["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_list()
    assert [line["ts"] for line in lines] == times
    assert [list(line.values())[1:] for line in lines] == [list(row[1:]) for row in frame.rows()]


@pytest.mark.parametrize("form", FORMS)
def test_the_accounting_is_in_the_file(form, written):
    path = written / f"events.{form}"
    if form == "parquet":
        told = json.loads(pq.read_metadata(path).metadata[b"fastbpf.stats"])
    elif form in {"arrow", "arrows"}:
        told = json.loads(READERS["pyarrow", form](path).schema.metadata[b"fastbpf.stats"])
    else:
        told = json.loads(path.with_name(f"{path.name}.stats.json").read_text())["fastbpf.stats"]
    assert told["rows"] == told["delivered"] == len(replay(CAPTURE).read())
    assert told["lost"] == 0


@pytest.mark.parametrize("reader", [pl.DataFrame, pa.table, lambda capture: duckdb.sql("select * from capture").pl()])
def test_a_capture_is_an_arrow_stream(reader, events):
    frame = reader(replay(CAPTURE))
    assert len(frame) == len(events)
