"""What tracing through perf buffers costs the process that is traced: every call, with time, pid, tid and comm."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import fastbpf as fb
from benches.calls import BUFFER, PROBE, Calls, Event
from benches.harness import OURS, Effort, MissingPeerError, Result, Target, build, take_turns
from fastbpf.asm import *

UNTRACED = "untraced"
LIBBPF = "libbpf perf_buffer__poll"


def emitter(pid: int) -> fb.ProgramSpec:
    array = fb.MapSpec("perf_event_array", name="ring")
    code = assemble(
        mov(r6, r1),
        call.get_current_pid_tgid(),
        mov(r7, r0),
        mov(r1, r0),
        rsh(r1, 32),
        jne(r1, pid, "out"),
        stxw(fp, -Event.size + Event.offset("tid"), r7),
        stxw(fp, -Event.size + Event.offset("pid"), r1),
        call.ktime_get_ns(),
        stxdw(fp, -Event.size + Event.offset("ts"), r0),
        call.get_current_comm(fp - Event.size + Event.offset("comm"), 16),
        call.perf_event_output(r6, array, 0xFFFFFFFF, fp - Event.size, Event.size),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    return fb.ProgramSpec("tracepoint", code, name="emit")


def run(effort: Effort) -> Result:
    count = effort.scaled(1_000_000, 50_000)
    notes = []

    def untraced() -> float:
        with Calls(count) as calls:
            calls.go()
            return calls.result().nanoseconds

    def fastbpf() -> float:
        rows = 0
        with ExitStack() as stack:
            calls = stack.enter_context(Calls(count))
            program = stack.enter_context(emitter(calls.pid).load())
            stream = stack.enter_context(fb.PerfBuffer(program.maps["ring"], Event, buffer=BUFFER))
            stack.enter_context(program.attach(PROBE))
            calls.go()
            while calls.running:
                if batch := stream.next_batch(timeout=0.05):
                    rows += len(batch)
            while batch := stream.next_batch(timeout=0.05):
                rows += len(batch)
            assert rows + (stream.stats.lost or 0) == count, (rows, stream.stats)
            return calls.result().nanoseconds

    def libbpf() -> float:
        with Calls(count) as calls, emitter(calls.pid).load() as program:
            fd = program.maps["ring"].fileno()
            command = [str(build("consumer.c", libraries=("bpf",))), "perf", str(fd)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=(fd,)) as consumer:
                assert consumer.stdout
                assert consumer.stdout.readline() == "ready\n"
                with program.attach(PROBE):
                    calls.go()
                    took = calls.result().nanoseconds
                consumer.terminate()
        return took

    sides = {UNTRACED: untraced, OURS: fastbpf}
    try:
        build("consumer.c", libraries=("bpf",))
        sides[LIBBPF] = libbpf
    except MissingPeerError as error:
        notes.append(str(error))
    medians = take_turns(sides, effort)
    work = f"{count:,} getppid calls of one process, all traced through perf buffers"
    result = Result("perf_process", work, "ns/call", medians, notes=notes)
    if LIBBPF in medians:
        ours, theirs = (medians[name] - medians[UNTRACED] for name in (OURS, LIBBPF))
        result.targets.append(Target(f"× what {LIBBPF} adds to a call", ours / theirs, 0.2))
    return result
