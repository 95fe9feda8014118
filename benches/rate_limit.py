"""The XDP rate limiter of the examples, in BPF_PROG_TEST_RUN, beside the same program in C by clang -O2."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from struct import unpack_from
from typing import TYPE_CHECKING

import fastbpf as fb
from benches.harness import BUILD, HERE, OURS, Effort, MissingPeerError, Result, build, find, take_turns
from fastbpf.asm import *
from fastbpf.blocks import rate_limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

# What a packet meets: a bucket that is never empty, or one that always is.
TRAFFIC = {"passed": (100_000_000, 1_000_000), "refused": (1, 1)}
VERDICTS = {"passed": 2, "refused": 1}
CLANG = "clang -O2"


def run(effort: Effort) -> Result:
    sys.path.insert(0, str(HERE.parent / "examples"))
    example, packets = import_module("xdp_rate_limiter"), import_module("packets")
    frame = packets.udp_packet("10.0.0.1", "10.0.0.9", (4000, 53))
    repeat = effort.scaled(1_000_000, 10_000)
    sides, notes = {}, []
    with ExitStack() as stack:
        for traffic, limits in TRAFFIC.items():
            program = stack.enter_context(example.limiter(*limits).load())
            sides[_side(OURS, traffic)] = _ours(program, frame, repeat, VERDICTS[traffic])
        whole = longest_path(bytes(program.spec.code))
        try:
            for traffic, limits in TRAFFIC.items():
                peer = stack.enter_context(Clang(*limits, frame))
                sides[_side(CLANG, traffic)] = peer.runs(repeat, VERDICTS[traffic])
            notes.append(
                f"the longest way through the program: {whole} instructions, {CLANG} {longest_path(peer.code)}"
            )
        except MissingPeerError as error:
            notes.append(str(error))
        medians = take_turns(sides, effort)
    result = Result("rate_limit", "the XDP rate limiter, a packet that passes", "ns", medians, notes=notes)
    result.below("ns, passed", medians[OURS], 120)
    result.below("ns, refused", medians[_side(OURS, "refused")], 120)
    result.below("instructions of the block at most", _of_the_block(), 60)
    return result


def longest_path(code: bytes) -> int:
    """Instructions on the longest way through code without loops."""
    longest: dict[int, int] = {}
    for slot in reversed(range(len(code) // 8)):
        opcode, _, offset, _ = unpack_from("<BBhi", code, slot * 8)
        after = slot + (2 if opcode == 0x18 else 1)
        follow = [after]
        if opcode == 0x95:
            follow = []
        elif opcode & 7 in {5, 6} and opcode != 0x85:
            follow = [after + offset] if opcode == 0x05 else [after, after + offset]
        longest[slot] = 1 + max((longest.get(one, 0) for one in follow), default=0)
    return longest[0]


def _of_the_block() -> int:
    buckets = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1)
    limiter = rate_limit.simple(buckets, key=fp - 4, stack=fp - 16, rate=100, burst=200, fail="drop")
    end = mov(r0, 1), exit_()
    return longest_path(bytes(assemble(limiter, end, label("drop"), end))) - len(end)


def _side(who: str, traffic: str) -> str:
    return who if traffic == "passed" else f"{who}, {traffic}"


def _ours(program: fb.Program, frame: bytes, repeat: int, verdict: int) -> Callable[[], float]:
    def side() -> float:
        ran = program.test_run(frame, repeat=repeat)
        assert ran.retval == verdict
        return ran.duration

    return side


class Clang:
    """The C program, loaded by libbpf in a process of its own."""

    def __init__(self, rate: int, burst: int, frame: bytes) -> None:
        command = [build("test_run.c", libraries=("bpf",)), _compiled(rate, burst), frame.hex()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.code = bytes.fromhex(self._process.stdout.readline())

    def runs(self, repeat: int, verdict: int) -> Callable[[], float]:
        def side() -> float:
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(f"{repeat}\n")
            self._process.stdin.flush()
            retval, duration = map(int, self._process.stdout.readline().split())
            assert retval == verdict
            return duration

        return side

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _compiled(rate: int, burst: int) -> Path:
    source = HERE / "peers/rate_limit.bpf.c"
    target = BUILD / f"rate_limit-{rate}-{burst}.o"
    tool = find("clang")
    headers = subprocess.run(
        [find("cc"), "-print-multiarch"], capture_output=True, text=True, check=False
    ).stdout.strip()
    limits = [f"-DRATE={rate}ull", f"-DBURST={burst}ull"]
    options = ["-O2", "-g", "-Wall", "-target", "bpf", "-mcpu=v3", f"-I/usr/include/{headers}"]
    command = [tool, *options, *limits, "-c", source, "-o", target]
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPeerError(f"{source.name} does not compile, is libbpf-dev installed? {done.stderr.strip()[-300:]}")
    return target
