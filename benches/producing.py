"""Producers at full speed on CPUs of their own, and who reads their rings meanwhile."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import fastbpf as fb
from benches.harness import build, pinned
from benches.shapes import PLAIN, copier, few_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

RING = 8 << 20
# Records of one run of the program.
AT_ONCE = 512


class Read(NamedTuple):
    """What a consumer had."""

    events: int
    seconds: float
    cpu_ns: float

    @property
    def millions(self) -> float:
        return self.events / self.seconds / 1e6

    @property
    def cpu_ns_each(self) -> float:
        return self.cpu_ns / max(self.events, 1)


def program() -> fb.ProgramSpec:
    return copier(PLAIN, size=RING, at_once=AT_ONCE, wakeup=True)


class Producers:
    """A process for each of the programs, on CPU `first`, the next, and so on, for so many seconds."""

    def __init__(self, programs: Sequence[fb.Program], first: int, seconds: float) -> None:
        for one in programs:
            one.maps["few"][0] = few_bytes(PLAIN)
        command = str(build("producer.c", libraries=("bpf",)))
        self._processes = [
            subprocess.Popen(
                [command, str(one.fileno()), str(first + number), str(seconds)],
                stdout=subprocess.PIPE,
                pass_fds=(one.fileno(),),
                text=True,
            )
            for number, one in enumerate(programs)
        ]

    @property
    def running(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def written(self) -> int:
        """How many events found room."""
        written = 0
        for process in self._processes:
            runs, missing = map(int, process.communicate()[0].split())
            written += runs * AT_ONCE - missing
        return written


def by_fastbpf(programs: Sequence[fb.Program], cpus: tuple[int, int | None], seconds: float) -> Read:
    """Producers of the programs from CPU cpus[0] on, our consumer on CPU cpus[1], or anywhere."""
    first, own = cpus
    rows = 0
    rings = {id(one): one.maps["ring"] for one in programs}
    with ExitStack() as stack:
        stream = stack.enter_context(fb.RingBuffer(list(rings.values()), PLAIN.layout))
        if own is not None:
            stack.enter_context(pinned(own))
        producers = Producers(programs, first, seconds)
        before = time.process_time_ns()
        while producers.running:
            if batch := stream.next_batch(timeout=0.05):
                rows += len(batch)
        while batch := stream.next_batch(timeout=0.05):
            rows += len(batch)
        used = time.process_time_ns() - before
        written = producers.written()
    assert rows == written, f"{written:,} events found room, {rows:,} were read"
    return Read(rows, seconds, used)


def by_libbpf(programs: Sequence[fb.Program], cpus: tuple[int, int | None], seconds: float) -> Read:
    """The same with ring_buffer__poll on the first program's ring."""
    first, own = cpus
    fd = programs[0].maps["ring"].fileno()
    command = [str(build("poller.c", libraries=("bpf",))), str(fd), str(-1 if own is None else own)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=(fd,)) as consumer:
        assert consumer.stdout
        assert consumer.stdout.readline() == "ready\n"
        producers = Producers(programs, first, seconds)
        producers.written()
        time.sleep(0.01)
        consumer.terminate()
        events, used = map(int, consumer.communicate()[0].split())
    return Read(events, seconds, used)
