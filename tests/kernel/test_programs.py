"""Programs: loaded, refused with a reason and a place, run on packets, and put on probes."""

from __future__ import annotations

import errno
import inspect
import re
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from tests.kernel.producers import GETPPID, Child, program_exists

import fastbpf as fb
from fastbpf import _native
from fastbpf.asm import *
from fastbpf.asm.instruction import Instruction

PACKET = bytes(range(64))


def here():
    """The line of this file that calls."""
    return inspect.currentframe().f_back.f_lineno


def bpftool(*words):
    return subprocess.run(["bpftool", *map(str, words)], capture_output=True, text=True, check=True).stdout


def sk_buff_len():
    """Where the kernel has the length of a packet."""
    text = bpftool("btf", "dump", "file", "/sys/kernel/btf/vmlinux")
    members = text.partition("STRUCT 'sk_buff' ")[2].partition("\n[")[0]
    return int(re.search(r"'len' .*bits_offset=(\d+)", members)[1]) // 8


def refused(spec, **options):
    with pytest.raises(fb.VerifierError) as error:
        spec.load(**options)
    return error.value


def test_a_refusal_names_the_line_that_wrote_the_instruction():
    line = here() + 3
    parts = [
        mov(r2, 2),
        ldxdw(r0, r2, 0),
        exit_(),
    ]
    error = refused(fb.ProgramSpec("socket_filter", assemble(parts)))
    assert error.source == f"{Path(__file__).name}:{line}"
    assert error.errno == errno.EACCES
    assert "\n" not in str(error)
    assert str(error).startswith(f"{error.source}: ")
    # the kernel's own words (kernel/bpf/verifier.c, check_mem_access)
    assert "R2 invalid mem access 'scalar'" in str(error)
    assert any("R2 invalid mem access 'scalar'" in text for text in error.log)


def test_a_refusal_behind_wide_instructions_names_the_right_line():
    counts = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")
    line = here() + 5
    parts = [
        ld_map_value(r1, counts, 0),
        lddw(r2, 1 << 40),
        stdw(r1, 0, 7),
        stdw(r1, 8, 7),  # behind the value's end
        mov(r0, 0),
        exit_(),
    ]
    error = refused(fb.ProgramSpec("socket_filter", assemble(parts)))
    assert error.source == f"{Path(__file__).name}:{line}"
    assert any("invalid access to map value, value_size=8 off=8 size=8" in text for text in error.log)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((mov(r0, r3), exit_()), "R3 !read_ok"),
        ((exit_(),), "R0 !read_ok"),
        ((mov(r0, 0), label("x"), ja("x")), "infinite loop detected"),
        ((mov(r0, 0), ldxdw(r0, r10, 8), exit_()), "invalid"),
        ((call.ktime_get_ns(), call.override_return(r1, 0), exit_()), "override_return|unknown func|cannot"),
    ],
)
def test_refusals_in_the_kernels_words(parts, said):
    error = refused(fb.ProgramSpec("socket_filter", assemble(parts)))
    assert re.search(said, str(error)), str(error)
    assert error.log
    assert "\n" not in str(error)


def test_a_license_that_is_not_gpl_compatible():
    code = assemble(mov(r1, fp), add(r1, -8), mov(r2, 8), mov(r3, 0), call_id(113), mov(r0, 0), exit_())
    fb.ProgramSpec("raw_tracepoint", code).load().close()
    error = refused(fb.ProgramSpec("raw_tracepoint", code, license="Proprietary"))
    assert "GPL" in str(error)


def test_a_long_log_arrives_whole():
    # The verifier tells every instruction on its way to the bad one.
    code = assemble([mov(r6, n) for n in range(9000)], mov(r0, r9), exit_())
    error = refused(fb.ProgramSpec("raw_tracepoint", code))
    assert sum(len(line) + 1 for line in error.log) > 1 << 18
    told = [int(line.split(":")[0]) for line in error.log if re.match(r"\d+: \(", line)]
    assert told == list(range(9001))
    assert "R9 !read_ok" in str(error)
    assert error.log[-1].startswith("processed 9001 insns")


def test_a_log_of_many_paths_arrives_whole():
    # Longer than the first buffers: the kernel is asked again.
    code = assemble(mov(r6, 0), label("again"), add(r6, 1), jlt(r6, 20_000, "again"), mov(r0, r9), exit_())
    error = refused(fb.ProgramSpec("raw_tracepoint", code))
    assert sum(len(line) + 1 for line in error.log) > 1 << 20
    assert error.log[0].startswith("0: R1=ctx() ")
    assert sum(line.startswith("1: (07) r6 += 1") for line in error.log) == 20_000
    assert int(error.registers["R6"], 0) == 20_000


def test_a_refusal_tells_what_the_verifier_knew():
    error = refused(
        fb.ProgramSpec("socket_filter", assemble(call.ktime_get_ns(), and_(r0, 7), ldxb(r2, r0, 3), exit_()))
    )
    assert (error.slot, error.instruction) == (2, "r2 = *(u8 *)(r0 +3)")
    assert error.reason == "R0 invalid mem access 'scalar'"
    assert error.registers["R0"].startswith("scalar(")
    assert error.registers["R10"] == "fp0"
    assert "R1" not in error.registers  # lost in the call
    assert f"(R0={error.registers['R0'][:40]}" in str(error)
    assert f"instruction 2, {error.instruction}: {error.reason} (" in str(error)


