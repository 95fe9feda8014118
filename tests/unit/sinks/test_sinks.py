"""Sinks: every form, gathered groups, names that appear only when a file is whole, refusals."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.sinks.records import STATS, batch, nested

from fastbpf import sinks
from fastbpf.sinks import Output, SinkError

METADATA = {"version": "9.9", "probe": "tracepoint:a:b", "kernel": "6.18", "boot_id": "x", "clock": "CLOCK_BOOTTIME"}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path):
    """The table in a binary form, and its metadata."""
    if path.suffix == ".parquet":
        return pq.read_table(path), pq.read_metadata(path).metadata
    opened = (pa.ipc.open_file if path.suffix == ".arrow" else pa.ipc.open_stream)(path)
    return opened.read_all(), opened.schema.metadata


def write(path, batches, **how):
    with sinks.open_sink(path, batch(1), METADATA, **how) as sink:
        for one in batches:
            sink.write(one)
        sink.close(STATS)
    return sink


def plain(table):
    place = table.schema.get_field_index("comm")
    return table.set_column(place, "comm", table.column("comm").cast(pa.string()))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("sizes", [[], [1], [5, 1, 700], [1] * 200, [70_000] * 3])
def test_binary_forms_hold_what_was_written(suffix, sizes, tmp_path):
    path = tmp_path / f"events{suffix}"
    batches = [batch(size, first=i % 2) for i, size in enumerate(sizes)]
    sink = write(path, batches)
    table, metadata = read(path)
    table.validate(full=True)
    wanted = pa.Table.from_batches([pa.record_batch(one) for one in batches], pa.record_batch(batch(1)).schema)
    assert plain(table).cast(plain(wanted).schema).equals(plain(wanted))
    assert sink.rows == sum(sizes)
    assert json.loads(metadata[b"fastbpf.stats"]) == {**STATS._asdict(), "rows": sum(sizes)}
    assert {key: metadata[f"fastbpf.{key}".encode()].decode() for key in METADATA} == METADATA
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_nested_columns_with_dictionaries_of_their_own(suffix, tmp_path):
    # Each batch of an enum with other numbers has another dictionary, deep in its columns.
    path = tmp_path / f"events{suffix}"
    batches = [nested(first, 40) for first in range(0, 4000, 40)]
    with sinks.open_sink(path, batches[0], METADATA) as sink:
        for one in batches:
            sink.write(one)
        sink.close(STATS)
    table, _ = read(path)
    table.validate(full=True)
    assert table.to_pylist() == [row for one in batches for row in pa.record_batch(one).to_pylist()]
    if suffix == ".parquet":
        group = pq.read_metadata(path).row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        assert "DELTA_BINARY_PACKED" in columns["list.list.element.n"].encodings
        assert columns["list.list.element.kind"].has_dictionary_page


def test_small_batches_make_large_groups(tmp_path):
    write(tmp_path / "a.parquet", [batch(3000, first=i % 3) for i in range(100)])
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 300_000
    assert all(size >= 131_072 for size in sizes[:-1])
    column = metadata.row_group(0).column(3)
    assert (column.path_in_schema, column.compression) == ("comm", "ZSTD")
    assert "RLE_DICTIONARY" in column.encodings
    assert column.has_dictionary_page


def test_ndjson(tmp_path):
    path = tmp_path / "a.ndjson"
    write(path, [batch(3), batch(4, first=3)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 7
    assert lines[4] == {
        "ts": "2023-11-14T22:13:20.000001004Z",
        "pid": 4,
        "ok": False,
        "comm": "proc-4",
        "big": 2**63 + 4,
        "small": -4,
        "mac": "0400010203ff",
        "stack": [4, -4],
        "name": None,
    }
    assert lines[2]["name"] == 'quo"te, and\nline'
    told = json.loads((tmp_path / "a.ndjson.stats.json").read_text())
    assert told["fastbpf.stats"] == {**STATS._asdict(), "rows": 7}
    assert told["fastbpf.probe"] == METADATA["probe"]


def test_csv(tmp_path):
    import csv

    path = tmp_path / "a.csv"
    write(path, [batch(3), batch(4, first=3)])
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["ts", "pid", "ok", "comm", "big", "small", "mac", "stack", "name"]
    assert len(lines) == 7
    assert lines[2][-2:] == ["[2,-2]", 'quo"te, and\nline']
    assert lines[4][:5] == ["2023-11-14T22:13:20.000001004Z", "4", "false", "proc-4", str(2**63 + 4)]
    assert lines[4][5:] == ["-4", "0400010203ff", "[4,-4]", ""]


def test_csv_without_rows_has_its_header(tmp_path):
    write(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == "ts,pid,ok,comm,big,small,mac,stack,name\n"


@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_nothing_has_the_name_before_the_end(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    with sinks.open_sink(path, batch(1)) as sink:
        sink.write(batch(1000))
        assert names(tmp_path) == []
    assert names(tmp_path) == []  # left without close


@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_an_existing_file_stays_until_the_new_one_is_whole(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with pytest.raises(SinkError, match=r"exists already; .*--force"):
        sinks.claim(path)
    with sinks.open_sink(path, batch(1), force=True) as sink:
        sink.write(batch(10))
        assert path.read_text() == "old"
        sink.close(STATS)
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.xlsx", r"\.parquet, \.arrow, \.arrows, \.ndjson, \.csv"),
        ("a", r"\.parquet"),
        ("missing/a.csv", "make the folder first"),
        ("file/a.csv", "its folder is none"),
        ("folder.csv", "is a folder"),
        ("/proc/a.csv", "cannot be written"),
        ("x" * 300 + ".csv", "shorter name"),
        ("fifo.csv", "no regular file"),
    ],
)
def test_refusals(name, why, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "fifo.csv")
    before = names(tmp_path)
    with pytest.raises(SinkError, match=why) as refused:
        sinks.claim(tmp_path / name, force=True)
    assert refused.value.errno
    assert names(tmp_path) == before


def test_an_old_accounting_is_not_overwritten(tmp_path):
    (tmp_path / "a.csv.stats.json").write_text("old")
    with pytest.raises(SinkError, match="exists already"):
        sinks.claim(tmp_path / "a.csv")


def test_a_name_that_came_up_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "a.parquet"
    with sinks.open_sink(path, batch(1)) as sink:
        sink.write(batch(10))
        path.write_text("somebody else's")
        with pytest.raises(SinkError, match="came up meanwhile") as refused:
            sink.close(STATS)
    assert path.read_text() == "somebody else's"
    kept = next(p for p in tmp_path.iterdir() if p != path)
    assert str(kept) in str(refused.value)
    assert pq.read_table(kept).num_rows == 10


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    write(tmp_path / "link.csv", [batch(1)], force=True)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() != "old"


def test_the_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.csv", [batch(1)])
    finally:
        os.umask(before)
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("force", [False, True])
def test_without_nameless_files(force, tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *rest, **more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    path = tmp_path / "a.csv"
    if force:
        path.write_text("old")
    with sinks.open_sink(path, batch(1), force=force) as sink:
        sink.write(batch(3))
        hidden = [name for name in names(tmp_path) if name != "a.csv"]
        assert hidden
        assert all(name.startswith(".a.csv") for name in hidden)
        sink.close(STATS)
    assert names(tmp_path) == ["a.csv", "a.csv.stats.json"]
    assert len(path.read_text().splitlines()) == 1 + 3 + 1  # one text has a line's end in it


def test_room_is_reserved_and_given_back(tmp_path):
    output = Output(tmp_path / "a")
    assert output.reserve(1 << 20)
    output.write(b"x" * 10)
    output.commit()
    assert (tmp_path / "a").stat().st_size == 10
    assert (tmp_path / "a").stat().st_blocks * 512 <= 8192
