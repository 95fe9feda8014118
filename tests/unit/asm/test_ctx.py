"""Contexts by field name, judged by the kernel's BTF, by the C headers through gcc, and by libbpf's bpf_tracing.h."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastbpf.asm import *
from fastbpf.asm.context import Field, ctx, ld_ctx
from fastbpf.asm.context.access import accesses, struct_of
from fastbpf.asm.context.contexts import ARCHITECTURES, UnknownFieldError, machine
from fastbpf.asm.context.conventions import KERNEL_ONLY
from fastbpf.asm.context.fields import CONTEXTS, KERNEL, REGISTERS

spec = importlib.util.spec_from_file_location("generate_ctx", Path(__file__).parents[3] / "tools/generate_ctx.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)

# libbpf's word for each of the roles, where version 1.1 (Debian 12) has it right
ROLES = {
    **{f"arg{number}": f"PARM{number}" for number in range(1, 6)},
    "ret": "RC",
    "ip": "IP",
    "sp": "SP",
    "fp": "FP",
    **{f"syscall_arg{number}": f"PARM{number}_SYSCALL" for number in range(1, 6)},
}
# bpf_tracing.h reads these by CO-RE, or names a register that is not there
UNJUDGED = {
    "arm64": {"syscall_arg1"},
    "ppc64le": {"sp", "fp", "syscall_arg1"},
    "riscv64": {"syscall_arg1"},
    "s390x": {"syscall_arg1"},
    "x86_64": set(),
}


def cc(tmp_path, source, *flags):
    """Compile, and give what gcc complains about."""
    file = tmp_path / "judge.c"
    file.write_text(source)
    command = ["gcc", "-w", *flags, file, "-o", tmp_path / "judge"]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}).stderr


def headers(architecture):
    """Flags that make gcc see an architecture's headers."""
    flags = generate.compiler_flags(architecture)
    if not any(Path(flag.removeprefix("-isystem"), "asm/ptrace.h").exists() for flag in flags):
        pytest.skip(f"no headers for {architecture}: apt-get install linux-libc-dev-*-cross")
    return flags


def test_the_table_is_what_the_generator_writes_here():
    assert all(map(headers, ARCHITECTURES))
    if ".".join(platform.release().split(".")[:2]) == KERNEL:
        assert generate.TABLE.read_text() == generate.text()


def test_the_running_kernel_has_the_same_fields():
    # another kernel than the table's may have more, or fewer
    btf = generate.Btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    checked = 0
    for name, of_kernel in generate.CONTEXTS.items():
        here = btf.fields(of_kernel)
        for field in here.keys() & CONTEXTS[name].keys():
            assert here[field] == CONTEXTS[name][field], (name, field)
            checked += 1
    assert checked > 150