def test_a_refusal_before_the_walk_names_its_line():
    code = assemble(mov(r0, 0), exit_(), mov(r0, 1), exit_())
    error = refused(fb.ProgramSpec("socket_filter", code))
    assert error.reason == "unreachable insn 2"
    assert error.source == str(code.source(2))
    assert str(error).startswith(f"{error.source}: the verifier refused instruction 2, r0 = 1: ")


def test_refusals_before_the_walk_name_their_slot():
    one = fb.MapSpec("array", value=fb.u64, max_entries=1, name="one")
    several = fb.MapSpec("array", value=fb.u64, max_entries=2, name="several")
    table = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=2, name="table")
    good = lddw(r1, 1), ld_map_value(r1, one, 0)
    cases = (
        (ld_map_value(r1, several, 0), "invalid access to map value pointer"),
        (ld_map_value(r1, one, 8), "invalid access to map value pointer"),
        (ld_map_value(r1, table, 0), "no direct value access|invalid access"),
        (Instruction(0x18, 1, 1, imm=9999), "fd 9999 is not pointing to valid bpf_map"),
        (Instruction(0x18, 1, 2, imm=9999 | 4 << 32), "fd 9999 is not pointing to valid bpf_map"),
        (Instruction(0x18, 1, 5), "fd_idx without fd_array"),
        (Instruction(0x18, 1, 9), "unrecognized bpf_ld_imm64"),
        (Instruction(0x18, 1, 1, imm=1 << 32), "unrecognized bpf_ld_imm64"),
        (Instruction(0x18, 1, 3, imm=1), "btf_id 1 "),
        (Instruction(0xFF, 1), "unknown opcode ff"),
        (Instruction(0x79, 1, 1, imm=3), "BPF_LDX uses reserved fields"),
        (Instruction(0x85, 0, 1, imm=77), "call to invalid destination"),
        (call_kfunc(1), "kernel btf_id 1 is not a function"),
        (Instruction(0x85, 0, 2, off=3, imm=77), "kfunc offset > 0"),
    )
    for bad, reason in cases:
        error = refused(fb.ProgramSpec("socket_filter", assemble(mov(r0, 0), good, bad, bad, exit_())))
        assert re.search(reason, error.reason)
        assert error.slot == 5, error.reason


def test_the_function_without_an_end_is_found():
    code = assemble(mov(r0, 0), call_sub("sub"), mov(r0, 1), label("sub"), mov(r0, 2), exit_())
    error = refused(fb.ProgramSpec("socket_filter", code))
    assert error.reason == "last insn is not an exit or jmp"
    assert error.slot == 2


def test_a_refusal_of_the_whole_program_names_no_line():
    frame = stdw(fp, -400, 1), mov(r0, 0)
    code = assemble(frame, call_sub("sub"), exit_(), label("sub"), frame, exit_())
    error = refused(fb.ProgramSpec("socket_filter", code))
    assert "combined stack size" in error.reason
    assert (error.source, error.slot, error.registers) == (None, None, {})


def test_a_refusal_in_a_subprogram_tells_its_registers():
    code = assemble(mov(r1, 7), call_sub("sub"), exit_(), label("sub"), mov(r6, r1), ldxdw(r0, r6, 0), exit_())
    error = refused(fb.ProgramSpec("socket_filter", code))
    assert (error.slot, error.registers) == (4, {"R1": "7", "R6": "7", "R10": "fp0"})


def random_program(random):
    """Instructions that mostly make no sense, so that the verifier has much to say."""
    low, any_register = (r0, r1, r2, r6), (r0, r1, r2, r6, r10)
    make = (
        lambda: mov(random.choice(low), random.randrange(-9, 9)),
        lambda: mov(random.choice(low), random.choice(any_register)),
        lambda: add(random.choice(low), random.choice(any_register)),
        lambda: and_(random.choice(low), 7),
        lambda: add(random.choice(low), random.randrange(-16, 0)),
        lambda: stdw(r10, -8 * random.randrange(1, 3), random.randrange(9)),
        lambda: stxdw(random.choice(any_register), -8, random.choice(any_register)),
        lambda: ldxdw(random.choice(low), random.choice(any_register), -8),
        lambda: jgt(random.choice(low), random.randrange(9), "out"),
        lambda: jne32(random.choice(low), random.choice(low), "out"),
        lambda: call_id(random.choice((5, 7, 8, 14))),
        lambda: call_sub("sub"),
    )
    first = mov(r0, 3), mov(r2, r10), mov(r6, 5)
    body = [random.sample(first, random.randrange(4)), *(random.choice(make)() for _ in range(random.randrange(1, 12)))]
    return assemble(body, label("out"), exit_(), label("sub"), random.choice(make[:6])(), mov(r0, 1), exit_())


