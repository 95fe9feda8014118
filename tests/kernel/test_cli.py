"""The command line, as a shell runs it."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from tests.kernel.disks import disk

FASTBPF = [sys.executable, "-m", "fastbpf"]
OPENAT = "tracepoint:syscalls:sys_enter_openat"
ENTER = "raw_tracepoint:sys_enter"
# What a child of these tests calls without end, and nobody else: a machine may be quiet.
BUSY = [ENTER, "--where", "arg0 == 777000777"]


def run(*arguments, **how):
    how = {"capture_output": True, "text": True, "timeout": 60, **how}
    return subprocess.run([*FASTBPF, *map(str, arguments)], check=False, **how)


@pytest.fixture
def busy():
    script = "import ctypes, time\nlibc = ctypes.CDLL(None)\nwhile True: libc.close(777000777), time.sleep(0.0002)"
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        yield
        child.kill()


@contextmanager
def started(*arguments, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    with subprocess.Popen([*FASTBPF, *map(str, arguments)], **how) as process:
        try:
            yield process
        finally:
            process.kill()


def bpf_objects(pid):
    """The descriptors of a process that are programs, links, maps or perf events."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(fd.readlink()))
        except OSError:
            continue
    return [name for name in found if "bpf" in name or "perf_event" in name]


def programs(pid):
    """The numbers of the programs that a process holds."""
    held = "".join(file.read_text() for file in Path(f"/proc/{pid}/fdinfo").iterdir())
    return {int(number) for number in re.findall(r"^prog_id:\s+(\d+)$", held, re.MULTILINE)}


def loaded():
    """The numbers of all programs in the kernel, as bpftool lists them."""
    listed = subprocess.run(["bpftool", "-j", "prog", "list"], capture_output=True, text=True, check=True).stdout
    return {program["id"] for program in json.loads(listed)}


def wait_for(holds, seconds=10):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def attached(process):
    """Waits until the process has a program on its probe."""
    wait_for(lambda: any("link" in name or "perf_event" in name for name in bpf_objects(process.pid)))


def summary(stderr):
    """(rows, lost) of the last line."""
    found = re.search(r"fastbpf: ([\d,]+) rows?.*, ([\d,]+) lost, (?:[\d,]+|unknown) missed, ([\d,]+) cut", stderr)
    assert found, stderr
    return tuple(int(number.replace(",", "")) for number in found.groups()[:2])


# What comes out


def test_a_pipe_gets_ndjson():
    done = run("trace", OPENAT, "-f", "pid,comm,filename", "--", "cat", "/etc/hostname", "/no such file")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(line) == ["pid", "comm", "filename"] for line in lines)
    assert {"/etc/hostname", "/no such file"} <= {line["filename"] for line in lines}
    assert summary(done.stderr) == (len(lines), 0)
    assert "the command ended with 1" in done.stderr  # cat's own, for the file that is not there


def test_a_buffer_for_each_processor_and_rows_in_order():
    loop = "for _ in range(300): os.sched_setaffinity(0, {min(cpus) if _ % 2 else max(cpus)}); os.getppid()"
    command = [sys.executable, "-c", f"import os; cpus = os.sched_getaffinity(0)\n{loop}"]
    done = run(
        *("trace", "t:syscalls:sys_enter_getppid", "-f", "ts,cpu"),
        *("--shards", "cpu", "--ordered", "--overflow", "drop_newest", "--", *command),
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 300
    assert [row["cpu"] for row in rows[:4]] == [max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0))] * 2
    if " late" not in done.stderr:
        assert [row["ts"] for row in rows] == sorted(row["ts"] for row in rows)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--shards", "node"], "'node' is not 'cpu'"),
        (["--overflow", "drop"], "'drop' is not one of 'block', 'drop_newest', 'drop_oldest'"),
        (["-f", "pid", "--ordered"], "ordered=True goes by ts: name 'ts' among the fields too"),
    ],
)
def test_ways_that_there_are_not(options, why):
    done = run("trace", OPENAT, *options)
    assert done.returncode == 2
    assert why in done.stderr


