"""Calls by name: what arguments become, what is refused, and what editors and type checkers are told.

The kernel judges the rest: tests/kernel/test_calls_kernel.py runs each of them.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import fastbpf as fb
from fastbpf import helpers
from fastbpf.asm import *
from fastbpf.asm.arguments import place
from fastbpf.asm.rodata import ReadOnly
from fastbpf.helpers.names import NAMES, PARAMETERS
from fastbpf.helpers.prototypes import prototype

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).name
STUB = ROOT / "python/fastbpf/asm/signatures.pyi"
METHODS = {
    node.name: node
    for node in ast.walk(ast.parse(STUB.read_text()))
    if isinstance(node, ast.FunctionDef) and node.name != "__dir__"
}

spec = importlib.util.spec_from_file_location("generate_calls", ROOT / "tools/generate_calls.py")
generate_calls = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate_calls)

counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=8, name="counts")


def sample(parameter):
    """An argument that says which parameter it is for, and what that takes."""
    kinds = {"map": counts, "func": "each", "size": 8, "alloc_size": 8, "scalar": 3, "unchecked": 3}
    return kinds.get(parameter.kind, fp - 16)


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_call_is_assembled(name):
    helper = getattr(call, name)
    number = NAMES.index(name)
    parameters = prototype(number).parameters
    given = [sample(one) for one in parameters]
    code = assemble(helper(*given), label("each"), exit_())
    assert list(code)[-2] == call_id(number)
    # each register in its turn
    assert sorted({insn.dst for insn in list(code)[:-2]}) == list(range(1, len(parameters) + 1))
    named = {generate_calls.python(one.name): argument for one, argument in zip(parameters, given, strict=True)}
    assert helper(**named) == helper(*given)
    registers = [r6, r7, r8, r9, r0][: len(parameters)]
    moves = [mov(target, source) for target, source in zip((r1, r2, r3, r4, r5), registers, strict=False)]
    assert helper(*registers) == (*moves, call_id(number))  # the kernel knows what a register holds


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_call_is_told(name):
    helper, number = getattr(call, name), NAMES.index(name)
    names = [f"{one}_" if one == "from" else one for one in PARAMETERS[number] if one != "..."]
    variadic = PARAMETERS[number][-1:] == ("...",)
    signature = inspect.signature(helper)
    assert list(signature.parameters) == names + ["more"] * variadic
    written = METHODS[name].args
    assert [one.arg for one in written.args] == ["self", *names]
    assert (written.vararg is not None) == variadic
    told = helper.__doc__
    assert told.startswith(f"{name}({', '.join(names + ['*more'] * variadic)})\n")
    assert helpers.get(name).description in told
    assert helpers.get(name).signature in told
    assert f"since Linux {helpers.get(name).min_kernel}" in told
    assert all(f"\n    {one}: " in told for one in names)
    assert f"https://docs.ebpf.io/linux/helper-function/bpf_{name}/" in told
    assert told.partition("\n\n")[2].split() == ast.get_docstring(METHODS[name]).split()


def test_the_stub_is_what_the_tool_writes():
    assert STUB.read_text() == generate_calls.text()
    assert list(METHODS) == list(NAMES[1:])


def test_help_shows_it():
    shown = pydoc.plain(pydoc.render_doc(call.map_lookup_elem))
    assert "call.map_lookup_elem" in shown
    assert "Finds the value" in shown
    assert "a register, whatever it holds" in pydoc.plain(pydoc.render_doc(call))


TYPED = """
import fastbpf as fb
from fastbpf.asm import *
counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=8)
call.map_update_elem(map=counts, key=fp - 4, value=b"12345678", flags=0)
call.trace_printk("%d %s", None, r6, "text")
call.csum_diff(None, 0, r6 + 24, 4, seed=0)
call.loop(10, "each", None, 0)
call.skb_store_bytes(r6, 0, from_=fp - 8, len=8, flags=0)
kfunc.bpf_task_from_pid(r1)
call.map_lookup_elem(counts, "text")  # 11
call.map_lookup_elem(5, fp - 4)  # 12
call.redirect(counts, 0)  # 13
call.ktime_get_ns(r1)  # 14
call.get_current_comm(None, 16)  # 15
call.map_lookup_elm(counts, fp - 4)  # 16
"""


def test_type_checkers_know_what_is_taken(tmp_path):
    file = tmp_path / "typed.py"
    file.write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", file],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "python")},
    )
    complaints = [line for line in done.stdout.splitlines() if line.startswith("typed.py:") and ": error:" in line]
    assert [int(line.split(":")[1]) for line in complaints] == [11, 12, 13, 14, 15, 16], done.stdout + done.stderr


def test_importing_reads_no_facts():
    names = "{'inspect', 'fastbpf.helpers.prototypes', 'fastbpf.helpers.registry', 'fastbpf.asm.call_help'}"
    script = f"import sys; from fastbpf.asm import *; call.ktime_get_ns(); print({names} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_arguments_come_in_their_order_where_that_is_possible():
    assert call.l3_csum_replace(r6, 24, r2, r3, 4) == (
        *(mov(r1, r6), mov(r4, r3), mov(r3, r2), mov(r2, 24), mov(r5, 4)),
        call_id(10),
    )
    assert place([r2, r3, r1]) == [mov(r0, r1), mov(r1, r2), mov(r2, r3), mov(r3, r0)]
    assert place([r5, 1 << 40, r5 + 8]) == [mov(r1, r5), lddw(r2, 1 << 40), mov(r3, r5), add(r3, 8)]


def test_text():
    text = ReadOnly("é %d\n\0".encode())
    assert call.trace_printk("é %d\n", None, r3) == (ld_map_value(r1, text, 0), mov(r2, 7), call_id(6))
    assert [insn for insn in call.trace_printk("%s", 3, "x") if insn.map][1].map == ReadOnly(b"x\0")
    assert call.strtol(b"12", None, 0, fp - 8)[:2] == (ld_map_value(r1, ReadOnly(b"12"), 0), mov(r2, 2))
    assert call.strtol("12", 2, 0, fp - 8)[1] == mov(r2, 2)
    assert call.strtol("12", r6, 0, fp - 8)[1] == mov(r2, r6)
    assert call.snprintf(fp - 8, 8, "x", None, None)[-2:] == (mov(r5, 0), call_id(165))
    assert call.map_lookup_elem(counts, b"\1\0\0\0")[1].map == ReadOnly(b"\1\0\0\0")


def test_null():
    assert call.csum_diff(None, None, fp - 4, 4, 0)[:2] == (mov(r1, 0), mov(r2, 0))
    assert call.csum_diff(0, 0, fp - 4, 4, 0) == call.csum_diff(None, 0, fp - 4, 4, 0)
    assert call.sk_assign(r6, None, 0) == (mov(r1, r6), mov(r2, 0), mov(r3, 0), call_id(124))


def test_callbacks():
    code = assemble(call.loop(3, "each", None, 0), exit_(), label("each"), mov(r0, 0), exit_())
    assert list(code)[1] == ld_func(r2, 5)
    assert call.loop(3, r7, None, 0)[1] == mov(r2, r7)


def test_a_map_may_be_read_as_memory_of_the_kernel():
    assert call.probe_read_kernel(fp - 8, 8, counts)[-2] == ld_map(r3, counts)


REFUSED = [
    (lambda: call.map_lookup_elem(5, fp - 4), "map: 5 is a number; give a MapSpec or a Map"),
    (lambda: call.map_lookup_elem(fp - 8, fp - 4), "map: fp - 8 is an address; give a MapSpec or a Map"),
    (lambda: call.map_lookup_elem("counts", fp - 4), 'map: "counts" cannot be an argument; give a MapSpec or a Map'),
    (lambda: call.map_lookup_elem(None, fp - 4), "map cannot be None; give a MapSpec or a Map"),
    (lambda: call.map_lookup_elem(counts, 4), "key: 4 is a number; give where the memory is, such as fp - 16"),
    (lambda: call.map_lookup_elem(counts, 0), "key: 0 is a number"),
    (lambda: call.map_lookup_elem(counts, "four"), 'key: "four" is text, not what const void * points to; give bytes'),
    (lambda: call.map_lookup_elem(counts, b""), "key: there is nothing in b''"),
    (lambda: call.map_lookup_elem(counts, b"\1\0"), r"key has 4 bytes in this map, not the 2 of b'\x01\x00'"),
    (lambda: call.map_update_elem(counts, fp - 4, b"1234567", 0), "value has 8 bytes in this map, not the 7 of b'12"),
    (lambda: call.map_lookup_elem(counts), "takes 2 arguments, not 1: key missing"),
    (lambda: call.map_lookup_elem(counts, ky=fp - 4), 'has no parameter ky; did you mean "key"?'),
    (lambda: call.map_lookup_elem(counts, map=counts), "map is given twice"),
    (lambda: call.map_update_elem(map=counts, key=fp - 4), "value and flags are missing"),
    (lambda: call.csum_diff(1, 4, fp - 4, 4, 0), "from: 1 is a number; give where the memory is"),
    (lambda: call.csum_diff(1, 4, fp - 4, 4, 0), "None is NULL"),
    (lambda: call.redirect(counts, 0), "ifindex: counts is a map; give a number"),
    (lambda: call.redirect(None, 0), "ifindex cannot be None; give a number"),
    (lambda: call.redirect(1.5, 0), "ifindex: 1.5 cannot be an argument; give a number"),
    (lambda: call.redirect(True, 0), "ifindex: True cannot be an argument"),
    (lambda: call.get_current_comm(16, fp - 16), "buf: 16 is a number"),
    (lambda: call.get_current_comm(fp - 16, fp - 16), "size_of_buf: fp - 16 is an address; give a number"),
    (lambda: call.get_current_comm(fp - 16, None), "size_of_buf cannot be None, the size of text"),
    (lambda: call.get_current_comm(b"x", 1), "buf: b'x' cannot be written to"),
    (
        lambda: call.skb_load_bytes(5, 0, fp - 4, 4),
        "skb: 5 is a number; give the register that holds the address of the c",
    ),
    (lambda: call.strtol("12", 4, 0, fp - 8), 'buf_len is 4, but "12" has 3 bytes, the zero at its end included'),
    (lambda: call.strtol(b"12", 3, 0, fp - 8), "buf_len is 3, but b'12' has 2 bytes; None is its size"),
    (lambda: call.strncmp("a", None, b"a"), "s2: b'a' does not end with a zero byte"),
    (lambda: call.loop(3, 7, None, 0), "callback_fn: 7 is a number; give the label of a subprogram"),
    (lambda: call.loop(3, "", None, 0), '"" cannot name a label'),
    (lambda: call.loop(3, "each", 5, 0), "callback_ctx: 5 is a number"),
    (
        lambda: call.trace_printk("%d", None, 1.5),
        "argument 3: 1.5 cannot be an argument; give a register or a number",
    ),
    (lambda: call.tcp_raw_check_syncookie_ipv4(b"short", fp - 20), "iph has 20 bytes, not the 5 of b'short'"),
    (lambda: kfunc.bpf_f(1, 2, 3, 4, 5, 6), "takes at most 5 arguments, not 6"),
    (lambda: kfunc.bpf_f(1.5), "argument 1: 1.5 cannot be an argument"),
]


@pytest.mark.parametrize(("wrong", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_refusals_name_the_parameter(wrong, reason):
    with pytest.raises(AsmError) as caught:
        wrong()
    message = str(caught.value)
    assert message.startswith(
        (f"{HERE}:{wrong.__code__.co_firstlineno}: call.", f"{HERE}:{wrong.__code__.co_firstlineno}: kf")
    )
    assert reason in message


# -- kernel functions, helpers of one's own ----------------------------------------------------------------------------


def test_kernel_functions_by_name():
    assert kfunc.bpf_task_from_pid(r6) == (mov(r1, r6), call_kfunc("bpf_task_from_pid"))
    assert kfunc.bpf_task_release(r0) == (mov(r1, r0), call_kfunc("bpf_task_release"))
    assert kfunc.bpf_rcu_read_lock() == (call_kfunc("bpf_rcu_read_lock"),)
    assert kfunc.bpf_f(counts, None, "x", fp - 8)[:2] == (ld_map(r1, counts), mov(r2, 0))
    assert kfunc.bpf_f("x")[0].map == ReadOnly(b"x\0")
    assert not hasattr(kfunc, "__len__")


def test_helpers_of_ones_own():
    clock = helpers.Helper(
        300, "clock", "__u64 bpf_clock(__u32 which, void *at)", "6.9", "all", "time", "Our own clock."
    )
    with pytest.raises(AttributeError):
        _ = call.clock
    helpers.register(clock)
    try:
        assert call.clock(1, at=fp - 8) == (mov(r1, 1), mov(r2, fp), add(r2, -8), call_id(300))
        assert "Our own clock." in call.clock.__doc__
        assert str(inspect.signature(call.clock)) == "(which, at)"
        with pytest.raises(AsmError, match=r"clock\(which, at\) takes 2 arguments, not 1"):
            call.clock(1)
    finally:
        helpers.unregister("clock")
    assert not hasattr(call, "clock")


def test_constants_are_values():
    assert ReadOnly(b"x") == ReadOnly(b"x") != ReadOnly(b"y")
    assert len({ReadOnly(b"x"), ReadOnly(b"x")}) == 1
    assert "map[.rodata][0]+0" in str(assemble(call.trace_printk("x", None), exit_()))