def test_refusals_of_random_programs():
    random = Random(7)
    told = {"instruction": 0, "unreadable": 0, "value": 0}
    for _ in range(1500):
        code = random_program(random)
        try:
            fb.ProgramSpec("raw_tracepoint", code).load().close()
            continue
        except fb.VerifierError as refusal:
            error = refusal
        assert "\n" not in str(error)
        if error.slot is None:
            continue
        assert error.source == str(code.source(error.slot))
        # the kernel prints the instruction that it works on, and refuses the last one
        lines = [line for line in error.log if re.match(r"\d+: \(", line)]
        if not lines or not lines[-1].startswith(f"{error.slot}: "):
            continue
        told["instruction"] += 1
        assert re.split(r" +;| \d+: ", lines[-1].partition(") ")[2])[0].strip() == error.instruction, error.log
        # a register that cannot be read has no state
        if unreadable := re.match(r"(R\d+) !read_ok", error.reason):
            told["unreadable"] += 1
            assert unreadable[1] not in error.registers, error.log
        # and one that is no pointer has a number's
        if value := re.match(r"(R\d+) invalid mem access 'scalar'", error.reason):
            told["value"] += 1
            assert re.match(r"P?(scalar\(|-?\d)", error.registers[value[1]]), error.log
    assert min(told.values()) > 30, told


# Registers, against what the verifier tells of them when a call comes in the place of what it refuses

RING = fb.MapSpec("ringbuf", max_entries=4096, name="ring")
FOUND = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=8, name="found")
HEAD = stxdw(fp, -16, r1), stw(fp, -4, 0), mov(r6, 1), mov(r7, 2), mov(r8, 3), mov(r9, r1), mov(r0, 5)
LOOKUP = ld_map(r1, FOUND), mov(r2, fp), add(r2, -4), call_id(1)
RESERVE = ld_map(r1, RING), mov(r2, 8), mov(r3, 0), call_id(131)
SUBMIT = mov(r2, 0), call_id(132)
PACKET_OF_14 = (
    *(ldxdw(r1, fp, -16), ldxw(r6, r1, 76), ldxw(r7, r1, 80)),
    *(mov(r8, r6), add(r8, 14), jgt(r8, r7, "out")),
)
PULL = ldxdw(r1, fp, -16), mov(r2, 0), call_id(39)
STORE = ldxdw(r1, fp, -16), mov(r2, 0), mov(r3, fp), add(r3, -4), mov(r4, 4), mov(r5, 0), call_id(9)
OUT = label("out"), mov(r0, 0), exit_()


def verdict(code):
    try:
        fb.ProgramSpec("sched_cls", code).load().close()
    except fb.VerifierError as error:
        return error
    return None


def refusal_and_truth(body, tail=()):
    """Why the kernel refuses a program, and all that it knows there of the registers that a call keeps; or None."""
    parts = [*HEAD, *body, *OUT, *tail]
    code = assemble(parts)
    error = verdict(code)
    at = f"{error and error.slot}: ("
    if error is None or sum(line.startswith(at) for line in error.log) != 1:
        return None
    written = [place for place, part in enumerate(parts) if not isinstance(part, type(label("x")))]
    place = written[[slot for slot, _ in code.placed()].index(error.slot)]
    asking = [*parts[:place], call_sub("asked"), *parts[place:], label("asked"), mov(r0, 0), exit_()]
    asked = verdict(assemble(asking))
    if asked is None:
        return None
    log = asked.log
    call = next(number for number, line in enumerate(log) if line.startswith(at))
    # "caller:", and the state in the line after it
    if log[call + 1 : call + 2] != ("caller:",):
        return None
    return error, dict(re.findall(r"\b(R[6-9])(?:_\w+)?=((?:[^\s()]|\((?:[^()]|\([^()]*\))*\))+)", log[call + 2]))


STALE = {
    "a record that was submitted": (
        (*RESERVE, jeq(r0, 0, "out"), mov(r6, r0), mov(r7, r0), add(r7, 4), mov(r1, r0), *SUBMIT, stdw(r6, 0, 1)),
        "R6 invalid mem access 'scalar'",
    ),
    "a packet that may have moved": ((*PACKET_OF_14, *PULL, ldxb(r0, r6, 0)), "R6 invalid mem access 'scalar'"),
    "a packet of known size": (
        (*PACKET_OF_14, ldxb(r0, r6, 14)),
        r"invalid access to packet, off=14 size=1, R6\(.*r=14",
    ),
    "a copy of what is not NULL": (
        (*LOOKUP, mov(r6, r0), jeq(r0, 0, "out"), ldxdw(r0, r6, 8)),
        "R6 min value is outside",
    ),
    "a copy of a number": (
        (call.get_prandom_u32(), mov(r6, r0), mov(r7, r0), jgt(r0, 7, "out"), ldxb(r1, r7, 0)),
        "R7 invalid mem access 'scalar'",
    ),
}


