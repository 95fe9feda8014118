"""A command is followed from its first instruction to its end, with its threads and children, and nobody else."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.kernel.producers import Child

import fastbpf as fb

pytestmark = pytest.mark.usefixtures("transport")

EXECVE, EXIT_GROUP, CLOSE = {"x86_64": (59, 231, 3), "aarch64": (221, 94, 57)}[platform.machine()]
OPEN = "tracepoint:syscalls:sys_enter_openat"
ENTER = "raw_tracepoint:sys_enter"


def follow(probe, *fields, command, **options):
    with fb.trace(probe, *fields, command=command, **options) as trace:
        table = trace.read(seconds=30)
        assert trace.ended
        return table.to_pylist(), trace


def test_from_the_first_syscall_to_the_last():
    rows, trace = follow(ENTER, "pid", "tid", "id", command=["/bin/true"])
    assert {(row["pid"], row["tid"]) for row in rows} == {(trace.command.pid, trace.command.pid)}
    calls = [row["id"] for row in rows]
    assert calls.count(EXECVE) == calls.count(EXIT_GROUP) == 1
    # Between joining the trace and execve there is only what the child does to start the command.
    assert calls.index(EXECVE) < 10
    assert calls[-1] == EXIT_GROUP
    assert trace.command.returncode == 0
    assert (trace.stats.lost, trace.stats.missed, trace.stats.queued) == (0, 0, 0)


def test_a_script_and_the_programs_it_runs():
    quiet = "exec 2>/dev/null; "
    script = "cat /nowhere/1; (cat /nowhere/2); cat /nowhere/3 | cat /nowhere/4; exit 3"
    with Child() as bystander:
        bystander.start("while True: libc.openat(-100, b'/nowhere/bystander', 0, 0)")
        rows, trace = follow(OPEN, command=["sh", "-c", quiet + script])
    own = {row["filename"]: row for row in rows if row["filename"] and row["filename"].startswith("/nowhere/")}
    assert own.keys() == {f"/nowhere/{n}" for n in (1, 2, 3, 4)}
    assert {row["comm"] for row in own.values()} == {"cat"}
    pids = {row["pid"] for row in own.values()}
    assert len(pids) == 4
    assert bystander.pid not in {row["pid"] for row in rows}
    assert os.getpid() not in {row["pid"] for row in rows}
    assert trace.command.returncode == 3


def test_the_programs_are_executed_where_the_script_says():
    rows, _ = follow(
        "tracepoint:sched:sched_process_exec",
        "pid",
        "filename",
        command=["sh", "-c", "/bin/true; /bin/false; exec /bin/true"],
    )
    assert [row["filename"].rpartition("/")[2] for row in rows] == ["sh", "true", "false", "true"]
    assert rows[0]["pid"] == rows[3]["pid"]
    assert len({row["pid"] for row in rows}) == 3


THREADS = """
import ctypes, threading
libc = ctypes.CDLL(None)
def work(n):
    for i in range(200):
        libc.close(800_000 + 1000 * n + i)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
work(8)
"""


def test_threads():
    where = f"id == {CLOSE} and arg0 >= 800000 and arg0 < 900000"
    rows, trace = follow(ENTER, "pid", "tid", "arg0", command=[sys.executable, "-c", THREADS], where=where)
    assert {row["pid"] for row in rows} == {trace.command.pid}
    by_thread = {}
    for row in rows:
        by_thread.setdefault(row["tid"], []).append(row["arg0"])
    assert sorted(by_thread.values()) == [[800_000 + 1000 * n + i for i in range(200)] for n in range(9)]
    assert by_thread[trace.command.pid][0] == 808_000


FAMILY = """
import ctypes, os
libc = ctypes.CDLL(None)
def descend(depth, name):
    libc.close(700_000 + name)
    if depth == 0:
        return
    for side in (0, 1):
        if (pid := os.fork()) == 0:
            descend(depth - 1, 2 * name + side)
            os._exit(0)
        os.waitpid(pid, 0)
