"""Probe text, against a tracefs made of plain files: no privileges needed."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastbpf import probes
from fastbpf.errors import KernelError, ProbeError
from fastbpf.probes import Probe, RawArg, SyscallArg, SyscallNumber, matching, resolve, tracefs

EVENTS = [
    "sched:sched_switch",
    "sched:sched_wakeup",
    "syscalls:sys_enter_openat",
    "syscalls:sys_enter_openat2",
    "syscalls:sys_exit_openat",
    "syscalls:sys_enter_newstat",
    "block:block_rq_issue",
    "kprobes:mine",
    "synthetic:delay",
]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, event in enumerate(EVENTS):
        directory = tmp_path / "events" / event.replace(":", "/")
        directory.mkdir(parents=True)
        (directory / "id").write_text(f"{100 + number}\n")
        (directory / "format").write_text("name: x\nformat:\n\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;\n")
    (tmp_path / "available_events").write_text("\n".join(EVENTS) + "\n")
    (tmp_path / "dynamic_events").write_text("p:kprobes/mine do_sys_open\ns:delay u64 lat\n")
    monkeypatch.setattr(tracefs, "ROOTS", (str(tmp_path / "nowhere"), str(tmp_path)))
    return tmp_path


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("text", ["tracepoint:sched:sched_wakeup", "t:sched:sched_wakeup"])
def test_a_tracepoint(text: str) -> None:
    probe = resolve(text)
    assert probe == Probe("tracepoint", "sched", "sched_wakeup")
    assert probe.text == "tracepoint:sched:sched_wakeup"
    assert (probe.kind, probe.category, probe.name) == ("tracepoint", "sched", "sched_wakeup")
    assert probe.program_type == "tracepoint"
    assert probe.tracepoint_id == 101
    assert [field.name for field in probe.fields] == ["pid"]


@pytest.mark.parametrize("prefix", ["raw_tracepoint", "rawtracepoint", "rt"])
def test_the_raw_tracepoints_need_no_tracefs(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "ROOTS", ())
    enter, leave = resolve(f"{prefix}:sys_enter"), resolve(f"{prefix}:sys_exit")
    assert (enter.text, leave.text) == ("raw_tracepoint:sys_enter", "raw_tracepoint:sys_exit")
    assert enter.program_type == "raw_tracepoint"
    assert [f.name for f in enter.fields] == ["id", "arg0", "arg1", "arg2", "arg3", "arg4", "arg5"]
    assert [f.read for f in enter.fields] == [RawArg(1, 8, True), *(SyscallArg(n) for n in range(6))]
    assert [(f.name, f.read) for f in leave.fields] == [("id", SyscallNumber()), ("ret", RawArg(1, 8, True))]
    with pytest.raises(ProbeError, match="no tracepoint id"):
        _ = enter.tracepoint_id


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        # no kind, or one that is not known
        ("nonsense", r"'nonsense' names no kind .*tracepoint:CATEGORY:NAME .*raw_tracepoint:NAME"),
        # a kind that bpftrace has; no tracepoint is suggested, even where one is named so
        (
            "kprobe:sched_switch",
            r"does not trace kprobe probes; it knows tracepoint:.* and raw_tracepoint:NAME \(rt:\)$",
        ),
        ("xdp:eth0", r"does not trace xdp probes"),
        ("BEGIN", r"does not trace BEGIN probes"),
        ("sched:sched_switch", r"did you mean tracepoint:sched:sched_switch\?$"),
        ("sys_enter_openat", r"did you mean tracepoint:syscalls:sys_enter_openat\?$"),
        ("", r"names no kind"),
        # the category is missing or wrong
        ("tracepoint:sys_enter_openat", r"did you mean tracepoint:syscalls:sys_enter_openat\?$"),
        ("t:block:sched_switch", r"did you mean tracepoint:sched:sched_switch\?$"),
        ("t:sched_swich", r"did you mean tracepoint:sched:sched_switch"),
        # the name is a part, or has a slip
        ("t:syscalls:openat", r"did you mean tracepoint:syscalls:sys_e\w+_openat or "),
        ("t:block:rq_issue", r"did you mean tracepoint:block:block_rq_issue\?$"),
        ("t:sched:sched_swtich", r"no tracepoint 'sched:sched_swtich' .*did you mean tracepoint:sched:sched_switch"),
        ("t:syscalls:sys_enter_stat", r"tracepoint:syscalls:sys_enter_newstat"),
        ("t:zzz:qqq", r"all there are: fastbpf probes$"),
        ("t:", r"no tracepoint ''"),
        ("t:sched:../sched/sched_switch", r"no tracepoint"),
        # not places where a tracepoint's program runs
        ("t:sched:*", r"is a pattern.*fastbpf probes 't:sched:\*'"),
        ("t:ftrace:function", r"record of ftrace's own"),
        ("t:kprobes:mine", r"no tracepoint 'kprobes:mine'"),
        ("t:synthetic:delay", r"no tracepoint 'synthetic:delay'"),
        # other raw tracepoints
        ("rt:sched_switch", r"only sys_enter and sys_exit .*did you mean tracepoint:sched:sched_switch\?$"),
        ("rt:nope", r"only sys_enter and sys_exit are known by their arguments$"),
    ],
)
def test_what_is_no_probe(text: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        resolve(text)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("sched:*", ["tracepoint:sched:sched_switch", "tracepoint:sched:sched_wakeup"]),
        ("t:sched:*", ["tracepoint:sched:sched_switch", "tracepoint:sched:sched_wakeup"]),
        ("*switch", ["tracepoint:sched:sched_switch"]),
        ("tracepoint:*:sys_e????_openat", ["tracepoint:syscalls:sys_enter_openat"]),
        ("wake", ["tracepoint:sched:sched_wakeup"]),
        ("rt:", ["raw_tracepoint:sys_enter", "raw_tracepoint:sys_exit"]),
        ("rt:*", ["raw_tracepoint:sys_enter", "raw_tracepoint:sys_exit"]),
        ("nothing", []),
        ("sched", ["tracepoint:sched:sched_switch", "tracepoint:sched:sched_wakeup"]),
    ],
)
def test_matching(pattern: str, expected: list[str]) -> None:
    assert [probe.text for probe in matching(pattern)] == expected


@pytest.mark.usefixtures("kernel")
def test_matching_everything_is_sorted_and_without_what_is_no_tracepoint() -> None:
    texts = [probe.text for probe in matching()]
    assert texts == sorted(texts)
    assert len(texts) == len(EVENTS) - 2 + 2
    assert all(resolve(text).text == text for text in texts)


def test_listing_reads_no_formats(kernel: Path) -> None:
    for path in kernel.glob("events/*/*/format"):
        path.unlink()
    probe = matching("sched:sched_switch")[0]
    with pytest.raises(ProbeError, match="is gone"):
        _ = probe.fields


def test_tracefs_is_not_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracefs, "ROOTS", (str(tmp_path),))
    with pytest.raises(KernelError, match=r"not mounted.*mount -t tracefs tracefs") as caught:
        resolve("t:sched:sched_switch")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(KernelError):
        matching()
    # No suggestion can be made, and the cause is still told.
    with pytest.raises(ProbeError, match="names no kind"):
        resolve("sched:sched_switch")
    with pytest.raises(ProbeError, match="only sys_enter and sys_exit"):
        resolve("rt:sched_switch")


@pytest.mark.parametrize(
    ("code", "uid", "remedy"),
    [(errno.EACCES, 1000, "run as root"), (errno.EPERM, 0, "locked down"), (errno.EACCES, 0, "run as root")],
)
def test_tracefs_may_not_be_read(code: int, uid: int, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(code, "refused", path)

    monkeypatch.setattr(tracefs, "os", SimpleNamespace(stat=refuse, geteuid=lambda: uid))
    with pytest.raises(KernelError, match=f"no permission to read /sys/kernel/tracing/events; .*{remedy}") as caught:
        tracefs.root()
    assert caught.value.errno == code


def test_every_public_name_is_there() -> None:
    assert all(hasattr(probes, name) for name in probes.__all__)