@pytest.mark.parametrize("name", STALE)
def test_no_register_is_shown_as_it_was_before(name):
    body, reason = STALE[name]
    error, truth = refusal_and_truth(body)
    assert re.search(reason, error.reason)
    for register in truth.keys() & error.registers.keys():
        assert error.registers[register] == truth[register]
    # what it tells nowhere in the log of this program cannot be shown
    assert "R9" in error.registers
    named = re.search(r"R\d", reason)[0]
    assert named not in error.registers


def random_steps(random):
    """Instructions on packets, records, lookups and numbers, in the order of no sensible program."""

    def kept():
        return random.choice((r6, r7, r8, r9))

    def some():
        return random.choice((r0, r6, r7, r8, r9))

    def number():
        return random.choice((0, 1, 7, 14, 255))

    tests = jgt, jeq, jne, jle, jge, jsgt, jset, jgt32, jeq32
    make = (
        lambda: [call.get_prandom_u32()],
        lambda: [random.choice((mov, mov, mov32))(kept(), some())],
        lambda: [add(kept(), random.choice((4, 14, -8)))],
        lambda: [and_(kept(), number())],
        lambda: [add(kept(), some())],
        lambda: [random.choice(tests)(some(), number(), "out")],
        lambda: [random.choice(tests)(some(), some(), "out")],
        lambda: [random.choice((jeq, jne))(some(), 0, "out")],
        lambda: PACKET_OF_14,
        lambda: [ldxdw(r1, fp, -16), ldxw(kept(), r1, random.choice((76, 80)))],
        lambda: random.choice((PULL, STORE)),
        lambda: LOOKUP,
        lambda: RESERVE,
        lambda: [mov(r1, some()), *SUBMIT],
        lambda: [ldxb(r0, kept(), random.choice((0, 13, 20)))],
        lambda: [ldxdw(kept(), kept(), 0)],
        lambda: [stxdw(fp, -24, some()), ldxdw(kept(), fp, -24)],
        lambda: [call_sub("other")],
        lambda: [mov(r1, 3), ld_func(r2, "other"), mov(r3, 0), mov(r4, 0), call_id(181)],
    )
    return [step for steps in random.choices(make, k=random.randrange(3, 16)) for step in steps()]


def test_registers_are_shown_as_the_verifier_has_them():
    random = Random(11)
    shown = kept = 0
    for _ in range(1500):
        body = random_steps(random)
        calls = any(getattr(step, "label", None) == "other" for step in body)
        told = refusal_and_truth(body, (label("other"), mov(r0, 0), exit_()) if calls else ())
        if told is None:
            continue
        error, truth = told
        kept += len(truth)
        for register in truth.keys() & error.registers.keys():
            shown += 1
            # P: that the verifier follows a number exactly, which it finds out later on
            assert error.registers[register].lstrip("P") == truth[register].lstrip("P"), error.log
    assert kept > 2000
    assert shown > 0.9 * kept


def test_statistics_of_a_verification():
    code = assemble(stdw(fp, -24, 1), call_sub("sub"), exit_(), label("sub"), stdw(fp, -8, 1), mov(r0, 0), exit_())
    with fb.ProgramSpec("socket_filter", code).load(stats=True) as program:
        stats = program.stats
        assert stats.insns_processed == program.info.verified_insns == 6
        # with a JIT, each has a frame of its own, rounded up by some kernels
        assert [(-(-depth // 32)) for depth in stats.stack_depth] == [1, 1]
        assert 0 < stats.verification_time_us < 1_000_000
        assert stats.peak_states <= stats.total_states <= stats.insns_processed
    with fb.ProgramSpec("socket_filter", code).load() as program:
        assert program.stats is None
    # a refused one has its log all the same
    assert len(refused(fb.ProgramSpec("socket_filter", assemble(mov(r0, r3), exit_())), stats=True).log) > 2


def test_checked_before_the_kernel_is_asked(monkeypatch):
    code = assemble(call.ktime_get_ns(), mov(r0, r1), exit_())
    with monkeypatch.context() as patched:
        patched.setattr("fastbpf._native.Program", None)
        with pytest.raises(fb.AsmError, match=rf"^{Path(__file__).name}:\d+: error: ") as found:
            fb.ProgramSpec("socket_filter", code).load(check=True)
    assert [(one.severity, one.slot) for one in found.value.findings] == [("error", 1)]
    refused(fb.ProgramSpec("socket_filter", code))
    fb.ProgramSpec("socket_filter", assemble(mov(r0, 0), exit_())).load(check=True).close()


def test_what_a_check_warns_of_is_a_warning():
    # Since 6.16, the kernel knows that an array has an element for a constant index.
    array = fb.MapSpec("array", key=fb.u32, value=fb.u64, max_entries=1, name="one")
    code = assemble(stw(fp, -4, 0), call.map_lookup_elem(array, fp - 4), ldxdw(r0, r0, 0), mov(r0, 0), exit_())
    with pytest.warns(UserWarning, match=rf"^{Path(__file__).name}:\d+: r0 may be NULL here") as warned:
        with suppress(fb.VerifierError):  # an older kernel
            fb.ProgramSpec("socket_filter", code).load(check=True).close()
    assert [Path(one.filename) for one in warned] == [Path(__file__)]


def test_a_check_says_nothing_of_what_only_older_kernels_refuse(recwarn):
    # Linux 6.3 and later let a privileged program read stack that it never wrote, and 6.6 is the first with movsx.
    spec = fb.ProgramSpec("socket_filter", assemble(ldxdw(r0, fp, -8), movsx8(r0, r0), exit_()))
    if fb.KernelVersion.running() >= (6, 6):
        spec.load(check=True).close()
        assert not recwarn.list
    assert [found.severity for found in spec.code.check("socket_filter")] == ["warning", "warning"]


def test_what_the_kernel_knows_of_a_program():
    with fb.ProgramSpec("socket_filter", assemble(mov(r0, 1), exit_()), name="pass_one").load() as program:
        info = program.info
        assert (info.name, info.verified_insns, info.run_cnt) == ("pass_one", 2, 0)
        fdinfo = dict(
            line.split(":", 1)
            for line in Path(f"/proc/self/fdinfo/{program.fileno()}").read_text().splitlines()
            if ":" in line
        )
        assert info.id == int(fdinfo["prog_id"])
        assert info.tag == fdinfo["prog_tag"].strip()
        assert program.id == info.id
        assert program_exists(info.id)


def test_runs_on_a_packet():
    # returns the packet's length, as the kernel gives it in struct __sk_buff
    with fb.ProgramSpec("socket_filter", assemble(ldxw(r0, r1, 0), exit_())).load() as program:
        run = program.test_run(data=PACKET)
        # a socket filter sees no Ethernet header
        assert run.retval in (len(PACKET), len(PACKET) - 14)
        assert run.data[14:] == PACKET[14:]
        assert program.test_run(data=PACKET, repeat=1000).retval == run.retval
        with pytest.raises(fb.KernelError) as short:
            program.test_run(data=b"short")
        assert short.value.errno == errno.EINVAL


def test_runs_of_xdp_change_the_packet():
    code = assemble(
        ldxw(r2, r1, 0),
        ldxw(r3, r1, 4),
        mov(r4, r2),
        add(r4, 14),
        mov(r0, 1),
        jgt(r4, r3, "out"),
        ldxb(r5, r2, 0),
        add(r5, 1),
        stxb(r2, 0, r5),
        mov(r0, 2),
        label("out"),
        exit_(),
    )
    with fb.ProgramSpec("xdp", code).load() as program:
        run = program.test_run(data=PACKET)
        assert (run.retval, run.data) == (2, bytes([1]) + PACKET[1:])
        # each repetition works on what the last one left
        assert program.test_run(data=PACKET, repeat=10).data == bytes([10]) + PACKET[1:]


def test_runs_of_a_raw_tracepoint_get_their_arguments():
    code = assemble(ldxdw(r0, r1, 0), ldxdw(r2, r1, 8), sub(r0, r2), exit_())
    with fb.ProgramSpec("raw_tracepoint", code).load() as program:
        assert program.test_run(ctx=struct.pack("<QQ", 50, 8)).retval == 42


def test_runs_of_a_syscall_program_change_their_context():
    code = assemble(ldxdw(r0, r1, 0), add(r0, 1), stxdw(r1, 8, r0), exit_())
    with fb.ProgramSpec("syscall", code).load() as program:
        given = struct.pack("<QQ", 41, 0)
        run = program.test_run(ctx=given)
        assert (run.retval, run.ctx) == (42, struct.pack("<QQ", 41, 42))
        assert given == struct.pack("<QQ", 41, 0)


def test_a_tracepoint_program_cannot_be_run_here():
    with fb.ProgramSpec("tracepoint", assemble(mov(r0, 0), exit_())).load() as program:
        with pytest.raises(fb.KernelError, match="attach it instead") as refusal:
            program.test_run()
        assert refusal.value.errno == 524


def counter(kind, filter):
    counts = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")
    pids = fb.MapSpec("hash", key=fb.u32, value=fb.u8, max_entries=8, name="pids")
    code = assemble(
        filter,
        call.get_current_pid_tgid(),
        rsh(r0, 32),
        stxw(fp, -4, r0),
        call.map_lookup_elem(pids, fp - 4),
        jeq(r0, 0, "out"),
        ld_map_value(r1, counts, 0),
        mov(r2, 1),
        atomic_add(r1, 0, r2),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    return fb.ProgramSpec(kind, code, name="counter")


@pytest.mark.parametrize(
    ("kind", "probe", "filter", "link"),
    [
        ("tracepoint", "tracepoint:syscalls:sys_enter_getppid", (), "perf_event"),
        ("tracepoint", "t:syscalls:sys_enter_getppid", (), "perf_event"),
        ("raw_tracepoint", "raw_tracepoint:sys_enter", (ldxdw(r2, r1, 8), jne(r2, GETPPID, "out")), "raw_tracepoint"),
    ],
)
def test_a_program_runs_while_its_link_is_open(kind, probe, filter, link):
    with Child() as child, counter(kind, filter).load() as program:
        counts = program.maps["counts"]
        program.maps["pids"][child.pid] = 1
        child.getppid(5)
        assert counts[0] == 0
        with program.attach(probe) as first:
            assert first.kind == link
            assert first.fileno() >= 0
            child.getppid(5)
            assert counts[0] == 5
        child.getppid(5)
        assert counts[0] == 5
        first.close()
        with pytest.raises(fb.StreamError, match="this link is closed"):
            first.fileno()


def test_a_link_keeps_its_program():
    program = counter("tracepoint", ()).load()
    number = program.info.id
    with program.attach("tracepoint:syscalls:sys_enter_getppid"):
        program.close()
        assert program_exists(number)
    with pytest.raises(fb.StreamError, match="this program is closed"):
        program.attach("tracepoint:syscalls:sys_enter_getppid")


def test_a_program_is_on_a_tracepoint_once():
    probe = "tracepoint:syscalls:sys_enter_getppid"
    with counter("tracepoint", ()).load() as program:
        with program.attach(probe):
            with pytest.raises(fb.KernelError, match=f"already on {probe}") as twice:
                program.attach(probe)
            assert twice.value.errno == errno.EEXIST
        program.attach(probe).close()


@pytest.mark.parametrize(
    ("kind", "probe", "message"),
    [
        (
            "socket_filter",
            "tracepoint:syscalls:sys_enter_getppid",
            "takes programs of type tracepoint; this one is of type socket_filter",
        ),
        (
            "tracepoint",
            "raw_tracepoint:sys_enter",
            "takes programs of type raw_tracepoint; this one is of type tracepoint",
        ),
        (
            "raw_tracepoint",
            "tracepoint:syscalls:sys_enter_getppid",
            "takes programs of type tracepoint; this one is of type raw_tracepoint",
        ),
        ("tracepoint", "tracepoint:syscalls:sys_enter_getpid_", "sys_enter_getpid"),
        ("raw_tracepoint", "raw_tracepoint:no_such_tracepoint", "no raw_tracepoint:no_such_tracepoint"),
    ],
)
def test_a_wrong_probe_is_refused(kind, probe, message):
    with fb.ProgramSpec(kind, assemble(mov(r0, 0), exit_())).load() as program:
        with pytest.raises(fb.ProbeError, match=message):
            program.attach(probe)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ext", "attach_btf_id"),
        ("lsm", "attach_btf_id"),
        ("tracing", "attach_btf_id"),
        ("struct_ops", "attach_btf_id"),
        ("sk_lookup", "expected_attach_type"),
        ("cgroup_sockopt", "expected_attach_type"),
    ],
)
def test_a_type_that_takes_more_than_a_spec_tells(kind, said):
    with pytest.raises(fb.KernelError, match=rf"^fastbpf loads no {kind} programs: .*{said}") as error:
        fb.ProgramSpec(kind, assemble(mov(r0, 0), exit_())).load()
    assert "root" not in str(error.value)
    assert "unknown error" not in str(error.value)


def test_a_program_that_is_too_long_is_told_the_limit():
    error = refused(fb.ProgramSpec("socket_filter", Code([*[mov(r0, 0)] * 1_000_000, exit_()])))
    assert error.errno == errno.E2BIG
    assert "it takes 1,000,001 slots; 1,000,000 are the most" in str(error)


def test_an_unknown_type_names_the_nearest():
    with pytest.raises(fb.LayoutError, match="did you mean 'tracepoint'"):
        fb.ProgramSpec("tracepiont", assemble(mov(r0, 0), exit_()))
    with pytest.raises(fb.LayoutError, match="no program type 'zzz'; there are tracepoint, raw_tracepoint, xdp"):
        fb.ProgramSpec("zzz", assemble(mov(r0, 0), exit_()))
    with pytest.raises(fb.LayoutError, match="cannot be a name"):
        fb.ProgramSpec("xdp", assemble(mov(r0, 0), exit_()), name="a name with spaces")


@pytest.mark.parametrize("code", [[], [exit_(), 5], [ja("nowhere")]])
def test_bad_code_names_the_line_of_its_author(code):
    with pytest.raises(fb.AsmError, match=rf"^{Path(__file__).name}:\d+: "):
        fb.ProgramSpec("xdp", code)


# Maps that code names

counts = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")


def counting(by, map=counts):
    return assemble(ld_map_value(r1, map, 0), mov(r2, by), atomic_add(r1, 0, r2), mov(r0, 0), exit_())


def test_each_load_has_maps_of_its_own():
    spec = fb.ProgramSpec("raw_tracepoint", counting(1))
    with spec.load() as one, spec.load() as two:
        one.test_run()
        assert (one.maps["counts"][0], two.maps["counts"][0]) == (1, 0)
        assert one.maps["counts"].id != two.maps["counts"].id


def test_programs_share_a_map_by_its_name():
    with fb.ProgramSpec("raw_tracepoint", counting(1)).load() as one:
        with fb.ProgramSpec("raw_tracepoint", counting(10)).load(maps={"counts": one.maps["counts"]}) as two:
            one.test_run()
            two.test_run()
            assert two.maps["counts"] is one.maps["counts"]
        # the second did not own it
        one.test_run()
        assert one.maps["counts"][0] == 12


def test_code_may_name_a_living_map():
    with counts.create() as map, fb.ProgramSpec("raw_tracepoint", counting(3, map)).load() as program:
        program.test_run()
        assert map[0] == 3
        assert program.maps["counts"] is map


def test_one_map_for_a_name_within_a_load():
    other = fb.MapSpec("array", value=fb.u64, max_entries=2, name="counts")
    code = assemble(ld_map_value(r1, counts, 0), ld_map_value(r1, other, 0), mov(r0, 0), exit_())
    with pytest.raises(fb.LayoutError, match="two different maps 'counts'"):
        fb.ProgramSpec("raw_tracepoint", code).load()
    equal = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")
    code = assemble(ld_map_value(r1, counts, 0), ld_map_value(r2, equal, 0), stdw(r1, 0, 5), ldxdw(r0, r2, 0), exit_())
    with fb.ProgramSpec("raw_tracepoint", code).load() as program:
        assert program.test_run().retval == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1), "is a hash with keys of 4 bytes and values of 8"),
        (fb.MapSpec("percpu_array", value=fb.u64, max_entries=1), "is a percpu_array with"),
        (fb.MapSpec("array", value=fb.u8, max_entries=1), "is an array with keys of 4 bytes and values of 1 byte;"),
        (fb.MapSpec("array", value=fb.u64, max_entries=2), "of one element; the map that is given has 2;"),
        (RING, "is a ringbuf;"),
    ],
)
def test_a_given_map_is_one_like_the_codes(given, said):
    spec = fb.ProgramSpec("raw_tracepoint", counting(1))
    with given.create() as map, pytest.raises(fb.LayoutError, match=rf"^the code names 'counts', an array .*{said}"):
        spec.load(maps={"counts": map})
    with pytest.raises(fb.LayoutError, match=r"create\(\) makes one"):
        spec.load(maps={"counts": counts})


