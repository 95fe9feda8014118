"""Probes of the running kernel, judged by the kernel's own type information (BTF) and its syscalls' formats."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from fastbpf.errors import ProbeError
from fastbpf.probes import (
    Array,
    Bytes,
    Chars,
    DataLoc,
    Field,
    Probe,
    Scalar,
    UserText,
    c_types,
    matching,
    resolve,
    tracefs,
)

# PERF_MAX_TRACE_SIZE: no record is longer.
RECORD_LIMIT = 8192


@pytest.fixture(scope="module")
def tracepoints() -> list[Probe]:
    return matching("tracepoint:*")


@pytest.fixture(scope="module")
def syscalls(tracepoints: list[Probe]) -> list[Probe]:
    return [probe for probe in tracepoints if probe.category == "syscalls"]


def raw_lines(probe: Probe) -> list[str]:
    """The lines of the format that are the event's own, found without our parser."""
    text = Path(f"{tracefs.root()}/events/{probe.category}/{probe.name}/format").read_text()
    return [line.strip() for line in text.splitlines() if line.startswith("\tfield:") and " common_" not in line]


def extent(field: Field) -> tuple[int, int]:
    """Where the field begins in the context, and how many bytes it has there."""
    match field.read:
        case Scalar(offset, load, _, _, _):
            return offset, load
        case Array(offset, size, _, count):
            return offset, size * count
        case Chars(offset, count) | Bytes(offset, count):
            return offset, count
        case DataLoc(offset):
            return offset, 4
        case UserText(offset):
            return offset, 8
        case other:
            raise AssertionError(f"{other} is not in the context of a tracepoint")


def test_every_line_of_every_format_is_a_field(tracepoints: list[Probe]) -> None:
    assert len(tracepoints) > 500
    for probe in tracepoints:
        lines = raw_lines(probe)
        if probe.category == "syscalls":
            lines = [line for line in lines if "__syscall_nr" not in line and "__data_loc" not in line]
        assert len(probe.fields) == len(lines), probe.text
        for field, line in zip(probe.fields, lines, strict=True):
            offset, size = extent(field)
            assert f"\toffset:{offset};\tsize:{size};" in line, (probe.text, field)
            declared = line.removeprefix("field:").partition(";")[0]
            without_name = re.sub(rf"\b{field.name}(?=\[|$)", "", declared, count=1)
            assert without_name != declared, (probe.text, field)
            assert without_name.replace(" ", "") == field.c_type.replace(" ", ""), (probe.text, field)


def test_fields_lie_side_by_side_within_the_record(tracepoints: list[Probe]) -> None:
    for probe in tracepoints:
        end = 8
        for offset, size in sorted(extent(field) for field in probe.fields):
            assert end <= offset, probe.text
            end = offset + size
        assert end <= RECORD_LIMIT, probe.text
        assert len({field.name for field in probe.fields}) == len(probe.fields), probe.text


def test_every_number_is_aligned_as_the_verifier_wants_it(tracepoints: list[Probe]) -> None:
    for probe in tracepoints:
        for field in probe.fields:
            if isinstance(field.read, Scalar):
                assert field.read.load in (1, 2, 4, 8), (probe.text, field)
                assert field.read.offset % field.read.load == 0, (probe.text, field)
            if isinstance(field.read, DataLoc):
                assert field.read.offset % 4 == 0, (probe.text, field)


def test_ids_are_the_formats_own(tracepoints: list[Probe]) -> None:
    ids = set()
    for probe in tracepoints[::20]:
        text = Path(f"{tracefs.root()}/events/{probe.category}/{probe.name}/format").read_text()
        assert f"\nID: {probe.tracepoint_id}\n" in text
        ids.add(probe.tracepoint_id)
    assert len(ids) == len(tracepoints[::20])


def test_every_argument_of_every_syscall_has_a_known_type(syscalls: list[Probe]) -> None:
    types = {field.c_type for probe in syscalls for field in probe.fields}
    assert len(types) > 50
    assert {c_type for c_type in types if c_types.number(c_type) is None} == set()


def test_every_result_of_a_syscall_is_a_signed_long(syscalls: list[Probe]) -> None:
    exits = [probe for probe in syscalls if probe.name.startswith("sys_exit_")]
    assert len(exits) > 200
    for probe in exits:
        assert probe.fields == (Field("ret", "long", Scalar(16, 8, 8, True)),)


