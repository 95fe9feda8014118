"""The registry and `helpers.probe` against the running kernel, which is asked by bpf(2) alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache

import pytest
from tests.kernel.test_prototypes_kernel import DEPENDS, END, REFUSED, UNASKED, VARIANTS, call, load
from tests.kernel.test_prototypes_kernel import without_capabilities as without

from fastbpf import helpers
from fastbpf.errors import KernelError
from fastbpf.helpers.attach_types import ATTACH_TYPES
from fastbpf.helpers.prototypes import PROGRAM_TYPES
from fastbpf.kernel_version import KernelVersion

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39
NAMES = {CAP_NET_ADMIN: "CAP_NET_ADMIN", CAP_PERFMON: "CAP_PERFMON", CAP_BPF: "CAP_BPF"}
ASKED = [one for one in PROGRAM_TYPES if one not in UNASKED]
# Where the kernel wants to know what the program is for, fastbpf finds something that every kernel has.
TARGETED = ["tracing", "struct_ops"]
# What the registry lists and this kernel may refuse, by the status that probe gives, and why.
REASONS = {
    "lockdown": "it is locked down",
    "config": "it was built without",
    "unknown": "it lets nobody load the programs that could call it",
}


def exists(program_type):
    """Whether this kernel has programs of the type."""
    return "not verified" not in load(program_type, VARIANTS.get(program_type, [(0, 0)])[0], END)


def accepts(program_type, variant, id):
    said = load(program_type, variant, call(id) + END)
    return "not verified" not in said and not any(words in said for words in REFUSED)


@cache
def accepted(program_type):
    """The numbers of the helpers that the kernel accepts in any variant."""
    variants = VARIANTS.get(program_type, [(0, 0)])
    return {id for id in range(1, 212) if any(accepts(program_type, variant, id) for variant in variants)}


@cache
def enumerated(prefix):
    """Names and numbers out of the kernel's BTF, as bpftool reads it."""
    text = subprocess.run(
        ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"], capture_output=True, text=True, check=True
    ).stdout
    return (
        text if prefix is None else {n: int(v) for n, v in re.findall(rf"'{prefix}(\w+)' val=(\d+)", enumerated(None))}
    )


def test_the_registry_agrees_with_the_kernels_btf():
    found = helpers.check()
    assert found.agrees, str(found)
    assert found.missing == found.renamed == ()
    listed = enumerated("BPF_FUNC_")
    assert {one.name: one.id for one in helpers.all()} | {"unspec": 0} == listed | {
        one.name: one.id for one in found.extra
    }


def test_a_helper_of_ones_own_differs_from_this_kernel():
    helpers.register(helpers.Helper(300, "clock", "__u64 bpf_clock(void)", "6.0", "all", "time"))
    try:
        assert [one.name for one in helpers.check().extra] == ["clock"]
        assert helpers.check().agrees is (KernelVersion.running() < (6, 0))
        verdict = helpers.probe("xdp")["clock"]
        assert (verdict.status, verdict.allowed) == ("kernel", False)
    finally:
        helpers.unregister("clock")


def test_attach_types_are_numbered_as_the_kernel_does():
    text = enumerated(None)
    enum = re.search(r"ENUM 'bpf_attach_type'.*?\n((?:\t.*\n)+)", text)[1]
    numbers = {name.lower(): int(value) for name, value in re.findall(r"'BPF_(\w+)' val=(\d+)", enum)}
    known = {name: number for name, number in numbers.items() if name in ATTACH_TYPES}
    assert len(known) > 30
    assert known == {name: ATTACH_TYPES.index(name) for name in known}
    if KernelVersion.running() >= (6, 18):
        assert set(ATTACH_TYPES) <= set(numbers)


@pytest.mark.parametrize("program_type", ASKED)
def test_probe_says_what_the_kernel_accepts(program_type):
    if not exists(program_type):
        with pytest.raises(KernelError, match="this kernel knows no such programs"):
            helpers.probe(program_type)
        return
    seen = helpers.probe(program_type)
    assert {helpers.get(name).id for name in seen.allowed} == accepted(program_type)
    assert len(seen) == 211


@pytest.mark.parametrize("program_type", [one for one in VARIANTS if len(VARIANTS[one]) > 1])
def test_probe_of_one_attach_type(program_type):
    for attach, flags in VARIANTS[program_type]:
        if not attach or flags:
            continue  # the kernel's "none of them", which has no name
        if not (accepted_by := {id for id in range(1, 212) if accepts(program_type, (attach, 0), id)}):
            continue  # of a newer kernel
        seen = helpers.probe(program_type, ATTACH_TYPES[attach])
        awake = {one.helper.id for one in seen.values() if one.allowed and one.why != "in sleepable programs"}
        assert awake == accepted_by, ATTACH_TYPES[attach]