def test_the_commands_output_does_not_mix_with_ours():
    done = run("trace", OPENAT, "--", "echo", "hello from the command")
    assert "hello" not in done.stdout
    assert "hello from the command\n" in done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("suffix", [".parquet", ".ndjson"])
def test_a_file(suffix, tmp_path):
    path = tmp_path / f"opens{suffix}"
    done = run("trace", OPENAT, "--where", "dfd == -100", "-o", path, "--", "cat", "/etc/hostname")
    assert (done.returncode, done.stdout) == (0, Path("/etc/hostname").read_text()), done.stderr
    frame = (pl.read_parquet if suffix == ".parquet" else pl.read_ndjson)(path)
    assert "/etc/hostname" in frame["filename"].to_list()
    assert summary(done.stderr) == (len(frame), 0)
    assert str(path) in done.stderr
    if suffix == ".parquet":
        metadata = pq.read_metadata(path).metadata
        assert metadata[b"fastbpf.probe"].decode() == OPENAT
        assert metadata[b"fastbpf.where"] == b"dfd == -100"
        assert json.loads(metadata[b"fastbpf.stats"])["rows"] == len(frame)


@pytest.mark.usefixtures("busy")
def test_rows_and_time_end_it(tmp_path):
    assert len(run("trace", *BUSY, "-n", "7").stdout.splitlines()) == 7
    began = time.monotonic()
    done = run("trace", *BUSY, "--for", "300ms", "-o", tmp_path / "a.parquet")
    assert 0.3 <= time.monotonic() - began < 5
    metadata = json.loads(pq.read_metadata(tmp_path / "a.parquet").metadata[b"fastbpf.stats"])
    assert metadata["rows"] == metadata["received"] == summary(done.stderr)[0] > 0


@pytest.mark.usefixtures("busy")
def test_rows_come_as_they_happen():
    with started("trace", *BUSY) as process:
        assert json.loads(process.stdout.readline())
        assert process.poll() is None


def on_a_terminal(*arguments):
    """What a terminal is sent."""
    master, slave = pty.openpty()
    try:
        with started(*arguments, stdout=slave, stdin=slave, stderr=slave) as process:
            os.close(slave)
            text = ""
            while select.select([master], [], [], 20)[0]:
                try:
                    text += os.read(master, 65536).decode()
                except OSError:  # EIO: the other side is closed
                    break
            assert process.wait(20) == 0
    finally:
        os.close(master)
    return text


@pytest.mark.usefixtures("busy")
def test_a_terminal_gets_a_table():
    text = on_a_terminal("trace", *BUSY, "-f", "ts,pid,id", "--for", "1s")
    assert summary(text)[0] > 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"ts\s+pid\s+id", text)
    assert re.search(r"\d\d:\d\d:\d\d\.\d{6}", text)
    assert "rows" in text
    assert "lost" in text


@pytest.mark.parametrize("into", [[], ["-o", "a.parquet"]])
def test_a_terminal_keeps_what_the_command_says(into, tmp_path):
    into = [str(tmp_path / part) if "." in part else part for part in into]
    script = "printf 'begun'; sleep 0.7; echo ' and done'; sleep 0.7; cat /etc/hostname"
    text = on_a_terminal("trace", OPENAT, "-f", "ts,filename", *into, "--", "sh", "-c", script)
    assert text.startswith(f"begun and done\r\n{Path('/etc/hostname').read_text().strip()}\r\n")
    assert not re.search(r"\x1b\[[0-9;]*[A-HJKSTf]", text)  # nothing moves the cursor or erases
    assert bool(re.search(r"\d\d:\d\d:\d\d\.\d{6} +/etc/hostname", text)) == (not into)
    assert summary(text)[0] > 0


# How it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("busy")
def test_a_signal_ends_it_well(number, tmp_path):
    path = tmp_path / "a.parquet"
    with started("trace", *BUSY, "-o", path) as process:
        attached(process)
        ours = programs(process.pid)
        time.sleep(0.3)
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 5
        rows, _ = summary(process.stderr.read())
    assert pq.read_table(path).num_rows == rows > 0
    assert ours
    wait_for(lambda: not ours & loaded())  # the kernel frees them a moment after the last descriptor is gone


@pytest.mark.usefixtures("busy")
def test_a_signal_ends_it_while_the_reader_stalls():
    with started("trace", *BUSY) as process:
        attached(process)
        time.sleep(0.5)  # nobody reads: the pipe is full now
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_stalled_reader_gets_whole_lines_and_the_rest_is_counted(number):
    busy = [sys.executable, "-c", "import os\nwhile True: os.getppid()"]
    bound = [] if number else ["--for", "500ms"]
    with started("trace", ENTER, *bound, "--", *busy) as process:
        attached(process)
        time.sleep(0.5)  # nobody reads
        if number:
            process.send_signal(number)
        assert process.wait(20) == 0
        lines = process.stdout.read().splitlines(keepends=True)
        told = process.stderr.read()
    assert all(line.endswith("}\n") and json.loads(line) for line in lines)
    assert summary(told)[0] == len(lines) > 0
    assert re.search(r", [1-9][\d,]* not written", told)


# Elsewhere the number of a process is not the one that -p takes.
outermost = pytest.mark.skipif(
    Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC, reason="needs the initial pid namespace"
)


@outermost
def test_the_end_of_the_process_ends_it():
    with subprocess.Popen(["sleep", "1000"]) as sleep, started("trace", OPENAT, "-p", sleep.pid) as process:
        attached(process)
        assert process.poll() is None
        sleep.kill()
        assert process.wait(20) == 0
        assert summary(process.stderr.read()) == (0, 0)


@outermost
def test_a_process_that_there_is_not():
    with subprocess.Popen(["true"]) as gone:
        pass
    done = run("trace", ENTER, "-p", gone.pid)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no process {gone.pid}; ps -e lists" in done.stderr


@outermost
def test_a_thread_is_no_process():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        done = run("trace", ENTER, "-p", thread.native_id)
    finally:
        end.set()
        thread.join()
    assert done.returncode == 2
    assert f"--where 'tid == {thread.native_id}'" in done.stderr


@pytest.mark.usefixtures("busy")
def test_a_reader_that_leaves_ends_it():
    shell = f"{shlex.join([*FASTBPF, 'trace', *BUSY])} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    summary(done.stderr)
    assert "Error" not in done.stderr


def test_a_reader_that_leaves_is_noticed_without_events():
    with started("trace", OPENAT, "--where", "dfd == 123456") as process:
        attached(process)
        process.stdout.close()
        assert process.wait(20) == 0


@pytest.mark.usefixtures("busy")
def test_a_killed_one_leaves_nothing(tmp_path):
    with started("trace", *BUSY, "-o", tmp_path / "a.parquet") as process:
        attached(process)
        ours = programs(process.pid)
        assert ours & loaded()
        time.sleep(0.3)
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == []
    wait_for(lambda: not ours & loaded())


def test_the_command_is_ended_with_the_trace():
    done = run("trace", OPENAT, "-n", "1", "--", "sh", "-c", "echo $$ >&2; exec sleep 1000")
    assert done.returncode == 0
    pid = int(done.stderr.splitlines()[0])
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_full_disk_fails_with_a_whole_file(tmp_path):
    busy = [sys.executable, "-c", "import os\nwhile True: os.getppid()"]
    with disk(tmp_path, "1m") as place:
        done = run("trace", ENTER, "-o", place / "a.parquet", "--", *busy)
        assert done.returncode == 1
        rows, _ = summary(done.stderr)
        assert f"holds {rows} rows" in done.stderr
        assert "Traceback" not in done.stderr
        assert pq.read_table(place / "a.parquet").num_rows == rows > 0