# Every char pointer among the syscalls' arguments that is not text for us. A new syscall's is neither here nor in the
# table, and this test asks for a decision.
NOT_TEXT = {
    # the kernel writes there
    ("flistxattr", "list"),
    ("getcwd", "buf"),
    ("getrandom", "ubuf"),
    ("getsockopt", "optval"),
    ("listxattr", "list"),
    ("listxattrat", "list"),
    ("llistxattr", "list"),
    ("lookup_dcookie", "buf"),
    ("mq_timedreceive", "u_msg_ptr"),
    ("pread64", "buf"),
    ("read", "buf"),
    ("readlink", "buf"),
    ("readlinkat", "buf"),
    ("syslog", "buf"),
    # any bytes, as many as another argument says
    ("mq_timedsend", "u_msg_ptr"),
    ("pwrite64", "buf"),
    ("setsockopt", "optval"),
    ("write", "buf"),
    # text without a NUL, as long as another argument says
    ("setdomainname", "name"),
    ("sethostname", "name"),
    # addresses
    ("shmat", "shmaddr"),
    ("shmdt", "shmaddr"),
}


def test_every_char_pointer_of_a_syscall_is_decided(syscalls: list[Probe]) -> None:
    text, undecided = set(), set()
    for probe in syscalls:
        name = probe.name.removeprefix("sys_enter_")
        for field in probe.fields:
            # Looser than our own test for text pointers, and without "const char *const *", a list of them.
            if isinstance(field.read, UserText):
                text.add((name, field.name))
            elif re.search(r"\bchar\b", field.c_type) and field.c_type.count("*") == 1:
                undecided.add((name, field.name))
    assert undecided - NOT_TEXT == {("mincore", "vec")}  # unsigned char: a vector of flags
    assert text & NOT_TEXT == set()
    assert len(text) > 50


def test_text_pointers_of_newer_kernels_are_in_the_table(syscalls: list[Probe]) -> None:
    # Kernels since 6.19 copy text themselves, and say so: __filename_val stands for filename.
    for probe in syscalls:
        copies = set(re.findall(r"__data_loc char\[\] __(\w+)_val;", "\n".join(raw_lines(probe))))
        text = {field.name for field in probe.fields if isinstance(field.read, UserText)}
        name = probe.name.removeprefix("sys_enter_")
        assert {copy for copy in copies if (name, copy) not in NOT_TEXT} <= text, probe.text


# ---- BTF, the second source ---------------------------------------------------------------------------------------