@pytest.mark.parametrize("program_type", [*ASKED, *TARGETED])
def test_what_the_registry_calls_available_is_allowed_or_explained(program_type):
    if program_type in ASKED and not exists(program_type):
        return
    seen = helpers.probe(program_type)
    missing = [name for name in seen.allowed if helpers.get(name).allows(program_type) is not True]
    assert missing == []
    refused = [seen[one.id] for one in helpers.available(program_type) if not seen[one.id].allowed]
    if KernelVersion.running() >= (6, 18):  # older ones allow less
        assert [str(one) for one in refused if one.status not in REASONS] == []
        assert {one.helper.name for one in refused if one.status in {"lockdown", "config"}} <= set(DEPENDS)


def test_probe_of_programs_for_a_certain_function():
    """An iterator has helpers that a tracepoint has not, and both say which function they are for."""
    iterator, tracepoint = helpers.probe("tracing", "trace_iter"), helpers.probe("tracing", "trace_raw_tp")
    assert set(iterator.allowed) - set(tracepoint.allowed) >= {"seq_printf", "seq_write"}
    assert tracepoint["skb_output"].allowed
    assert tracepoint["d_path"].why == "in functions that the kernel lists for it"
    assert helpers.probe("tracing")["seq_printf"].why == "for trace_iter"


def test_types_that_nobody_can_load_here_say_so():
    for program_type in ("lsm", "lirc_mode2"):
        try:
            seen = helpers.probe(program_type)
        except KernelError as error:
            assert f"cannot load a program of type {program_type}" in str(error)  # noqa: PT017
        else:
            assert "map_lookup_elem" in seen.allowed


# -- capabilities ------------------------------------------------------------------------------------------------------


def test_which_helpers_take_perfmon():
    """On top of what their program's type takes. CAP_BPF cannot be told apart where nobody may go without it."""
    taking, free = set(), set()
    for program_type in filter(exists, ASKED):
        full = helpers.probe(program_type)
        with without(CAP_SYS_ADMIN, CAP_PERFMON):
            try:
                less = helpers.probe(program_type)
            except KernelError as error:
                assert "this process lacks CAP_PERFMON" in str(error)  # noqa: PT017
                continue
        free |= set(less.allowed)
        lost = set(full.allowed) - set(less.allowed)
        taking |= lost
        assert {less[name].status for name in lost} == {"capability"}
        assert {less[name].why for name in lost} == {"it takes CAP_PERFMON, which this process lacks"}
    listed = {one.name for one in helpers.all() if one.capability == "CAP_PERFMON"}
    assert taking <= listed
    if KernelVersion.running() >= (6, 18):
        assert taking == listed
    # the kernel lets some types have some of them for nothing
    assert all(name.startswith("skc_to_") for name in taking & free)


@pytest.mark.parametrize("program_type", ASKED)
def test_a_type_that_takes_more_than_this_process_has(program_type):
    if not exists(program_type):
        return
    wanted = set()
    for dropped, name in NAMES.items():
        with without(CAP_SYS_ADMIN, dropped):
            if "not verified" in load(program_type, VARIANTS.get(program_type, [(0, 0)])[0], END):
                wanted.add(name)
                with pytest.raises(KernelError, match=f"this process lacks {name}; run as root"):
                    helpers.probe(program_type)
            else:
                assert helpers.probe(program_type).allowed
    with without(CAP_SYS_ADMIN, *NAMES), pytest.raises(KernelError, match="this process lacks") as refused:
        helpers.probe(program_type)
    assert set(re.findall(r"CAP_\w+", str(refused.value))) == wanted


# -- the command -------------------------------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "fastbpf", "helpers", *arguments], capture_output=True, text=True)


def test_the_command_asks_the_kernel():
    seen = helpers.probe("sched_cls")
    done = run("--for", "sched_cls", "--probe")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert [(int(id), name, status) for id, name, status, *_ in lines] == [
        (one.helper.id, one.helper.name, one.status) for one in seen.values()
    ]
    told = [json.loads(line) for line in run("--for", "sched_cls", "--probe", "--json").stdout.splitlines()]
    assert {one["name"]: one["status"] for one in told} == {name: one.status for name, one in seen.items()}
    assert [
        json.loads(line)["id"]
        for line in run("--for", "xdp", "--probe", "--json", "--since", "6.2").stdout.splitlines()
    ] == [210, 211]


def test_the_command_fails_where_the_kernel_refuses():
    with pytest.raises(KernelError) as refused:
        helpers.probe("lirc_mode2", "cgroup_device")
    done = run("--for", "ext", "--probe")
    assert done.returncode == 1
    assert "may call what the one may call that it replaces" in done.stderr
    assert refused.value.errno
