"""`fastbpf map`, as a shell runs it; judged by bpftool and by raw bpf(2)."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.kernel.raw_bpf import RawMap

import fastbpf as fb
from fastbpf.maps import possible_cpus

FASTBPF = [sys.executable, "-m", "fastbpf"]
CPUS = possible_cpus()


class Flow(fb.Struct):
    source: fb.ipv4
    port: fb.be16
    path: fb.u16[2]


class Seen(fb.Struct):
    packets: fb.u64
    name: fb.char[8]


def run(*arguments, **how):
    how = {"capture_output": True, "text": True, "timeout": 60, **how}
    return subprocess.run([*FASTBPF, "map", *map(str, arguments)], check=False, **how)


def done(*arguments, **how):
    finished = run(*arguments, **how)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def refused(code, why, *arguments):
    finished = run(*arguments)
    assert (finished.returncode, finished.stdout) == (code, "")
    assert why in finished.stderr
    assert finished.stderr.startswith("fastbpf: ")
    assert "Traceback" not in finished.stderr


def bpftool(*arguments):
    finished = subprocess.run(["bpftool", "-j", *map(str, arguments)], capture_output=True, text=True, check=True)
    return json.loads(finished.stdout)


@pytest.fixture
def counts():
    # A name that nobody else has.
    with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=64, name=f"c{os.getpid()}").create() as map:
        yield map


@pytest.fixture
def flows():
    with fb.MapSpec("hash", key=Flow, value=Seen, max_entries=64, name="flows").create() as map:
        yield map


def test_list_has_what_bpftool_lists(counts):
    theirs = {one["id"]: one for one in bpftool("map", "list")}
    ours = {one["id"]: one for one in map_lines(done("list", "--json"))}
    # Others come and go.
    both = ours.keys() & theirs.keys()
    assert counts.id in both
    for number in both:
        one, other = ours[number], theirs[number]
        assert one["type"] == other["type"]
        assert one["name"] == other.get("name", "")
        sizes = (one["key_size"], one["value_size"], one["max_entries"])
        assert sizes == (other["bytes_key"], other["bytes_value"], other["max_entries"])
    lines = done("list").splitlines()
    assert lines[0].split() == ["id", "type", "name", "key", "value", "entries", "memory"]
    (ours_line,) = [line.split() for line in lines if line.split()[0] == str(counts.id)]
    assert ours_line[:6] == [str(counts.id), "hash", counts.spec.name, "4", "8", "64"]


def map_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_show(flows, counts):
    known, _, columns = done("show", flows.id).partition("columns\n")
    shown = dict(line.split(maxsplit=1) for line in known.splitlines())
    assert (shown["id"], shown["type"], shown["name"]) == (str(flows.id), "hash", "flows")
    assert [line.split() for line in columns.splitlines()] == [
        ["source", "uint32"],
        ["port", "uint16"],
        ["path", *str(Flow.schema.field("path").type).split()],
        ["packets", "uint64"],
        ["name", "dictionary<string>"],
    ]
    told = json.loads(done("show", counts.spec.name, "--json"))
    assert (told["id"], told["columns"]) == (counts.id, {"key": "uint32", "value": "uint64"})


def test_dump_into_a_pipe_and_files(counts, tmp_path):
    for key in range(10):
        counts[key] = key * 2**40
    rows = map_lines(done("dump", counts.id))
    entries = bpftool("map", "dump", "id", counts.id)
    raw = {
        int.from_bytes(bytes(int(byte, 16) for byte in one["key"]), "little"): int.from_bytes(
            bytes(int(byte, 16) for byte in one["value"]), "little"
        )
        for one in entries
    }
    assert {row["key"]: row["value"] for row in rows} == raw == {key: key * 2**40 for key in range(10)}
    finished = run("dump", counts.id, "-o", tmp_path / "a.parquet")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == f"fastbpf: 10 rows in {tmp_path}/a.parquet\n"
    table = pq.read_table(tmp_path / "a.parquet")
    assert dict(zip(*table.to_pydict().values(), strict=True)) == raw
    assert pq.read_metadata(tmp_path / "a.parquet").metadata[b"fastbpf.map"] == counts.spec.name.encode()
    run("dump", counts.id, "-o", tmp_path / "a.arrow")
    assert pa.ipc.open_file(tmp_path / "a.arrow").read_all().num_rows == 10
    refused(2, "exists already", "dump", counts.id, "-o", tmp_path / "a.parquet")
    assert run("dump", counts.id, "-o", tmp_path / "a.parquet", "--force").returncode == 0


def test_dump_of_values_of_each_cpu():
    with fb.MapSpec("percpu_array", value=fb.u64, max_entries=2, name="each").create() as map:
        map[1] = range(CPUS)
        assert [row["cpu"] for row in map_lines(done("dump", map.id))] == [*range(CPUS)] * 2
        assert map_lines(done("dump", map.id, "--reduce", "sum")) == [
            {"key": 0, "value": 0},
            {"key": 1, "value": sum(range(CPUS))},
        ]


def test_set_get_delete(counts):
    raw = RawMap("hash", 4, 8, fd=counts.fileno())
    done("set", counts.id, 7, 0x1FF)
    done("set", counts.id, "0x10", "0xffffffffffffffff")
    assert raw.lookup(struct.pack("=I", 7)) == struct.pack("=Q", 0x1FF)
    assert raw.lookup(struct.pack("=I", 16)) == b"\xff" * 8
    assert done("get", counts.spec.name, 7) == "511\n"
    refused(1, "already", "set", counts.id, "7", "1", "--new")
    refused(1, "has no key 8", "set", counts.id, "8", "1", "--existing")
    done("set", counts.id, "7", "1", "--existing")
    done("delete", counts.id, 7, 16)
    assert len(counts) == 0
    refused(1, "has no key 7", "get", counts.id, "7")
    refused(1, "has no key 7", "delete", counts.id, "7")


def test_structs_go_in_and_out(flows):
    done("set", flows.id, "source=0x0a000001,port=443,path=[1,2]", '{"packets": 5, "name": "a, b"}')
    key = bytes([10, 0, 0, 1]) + struct.pack(">H", 443) + struct.pack("=HH", 1, 2)
    raw = RawMap("hash", len(key), 16, fd=flows.fileno())
    assert raw.lookup(key.ljust(Flow.size, b"\0")) == struct.pack("=Q8s", 5, b"a, b")
    got = done("get", flows.id, '{"source": "0x0a000001", "port": 443, "path": [1, 2]}')
    assert json.loads(got) == {"packets": 5, "name": "a, b"}


def test_values_of_each_cpu_go_in():
    with fb.MapSpec("percpu_hash", key=fb.u32, value=fb.u64, max_entries=2, name="each").create() as map:
        done("set", map.id, 1, 5)
        done("set", map.id, 2, *range(CPUS))
        assert (map[1], map[2]) == ([5] * CPUS, list(range(CPUS)))
        assert json.loads(done("get", map.id, 1)) == [5] * CPUS
        refused(2, "one for each of the", "set", map.id, "1", *["5"] * (CPUS + 1))


def test_bytes_without_types():
    with RawMap("hash", 3, 2, 8) as raw:
        number = next(
            int(line.split()[1])
            for line in Path(f"/proc/self/fdinfo/{raw.fd}").read_text().splitlines()
            if line.startswith("map_id")
        )
        done("set", number, "0x010203", "ffee")
        assert raw.lookup(b"\1\2\3") == b"\xff\xee"
        assert done("get", number, "010203") == '"ffee"\n'
        refused(2, "give 3 bytes in hexadecimal", "get", number, "0102")


def test_a_pin(counts, tmp_path):
    bpffs = tmp_path / "bpf"
    bpffs.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", bpffs], check=True)
    try:
        counts.pin(bpffs / "counts")
        counts[3] = 4
        assert done("get", bpffs / "counts", 3) == "4\n"
        refused(2, "no such file", "get", bpffs / "other", "3")
    finally:
        subprocess.run(["umount", bpffs], check=True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["get", "MAP", "-1"], "No such option"),
        (["get", "MAP", "x"], "key x: fb.u32 cannot hold it"),
        (["get", "MAP", "4294967296"], "cannot hold it"),
        (["set", "MAP", "1", "1.5"], "value 1.5: fb.u64 cannot hold it"),
        (["set", "MAP", "1", "1", "2"], "2 values"),
        (["show", "4294967295"], "no such"),
        (["show", "no_such_map_at_all"], "the kernel has no map"),
        (["dump", "MAP", "-o", "x.xlsx"], "has to end in one of"),
        (["dump", "MAP", "--reduce", "sum"], "reduce='sum'"),
        (["top", "MAP", "-s", "valeu", "--for", "0s"], "did you mean value"),
        (["top", "MAP", "--every", "soon"], "is no time"),
        (["nonsense"], "No such command"),
    ],
)
def test_it_refuses(arguments, why, counts):
    refused(2, why, *(counts.id if one == "MAP" else one for one in arguments))
    assert len(counts) == 0


def test_fields_that_are_wrong(flows):
    refused(2, "path is missing", "get", flows.id, "source=1,port=1")
    refused(2, "there is no field prot", "get", flows.id, "source=1,prot=1,path=[1,2]")
    refused(2, "key source x: fb.be32 cannot hold it", "get", flows.id, "source=x,port=1,path=[1,2]")
    refused(2, "write source=…,port=…,path=…", "get", flows.id, "10.0.0.1")
    refused(2, "is no JSON object", "get", flows.id, "{10.0.0.1")


def test_a_queue_has_no_keys():
    with fb.MapSpec("queue", value=fb.u32, max_entries=2, name="line").create() as map:
        refused(2, "has no keys", "get", map.id, "1")
        refused(2, "drain", "dump", map.id)
        refused(2, "drain", "top", map.id, "--for", "0s")


def test_top_in_a_pipe(counts):
    counts.update({1: 10, 2: 30, 3: 20})
    with subprocess.Popen(
        [*FASTBPF, "map", "top", str(counts.id), "--every", "50ms", "-n", "2"], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = (json.loads(line) for line in process.stdout)
        first = [next(lines), next(lines)]
        assert [(row["key"], row["value"], row["value_change"]) for row in first] == [(2, 30, None), (3, 20, None)]
        counts[1] = 1010
        for row in lines:
            if row["key"] == 1:
                break
        assert (row["value"], row["value_change"]) == (1010, 1000)
        assert row["value_rate"] > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_top_by_a_column(counts):
    counts.update({1: 10, 2: 30, 3: 20})
    rows = map_lines(done("top", counts.id, "--for", "0s", "-s", "key"))
    assert [row["key"] for row in rows] == [3, 2, 1]


def terminal(*arguments, wanted, after=lambda: None):
    """What a terminal shows, until `wanted` is there; then Ctrl-C."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(COLUMNS="100", LINES="30", TERM="xterm")
        os.execv(FASTBPF[0], [*FASTBPF, "map", *map(str, arguments)])
    shown, end = "", time.monotonic() + 30
    try:
        while not all(text in shown for text in wanted):
            assert time.monotonic() < end, shown
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    shown += os.read(fd, 65536).decode()
                except OSError:
                    break
            after()
        os.kill(pid, signal.SIGINT)
        _, status = os.waitpid(pid, 0)
        return shown, os.waitstatus_to_exitcode(status)
    finally:
        os.close(fd)


def test_top_on_a_terminal(counts):
    counts.update({1: 10, 2: 30})
    _, code = terminal("top", counts.id, "--every", "100ms", wanted=["value_rate", "30", "10", "null"])
    assert code == 0


def test_dump_on_a_terminal(counts):
    counts.update({1: 10, 2: 31})
    shown, _ = terminal("dump", counts.id, wanted=["key  value", "1    10", "2    31"])
    assert "{" not in shown


def test_a_reader_that_leaves_ends_it(counts):
    counts[1] = 1
    shell = f"{' '.join(FASTBPF)} map top {counts.id} --every 10ms | head -1"
    finished = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert len(finished.stdout.splitlines()) == 1