class Btf:
    """The kernel's types, as bpftool (Debian's package bpftool) prints them."""

    def __init__(self) -> None:
        command = ["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"]
        types = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["types"]
        self.by_id: dict[int, dict[str, Any]] = {t["id"]: t for t in types}
        self.typedefs: dict[str, int] = {t["name"]: t["id"] for t in types if t["kind"] == "TYPEDEF"}
        self.ints: dict[str, int] = {t["name"]: t["id"] for t in types if t["kind"] == "INT"}
        self.records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for t in types:
            if t["kind"] == "STRUCT" and t["name"].startswith("trace_event_raw_"):
                self.records[t["name"].removeprefix("trace_event_raw_")].append(t)

    def bare(self, number: int) -> dict[str, Any]:
        found = self.by_id[number]
        while found["kind"] in ("TYPEDEF", "CONST", "VOLATILE", "TYPE_TAG"):
            found = self.by_id[found["type_id"]]
        return found

    def size(self, number: int) -> int:
        found = self.bare(number)
        if found["kind"] == "PTR":
            return 8
        if found["kind"] == "ARRAY":
            return int(found["nr_elems"]) * self.size(found["type_id"])
        return int(found["size"])

    def layout(self, record: dict[str, Any]) -> dict[str, tuple[int, int, bool | None]]:
        """Name → (offset, size, sign where it is an integer) of a record's own fields."""
        fields = {}
        for member in record["members"]:
            if member["name"] in ("ent", "__data"):
                continue
            found = self.bare(member["type_id"])
            if found["kind"] == "ARRAY":
                found = self.bare(found["type_id"])
            signed = found["encoding"] == "SIGNED" if found["kind"] == "INT" else None
            name = re.sub("^__(rel_)?data_loc_", "", member["name"])
            fields[name] = (member["bits_offset"] // 8, self.size(member["type_id"]), signed)
        return fields


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf()


def agrees(probe: Probe, layout: dict[str, tuple[int, int, bool | None]]) -> bool:
    for field in probe.fields:
        offset, size, signed = layout[field.name]
        if extent(field) != (offset, size):
            return False
        if isinstance(field.read, Scalar | Array) and signed is not None and field.read.signed != signed:
            return False
    return True


def test_layouts_are_those_of_btf(tracepoints: list[Probe], btf: Btf) -> None:
    # An event has a struct of its name, or shares that of its class, which tracefs does not name: then one of the
    # structs with the very same fields must agree.
    layouts = {name: [btf.layout(record) for record in records] for name, records in btf.records.items()}
    by_fields = defaultdict(list)
    for same_name in layouts.values():
        for layout in same_name:
            by_fields[frozenset(layout)].append(layout)

    events = [probe for probe in tracepoints if probe.category != "syscalls"]
    alone = []
    for probe in events:
        names = frozenset(field.name for field in probe.fields)
        own = [layout for layout in layouts.get(probe.name, []) if frozenset(layout) == names]
        candidates = own or by_fields[names]
        if not candidates:
            alone.append(probe.text)
        else:
            assert any(agrees(probe, layout) for layout in candidates), probe.text
    assert len(alone) < len(events) / 100, alone


def test_sizes_of_named_types_are_those_of_btf(btf: Btf) -> None:
    known = {name: number for name, number in {**btf.typedefs, **btf.ints}.items() if name in c_types._NUMBERS}
    assert len(known) > 40
    for name, number in known.items():
        found = btf.bare(number)
        expected = c_types.number(name)
        assert expected is not None
        assert expected.size == btf.size(number), name
        if found["kind"] == "INT" and name != "char":  # its sign depends on how the kernel was built
            assert expected.signed == (found["encoding"] == "SIGNED"), name


# ---- the ways in --------------------------------------------------------------------------------------------------


def test_what_is_listed_resolves(tracepoints: list[Probe]) -> None:
    for probe in tracepoints[::50]:
        assert resolve(probe.text) == probe


def test_tracefs_may_not_be_read() -> None:
    # A process without privileges is told so, not that tracefs is not mounted.
    script = """
import os, sys
import fastbpf.probes as probes
from fastbpf.errors import KernelError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    probes.resolve("tracepoint:sched:sched_switch")
except KernelError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "no permission" in done.stdout
    assert "run as root" in done.stdout


def test_tracefs_is_not_mounted() -> None:
    script = 'umount -l /sys/kernel/debug/tracing /sys/kernel/debug /sys/kernel/tracing 2>/dev/null; exec "$@"'
    code = "import fastbpf.probes as p; p.resolve('t:sched:sched_switch')"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "KernelError" in done.stderr
    assert "mount -t tracefs tracefs /sys/kernel/tracing" in done.stderr


def test_events_made_at_run_time_are_no_tracepoints() -> None:
    def define(line: str) -> None:
        file = os.open(f"{tracefs.root()}/dynamic_events", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    define(f"p:fastbpf_test/mine {os.path.realpath(sys.executable)}:0x40\n")
    try:
        assert "fastbpf_test:mine" in tracefs.read("available_events")
        assert matching("fastbpf_test:*") == []
        with pytest.raises(ProbeError, match="no tracepoint"):
            resolve("t:fastbpf_test:mine")
    finally:
        define("-:fastbpf_test/mine\n")


def test_nearest_names_over_a_whole_kernel() -> None:
    with pytest.raises(ProbeError, match=r"did you mean tracepoint:syscalls:sys_enter_openat\?$"):
        resolve("tracepoint:sys_enter_openat")
    with pytest.raises(ProbeError, match=r"tracepoint:sched:sched_switch"):
        resolve("t:sched:sched_swich")
    with pytest.raises(ProbeError, match=r"did you mean tracepoint:sched:sched_switch\?$"):
        resolve("rt:sched_switch")