# What is refused


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["trace", "tracepoint:sched:sched_swich"], "did you mean tracepoint:sched:sched_switch"),
        (["trace", "nonsense"], "tracepoint:CATEGORY:NAME"),
        (["trace", OPENAT, "-f", "pid,filenam"], "'filename'"),
        (["trace", OPENAT, "--where", "pid = 1"], "invalid syntax; compare with ==\npid = 1\n"),
        (["trace", OPENAT, "--where", "pod == 1"], "no field 'pod'; did you mean 'pid'? The fields are ts, pid, tid, "),
        (["trace", OPENAT, "--where", "pod == 1"], "comm, cgroup, dfd, filename, flags, mode\n"),
        (
            ["trace", "t:sched:sched_wakeup", "--where", "x == 1"],
            "comm, cgroup, args.comm, args.pid, prio, target_cpu\n",
        ),
        (["trace", OPENAT, "--for", "soon"], "write 500ms, 5s"),
        (["trace", OPENAT, "--buffer", "big"], "8MiB"),
        (["trace", OPENAT, "-o", "a.xlsx"], ".parquet"),
        (["trace", OPENAT, "-o", "missing/a.csv"], "make the folder first"),
        (["trace", OPENAT, "-o", "there.csv"], "--force"),
        (["trace", OPENAT, "-o", "folder.csv"], "is a folder"),
        (["trace", OPENAT, "--", "no-such-command-at-all"], "no-such-command-at-all"),
        (["trace", OPENAT, "--nonsense"], "--help"),
        (["trace"], "--help"),
        (["nonsense"], "--help"),
        (["record", OPENAT, "-o", "a.parquet"], ".fbpf"),
        (["replay", "missing.fbpf"], "missing.fbpf cannot be read"),
        (["replay", "there.csv"], "is no capture"),
        (["probes", "no_such_probe_at_all"], "no probe matches"),
    ],
)
def test_it_refuses(arguments, why, tmp_path):
    (tmp_path / "there.csv").write_text("old")
    (tmp_path / "folder.csv").mkdir()
    if "--" not in arguments and arguments[0] == "trace" and len(arguments) > 1:
        arguments = [*arguments, "--", "touch", "started"]
    done = run(*arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 2, done.stderr
    assert why in done.stderr
    assert done.stderr.startswith("fastbpf: ")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "there.csv"]  # the command never began
    assert (tmp_path / "there.csv").read_text() == "old"


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def test_without_privileges_it_refuses():
    command = [*NOBODY, *FASTBPF, "trace", ENTER, "-n", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.returncode == 2
    assert "run as root, or with CAP_BPF" in done.stderr
    assert "Traceback" not in done.stderr


# The other commands


def test_doctor_tells_that_tracing_works():
    done = run("doctor")
    assert done.returncode == 0
    assert done.stdout.endswith("tracing works\n")
    assert "problem" not in done.stdout.partition("BTF")[0]


def test_doctor_tells_what_to_do():
    done = subprocess.run(
        [*NOBODY, *FASTBPF, "doctor"], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if " problem " in line]
    assert {line.split("  ")[0] for line in problems} >= {"capabilities", "bpf(2)", "ring buffer", "tracefs"}
    assert all("; " in line for line in problems)
    assert "fastbpf doctor" not in done.stdout  # which runs already
    told = {line for line in problems if "ermitted" in line}
    assert told
    assert all("operation not permitted (errno 1); run as root" in line for line in told)
    assert done.stdout.endswith("tracing does not work\n")


def test_probes_lists_what_the_kernel_lists():
    done = run("probes", "tracepoint:sched:*")
    kernel = {f"tracepoint:{line}" for line in Path("/sys/kernel/tracing/available_events").read_text().split()}
    told = {line for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert told == {probe for probe in kernel if probe.startswith("tracepoint:sched:")}


def test_probes_shows_fields_of_few():
    lines = run("probes", OPENAT).stdout.splitlines()
    assert [line.split() for line in lines] == [
        [OPENAT],
        ["dfd", "int32", "int"],
        ["filename", "string", "const", "char", "*"],
        ["flags", "int32", "int"],
        ["mode", "uint16", "umode_t"],
    ]
    assert all(line.startswith("tracepoint:") for line in run("probes", "syscalls").stdout.splitlines())
    assert "    filename" in run("probes", "syscalls", "-f").stdout


def test_probes_into_head():
    shell = f"{sys.executable} -m fastbpf probes | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
