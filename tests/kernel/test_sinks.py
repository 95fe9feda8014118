"""Sinks on real file systems: a disk that fills, one that is read-only, a process that is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.kernel.disks import disk
from tests.unit.sinks.records import STATS, Event, batch

from fastbpf import sinks
from fastbpf.capture import CaptureSink, replay
from fastbpf.sinks import SinkError, SinkFull

ROOT = Path(__file__).parents[2]


def fill(sink, one):
    for _ in range(2000):
        sink.write(one)


def rows(path):
    match path.suffix:
        case ".parquet":
            table = pq.read_table(path)
        case ".arrow":
            table = pa.ipc.open_file(path).read_all()
        case ".arrows":
            table = pa.ipc.open_stream(path).read_all()
        case ".ndjson":
            return [json.loads(line)["pid"] for line in path.read_text().splitlines()]
        case ".csv":
            import csv

            with path.open(newline="") as file:
                return [int(line["pid"]) for line in csv.DictReader(file)]
    table.validate(full=True)
    return table.column("pid").to_pylist()


@pytest.mark.parametrize("size", ["512k", "3m", "17m"])
@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_a_full_disk_leaves_a_whole_file(suffix, size, tmp_path):
    one = batch(9_000)
    with disk(tmp_path / "disk", size) as place:
        path = place / f"events{suffix}"
        with sinks.open_sink(path, one) as sink:
            with pytest.raises(SinkFull) as full:
                fill(sink, one)
            with pytest.raises(SinkFull):
                sink.write(one)
            with pytest.raises(SinkFull) as closed:
                sink.close(STATS)
        held = rows(path)
        assert len(held) == full.value.rows == closed.value.rows == sink.rows
        assert held == (list(range(9_000)) * 2000)[: len(held)]
        assert f"holds {len(held)} rows" in str(full.value)
        # The disk was filled, but for what the end of a file may need.
        room = os.statvfs(place)
        assert len(held) > 0
        assert room.f_bavail * room.f_frsize < 512 << 10
        if suffix in {".ndjson", ".csv"}:
            assert json.loads((place / f"events{suffix}.stats.json").read_text())["fastbpf.stats"]["rows"] == len(held)


def test_a_full_disk_leaves_a_whole_capture(tmp_path):
    # A ring's bytes stand one after another in the column; here they are one batch of whole records.
    from tests.unit.sinks.records import record

    data = [record(i) for i in range(5_000)]
    columns = {"source": pa.array([0] * 5_000, pa.uint16()), "record": pa.array(data, pa.binary())}
    batch = pa.record_batch(columns).replace_schema_metadata({"fastbpf.utc_offsets": "monotonic=1 boottime=2 tai=3"})
    with disk(tmp_path / "disk", "3m") as place:
        sink = CaptureSink(CaptureSink.claim(place / "a.fbpf", force=False), _Source(), {"byte_order": sys.byteorder})
        with sink:
            with pytest.raises(SinkFull) as full:
                fill(sink, _Sliced(batch))
            with pytest.raises(SinkFull):
                sink.close(STATS)
        with replay(place / "a.fbpf") as capture:
            pids = capture.read().column("pid").to_pylist()
    assert len(pids) == full.value.rows > 5_000
    assert pids == (list(range(5_000)) * 2000)[: len(pids)]


class _Source:
    # What a capture asks a stream for.
    def _sources(self):
        return [("ring", [(Event.columns(), Event.size, {})], None)]


class _Sliced:
    # What the native batch offers, around a batch of pyarrow's.
    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch)

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)

    def slice(self, offset, length):
        return _Sliced(self.batch.slice(offset, length))


@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_a_disk_that_is_full_already_is_refused(suffix, tmp_path):
    with disk(tmp_path / "disk", "8k") as place:
        with pytest.raises(SinkError, match="no room"):
            sinks.claim(place / f"a{suffix}")
        assert list(place.iterdir()) == []


@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_a_read_only_disk_is_refused(suffix, tmp_path):
    with disk(tmp_path / "disk", "1m", "ro") as place, pytest.raises(SinkError, match="read-only"):
        sinks.claim(place / f"a{suffix}")


@pytest.mark.parametrize("suffix", sinks.FORMS)
def test_a_killed_process_leaves_nothing(suffix, tmp_path):
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from fastbpf import sinks
from tests.unit.sinks.records import batch
sink = sinks.open_sink({str(tmp_path / ("a" + suffix))!r}, batch(1))
for _ in range(50):
    sink.write(batch(5000))
print("written", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []
