"""The verifier's log, read: recorded on 5.10 to 7.2, and composed for 7.3 after what is public of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.asm.instruction import Instruction
from fastbpf.verifier_log import explained, refusal, statistics

LOGS = Path(__file__).parents[1] / "data/verifier"


def log(name):
    return (LOGS / f"{name}.log").read_text().splitlines()


VALUE_END = (
    "invalid access to map value, value_size=8 off=8 size=8; R1 min value is outside of the allowed memory range"
)
NIBBLE = "smin=smin32=0,smax=umax=smax32=umax32=15,var_off=(0x0; 0xf)"
BYTE = "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"
READ = {
    "6.18_scalar": ("R2 invalid mem access 'scalar'", 1, "r0 = *(u64 *)(r2 +0)", {"R1": "ctx()", "R2": "2"}),
    "6.18_value_end": (
        VALUE_END,
        5,
        "*(u64 *)(r1 +8) = 7",
        {"R1": "map_value(map=counts,ks=4,vs=8)", "R2": "0x10000000000"},
    ),
    # in a subprogram, and after one
    "6.18_sub": ("R6 invalid mem access 'scalar'", 5, "r0 = *(u64 *)(r6 +0)", {"R1": "7", "R6": "7"}),
    "6.18_after_sub": ("R0 invalid mem access 'scalar'", 2, "r0 = *(u64 *)(r0 +0)", {"R0": "3"}),
    # on another path, which the verifier took up in the middle of a line
    "6.18_popped": ("frame pointer is read only", 6, "r10 += r0", {"R0": BYTE, "R6": "1"}),
    "6.18_precise": (
        "invalid variable-offset read from stack R1 var_off=(0x0; 0xf) off=-4 size=1",
        6,
        "r0 = *(u8 *)(r1 -4)",
        {"R0": f"scalar(id=1,{NIBBLE})", "R1": f"fp({NIBBLE})", "R6": f"scalar(id=1,{NIBBLE})"},
    ),
    "6.18_loop": ("infinite loop detected at insn 3", 3, None, None),
    "6.18_reference": (
        "Unreleased reference id=2 alloc_insn=4; BPF_EXIT instruction in main prog would lead to reference leak",
        6,
        "exit",
        {"R0": "0"},
    ),
    "6.18_helper": (
        "program of this type cannot use helper bpf_override_return#58",
        2,
        "call bpf_override_return#58",
        {"R1": "1", "R2": "1"},
    ),
    "6.18_unreachable": ("unreachable insn 2", 2, None, None),
    "6.18_stack": ("combined stack size of 2 calls is 576. Too large", None, None, None),
    # these tell of registers now and then only: what was overwritten since is not known
    "5.10_popped": ("frame pointer is read only", 6, "r10 += r0", {"R6": "inv1"}),
    "5.10_value_end": (
        VALUE_END,
        5,
        "*(u64 *)(r1 +8) = 7",
        {"R1": "map_value(id=0,off=0,ks=4,vs=8,imm=0)", "R2": "inv1099511627776"},
    ),
    "7.3_exit": (
        "R0 has never been initialized on this path, so the verifier cannot use it as an input.",
        1,
        "exit",
        {"R1": "ctx()", "R6": "1"},
    ),
    "7.3_scalar": (
        "R2 holds a number here, and no pointer to memory.",
        1,
        "r0 = *(u64 *)(r2 +0)",
        {"R1": "ctx()", "R2": "2"},
    ),
    "7.3_limit": (
        "The verifier looked at 1000001 instructions, and 1000000 is the most.",
        None,
        None,
        None,
    ),
}


# The same program everywhere: where it was refused, and with which words by older kernels and newer ones.
MEMORY = {"R{} invalid mem access 'inv'", "R{} invalid mem access 'scalar'"}
LEAK = "Unreleased reference id=2 alloc_insn=4"
EVERYWHERE = {
    "scalar": (1, "r0 = *(u64 *)(r2 +0)", {text.format(2) for text in MEMORY}),
    "value_end": (5, "*(u64 *)(r1 +8) = 7", {VALUE_END}),
    "popped": (6, "r10 += r0", {"frame pointer is read only"}),
    "sub": (5, "r0 = *(u64 *)(r6 +0)", {text.format(6) for text in MEMORY}),
    "after_sub": (2, "r0 = *(u64 *)(r0 +0)", {text.format(0) for text in MEMORY}),
    "loop": (3, None, {"infinite loop detected at insn 3"}),
    "reference": (6, "exit", {LEAK, f"{LEAK}; BPF_EXIT instruction in main prog would lead to reference leak"}),
    "helper": (
        2,
        "call bpf_override_return#58",
        {"unknown func bpf_override_return#58", "program of this type cannot use helper bpf_override_return#58"},
    ),
    "unreachable": (2, None, {"unreachable insn 2"}),
    "stack": (None, None, {"combined stack size of 2 calls is 576. Too large"}),
    "exit": (1, "exit", {"R0 !read_ok"}),
    "context": (0, "r0 = *(u64 *)(r1 +8000)", {"invalid bpf_context access off=8000 size=8"}),
    "null": (6, "r0 = *(u64 *)(r0 +0)", {"R0 invalid mem access 'map_value_or_null'"}),
}


@pytest.mark.parametrize("kernel", ["5.10", "6.1", "6.12", "7.2"])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_same_refusal_is_read_alike(name, kernel):
    slot, instruction, reasons = EVERYWHERE[name]
    found = refusal(log(f"{kernel}_{name}"))
    assert (found.slot, found.instruction) == (slot, instruction)
    assert found.reason in reasons
    # 5.10 tells of registers now and then only
    if instruction and kernel != "5.10":
        assert found.registers["R10"] == "fp0"
        read = [f"R{number}" for number in "0126" if f"(r{number} " in instruction]
        assert all(found.registers[register] for register in read)


@pytest.mark.parametrize("name", READ)
def test_a_log_is_read(name):
    reason, slot, instruction, registers = READ[name]
    known = {} if registers is None else {**registers, "R10": "fp0"}
    assert refusal(log(name))[:4] == (reason, slot, instruction, known)


def test_the_report_of_7_3_suggests():
    assert refusal(log("7.3_scalar")).suggestion == (
        "Keep the pointer in a register of its own, or load it once more after arithmetic that the verifier "
        "cannot follow."
    )
    assert refusal(log("6.18_scalar")).suggestion == ""


def test_a_cut_log_is_read_as_far_as_it_goes():
    for name in READ:
        lines = log(name)
        for end in range(len(lines)):
            refusal(lines[:end])
            refusal([*lines[:end], lines[end][: len(lines[end]) // 2]])


def test_the_place_of_each_kind_of_sentence():
    def place(*lines):
        return refusal([*lines, "processed 0 insns (limit 1000000)"]).slot

    assert place("jump out of range from insn 3 to 12") == 3
    assert place("back-edge from insn 4 to 1") == 4
    assert place("func#0 @0", "func#1 @7", "unreachable insn 5") == 5
    assert place("last insn is not an exit or jmp") is None
    assert place("fd 77 is not pointing to valid bpf_map") is None
    walk = ("0: (b7) r6 = 0", "1: (07) r6 += 1", "2: (a5) if r6 < 0x7 goto pc-2")
    assert place(*walk, "BPF program is too large. Processed 1000001 insn") is None
    assert place(*walk, "The sequence of 8193 jumps is too complex.") is None
    assert place(*walk, "Validating sub() func#1...", "math between fp pointer and 9 is not allowed") == 2


def test_registers_that_a_call_overwrites_are_not_known():
    lines = [
        "from 1 to 3: R0=inv5 R1=ctx(id=0,off=0,imm=0) R2=inv(id=0,umax_value=7,var_off=(0x0; 0x7)) R6=inv3 R10=fp0",
        "3: (85) call bpf_ktime_get_ns#5",
        "4: (bf) r7 = r6",
        "5: (bf) r0 = r2",
        "R2 !read_ok",
    ]
    assert refusal(lines).registers == {"R6": "inv3", "R10": "fp0"}
    assert refusal([lines[0], "3: (0f) r10 += r2", "frame pointer is read only"]).registers["R2"] == (
        "inv(id=0,umax_value=7,var_off=(0x0; 0x7))"
    )


RECORD = "ringbuf_mem(ref_obj_id=2,sz=8)"
FOUND = "map_value_or_null(id=1,map=counts,ks=4,vs=8)"
PACKET = "R6=pkt(r=0) R7=pkt_end() R8=pkt(off=14,r=0) R9=ctx()"
LOST = {
    # given back, which its copies are with it; another one is not
    ("R1={0} R6={0} R7=ringbuf_mem(ref_obj_id=4,sz=8)", "call bpf_ringbuf_submit#132", ""): {"R7"},
    ("R6={0} R7=ringbuf_mem(ref_obj_id=22,sz=8) R1={0}", "call bpf_ringbuf_discard#133", ""): {"R7"},
    # of an unknown one, or one in memory, any may be
    ("R6={0} R7=5", "call bpf_sk_release#86", ""): {"R7"},
    ("R1=fp-16 R6={0}", "call bpf_ringbuf_submit_dynptr#198", ""): set(),
    ("R1=5 R6={0}", "call bpf_ktime_get_ns#5", ""): {"R6"},
    # packets that move, and that do not
    ("R1=ctx() {2}", "call bpf_skb_pull_data#39", "R0=scalar()"): {"R0", "R9"},
    ("R1=ctx() {2}", "call bpf_map_lookup_elem#1", "R0={1}"): {"R0", "R6", "R7", "R8", "R9"},
    # functions that are no helpers, even where one has the name of a helper
    ("R1=5 {2} R5={0}", "call bpf_rcu_read_unlock#70001", ""): {"R9"},
    ("R1=5 {2} R5={0}", "call pc+7", ""): {"R9"},
    ("R6={0} R7=P5 R8=map_value(map=counts,ks=4,vs=8)", "call bpf_ktime_get_ns#70001", ""): {"R7", "R8"},
    ("R6=ptr_node(non_own_ref) R7=5", "call bpf_spin_unlock#94", ""): {"R7"},
    ("R6=scalar() R7=5 R8=fp-8", "call bpf_loop#181", "R0=scalar() R7=5"): {"R0", "R7", "R8"},
    # what is known of a packet's size
    ("{2}", "if r8 > r7 goto pc+1", "R7=pkt_end() R8=pkt(off=14,r=14)"): {"R7", "R8", "R9"},
    ("R7=pkt_end() R6=pkt(id=0,off=0,r=0,imm=0)", "if r8 > r7 goto pc+1", ""): set(),
    ("{2}", "if r9 == 0x0 goto pc+1", "R9=ctx()"): {"R6", "R7", "R8", "R9"},
    # copies of one lookup and of one number
    ("R0={1} R6={1} R7=scalar(id=4)", "if r0 == 0x0 goto pc+1", "R0=map_value(map=counts,ks=4,vs=8)"): {"R0", "R7"},
    ("R0={1} R6={1}", "if r0 != 0x0 goto pc+1", "R0=0"): {"R0"},
    ("R6=scalar(id=3) R7=scalar(id=3+8) R8=scalar(id=33)", "if w6 > 0x7 goto pc+1", "R6=5"): {"R6", "R8"},
    ("R5=3 R7=scalar(id=3) R8=scalar()", "if r6 == 0x7 goto pc+1", "R6=7"): {"R5", "R6", "R8"},
    ("R6=inv(id=0) R7=inv(id=0)", "if r6 & 0x7 goto pc+1", "R6=inv(id=0)"): {"R6", "R7"},
    ("R6=scalar(id=1) R7=scalar(id=2) R8=scalar(id=2)", "if r6 > r7 goto pc+1", "R6=1 R7=2"): {"R6", "R7"},
    ("R6=scalar(id=1) R7=scalar(id=1)", "may_goto pc+1", ""): {"R6", "R7"},
}


@pytest.mark.parametrize("case", LOST, ids=[f"{case[1]} {at}" for at, case in enumerate(LOST)])
def test_registers_that_an_instruction_may_change_unsaid_are_not_known(case):
    state, instruction, told = (text.format(RECORD, FOUND, PACKET) for text in case)
    lines = [
        f"3: {state} R10=fp0",
        f"3: (85) {instruction} ; {told}",
        "4: (0f) r10 += r2",
        "frame pointer is read only",
    ]
    found = refusal(lines)
    assert found.registers.keys() == LOST[case] | {"R10"}
    shown = dict(one.split("=", 1) for one in told.split())
    assert found.registers.items() >= shown.items()


def test_the_message_is_one_line_with_all_that_helps():
    code = assemble(mov(r2, 2), ldxdw(r0, r2, 0), exit_())
    where = f"{Path(__file__).name}:{code.source(1).line}"
    error = explained(fb.VerifierError(errno.EACCES, "", log("6.18_scalar")), code)
    assert str(error) == (
        f"{where}: the verifier refused instruction 1, r0 = *(u64 *)(r2 +0): R2 invalid mem access 'scalar' (R2=2); "
        ".log has all that it said"
    )
    assert (error.source, error.slot, error.instruction) == (where, 1, "r0 = *(u64 *)(r2 +0)")
    assert error.registers == {"R1": "ctx()", "R2": "2", "R10": "fp0"}
    assert error.log == tuple(log("6.18_scalar"))
    assert error.errno == errno.EACCES
    newer = explained(fb.VerifierError(errno.EACCES, "", log("7.3_scalar")), code)
    assert str(newer) == (
        f"{where}: the verifier refused instruction 1, r0 = *(u64 *)(r2 +0): R2 holds a number here, and no pointer to "
        "memory (R2=2); Keep the pointer in a register of its own, or load it once more after arithmetic that the "
        "verifier cannot follow; .log has all that it said"
    )


def test_a_refusal_of_the_whole_program_blames_no_line():
    code = assemble(mov(r0, 0), exit_())
    error = explained(fb.VerifierError(errno.E2BIG, "", log("7.3_limit")), code)
    assert (error.source, error.slot, error.instruction, error.registers) == (None, None, None, {})
    assert str(error).startswith("the verifier refused the program: The verifier looked at 1000001 instructions")


def test_the_last_instruction_is_the_one_that_does_not_end():
    code = assemble(mov(r0, 0), lddw(r1, 1 << 40))
    error = explained(fb.VerifierError(errno.EINVAL, "", ["last insn is not an exit or jmp"]), code)
    assert error.source == f"{Path(__file__).name}:{code.source(1).line}"
    assert error.instruction == "r1 = 0x10000000000"


def test_a_refusal_with_a_part_of_the_log_or_none():
    code = assemble(mov(r0, r3), exit_())
    partial = explained(fb.VerifierError(errno.EFAULT, "", ["0: (bf) r0 = r3"]), code)
    assert "the verifier refused instruction 0, r0 = r3: bad address (errno 14); " in str(partial)
    silent = explained(fb.VerifierError(errno.E2BIG, "", []), code)
    assert str(silent) == "the kernel refused the program: argument list too long (errno 7); the verifier said nothing"
    assert silent.log == ()
    odd = explained(fb.VerifierError(524, "", ["processed 0 insns (limit 1000000)"]), code)
    assert str(odd) == "the kernel refused the program: not supported (errno 524); the verifier said nothing"
    assert odd.log == ("processed 0 insns (limit 1000000)",)
    long = explained(fb.VerifierError(errno.E2BIG, "", []), assemble([mov(r0, 0)] * 5000, exit_()))
    assert "it takes 5,001 slots; 1,000,000 are the most, and 4,096 without CAP_BPF (errno 7)" in str(long)


def test_an_instruction_without_a_text_is_one():
    lines = ["0: R1=ctx() R10=fp0", "0: (b7) r0 = 0    ; R0=0", "1: BUG_db", "BPF_ATOMIC uses invalid atomic opcode 77"]
    assert refusal(lines)[:3] == ("BPF_ATOMIC uses invalid atomic opcode 77", 1, "BUG_db")


def test_what_may_be_one_of_several_instructions_is_none():
    def slot(reason, *parts):
        return explained(fb.VerifierError(errno.EINVAL, "", [reason]), assemble(mov(r0, 0), *parts, exit_())).slot

    value, unknown = "invalid access to map value pointer, value_size=8 off=4", Instruction(0x18, 1, 2, imm=7 | 4 << 32)
    assert slot(value, unknown) == 1
    assert slot(value, unknown, unknown) is None
    several = fb.MapSpec("array", value=fb.u64, max_entries=2, name="several")
    assert slot(value, ld_map_value(r1, several, 0), ld_map_value(r1, several, 4), unknown) == 3
    assert slot(value, unknown, ld_map_value(r1, several, 4)) is None
    assert slot("no direct value access support for this map type", unknown, ld_map_value(r1, several, 4)) == 1
    # before 6.6
    assert slot("BPF_LDX uses reserved fields", ldxw(r1, r1, 0), ldxsw(r1, r1, 0)) == 2
    assert slot("unknown opcode 99", unknown) is None


def test_a_long_state_is_cut_in_the_message_only():
    long = f"scalar({'x' * 200})"
    code = assemble(mov(r0, r3), exit_())
    error = explained(
        fb.VerifierError(errno.EACCES, "", [f"0: R3={long} R10=fp0", "0: (bf) r0 = r3", "no"]),
        code,
    )
    assert error.registers["R3"] == long
    assert len(str(error)) < 250


STATISTICS = {
    "verification time 70 usec\nstack depth 8\nprocessed 7 insns (limit 1000000) max_states_per_insn 1 "
    "total_states 2 peak_states 3 mark_read 4\n": (7, 1, 2, 3, 4, (8,), 70),
    "verification time 9 usec\nstack depth 24+0+512\nprocessed 12 insns (limit 1000000) max_states_per_insn 0 "
    "total_states 1 peak_states 1\n": (12, 0, 1, 1, None, (24, 0, 512), 9),
    "": (None,) * 7,
}


@pytest.mark.parametrize("log", STATISTICS, ids=["all", "without marks", "none"])
def test_statistics(log):
    assert tuple(statistics(log)) == STATISTICS[log]