descend(4, 1)
"""


def test_children_of_children():
    where = f"id == {CLOSE} and arg0 > 700000 and arg0 < 800000"
    rows, _ = follow(ENTER, "pid", "arg0", command=[sys.executable, "-c", FAMILY], where=where)
    assert sorted(row["arg0"] - 700_000 for row in rows) == list(range(1, 32))
    assert len({row["pid"] for row in rows}) == 31


THREAD_EXECUTES = """
import os, threading
threading.Thread(target=lambda: os.execv("/bin/cat", ["cat", "/nowhere/by a thread"])).start()
threading.Event().wait()
"""


def test_a_thread_that_is_not_the_first_executes():
    rows, trace = follow(OPEN, "pid", "tid", "filename", "comm", command=[sys.executable, "-c", THREAD_EXECUTES])
    (row,) = [row for row in rows if row["filename"] == "/nowhere/by a thread"]
    assert (row["pid"], row["tid"], row["comm"]) == (trace.command.pid, trace.command.pid, "cat")
    assert trace.command.returncode == 1


def test_the_end_of_the_command_ends_the_stream():
    with fb.trace(OPEN, command=["sh", "-c", "exit 7"]) as trace:
        assert sum(len(batch) for batch in trace) > 0
        assert trace.ended
        assert list(trace) == []
        assert trace.command.returncode == 7
        assert trace.detached


def test_a_signal_ends_the_command():
    with fb.trace(OPEN, command=["sleep", "1000"]) as trace:
        assert trace.command.returncode is None
        os.kill(trace.command.pid, signal.SIGTERM)
        trace.read(seconds=30)
        assert trace.ended
        assert trace.command.returncode == -signal.SIGTERM


def test_a_command_that_has_ended_is_reaped():
    with fb.trace(OPEN, command=["true"]) as trace:
        trace.read(seconds=30)
        assert trace.ended
        assert not Path(f"/proc/{trace.command.pid}").exists()
    assert trace.command.returncode == 0


def test_closing_ends_the_command():
    with fb.trace(OPEN, command=["sleep", "1000"]) as trace:
        assert trace.command.returncode is None
    assert not Path(f"/proc/{trace.command.pid}").exists()
    assert trace.command.returncode == -signal.SIGTERM


def test_closing_does_not_wait_for_ever():
    with fb.trace(OPEN, command=["sh", "-c", "trap '' TERM; exec sleep 1000"]) as trace:
        comm = Path(f"/proc/{trace.command.pid}/comm")
        while comm.read_text() != "sleep\n":
            time.sleep(0.01)
        began = time.monotonic()
        trace.close()
        assert time.monotonic() - began < 3
        assert trace.command.returncode is None
        os.kill(trace.command.pid, signal.SIGKILL)
        while trace.command.returncode is None:
            time.sleep(0.01)
    assert trace.command.returncode == -signal.SIGKILL


def test_a_command_may_be_a_path():
    rows, trace = follow(OPEN, "filename", command=[Path("/bin/cat"), b"/dev/null", Path("/nowhere/2")])
    assert {"/dev/null", "/nowhere/2"} <= {row["filename"] for row in rows}
    assert trace.command.returncode == 1


@pytest.mark.parametrize("background", [False, True])
def test_a_command_that_writes_more_than_there_is_room_for(background):
    command = [sys.executable, "-c", "import os\nfor _ in range(20_000): os.getppid()"]
    with fb.trace(
        "tracepoint:syscalls:sys_enter_getppid", "ts", command=command, buffer=4096, background=background
    ) as trace:
        rows = len(trace.read(seconds=30))
        assert trace.ended
    assert rows == trace.stats.delivered
    assert trace.stats.received + trace.stats.lost == 20_000


def test_a_command_that_cannot_be_run(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(fb.KernelError, match="broken"):
        fb.trace(OPEN, command=[str(broken)])
