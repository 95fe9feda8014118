"""Programs: loaded, refused with a reason and a place, run on packets, and put on probes."""

from __future__ import annotations

import errno
import inspect
import re
import struct
from pathlib import Path

import pytest
from tests.kernel.producers import GETPPID, Child, program_exists

import fastbpf as fb
from fastbpf.asm import *

PACKET = bytes(range(64))


def here():
    """The line of this file that calls."""
    return inspect.currentframe().f_back.f_lineno


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
            "takes a tracepoint program; this one is a socket_filter",
        ),
        ("tracepoint", "raw_tracepoint:sys_enter", "takes a raw_tracepoint program; this one is a tracepoint"),
        (
            "raw_tracepoint",
            "tracepoint:syscalls:sys_enter_getppid",
            "takes a tracepoint program; this one is a raw_tracepoint",
        ),
        ("tracepoint", "tracepoint:syscalls:sys_enter_getpid_", "sys_enter_getpid"),
        ("raw_tracepoint", "raw_tracepoint:no_such_tracepoint", "no raw_tracepoint:no_such_tracepoint"),
    ],
)
def test_a_wrong_probe_is_refused(kind, probe, message):
    with fb.ProgramSpec(kind, assemble(mov(r0, 0), exit_())).load() as program:
        with pytest.raises(fb.ProbeError, match=message):
            program.attach(probe)


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
