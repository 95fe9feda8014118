"""`fastbpf helpers`, without a kernel."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest

from fastbpf import helpers


def run(*arguments, **how):
    command = [sys.executable, "-m", "fastbpf", "helpers", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **how)


def names(*arguments):
    return [line.split()[1] for line in run(*arguments).stdout.splitlines()]


def test_a_line_a_helper():
    done = run()
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 211)
    assert lines[3].split(maxsplit=6) == [
        *("4", "probe_read", "4.1", "probe", "GPL", "-"),
        "long bpf_probe_read(void *dst, __u32 size, const void *unsafe_ptr)",
    ]
    assert {len(line.split(maxsplit=6)) for line in lines} == {7}


def test_choosing():
    assert names("--category", "sync") == ["spin_lock", "spin_unlock"]
    assert names("--since", "6.2") == ["cgrp_storage_get", "cgrp_storage_delete"]
    assert names("--for", "xdp") == [one.name for one in helpers.available("xdp")]
    assert names("--for", "xdp", "--since", "5.8", "--category", "xdp") == [
        *("xdp_get_buff_len", "xdp_load_bytes", "xdp_store_bytes")
    ]
    assert names("--for", "sk_lookup", "--category", "sysctl") == []


def test_one_by_name():
    for name in ("map_lookup_elem", "bpf_map_lookup_elem", "1"):
        done = run(name)
        assert (done.returncode, done.stdout) == (0, helpers.describe("map_lookup_elem") + "\n")


def test_json_is_an_object_a_line():
    told = [json.loads(line) for line in run("--json", "--category", "map").stdout.splitlines()]
    assert [one["id"] for one in told] == [one.id for one in helpers.by_category("map")]
    assert told[0]["min_kernel"] == "3.19"
    assert set(told[0]["prog_types"]) == helpers.get(1).prog_types
    assert json.loads(run("loop", "--json").stdout)["signature"] == helpers.get("loop").signature
    assert json.loads(run("5", "--json").stdout)["name"] == "ktime_get_ns"


# What programs of these types may call hangs on what they are attached to.
@pytest.mark.parametrize("prog_type", ["lsm", "tracing", "struct_ops"])
def test_a_list_that_is_a_lower_bound_says_so(prog_type):
    done = run("--for", prog_type)
    assert [line.split()[1] for line in done.stdout.splitlines()] == [one.name for one in helpers.available(prog_type)]
    assert done.returncode == 0
    assert done.stderr == (
        f"fastbpf: this list is a lower bound: programs of type {prog_type} may be allowed more; "
        "--probe asks the running kernel\n"
    )
    assert run("--for", "xdp").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["map_lookup_elm"], "there is no helper map_lookup_elm; the nearest: map_lookup_elem"),
        (["qqqqqqqq"], "there is no helper qqqqqqqq; `fastbpf helpers | grep WORD` finds them\n"),
        (["0"], "there is no helper 0: the kernel has 1 to 211\n"),
        (["212"], "there is no helper 212: the kernel has 1 to 211\n"),
        (["--for", "ext"], "a program of type ext may call what the one may call that it replaces"),
        (["--for", "ext", "--json"], "a program of type ext may call what the one may call that it replaces"),
        (["--for", "xpd", "--since", "99.0"], "'xpd' is no program type; the nearest: xdp"),
        (["--category", "mop"], "there is no category 'mop'; the nearest: map"),
        (["--for", "xpd"], "'xpd' is no program type; the nearest: xdp"),
        (["--since", "new"], "'new' is no kernel version"),
        (["--probe"], "--probe asks the kernel about a program type; give it with --for"),
        (["loop", "--since", "5.8"], "give either a NAME or what to list"),
        (["loop", "--probe", "--for", "xdp"], "give either a NAME or what to list"),
    ],
)
def test_it_refuses(arguments, why):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_a_terminal_shows_what_it_has_room_for():
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80"}
    command = [sys.executable, "-m", "fastbpf", "helpers", "--category", "time"]
    child = subprocess.Popen(command, stdout=theirs, env=environment)
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while more := os.read(ours, 1 << 16):
            text += more
    os.close(ours)
    assert child.wait() == 0
    lines = text.decode().splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) == 80
    assert lines[0].startswith("5    ktime_get_ns         4.1   time  -  -        Nanoseconds since")
    assert lines[0].endswith("…")