def test_a_given_map_of_the_same_sizes_serves():
    with fb.MapSpec("array", value=fb.u32[2], max_entries=1).create() as map:
        with fb.ProgramSpec("raw_tracepoint", counting(3)).load(maps={"counts": map}) as program:
            program.test_run()
        assert map[0] == (3, 0)


def test_a_given_map_does_not_stand_for_a_living_one():
    with counts.create() as named, counts.create() as given:
        spec = fb.ProgramSpec("raw_tracepoint", counting(1, named))
        with pytest.raises(fb.LayoutError, match="names a living map 'counts'"):
            spec.load(maps={"counts": given})
        spec.load(maps={"counts": named}).close()


def test_a_map_that_the_code_does_not_name_is_refused():
    with counts.create() as map:
        with pytest.raises(fb.LayoutError, match="no map 'cuonts'"):
            fb.ProgramSpec("raw_tracepoint", counting(1)).load(maps={"cuonts": map})


def test_a_refused_load_leaves_no_map(monkeypatch):
    made = []
    create = fb.MapSpec.create
    monkeypatch.setattr(fb.MapSpec, "create", lambda spec: made.append(create(spec)) or made[-1])
    refused(fb.ProgramSpec("raw_tracepoint", assemble(ld_map_value(r1, counts, 0), exit_())))
    with pytest.raises(fb.StreamError, match="this map is closed"):
        made[0].fileno()


