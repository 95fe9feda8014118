"""Traces say what a process of ours really did, which knows its own calls."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from tests.kernel.producers import Child, script

import fastbpf as fb

AT_FDCWD = -100
OPENAT, CLOSE = {"x86_64": (257, 3), "aarch64": (56, 57)}[platform.machine()]
EBADF = 9


@pytest.fixture
def child():
    with Child() as child:
        yield child


def rest(trace):
    """All that has happened."""
    trace.stop()
    return trace.read(seconds=20)


def rows(trace, **wanted):
    return [row for row in rest(trace).to_pylist() if wanted.items() <= row.items()]


def types(table):
    return {field.name: (field.type, field.nullable) for field in table.schema}


USUAL = {
    "ts": (pa.timestamp("ns", "UTC"), False),
    "pid": (pa.uint32(), False),
    "tid": (pa.uint32(), False),
    "comm": (pa.dictionary(pa.int32(), pa.string()), False),
}


@pytest.mark.usefixtures("transport")
def test_openat(child, tmp_path):
    with fb.trace("tracepoint:syscalls:sys_enter_openat", pid=child.pid) as trace:
        before = time.time_ns()
        tid = child.run(
            f"""
import threading
open({str(tmp_path / "ä")!r}, "w").close()
def relative():
    global tid
    tid = threading.get_native_id()
    libc.openat(77, b"relative", 0o2000001, 0)
thread = threading.Thread(target=relative); thread.start(); thread.join()
libc.openat(-100, b"", 0, 0)
libc.openat(-100, ctypes.c_void_p(8), 0, 0)
fd = os.open({str(tmp_path / "mode")!r}, os.O_CREAT | os.O_WRONLY, 0o640)
answer = tid
"""
        )
        after = time.time_ns()
        table = rest(trace)
    comm = Path(f"/proc/{child.pid}/comm").read_text().strip()
    assert types(table) == {
        **USUAL,
        "dfd": (pa.int32(), False),
        "filename": (pa.string(), True),
        "flags": (pa.int32(), False),
        "mode": (pa.uint16(), False),
    }
    seen = table.to_pylist()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    own = [
        row for row in seen if row["filename"] in (None, "", "relative") or row["filename"].startswith(str(tmp_path))
    ]
    assert [(row["dfd"], row["filename"], row["flags"], row["mode"]) for row in own] == [
        (AT_FDCWD, str(tmp_path / "ä"), flags, 0o666),
        (77, "relative", 0o2000001, 0),
        (AT_FDCWD, "", 0, 0),
        (AT_FDCWD, None, 0, 0),
        (AT_FDCWD, str(tmp_path / "mode"), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640),
    ]
    assert {row["pid"] for row in seen} == {child.pid}
    assert [row["tid"] for row in own] == [child.pid, tid, child.pid, child.pid, child.pid]
    assert tid != child.pid
    assert {row["comm"] for row in seen} == {comm}
    moments = [row["ts"].value for row in seen]
    assert moments == sorted(moments)
    assert before - 50_000_000 <= moments[0] <= moments[-1] <= after + 50_000_000


@pytest.mark.usefixtures("transport")
def test_the_other_builtins_are_the_processes_own(child):
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(child.pid, {cpu})
    child.run("os.setresgid(65534, 65534, 65534); os.setresuid(65533, 65533, 65533)")
    child.run("libc.prctl(15, b'a comm of 15 ch', 0, 0, 0)")
    with fb.trace(
        "tracepoint:syscalls:sys_enter_getppid", "cgroup", "uid", "gid", "cpu", "comm", "ts", raw=True, pid=child.pid
    ) as trace:
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        child.getppid(1)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        table = rest(trace)
    (row,) = table.to_pylist()
    assert table.schema.names == ["cgroup", "uid", "gid", "cpu", "comm", "ts", "ts_raw"]
    assert (row["uid"], row["gid"], row["cpu"], row["comm"]) == (65533, 65534, cpu, "a comm of 15 ch")
    assert before <= row["ts_raw"] <= after
    to_utc = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(row["ts"].value - row["ts_raw"] - to_utc) < 50_000_000
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
    groups = Path(f"/proc/{child.pid}/cgroup").read_text().splitlines()
    group = next(line.removeprefix("0::") for line in groups if line.startswith("0::"))
    assert [row["cgroup"]] * len(mounts) == [Path(mount[4] + group).stat().st_ino for mount in mounts]


@pytest.mark.usefixtures("transport")
def test_renameat2_has_two_texts(child):
    with fb.trace("tracepoint:syscalls:sys_enter_renameat2", pid=child.pid) as trace:
        child.run(
            """