def test_the_header_has_the_same_fields(tmp_path):
    lines = {}
    source = ["#include <stddef.h>", "#include <linux/bpf.h>"]
    for name, fields in CONTEXTS.items():
        of_kernel = generate.CONTEXTS[name]
        for field in fields:
            found = getattr(getattr(ctx, name), field)
            lines[len(source) + 1] = f"{name}.{field}"
            struct = f"struct {of_kernel}"
            size = f"sizeof((({struct} *)0)->{field})"
            source.append(f"_Static_assert(offsetof({struct}, {field}) == {found.offset} && {size} == {found.size});")
    complaints = cc(tmp_path, "\n".join([*source, "int main() {}", ""]))
    wrong = [line for line in complaints.splitlines() if "error: static assertion" in line]
    assert wrong == []
    # the header may be older than the table
    unknown = {lines[int(number)] for number in re.findall(r"judge\.c:(\d+):\d+: error: ", complaints)}
    assert len(unknown) < 0.05 * len(lines), unknown


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_registers_are_where_libbpf_looks(architecture, tmp_path):
    flags = headers(architecture)
    short = {"x86_64": "x86", "ppc64le": "powerpc", "s390x": "s390", "riscv64": "riscv"}.get(architecture, architecture)
    judged = {role: word for role, word in ROLES.items() if role not in UNJUDGED[architecture]}
    source = [
        "#include <linux/types.h>",
        "#include <linux/bpf_perf_event.h>",
        "#include <asm/ptrace.h>",
        "#include <bpf/bpf_helpers.h>",
        "#include <bpf/bpf_tracing.h>",
        "extern int printf(const char *, ...);",
        "#define AT(m) (long)&((struct bpf_perf_event_data *)0)->m",
        "int main() { struct pt_regs *r = 0;",
        *[f'printf("{role} %ld\\n", (long)&PT_REGS_{word}(r));' for role, word in judged.items()],
        'printf("sample_period %ld\\n", AT(sample_period)); printf("addr %ld\\n", AT(addr)); }',
        "",
    ]
    assert cc(tmp_path, "\n".join(source), f"-D__TARGET_ARCH_{short}", *flags) == ""
    told = subprocess.run([tmp_path / "judge"], capture_output=True, text=True, check=True).stdout.split()
    places = dict(zip(told[::2], map(int, told[1::2]), strict=True))
    assert len(places) == len(judged) + 2
    registers, event = getattr(ctx.pt_regs, architecture), getattr(ctx.bpf_perf_event_data, architecture)
    for role in judged:
        assert getattr(registers, role).offset == getattr(event, role).offset == places[role], role
    assert (event.sample_period.offset, event.addr.offset) == (places["sample_period"], places["addr"])


