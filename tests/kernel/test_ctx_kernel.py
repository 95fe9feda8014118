"""The running kernel is asked about every offset and size of every context; and programs read what their fields say."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from itertools import product
from pathlib import Path
from struct import calcsize, pack

import pytest

from fastbpf.asm import *
from fastbpf.asm.context import ctx, ld_ctx
from fastbpf.asm.context.access import accesses, struct_of
from fastbpf.asm.context.fields import KERNEL
from fastbpf.programs import _TYPES

PROG_LOAD, PROG_TEST_RUN, BTF_GET_FD_BY_ID = 5, 10, 19
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
SLEEPABLE = 1 << 4
libc = ctypes.CDLL(None, use_errno=True)
license = ctypes.create_string_buffer(b"GPL")

# enum bpf_attach_type, include/uapi/linux/bpf.h: what each program type can be made for
ATTACH_TYPES = {
    "cgroup_skb": (0, 1),
    "cgroup_sock": (2, 12, 13, 34),
    "cgroup_sock_addr": (8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53),
    "cgroup_device": (6,),
    "cgroup_sockopt": (21, 22),
    "cgroup_sysctl": (18,),
    "flow_dissector": (17,),
    "netfilter": (45,),
    "sched_cls": (0, 46, 47),
    "sk_lookup": (36,),
    "sk_msg": (7,),
    "sk_reuseport": (39, 40),
    "sk_skb": (4, 5, 38),
    "sock_ops": (3,),
    "xdp": (33, 35, 37),
}
# these cannot be loaded without a function or an interface to belong to
BOUND = {"ext", "lirc_mode2", "lsm", "struct_ops", "tracing"}
LOADS = {1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw}
STORES = {1: stxb, 2: stxh, 4: stxw, 8: stxdw}
BEYOND = 330


def bpf(command, layout, *values):
    attributes = ctypes.create_string_buffer(pack(layout, *values), calcsize(layout))
    result = libc.syscall(SYS_BPF, command, attributes, len(attributes))
    return (-ctypes.get_errno() if result < 0 else result), attributes.raw


def load(raw, prog_type, attach_type=0, btf_id=0):
    """Descriptor of a program, or a negative errno."""
    instructions = ctypes.create_string_buffer(raw, len(raw))
    flags = SLEEPABLE if prog_type == "syscall" else 0
    head = (_TYPES[prog_type], len(raw) // 8, ctypes.addressof(instructions), ctypes.addressof(license))
    layout = "<IIQQ 20xI 20xI 36xI 8x"  # then prog_flags, expected_attach_type, attach_btf_id
    return bpf(PROG_LOAD, layout, *head, flags, attach_type, btf_id)[0]


def accepted(raw, prog_type, attach_type=0, btf_id=0):
    fd = load(raw, prog_type, attach_type, btf_id)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def program(size, offset, write, result):
    body = [mov(r2, 0), STORES[size](r1, offset, r2)] if write else [LOADS[size](r2, r1, offset)]
    return bytes(assemble(body, mov(r0, result), exit_()))


PROGRAMS = {
    (offset, size, write): program(size, offset, write, 1)
    for offset, size, write in product(range(BEYOND), LOADS, (False, True))
}


@pytest.mark.parametrize("prog_type", sorted(_TYPES.keys() - BOUND))
def test_the_kernel_agrees_with_the_rules(prog_type, record_property):
    access = accesses(prog_type)
    harmless = bytes(assemble(mov(r0, 1), exit_()))
    attach_types = [one for one in ATTACH_TYPES.get(prog_type, (0,)) if accepted(harmless, prog_type, one)]
    if not attach_types:
        pytest.skip(f"the kernel has no {prog_type} programs")
    taken = {place for place, raw in PROGRAMS.items() if any(accepted(raw, prog_type, one) for one in attach_types)}
    assert taken, "nothing can be accessed at all?"
    refused = PROGRAMS.keys() - taken
    # an error never stands on a program that the kernel accepts
    assert [place for place in sorted(taken) if access.certainly_refused(*place)] == []
    # every kernel's rules lie between the two answers, and those of the table's kernel are exactly `allows`
    if ".".join(platform.release().split(".")[:2]) == KERNEL:
        assert {place for place in PROGRAMS if access.allows(*place)} == taken
    predicted = [place for place in refused if access.certainly_refused(*place)]
    record_property("predicted", len(predicted))
    record_property("refused", len(refused))
    # what 6.18 refuses of a syscall program is misaligned, and 7.2 takes that
    assert prog_type == "syscall" or len(predicted) > 0.6 * len(refused)


def traced(name):
    """The BTF number of what a tp_btf program for an event is checked against."""
    # the generator's reader knows the numbers of types
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("generate_ctx", Path(__file__).parents[2] / "tools/generate_ctx.py")
    generate = module_from_spec(spec)
    spec.loader.exec_module(generate)
    return generate.Btf(Path("/sys/kernel/btf/vmlinux").read_bytes()).number(f"btf_trace_{name}")


def test_tracing_arguments():
    # sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
    raw_tracepoint = 23
    target = traced("sched_switch")
    access = accesses("tracing")
    taken = {
        (offset, size, write)
        for (offset, size, write) in PROGRAMS
        if accepted(program(size, offset, write, 0), "tracing", raw_tracepoint, target)
    }
    assert {(8, 8, False), (16, 8, False), (24, 4, False)} <= taken
    assert [place for place in taken if not access.allows(*place) or access.certainly_refused(*place)] == []


def run(code, prog_type, data=b"", context=b""):
    """What a program returns for a packet and a context."""
    fd = load(bytes(assemble(code)), prog_type)
    assert fd >= 0, os.strerror(-fd)
    packet, given = (ctypes.create_string_buffer(part, max(len(part), 1)) for part in (data, context))
    try:
        error, attributes = bpf(
            PROG_TEST_RUN,
            "<IIIIQQIIIIQQIII4x",
            *(fd, 0, len(data), 0, ctypes.addressof(packet) if data else 0, 0, 0, 0),
            *(len(context), 0, ctypes.addressof(given) if context else 0, 0, 0, 0, 0),
        )
    finally:
        os.close(fd)
    assert not error, errno.errorcode.get(-error, error)
    return int.from_bytes(attributes[4:8], "little")


def test_fields_hold_what_they_are_called():
    packet = bytes(12) + b"\x08\x00" + bytes(86)
    assert run([ld_ctx(r0, r1, ctx.sk_buff.len), exit_()], "sched_cls", packet) == 100
    assert run([ld_ctx(r0, r1, ctx.sk_buff.protocol), exit_()], "sched_cls", packet) == 0x0008
    length = [ld_ctx(r2, r1, ctx.xdp_md.data), ld_ctx(r0, r1, ctx.xdp_md.data_end), sub(r0, r2), exit_()]
    assert run(length, "xdp", packet) == 100
    # the kernel refuses a context that is not zero where it does not expect anything
    given = bytearray(192)
    fields = [ctx.sk_buff.mark, ctx.sk_buff.priority, *[ctx.sk_buff.cb[i] for i in range(5)], ctx.sk_buff.gso_segs]
    for number, field in enumerate(fields, 11):
        given[field.offset : field.offset + 4] = number.to_bytes(4, "little")
    for number, field in enumerate(fields, 11):
        assert run([ld_ctx(r0, r1, field), exit_()], "sched_cls", packet, bytes(given)) == number, field


def test_raw_tracepoint_arguments():
    arguments = pack("<12Q", *range(20, 32))
    for number in range(12):
        code = [ld_ctx(r0, r1, ctx.bpf_raw_tracepoint_args.args[number]), exit_()]
        assert run(code, "raw_tracepoint", context=arguments) == 20 + number
    assert struct_of("raw_tracepoint") == "bpf_raw_tracepoint_args"