libc.syscall.restype = ctypes.c_long
number = {"x86_64": 316, "aarch64": 276}[os.uname().machine]
bad = ctypes.c_void_p(8)
for old, new in ((b"one", b"two"), (bad, b"two"), (b"one", bad), (bad, bad), (b"", b"x" * 300)):
    libc.syscall(number, -100, old, 5, new, 1)
"""
        )
        table = rest(trace)
        stats = trace.stats
    own = table.drop_columns(list(USUAL)).to_pylist()
    texts = [("one", "two"), (None, "two"), ("one", None), (None, None), ("", "x" * 256)]
    assert own == [{"olddfd": -100, "oldname": old, "newdfd": 5, "newname": new, "flags": 1} for old, new in texts]
    assert table.schema.field("flags").type == pa.uint32()
    assert stats.cut == 1


def test_a_record_takes_no_more_room_than_its_text(child):
    with fb.trace("tracepoint:syscalls:sys_enter_openat", "dfd", "filename", pid=child.pid, text=4000) as trace:
        child.run(
            "for n in (0, 1, 100, 2500): libc.openat(-77, b'x' * n, 0, 0)\nlibc.openat(-77, ctypes.c_void_p(8), 0, 0)"
        )
        child.run("pass")
        names = [row["filename"] for row in rows(trace)]
        stats = trace.stats
    assert names == ["", "x", "x" * 100, "x" * 2500, None]
    # The kernel's header, the two fixed columns, the text's bytes; in steps of 8.
    least = [8 + 8 + len(name or "") for name in names]
    assert sum(least) <= stats.bytes <= sum(size + 16 for size in least)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("most", [1, 5, 256])
def test_texts_are_cut_and_counted(child, most):
    texts = ["", "a", "x" * most, "x" * (most + 1), "y" * 500, "€" * 200, "ä" * most]
    with fb.trace(
        "tracepoint:syscalls:sys_enter_openat", "filename", pid=child.pid, where="dfd == -77", text=most
    ) as trace:
        child.run(f"for text in {texts!r}: libc.openat(-77, text.encode(), 0, 0)")
        names = [row["filename"] for row in rows(trace)]
        assert trace.stats.cut == sum(len(text.encode()) > most for text in texts)
    assert names == [text.encode()[:most].decode(errors="ignore") for text in texts]


@pytest.mark.usefixtures("transport")
def test_names_that_are_no_utf8(child):
    with fb.trace("tracepoint:syscalls:sys_enter_openat", "filename", pid=child.pid, where="dfd == -77") as trace:
        child.run("libc.openat(-77, bytes([0x61, 0xff, 0xe2, 0x82, 0x62]), 0, 0)")
        assert [row["filename"] for row in rows(trace)] == ["a��b"]


def test_the_buffer_of_write_is_an_address(child):
    with fb.trace("tracepoint:syscalls:sys_enter_write", pid=child.pid) as trace:
        address = child.run(
            "text = ctypes.create_string_buffer(b'words'); libc.write(-1, text, 5); answer = ctypes.addressof(text)"
        )
        table = rest(trace)
    assert types(table) == {
        **USUAL,
        "fd": (pa.uint32(), False),
        "buf": (pa.uint64(), False),
        "count": (pa.uint64(), False),
    }
    assert [(row["buf"], row["count"]) for row in table.to_pylist() if row["fd"] == 0xFFFF_FFFF] == [(address, 5)]


@pytest.mark.usefixtures("transport")
def test_execution_has_the_name_that_was_executed(child):
    with (
        fb.trace("tracepoint:syscalls:sys_enter_execve", "filename", "argv", where="filename == '/bin/true'") as calls,
        fb.trace("tracepoint:sched:sched_process_exec", where="filename == '/bin/true'") as executions,
    ):
        pid = child.run("pid = os.posix_spawn('/bin/true', ['true'], {}); os.waitpid(pid, 0); answer = pid")
        (call,) = rows(calls)
        table = rest(executions)
    assert call["filename"] == "/bin/true"
    assert call["argv"] > 1 << 12
    row = table.to_pylist()[0]
    # sched_process_exec has a pid of its own, in another column.
    assert types(table) == {
        **USUAL,
        "filename": (pa.string(), True),
        "args_pid": (pa.int32(), False),
        "old_pid": (pa.int32(), False),
    }
    assert [row[name] for name in ("pid", "tid", "comm", "filename", "args_pid", "old_pid")] == [
        pid,
        pid,
        "true",
        "/bin/true",
        pid,
        pid,
    ]


@pytest.mark.usefixtures("transport")
def test_a_probes_own_pid_and_comm_stand_beside_the_builtins(child):
    # Who is woken, and by whom: a byte through a pipe wakes the one thread that waits for it. On another processor the
    # waking may end in an interrupt there, in the name of whoever was running.
    os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
    with fb.trace("tracepoint:sched:sched_wakeup", where=f"pid == {child.pid} and args.pid != pid") as trace:
        tid = child.run(
            """
