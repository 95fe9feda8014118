"""Recording and replaying: what comes back is what a live trace of the same events gives."""

import platform
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import fastbpf as fb
from fastbpf.capture import replay
from fastbpf.tracing import Trace

PROBE = "tracepoint:syscalls:sys_enter_openat"
SCRIPT = """
import os
for i in range(3000):
    try:
        os.open(f"/tmp/fastbpf-no-such-{i}-" + "x" * (i % 300), os.O_RDONLY)
    except OSError:
        pass
"""
COMMAND = [sys.executable, "-c", SCRIPT]


def shell(*command, **how):
    return subprocess.run(command, capture_output=True, text=True, check=True, **how)


def recorded(path, *fields, command=COMMAND, **how):
    with Trace(PROBE, *fields, command=command, decode=False, **how) as events:
        fb.Capture.record(events, path)
    return events


def test_replay_gives_what_a_live_trace_gives(tmp_path):
    live = ["pid", "comm", "dfd", "filename", "flags", "mode"]
    # Two looks at the same command: a live trace, and a capture, at the same time.
    with Trace(PROBE, "ts", *live, where="comm.startswith('python')") as events:
        events_record = recorded(tmp_path / "a.fbpf", "ts", *live)
        pid = events_record.command.pid
        table = events.read(seconds=0.2)
    table = table.filter(pc.equal(table["pid"], pid))
    with replay(tmp_path / "a.fbpf") as capture:
        again = capture.read()
        stats = capture.stats
    again = again.filter(pc.starts_with(again["comm"].cast(pa.string()), "python"))
    assert again.num_rows >= 3000
    names = lambda t: [tuple(row[name] for name in live) for row in t.to_pylist()]  # noqa: E731
    assert names(again) == names(table)
    # Two programs read the clock at two moments, and two streams ask for its offset at two.
    apart = pc.subtract(again["ts"].cast(pa.int64()), table["ts"].cast(pa.int64()))
    assert max(abs(pc.min(apart).as_py()), abs(pc.max(apart).as_py())) < 50_000_000
    assert stats.delivered == stats.received
    assert stats.lost == 0


def test_the_command_records_and_replays(tmp_path):
    fastbpf = [sys.executable, "-m", "fastbpf"]
    path = tmp_path / "a.fbpf"
    began = time.time_ns()
    told = shell(*fastbpf, "record", PROBE, "-o", path, "--", *COMMAND)
    ended = time.time_ns()
    assert f"rows in {path}, 0 lost" in told.stderr
    lines = shell(*fastbpf, "replay", path).stdout.splitlines()
    capture = replay(path)
    table = capture.read()
    assert len(lines) == table.num_rows == capture.stats.received > 3000
    assert capture.header["fastbpf.kernel"] == platform.release()
    assert capture.header["fastbpf.probe"] == PROBE
    times = table["ts"].cast(pa.int64())
    assert began - 10**7 < pc.min(times).as_py() <= pc.max(times).as_py() < ended + 10**7


def test_replaying_needs_no_privileges(tmp_path):
    path = tmp_path / "a.fbpf"
    recorded(path)
    tmp_path.chmod(0o755)
    script = "import sys; from fastbpf.capture import replay; print(replay(sys.stdin.read()).read().num_rows)"
    with replay(path) as capture:
        rows = capture.read().num_rows
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o005 != 0o005 and folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    done = shell(*nobody, sys.executable, "-c", script, input=str(path))
    assert done.stdout.strip() == str(rows), done.stderr


@pytest.mark.parametrize("name", ["a.parquet", "a"])
def test_a_capture_is_named_so(name, tmp_path):
    command = [sys.executable, "-m", "fastbpf", "record", PROBE, "-o", tmp_path / name, "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert ".fbpf" in done.stderr
