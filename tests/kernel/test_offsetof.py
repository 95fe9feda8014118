"""Where members of the kernel's structs are: judged by bpftool, and by what programs read there."""

from __future__ import annotations

import os
import threading

import pytest
from tests.kernel.raw_bpf import kernel_btf

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import memory


def plain(numbered, id):
    """A type without its other names and qualifiers."""
    one = numbered.get(id, {"kind": "VOID"})
    while one["kind"] in {"TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"}:
        one = numbered.get(one["type_id"], {"kind": "VOID"})
    return one


def paths(numbered, type, start=0, before="", depth=2):
    """Each member that bpftool knows, and the bit where it begins; with those of members, so deep."""
    for member in type.get("members", ()):
        at = start + member["bits_offset"]
        inner = plain(numbered, member["type_id"])
        if member["name"] == "(anon)":
            yield from paths(numbered, inner, at, before, depth)
            continue
        yield before + member["name"], at, member.get("bitfield_size", 0)
        if depth and inner["kind"] in {"STRUCT", "UNION"}:
            yield from paths(numbered, inner, at, f"{before}{member['name']}.", depth - 1)


@pytest.mark.parametrize(
    "type", ["struct task_struct", "struct sk_buff", "struct sock", "struct file", "union bpf_attr", "struct tcphdr"]
)
def test_every_member_is_where_bpftool_has_it(type):
    named, numbered = kernel_btf()
    kind, name = type.split()
    known = list(paths(numbered, named[kind.upper(), name]))
    assert len(known) > 5
    for member, at, bits in known:
        if bits:
            with pytest.raises(fb.LayoutError, match=f"is a bit field, {bits} wide from bit {at} on"):
                fb.offsetof(type, member)
        else:
            assert fb.offsetof(type, member) * 8 == at, member
            assert fb.offsetof(name, member) * 8 == at, member


@pytest.mark.parametrize("prog_type", ["raw_tracepoint", "syscall"])
def test_a_program_reads_there(prog_type):
    found = fb.MapSpec("array", value=fb.u32[3], max_entries=1, name="found")

    def read(index, pointer, member):
        offset = fb.offsetof("task_struct", member)
        read = memory.read_kernel(fp - 16, 4, pointer + offset, fail="out")
        return [read, ldxw(r0, fp, -16), ld_map_value(r1, found, 0), stxw(r1, 4 * index, r0)]

    code = assemble(
        call.get_current_task(),
        mov(r6, r0),
        [read(0, r6, "pid"), read(1, r6, "tgid")],
        memory.read_kernel(fp - 8, 8, r6 + fb.offsetof("task_struct", "real_parent"), fail="out"),
        [ldxdw(r6, fp, -8), read(2, r6, "tgid")],
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec(prog_type, code).load() as program:
        program.test_run()
        assert program.maps["found"][0] == (threading.get_native_id(), os.getpid(), os.getppid())


@pytest.mark.parametrize(
    ("type", "member", "message"),
    [
        ("task_strict", "pid", "no struct or union 'task_strict'; did you mean \"task_struct\""),
        ("union task_struct", "pid", "no union 'task_struct'"),
        ("", "pid", "no struct or union ''"),
        ("task_struct", "tgidd", "struct task_struct has no member 'tgidd'; did you mean \"tgid\""),
        ("task_struct", "", "no member ''"),
        ("task_struct", "se.vruntimes", "has no member 'vruntimes' in 'se'; did you mean \"vruntime\""),
        (
            "task_struct",
            "real_parent.pid",
            "no members in 'real_parent', which is neither struct nor union; if it is a",
        ),
        ("task_struct", "pid.x", "no members in 'pid'"),
        ("task_struct", "comm.x", "no members in 'comm'"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest_names(type, member, message):
    with pytest.raises(fb.LayoutError, match=message):
        fb.offsetof(type, member)