# Callbacks and the kernel's own functions and variables


@pytest.mark.parametrize("kind", ["socket_filter", "xdp", "raw_tracepoint", "syscall"])
def test_a_loop_calls_back(kind):
    # sums 0 to 9 in the place that its context points to
    code = assemble(
        stdw(fp, -8, 0),
        mov(r1, 10),
        ld_func(r2, "each one"),
        mov(r3, fp),
        add(r3, -8),
        mov(r4, 0),
        call_id(181),  # loop, Linux 5.17
        ldxdw(r0, fp, -8),
        exit_(),
        label("each one"),
        ldxdw(r3, r2, 0),
        add(r3, r1),
        stxdw(r2, 0, r3),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec(kind, code, name="7th.loop").load() as program:
        packet = None if kind in {"raw_tracepoint", "syscall"} else PACKET
        assert program.test_run(data=packet).retval == 45
        shown = bpftool("prog", "dump", "xlated", "id", program.id)
        # under the names that the code gives them, as BTF can have them
        assert re.findall(r"^int (\w+)\(", shown, re.MULTILINE) == ["_7th_loop", "each_one"]


def test_each_element_of_a_map_calls_back():
    numbers = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=8, name="numbers")
    code = assemble(
        stdw(fp, -8, 0),
        ld_map(r1, numbers),
        ld_func(r2, "add"),
        mov(r3, fp),
        add(r3, -8),
        mov(r4, 0),
        call_id(164),  # for_each_map_elem, Linux 5.13
        ldxdw(r0, fp, -8),
        exit_(),
        label("add"),
        ldxdw(r1, r4, 0),
        ldxdw(r2, r3, 0),
        add(r1, r2),
        stxdw(r4, 0, r1),
        call_sub("nothing"),
        exit_(),
        label("nothing"),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("socket_filter", code).load() as program:
        program.maps["numbers"].update({1: 5, 2: 7, 9: 30})
        assert program.test_run(data=PACKET).retval == 42


def test_a_refused_callback_names_its_line():
    parts = mov(r1, 3), ld_func(r2, "each"), mov(r3, 0), mov(r4, 0), call_id(181), exit_()
    code = assemble(parts, label("each"), mov(r0, 9), exit_())
    error = refused(fb.ProgramSpec("socket_filter", code))
    assert (error.slot, error.source) == (8, str(code.source(8)))
    assert error.registers["R0"] == "9"
    assert "At callback return the register R0 has" in error.reason


def test_kernel_functions_by_name():
    code = assemble(call_kfunc("bpf_rcu_read_lock"), call_kfunc("bpf_rcu_read_unlock"), mov(r0, 42), exit_())
    with fb.ProgramSpec("xdp", code).load() as program:
        assert program.test_run(data=PACKET).retval == 42
    # the verifier knows them by their names, and what they do
    error = refused(fb.ProgramSpec("xdp", assemble(call_kfunc("bpf_rcu_read_lock"), mov(r0, 0), exit_())))
    assert (error.slot, error.instruction) == (2, "exit")
    assert "bpf_rcu_read_lock" in error.reason


def test_a_kernel_function_reads_the_kernels_context():
    code = assemble(
        call_kfunc("bpf_cast_to_kern_ctx"),  # struct sk_buff, Linux 6.2
        ldxw(r0, r0, sk_buff_len()),
        exit_(),
    )
    with fb.ProgramSpec("sched_cls", code).load() as program:
        assert program.test_run(data=PACKET).retval in (len(PACKET), len(PACKET) - 14)


def test_kernel_names_that_are_not_there():
    line = here() + 2
    with pytest.raises(fb.AsmError) as unknown:
        fb.ProgramSpec("xdp", assemble(call_kfunc("bpf_rcu_read_lok"), mov(r0, 0), exit_())).load()
    assert str(unknown.value).startswith(f'{Path(__file__).name}:{line}: call_kfunc("bpf_rcu_read_lok"): ')
    assert 'did you mean "bpf_rcu_read_lock"' in str(unknown.value)
    with pytest.raises(fb.AsmError, match=r'no variable .* did you mean "runqueues"'):
        fb.ProgramSpec("xdp", assemble(ld_btf_id(r1, "runqueue"), mov(r0, 0), exit_())).load()


def test_a_kernel_function_that_is_not_for_programs():
    error = refused(fb.ProgramSpec("xdp", assemble(call_kfunc("schedule"), mov(r0, 0), exit_())))
    assert error.reason == "calling kernel function schedule is not allowed"
    assert error.instruction.startswith("call schedule")


def test_the_address_of_a_kernel_symbol():
    symbols = (line.split() for line in Path("/proc/kallsyms").read_text().splitlines())
    addresses = {name: int(address, 16) for address, _, name, *_ in symbols}
    code = assemble(ld_btf_id(r0, "bpf_rcu_read_lock"), exit_())
    with fb.ProgramSpec("socket_filter", code).load() as program:
        assert program.test_run(data=PACKET).retval == addresses["bpf_rcu_read_lock"] & 0xFFFFFFFF
    # a variable: a kernel without CONFIG_KALLSYMS_ALL has it in its BTF, and does not find its address
    spec = fb.ProgramSpec("socket_filter", assemble(ld_btf_id(r1, "runqueues"), mov(r0, 0), exit_()))
    if "runqueues" in addresses:
        spec.load().close()
    else:
        error = refused(spec)
        assert error.reason == "ldimm64 failed to find the address for kernel symbol 'runqueues'"
        assert error.source == str(spec.code.source(0))


def test_maps_by_their_index():
    code = assemble(ld_map_index_value(r1, 1, 8), ldxdw(r0, r1, 0), exit_())
    with fb.MapSpec("array", value=fb.raw[16], max_entries=1).create() as map:
        map[0] = struct.pack("<QQ", 1, 42)
        program = _native.Program(1, bytes(code), "GPL", "", fds=[-1, map.fileno()])
        assert program.test_run(PACKET, None, 0)[0] == 42
        program.close()


def test_the_instructions_of_a_loaded_program():
    code = assemble(call.ktime_get_ns(), lddw(r1, 1 << 40), mov(r0, r1), exit_())
    with fb.ProgramSpec("socket_filter", code).load() as program:
        shown = _native.program_instructions(program.id)
        text = bpftool("prog", "dump", "xlated", "id", program.id)
        # a line an instruction, of which one takes two slots
        assert len(shown) // 8 == len(re.findall(r"^ *\d+: \(", text, re.MULTILINE)) + 1
        assert shown[8:] == bytes(code)[8:]
        number = program.id
    with pytest.raises(fb.KernelError, match=f"there is no program {number}") as gone:
        _native.program_instructions(number)
    assert gone.value.errno == errno.ENOENT