def test_this_machines_registers_are_where_its_kernel_has_them():
    kernel = generate.Btf(Path("/sys/kernel/btf/vmlinux").read_bytes()).fields("pt_regs")
    same = {name: name for name in KERNEL_ONLY.get(machine(), {})}
    if machine() == "x86_64":
        same |= {"arg1": "di", "arg2": "si", "arg3": "dx", "arg4": "cx", "arg5": "r8", "arg6": "r9"}
        same |= {"ret": "ax", "ip": "ip", "sp": "sp", "fp": "bp", "syscall_arg4": "r10", "syscall_arg6": "r9"}
    assert {name: getattr(ctx.pt_regs, name).offset for name in same} == {
        name: kernel[register][0] for name, register in same.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_roles_are_complete(architecture):
    context = getattr(ctx.pt_regs, architecture)
    names = {"arg1", "arg5", "ret", "ip", "sp", "syscall_arg1", "syscall_arg6", *REGISTERS[architecture]}
    assert names <= set(dir(context))
    for name in dir(context):
        field = getattr(context, name)
        assert field.size == 8 * (field.elements or 1)
        assert repr(field) == f"ctx.pt_regs.{architecture}.{name}"


def test_a_field():
    field = ctx.xdp_md.data_end
    assert (field.struct, field.name, field.offset, field.size, field.type) == ("xdp_md", "data_end", 4, 4, "__u32")
    assert repr(field) == "ctx.xdp_md.data_end"
    assert field == ctx.xdp_md.data_end
    assert hash(field) == hash(ctx.xdp_md.data_end)
    assert field != ctx.xdp_md.data
    assert field.__index__() == 4
    assert ctx.bpf_sk_lookup.sk.size == ctx.sk_buff.flow_keys.size == 8  # pointers have 64 bits
    assert ctx.bpf_sk_lookup.remote_port.size == 2
    assert ctx.sk_msg_md.size.offset == 68  # a field that is called as a method might be
    with pytest.raises(AttributeError):
        field.offset = 8


def test_arrays():
    assert ctx.sk_buff.cb.size == 20
    assert [ctx.sk_buff.cb[i].offset for i in range(5)] == [48, 52, 56, 60, 64]
    assert repr(ctx.sk_buff.cb[2]) == "ctx.sk_buff.cb[2]"
    assert ctx.sk_buff.cb[2].size == 4
    assert ctx.args[3].offset == ctx.bpf_raw_tracepoint_args.args[3].offset == 24
    assert ctx.args[3].size == ctx.bpf_raw_tracepoint_args.args[3].size == 8
    assert repr(ctx.args[3]) == "ctx.args[3]"
    with pytest.raises(AsmError, match=r"test_ctx.py:\d+: ctx.sk_buff.cb\[5\]: .*elements 0 to 4"):
        ctx.sk_buff.cb[5]
    with pytest.raises(AsmError, match="no such element"):
        ctx.args[-1]
    with pytest.raises(AsmError, match="not an array"):
        ctx.xdp_md.data[0]
    with pytest.raises(AsmError, match='"2" is not the number'):
        ctx.sk_buff.cb["2"]
    with pytest.raises(TypeError, match="not iterable"):
        list(ctx.sk_buff.cb)


def test_instructions_take_fields():
    assert ldxw(r2, r1, ctx.sk_buff.protocol) == ldxw(r2, r1, 16)
    assert stxw(r1, ctx.sk_buff.mark, r2) == stxw(r1, 8, r2)
    assert ld_ctx(r2, r1, ctx.sk_buff.tstamp_type) == ldxb(r2, r1, 180)
    assert ld_ctx(r2, r1, ctx.bpf_sk_lookup.remote_port) == ldxh(r2, r1, 36)
    assert ld_ctx(r2, r1, ctx.xdp_md.data) == ldxw(r2, r1, 0)
    assert ld_ctx(r2, r1, ctx.sk_buff.sk) == ldxdw(r2, r1, 168)
    assert ld_ctx(r2, r6, ctx.args[1]) == ldxdw(r2, r6, 8)
    source = ld_ctx(r2, r1, ctx.xdp_md.data).source
    assert source.file.endswith("test_ctx.py")
    with pytest.raises(AsmError, match=r"load one of its elements: ctx\.sk_buff\.cb\[0\]"):
        ld_ctx(r2, r1, ctx.sk_buff.cb)
    with pytest.raises(AsmError, match=r"test_ctx.py:\d+: ld_ctx\(r2, r1, 4\): 4 is not a field"):
        ld_ctx(r2, r1, 4)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ctx.__sk_buff, 'ctx has no context "__sk_buff"; did you mean "sk_buff"?'),
        (lambda: ctx.xdp, 'ctx has no context "xdp"; did you mean "xdp_md"?'),
        (lambda: ctx.sk_buff.protocl, 'ctx.sk_buff has no field "protocl"; did you mean "protocol"?'),
        (lambda: ctx.bpf_sysctl.qqq, 'ctx.bpf_sysctl has no field "qqq"; it has file_pos, write'),
        (lambda: ctx.pt_regs.arm65, '"arm65"; did you mean "arm64"'),
        (lambda: ctx.pt_regs.x86_64.di, 'ctx.pt_regs.x86_64 has no field "di"; did you mean "rdi"'),
    ],
)
def test_unknown_names(ask, message):
    with pytest.raises(UnknownFieldError, match=r"^\S*test_ctx.py:\d+: ") as refused:
        ask()
    assert message in str(refused.value)
    assert isinstance(refused.value, AsmError)
    assert isinstance(refused.value, AttributeError)


def test_contexts_behave_like_values():
    assert {"sk_buff", "xdp_md", "pt_regs", "args", "bpf_perf_event_data"} <= set(dir(ctx))
    assert all(repr(getattr(ctx, name)) == f"ctx.{name}" for name in dir(ctx))
    assert not hasattr(ctx, "nothing")
    assert not hasattr(ctx.xdp_md, "nothing")
    for value in (ctx.xdp_md, ctx.pt_regs, ctx.pt_regs.arm64, ctx.sk_buff.cb):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert isinstance(ctx.args, Field)
    for change in (lambda: setattr(ctx, "a", 1), lambda: setattr(ctx.xdp_md, "data", 1)):
        with pytest.raises(AttributeError):
            change()


