"""Programs on network interfaces and kprobes: they run while their link is open, and on nothing else.

left 10.79.0.1 — 10.79.0.2 right: a veth pair between two network namespaces of this test's own.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.kernel.namespaces import Namespace

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, packet

LEFT, RIGHT = "10.79.0.1", "10.79.0.2"
VERDICTS = {"xdp": ("XDP_PASS", "XDP_DROP"), "sched_cls": ("TC_ACT_OK", "TC_ACT_SHOT")}
# What is sent from left to right comes by them: program type, probe, whose interface, kind of link.
PLACES = {
    "xdp": ("xdp", "xdp:right", 1, "xdp"),
    "ingress": ("sched_cls", "tc:right:ingress", 1, "tcx"),
    "egress": ("sched_cls", "tc:left:egress", 0, "tcx"),
}


def counter(prog_type, *, drop=False, verdict=None):
    """Counts IPv4 packets, and drops them or not; all else passes."""
    counts = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")
    passes, drops = VERDICTS[prog_type]
    code = assemble(
        packet.pointers(r6, r7, r1, prog_type),
        ethernet.check(r6, r7, fail="pass"),
        packet.match(r6, ethernet.PROTOCOL, ethernet.IPV4, fail="pass"),
        [ld_map_value(r1, counts, 0), mov(r2, 1), atomic_add(r1, 0, r2)],
        packet.verdict(verdict or (drops if drop else passes)),
        label("pass"),
        packet.verdict(passes),
    )
    return fb.ProgramSpec(prog_type, code, name="counter")


class Line:
    """The pair, and datagrams over it."""

    def __init__(self, made):
        self.ends = [made.enter_context(closing(Namespace())) for _ in range(2)]
        left, right = self.ends
        left.ip(f"link add left type veth peer name right netns {right.path}")
        for end, device, address in ((left, "left", LEFT), (right, "right", RIGHT)):
            end.ip(f"addr add {address}/24 dev {device}")
            end.ip(f"link set {device} up")
        self.receiving = made.enter_context(right.socket(socket.SOCK_DGRAM, (RIGHT, 4000)))
        self.sending = made.enter_context(left.socket(socket.SOCK_DGRAM, (LEFT, 4000)))

    def send(self, *texts):
        for text in texts:
            self.sending.sendto(text, (RIGHT, 4000))

    def received(self, count):
        return [self.receiving.recv(100) for _ in range(count)]

    def attached(self, program, place):
        _, probe, end, _ = PLACES[place]
        return self.ends[end].do(lambda: program.attach(probe))


@pytest.fixture
def line():
    with ExitStack() as made:
        line = Line(made)
        line.send(b"first")  # which has the neighbours know each other
        assert line.received(1) == [b"first"]
        yield line


def counted(program, count):
    """Whether the program has counted so many, at the latest when a machine in trouble has had time for it."""
    until = time.monotonic() + 10
    while program.maps["counts"][0] < count and time.monotonic() < until:
        time.sleep(0.001)
    return program.maps["counts"][0] == count


@pytest.mark.parametrize("place", PLACES)
def test_packets_are_counted_and_pass_while_the_link_is_open(place, line):
    prog_type, probe, _, kind = PLACES[place]
    with counter(prog_type).load() as program:
        with line.attached(program, place) as link:
            assert (link.kind, link.probe) == (kind, probe)
            line.send(b"1", b"2", b"3")
            assert line.received(3) == [b"1", b"2", b"3"]
            assert program.maps["counts"][0] == 3
        line.send(b"4")
        assert line.received(1) == [b"4"]
        assert program.maps["counts"][0] == 3
        link.close()
        with pytest.raises(fb.StreamError, match="this link is closed"):
            link.fileno()


@pytest.mark.parametrize("place", PLACES)
def test_what_is_dropped_does_not_arrive(place, line):
    with counter(PLACES[place][0], drop=True).load() as program:
        with line.attached(program, place):
            line.send(b"1", b"2", b"3")
            assert counted(program, 3)
        line.send(b"4")
        assert line.received(1) == [b"4"]


@pytest.mark.parametrize("place", PLACES)
def test_a_link_outlives_its_program_and_not_its_block(place, line):
    with counter(PLACES[place][0], drop=True).load() as program:
        counts = program.maps["counts"]
        with pytest.raises(ZeroDivisionError), line.attached(program, place):
            program._native.close()  # not its maps, which tell
            line.send(b"1")
            assert counted(program, 1)
            1 / 0  # noqa: B018
        line.send(b"2")
        assert line.received(1) == [b"2"]
        assert counts[0] == 1


def test_an_interface_takes_one_xdp_program(line):
    with counter("xdp").load() as first, counter("xdp").load() as second:
        with line.attached(first, "xdp"):
            with pytest.raises(fb.KernelError, match="an XDP program on right already") as taken:
                line.attached(second, "xdp")
            assert taken.value.errno == errno.EBUSY
        line.attached(second, "xdp").close()


def test_programs_of_tc_run_one_after_the_other(line):
    # TCX_NEXT, -1: the next one decides
    with ExitStack() as made:
        first, second, third = (
            made.enter_context(spec.load())
            for spec in (counter("sched_cls", verdict=-1), counter("sched_cls", drop=True), counter("sched_cls"))
        )
        for program in (first, second, third):
            made.enter_context(line.attached(program, "ingress"))
        line.send(b"1", b"2")
        assert counted(second, 2)
        assert [one.maps["counts"][0] for one in (first, second, third)] == [2, 2, 0]
        with pytest.raises(fb.KernelError, match="already on tc:right:ingress; load it again") as twice:
            line.attached(first, "ingress")
        assert twice.value.errno == errno.EEXIST


@pytest.mark.parametrize("probe", ["xdp:{}", "tc:{}:ingress", "tc:{}:egress"])
def test_an_interface_that_is_not_there(probe, line):
    prog_type = "xdp" if probe.startswith("xdp") else "sched_cls"
    with counter(prog_type).load() as program:
        with pytest.raises(fb.ProbeError, match=r"no network interface 'lefd' .*; did you mean 'left'\?"):
            line.ends[0].do(lambda: program.attach(probe.format("lefd")))
        with pytest.raises(fb.ProbeError, match=r"no network interface 'zzz' .*; there are lo, left"):
            line.ends[0].do(lambda: program.attach(probe.format("zzz")))
        # the interfaces are those of who calls
        with pytest.raises(fb.ProbeError, match="no network interface 'left' in this network namespace"):
            line.ends[1].do(lambda: program.attach(probe.format("left")))
        for name in ("", "a\0b", "x" * 100):
            with pytest.raises(fb.ProbeError, match="no network interface"):
                line.ends[0].do(lambda name=name: program.attach(probe.format(name)))


def test_a_side_has_to_be_said(line):
    with counter("sched_cls").load() as program:
        for probe in ("tc:left", "tc:left:in", "tc:"):
            with pytest.raises(fb.ProbeError, match="does not say which packets; write tc:"):
                line.ends[0].do(lambda probe=probe: program.attach(probe))


def test_a_kprobe_counts_calls_or_the_kernel_says_that_it_has_none():
    counts = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counts")
    code = assemble(
        call.get_current_pid_tgid(),
        rsh(r0, 32),
        jne(r0, os.getpid(), "out"),
        [ld_map_value(r1, counts, 0), mov(r2, 1), atomic_add(r1, 0, r2)],
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("kprobe", code).load() as program:
        for probe in ("kprobe:__x64_sys_getppid", "kretprobe:__x64_sys_getppid"):
            if not Path("/sys/bus/event_source/devices/kprobe").exists():
                with pytest.raises(
                    fb.KernelError, match=f"{probe}: this kernel has no kprobes .*; attach to a trace"
                ) as no:
                    program.attach(probe)
                assert no.value.errno == errno.EOPNOTSUPP
                continue
            before = program.maps["counts"][0]
            with program.attach(probe):
                for _ in range(5):
                    os.getppid()
            os.getppid()
            assert program.maps["counts"][0] == before + 5
