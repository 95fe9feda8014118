"""A process that calls getppid, and C consumers of those calls: shared by the benchmarks of tracing."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import fastbpf as fb
from benches.harness import build, find
from fastbpf.asm import *

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

PROBE = "tracepoint:syscalls:sys_enter_getppid"
FIELDS = ("ts", "pid", "tid", "comm")
BUFFER = 8 << 20


class Called(NamedTuple):
    """What the process says at its end."""

    count: int
    nanoseconds: float

    @classmethod
    def told(cls, output: str) -> Self:
        line = next(line for line in output.splitlines() if line.startswith("calls "))
        _, count, nanoseconds = line.split()
        return cls(int(count), float(nanoseconds))

    @property
    def seconds(self) -> float:
        return self.count * self.nanoseconds / 1e9


def calls_command(count: int | None = None, rate: int | None = None, seconds: int | None = None) -> list[str]:
    options = {"-c": count, "-r": rate, "-s": seconds}
    return [str(build("calls.c")), *(f"{name}{value}" for name, value in options.items() if value is not None)]


class Calls:
    """The process, which waits until `go`."""

    def __init__(self, count: int | None = None, rate: int | None = None, seconds: int | None = None) -> None:
        command = [*calls_command(count, rate, seconds), "-w"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def go(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> Called:
        output, _ = self._process.communicate()
        return Called.told(output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class Event(fb.Struct):
    ts: fb.ktime
    pid: fb.u32
    tid: fb.u32
    comm: fb.char[16]


def emitter(pid: int, *, wakeup: bool = True) -> fb.ProgramSpec:
    """The program that any C user would write: filter, reserve, fill, submit."""
    ring = fb.MapSpec("ringbuf", max_entries=BUFFER, name="ring")
    code = assemble(
        call.get_current_pid_tgid(),
        mov(r6, r0),
        mov(r1, r0),
        rsh(r1, 32),
        jne(r1, pid, "out"),
        call.ringbuf_reserve(ring, Event.size, 0),
        jeq(r0, 0, "out"),
        mov(r7, r0),
        call.ktime_get_ns(),
        stxdw(r7, Event.offset("ts"), r0),
        stxw(r7, Event.offset("tid"), r6),
        rsh(r6, 32),
        stxw(r7, Event.offset("pid"), r6),
        call.get_current_comm(r7 + Event.offset("comm"), 16),
        call.ringbuf_submit(r7, 0 if wakeup else 1),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    return fb.ProgramSpec("tracepoint", code, name="emit")


EMPTY = fb.ProgramSpec("tracepoint", assemble(mov(r0, 0), exit_()), name="empty")


class Consumer:
    """A C consumer of a ring, in a process of its own."""

    def __init__(self, mode: str, ring: fb.Map) -> None:
        fd = ring.fileno()
        command = [build("consumer.c", libraries=("bpf",)), mode, str(fd)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=(fd,))
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> tuple[int, int]:
        """How many events it had, and nanoseconds of CPU."""
        self._process.terminate()
        output, _ = self._process.communicate()
        events, nanoseconds = map(int, output.split())
        return events, nanoseconds


class Traced(NamedTuple):
    """One run of the process under a C consumer."""

    called: Called
    events: int
    consumer_ns: int
    # Of the program, while the kernel keeps statistics.
    run_ns: float


def traced_by_c(mode: str, calls: Calls, *, wakeup: bool = True) -> Traced:
    with calls, emitter(calls.pid, wakeup=wakeup).load() as program:
        consumer = Consumer(mode, program.maps["ring"])
        with program.attach(PROBE):
            calls.go()
            called = calls.result()
            info = program.info
        events, consumer_ns = consumer.end()
    return Traced(called, events, consumer_ns, info.run_time_ns / max(info.run_cnt, 1))


def fastbpf_command() -> str:
    """The command of the environment that runs this, or the one on PATH."""
    beside = Path(sys.executable).parent / "fastbpf"
    return str(beside) if beside.exists() else find("fastbpf")


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command whose output is read, and which does not outlive its use."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()