ours, theirs = os.pipe()
ready = threading.Event()
def wait():
    global tid
    tid = threading.get_native_id()
    libc.prctl(15, b"who is woken", 0, 0, 0)
    ready.set()
    os.read(ours, 1)
thread = threading.Thread(target=wait)
thread.start()
ready.wait()
while open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[0] != "S":
    pass
os.write(theirs, b"x")
thread.join()
answer = tid
"""
        )
        table = rest(trace)
    assert {
        name: (field.type, field.nullable) for name, field in zip(table.schema.names, table.schema, strict=True)
    } == {
        **USUAL,
        "args_comm": (pa.dictionary(pa.int32(), pa.string()), False),
        "args_pid": (pa.int32(), False),
        "prio": (pa.int32(), False),
        "target_cpu": (pa.int32(), False),
    }
    woken = [row for row in table.to_pylist() if row["args_pid"] == tid]
    assert (child.pid, "who is woken", 120) in [(row["pid"], row["args_comm"], row["prio"]) for row in woken]


@pytest.mark.usefixtures("transport")
def test_arrays_and_ports(child):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with fb.trace(
            "tracepoint:sock:inet_sock_set_state", pid=child.pid, where=f"dport == {port} and newstate == 2"
        ) as trace:
            child.run(f"import socket; client = socket.create_connection(('127.0.0.1', {port}))")
            table = rest(trace)
    (row,) = table.to_pylist()
    assert bytes(row["daddr"]) == bytes(row["saddr"]) == bytes([127, 0, 0, 1])
    assert bytes(row["daddr_v6"]) == socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")
    assert (row["oldstate"], row["newstate"], row["dport"], row["family"], row["protocol"]) == (
        7,
        2,
        port,
        socket.AF_INET,
        socket.IPPROTO_TCP,
    )


@pytest.mark.usefixtures("transport")
def test_raw_tracepoints_of_syscalls(child):
    with (
        fb.trace("raw_tracepoint:sys_enter", "tid", "id", *(f"arg{n}" for n in range(6)), pid=child.pid) as enters,
        fb.trace("rt:sys_exit", "tid", "id", "ret", pid=child.pid) as exits,
    ):
        child.run("libc.close(-7)\nfor n in range(900_000, 900_100): libc.close(n)\nos.getppid()")
        entered, left = rest(enters), rest(exits)
    assert types(entered) == {
        "tid": (pa.uint32(), False),
        "id": (pa.int64(), False),
        **{f"arg{n}": (pa.uint64(), False) for n in range(6)},
    }
    assert types(left) == {"tid": (pa.uint32(), False), "id": (pa.int64(), False), "ret": (pa.int64(), False)}
    numbered = [row["arg0"] for row in entered.to_pylist() if row["id"] == CLOSE and 900_000 <= row["arg0"] < 900_100]
    assert numbered == list(range(900_000, 900_100))
    assert any(row["id"] == CLOSE and row["arg0"] & 0xFFFF_FFFF == 2**32 - 7 for row in entered.to_pylist())
    assert [row["ret"] for row in left.to_pylist() if row["id"] == CLOSE].count(-EBADF) == 101
    getppid = {"x86_64": 110, "aarch64": 173}[platform.machine()]
    assert [row["ret"] for row in left.to_pylist() if row["id"] == getppid] == [os.getpid()]
    assert {row["tid"] for row in entered.to_pylist()} == {child.pid}


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (
            "filename.startswith('/etc/') and dfd == -100",
            lambda dfd, name, flags: name.startswith("/etc/") and dfd == -100,
        ),
        ("filename in ('/x', 'b') or flags & 2", lambda dfd, name, flags: name in ("/x", "b") or flags & 2),
        ("dfd in (3, 4) and filename != 'b'", lambda dfd, name, flags: dfd in (3, 4) and name != "b"),
        ("not (dfd < 0) and args.flags == 2", lambda dfd, name, flags: not dfd < 0 and flags == 2),
        ("filename is None", lambda dfd, name, flags: False),
    ],
)
def test_where_keeps_what_python_would(child, where, wanted, tmp_path):
    calls = [
        (dfd, name, flags)
        for dfd in (-100, 3, 4, 5)
        for name in ("/etc/passwd", "b", "/x", "/etc/xx")
        for flags in (0, 2, 0o2000000)
    ]
    with fb.trace("tracepoint:syscalls:sys_enter_openat", where=f"({where}) and mode == 321", pid=child.pid) as trace:
        # O_CREAT, without which libc passes no mode on, makes files
        child.run(f"os.chroot({str(tmp_path)!r}); os.chdir('/')")
        child.run(f"for dfd, name, flags in {calls!r}: libc.openat(dfd, name.encode(), flags | 64, 321)")
        seen = [(row["dfd"], row["filename"], row["flags"] & ~64) for row in rows(trace)]
    assert seen == [call for call in calls if wanted(call[0], call[1], call[2] | 64)]


@pytest.mark.usefixtures("transport")
def test_only_the_process_that_was_asked_for(child):
    with Child() as other, fb.trace("tracepoint:syscalls:sys_enter_getppid", pid=child.pid) as trace:
        for _ in range(50):
            other.getppid(10)
            child.getppid(1)
            os.getppid()
        assert [row["pid"] for row in rows(trace)] == [child.pid] * 50


@pytest.mark.usefixtures("transport")
def test_this_process_is_left_out_unless_it_is_wanted(child):
    pids = f"pid in ({os.getpid()}, {child.pid})"
    for include_self in (False, True):
        with fb.trace(
            "tracepoint:syscalls:sys_enter_getppid", "pid", "tid", where=pids, include_self=include_self
        ) as trace:
            os.getppid()
            child.getppid(1)
            thread = threading.Thread(target=os.getppid)
            thread.start()
            thread.join()
            seen = [row["pid"] for row in rows(trace)]
        assert seen == ([os.getpid(), child.pid, os.getpid()] if include_self else [child.pid])


@pytest.mark.parametrize(
    ("buffer", "size"), [(4096, 4096), ("5KiB", 8192), ("1MiB", 1 << 20), (4097, 8192), ("64k", 65536)]
)
def test_the_size_of_the_buffer(buffer, size):
    with fb.trace("tracepoint:syscalls:sys_enter_getppid", pid=1, buffer=buffer) as trace:
        fdinfo = Path(f"/proc/self/fdinfo/{trace.program.maps['events'].fileno()}").read_text()
    assert re.search(r"max_entries:\s*(\d+)", fdinfo)[1] == str(size)


OPEN = "tracepoint:syscalls:sys_enter_openat"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("tracepoint:syscalls:sys_enter_opena",), {}, fb.ProbeError, "sys_enter_openat"),
        (("tracepoint:sched",), {}, fb.ProbeError, "sched"),
        (("kprobes:x",), {}, fb.ProbeError, "kprobes:x"),
        ((OPEN, "filenam"), {}, fb.ProbeError, "did you mean 'filename'"),
        ((OPEN, "pid", "pid"), {}, fb.ProbeError, "named twice"),
        ((OPEN, "args.pid"), {}, fb.ProbeError, "no field 'args.pid'"),
        ((OPEN,), {"where": "filenam == 'x'"}, fb.WhereError, "filename"),
        ((OPEN,), {"where": "pid =="}, fb.WhereError, "pid =="),
        ((OPEN,), {"where": "__import__('os')"}, fb.WhereError, "__import__"),
        ((OPEN,), {"command": ["no-such-command-at-all"]}, fb.ProbeError, "no-such-command-at-all"),
        ((OPEN,), {"command": []}, ValueError, "give a list"),
        ((OPEN,), {"command": "ls"}, ValueError, "give a list"),
        ((OPEN,), {"command": ["ls"], "pid": 1}, ValueError, "give one"),
        ((OPEN,), {"pid": -1}, ValueError, "pid=-1"),
        ((OPEN,), {"text": 0}, ValueError, "text=0"),
        ((OPEN,), {"text": 1 << 20}, ValueError, "text=1048576"),
        ((OPEN,), {"buffer": "8 GB"}, ValueError, "8 GB"),
        ((OPEN,), {"buffer": 1}, ValueError, "buffer=1"),
        ((OPEN,), {"max_rows": 0}, ValueError, "max_rows=0"),
        ((OPEN, ["ts", "pid"]), {}, TypeError, "give the fields one by one: fb.trace(probe, 'ts', 'pid')"),
        ((3,), {}, TypeError, "give the probe as text"),
        ((OPEN,), {"pid": "3"}, TypeError, "pid='3'"),
        ((OPEN,), {"pid": True}, TypeError, "pid=True"),
        ((OPEN,), {"text": "a"}, TypeError, "text='a'"),
        ((OPEN,), {"max_rows": 1.5}, TypeError, "max_rows=1.5"),
        ((OPEN, "pid"), {"raw": True}, fb.ProbeError, "name 'ts' among the fields too"),
        ((OPEN, "pid"), {"ordered": True}, fb.ProbeError, "ordered=True goes by ts: name 'ts' among the fields too"),
        ((OPEN,), {"ordered": True, "look_back": -1}, ValueError, "look_back=-1"),
        ((OPEN,), {"shards": "node"}, ValueError, "shards='node': 'cpu' makes a buffer for each CPU"),
        ((OPEN,), {"shards": 2}, ValueError, "shards=2"),
        ((OPEN,), {"overflow": "drop-oldest"}, ValueError, "did you mean 'drop_oldest'"),
        ((OPEN,), {"overflow": "drop_oldest", "background": False}, ValueError, "background=False"),
        ((OPEN,), {"command": Path("/bin/ls")}, ValueError, "give a list"),
        ((OPEN,), {"command": ["ls", 3]}, TypeError, "give the program and its arguments as text"),
        ((OPEN,), {"command": ["/etc/passwd"]}, fb.ProbeError, "'/etc/passwd' is not an executable file"),
        ((OPEN,), {"command": ["/nowhere/ls"]}, fb.ProbeError, "there is no command '/nowhere/ls'"),
    ],
)
def test_what_cannot_be_traced_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fb.trace(*arguments, **options)


def test_a_process_that_is_gone_is_refused():
    with subprocess.Popen(["true"]) as gone:
        pass
    # Seen from another namespace than the initial one, nobody can tell.
    if Path("/proc/self/ns/pid").readlink().name == "pid:[4026531836]":
        with pytest.raises(fb.ProbeError, match=f"there is no process {gone.pid}; `ps -e`"):
            fb.trace(OPEN, pid=gone.pid)
    else:
        fb.trace(OPEN, pid=gone.pid).close()


def test_a_where_error_points_at_the_column():
    with pytest.raises(fb.WhereError) as refused:
        fb.trace(OPEN, where="pid > 1 and nothing == 2")
    assert refused.value.column == 12
    assert str(refused.value).splitlines()[-1] == " " * 12 + "^"


def test_a_refused_command_is_not_started(tmp_path):
    mark = tmp_path / "mark"
    for options in ({"where": "nothing"}, {"buffer": "x"}, {"text": -1}, {"max_rows": 0}):
        with pytest.raises(ValueError):
            fb.trace(OPEN, command=["touch", str(mark)], **options)
    assert not mark.exists()


def test_the_record_of_the_ring_is_the_columns(child):
    with fb.trace(OPEN, "ts", "dfd", "filename", pid=child.pid) as trace:
        assert trace.record.schema == trace.schema
        assert trace.probe.text == OPEN
        assert repr(trace) == f"<fastbpf.Trace {OPEN}>"


IMPORTED = """
import fastbpf.tracing.where
import fastbpf as fb
with fb.trace("tracepoint:syscalls:sys_enter_getppid", "pid", command=["true"]) as trace:
    print(type(trace).__name__)
"""


def test_the_function_is_there_whatever_was_imported_before():
    assert script(IMPORTED) == "Trace\n"