def test_the_tables_are_read_late():
    script = "import sys, fastbpf.asm.context; print([name for name in sys.modules if name.endswith('ctx.fields')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_reads_give():
    given = {
        ("xdp", "data"): "packet",
        ("xdp", "data_end"): "packet_end",
        ("sched_cls", "data_meta"): "packet_meta",
        ("sched_cls", "sk"): "pointer",
        ("sched_cls", "mark"): "scalar",
        ("flow_dissector", "flow_keys"): "pointer",
        ("sock_ops", "skb_data_end"): "packet_end",
        ("cgroup_sockopt", "optval"): "packet",
        ("sk_lookup", "sk"): "pointer",
        ("netfilter", "skb"): "pointer",
        ("kprobe", "arg1"): "scalar",
    }
    for (prog_type, field), expected in given.items():
        offset = getattr(getattr(ctx, struct_of(prog_type)), field).offset
        assert accesses(prog_type).gives(offset) == expected, (prog_type, field)
    assert accesses("tracing").gives(8) == "pointer"
    assert accesses("raw_tracepoint").gives(0) == "scalar"
    assert accesses("raw_tracepoint_writable").gives(0) == "pointer"


def test_descriptions():
    told = {
        ("xdp", 5): "ctx.xdp_md.data_end at offset 4, which xdp programs read by 4 bytes",
        (
            "sched_cls",
            8,
        ): "ctx.sk_buff.mark at offset 8, which sched_cls programs read by 1, 2 or 4 bytes and write by 4 bytes",
        (
            "sched_cls",
            56,
        ): "ctx.sk_buff.cb[2] at offset 56, which sched_cls programs read by 1, 2, 4 or 8 bytes and write by",
        ("socket_filter", 76): "ctx.sk_buff.data at offset 76, which socket_filter programs may not use",
        ("sched_cls", 182): "no field; nearest are ctx.sk_buff.tstamp_type at offset 180 and ctx.sk_buff.hwtstamp at",
        ("xdp", 24): "no field; nearest is ctx.xdp_md.egress_ifindex at offset 20",
        ("tracing", 20): "ctx.args[2] at offset 16, which tracing programs read by 1, 2, 4 or 8 bytes",
        ("tracing", -8): "no field; nearest is ctx.args[0] at offset 0",
        ("xdp", -4): "no field; nearest is ctx.xdp_md.data at offset 0",
        ("tracepoint", 0): "tracepoint programs read offsets 8 to 8191",
    }
    for (prog_type, offset), text in told.items():
        assert accesses(prog_type).describe(offset).startswith(text), (prog_type, offset)


def test_every_program_type_has_its_rules():
    from fastbpf.programs import _TYPES

    assert {name for name in _TYPES if accesses(name) is None} == {"ext", "lirc_mode2", "struct_ops"}
    assert struct_of("sk_skb") == "sk_buff"
    assert struct_of("lsm") == "args"
    assert struct_of("tracepoint") is None
    assert struct_of("no such type") is accesses("no such type") is None


def test_no_rule_refuses_what_it_allows():
    from fastbpf.programs import _TYPES

    for access in filter(None, map(accesses, _TYPES)):
        for size in (1, 2, 4, 8):
            for offset in range(-8, 400):
                for write in (False, True):
                    both = access.allows(offset, size, write) and access.certainly_refused(offset, size, write)
                    assert not both


def test_what_only_newer_kernels_take_is_not_certainly_refused() -> None:
    # Linux 7.2 reads the context of a syscall program at any offset
    syscall, tracepoint = accesses("syscall"), accesses("tracepoint")
    assert syscall is not None
    assert tracepoint is not None
    assert not syscall.allows(2, 4, False)
    assert not syscall.certainly_refused(2, 4, False)
    assert tracepoint.certainly_refused(10, 4, False)
    # Linux 6.18 reads in front of a tracepoint's record
    assert not tracepoint.certainly_refused(-4, 4, False)
