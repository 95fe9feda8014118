"""Programs that number their events on the CPU where they run, as fast as they can, and count what finds no room."""

from __future__ import annotations

import os
import struct
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import fastbpf as fb
from fastbpf.asm import *

if TYPE_CHECKING:
    from typing import Self

# Events of one run of the program, which a million instructions bound.
RUN = 4096
_CURRENT_CPU = 0xFFFF_FFFF  # BPF_F_CURRENT_CPU


class Event(fb.Struct):
    number: fb.u64
    cpu: fb.u64


class Numbered:
    """`happened` is how often it was tried to write an event; into a ring, or into perf buffers."""

    def __init__(self, transport: str, size: int) -> None:
        self._perf = transport == "perf"
        self._size = size
        if self._perf:
            target = fb.MapSpec("perf_event_array", name="events")
            output = [call.perf_event_output(r6, target, _CURRENT_CPU, fp - 16, Event.size)]
        else:
            target = fb.MapSpec("ringbuf", max_entries=size, name="events")
            output = [call.ringbuf_output(target, fp - 16, Event.size, 0)]
        # Of each CPU its own: two CPUs that count in one place would mostly wait for each other.
        happened, lost = (
            fb.MapSpec("percpu_array", value=fb.u64, max_entries=1, name=name) for name in ("happened", "lost")
        )
        code = assemble(
            mov(r6, r1),
            ldxdw(r7, r1, 0),
            call.get_smp_processor_id(),
            stxdw(fp, -8, r0),
            stw(fp, -20, 0),
            [call.map_lookup_elem(happened, fp - 20), jeq(r0, 0, "out"), mov(r8, r0)],
            [call.map_lookup_elem(lost, fp - 20), jeq(r0, 0, "out"), mov(r9, r0)],
            label("next"),
            jeq(r7, 0, "out"),
            [ldxdw(r1, r8, 0), stxdw(fp, -16, r1), add(r1, 1), stxdw(r8, 0, r1)],
            output,
            [jsge(r0, 0, "written"), ldxdw(r1, r9, 0), add(r1, 1), stxdw(r9, 0, r1)],
            label("written"),
            sub(r7, 1),
            may_goto("out"),
            ja("next"),
            label("out"),
            mov(r0, 0),
            exit_(),
        )
        self._stack = ExitStack()
        self._program = self._stack.enter_context(fb.ProgramSpec("raw_tracepoint", code, name="numbered").load())

    def stream(self, **how: Any) -> fb.Stream:
        maps = self._program.maps
        if self._perf:
            return fb.PerfBuffer(maps["events"], Event, buffer=self._size, lost=maps["lost"], **how)
        return fb.RingBuffer(maps["events"], Event, lost=maps["lost"], **how)

    @property
    def happened(self) -> int:
        return sum(self._program.maps["happened"][0])

    def start(self, count: int) -> list[threading.Thread]:
        """Two threads on two CPUs, which make half of the events each."""

        def produce(cpu: int) -> None:
            os.sched_setaffinity(0, {cpu})  # of this thread
            context = struct.pack("<Q", RUN)
            for _ in range(count // 2 // RUN):
                self._program.test_run(ctx=context)

        cpus = sorted(os.sched_getaffinity(0))
        threads = [threading.Thread(target=produce, args=(cpu,)) for cpu in (cpus[0], cpus[-1])]
        for thread in threads:
            thread.start()
        return threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
