"""Who reads a part of a living stream, each through Arrow's PyCapsule interface."""

from __future__ import annotations

import duckdb
import nanoarrow as na
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.kernel.producers import Child

import fastbpf as fb

READERS = {
    "pyarrow": lambda taken: pa.table(taken)["filename"].to_pylist(),
    "pyarrow's reader": lambda taken: pa.RecordBatchReader.from_stream(taken).read_all()["filename"].to_pylist(),
    "polars": lambda taken: pl.DataFrame(taken)["filename"].to_list(),
    "duckdb": lambda taken: [name for (name,) in duckdb.sql("select filename from taken").fetchall()],
    "pandas": lambda taken: [None if pd.isna(name) else name for name in pd.DataFrame.from_arrow(taken)["filename"]],
    "nanoarrow": lambda taken: [row["filename"] for row in na.ArrayStream(taken).read_all().to_pylist()],
}


@pytest.mark.filterwarnings("ignore:.*nanoseconds discarded")  # a datetime of nanoarrow's has none
@pytest.mark.parametrize("reader", READERS)
def test_a_taken_part_is_read(reader):
    probe = "tracepoint:syscalls:sys_enter_openat"
    with Child() as child, fb.trace(probe, pid=child.pid, where="dfd == -77", max_rows=7) as trace:
        child.run(
            "for n in range(40): libc.openat(-77, f'/nowhere/{n}'.encode() if n % 5 else ctypes.c_void_p(8), 0, 0)"
        )
        names = [f"/nowhere/{n}" if n % 5 else None for n in range(40)]
        assert READERS[reader](trace.take(rows=30)) == names[:30]
        assert READERS[reader](trace.take(seconds=0)) == names[30:]
        assert READERS[reader](trace.take(rows=0)) == []
