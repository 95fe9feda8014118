"""A ring full of realistic records, and who drains it: shared by the benchmarks of the way from ring to column."""

from __future__ import annotations

import ctypes
import subprocess
from time import perf_counter_ns
from typing import TYPE_CHECKING

import fastbpf as fb
from benches.harness import HERE, build, build_rust, system_python
from fastbpf.asm import *

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    Clock = Callable[[], int]

RING_BYTES = 64 << 20
# Records of one run of the filling program, and of as many runs as the ring has room for.
AT_ONCE = 1024
RECORDS = RING_BYTES // (48 + 8) // AT_ONCE * AT_ONCE


class Record(fb.Struct):
    ts: fb.ktime
    pid: fb.u32
    cpu: fb.u32
    a: fb.u64
    b: fb.u64
    comm: fb.char[16]


def filler(ring: fb.MapSpec, comms: fb.MapSpec) -> fb.ProgramSpec:
    # Two CPUs take turns at random, and each changes its process every 131 µs.
    code = assemble(
        mov(r6, AT_ONCE),
        label("next"),
        call.ringbuf_reserve(ring, Record.size, 0),
        jeq(r0, 0, "full"),
        mov(r7, r0),
        call.ktime_get_ns(),
        stxdw(r7, Record.offset("ts"), r0),
        mov(r8, r0),
        rsh(r8, 17),
        call.get_prandom_u32(),
        stxdw(r7, Record.offset("a"), r0),
        stxdw(r7, Record.offset("b"), r6),
        and_(r0, 1),
        stxw(r7, Record.offset("cpu"), r0),
        mul(r0, 3),
        add(r8, r0),
        and_(r8, 7),
        mov(r1, r8),
        add(r1, 1000),
        stxw(r7, Record.offset("pid"), r1),
        ld_map_value(r1, comms, 0),
        lsh(r8, 4),
        add(r1, r8),
        ldxdw(r2, r1, 0),
        stxdw(r7, Record.offset("comm"), r2),
        ldxdw(r2, r1, 8),
        stxdw(r7, Record.offset("comm") + 8, r2),
        call.ringbuf_submit(r7, 1),  # BPF_RB_NO_WAKEUP
        sub(r6, 1),
        jne(r6, 0, "next"),
        label("full"),
        mov(r0, r6),
        exit_(),
    )
    return fb.ProgramSpec("raw_tracepoint", code, name="fill")


COMMS = b"".join(
    name.encode().ljust(16, b"\0")
    for name in (
        "nginx",
        "postgres",
        "python3",
        "kworker/0:1",
        "redis-server",
        "systemd-journal",
        "java",
        "containerd-shim",
    )
)


class FullRing:
    """A ring buffer that can be filled again and again with the same number of records."""

    def __init__(self) -> None:
        comms = fb.MapSpec("array", value=fb.raw[len(COMMS)], max_entries=1, name="comms")
        self._program = filler(fb.MapSpec("ringbuf", max_entries=RING_BYTES, name="ring"), comms).load()
        self._program.maps["comms"][0] = COMMS
        self.map = self._program.maps["ring"]

    def fill(self) -> None:
        for _ in range(RECORDS // AT_ONCE):
            missing = self._program.test_run().retval
            assert missing == 0, f"the ring was full {missing} records early"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.close()


class Libbpf:
    """libbpf's consumer, with a C callback that appends to arrays."""

    def __init__(self, ring: FullRing) -> None:
        self._ring = ring
        library = ctypes.CDLL(str(build("columns.c", shared=True, libraries=("bpf",))))
        library.peer_open.restype = ctypes.c_void_p
        library.peer_open.argtypes = [ctypes.c_int, ctypes.c_size_t]
        library.peer_drain.restype = ctypes.c_long
        library.peer_drain.argtypes = [ctypes.c_void_p]
        library.peer_drain_kept.restype = ctypes.c_long
        library.peer_drain_kept.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        library.kept_release.argtypes = [ctypes.c_void_p]
        library.peer_close.argtypes = [ctypes.c_void_p]
        self._library = library
        self._peer = library.peer_open(ring.map.fileno(), RECORDS)
        assert self._peer, "libbpf cannot open the ring"

    def drain(self, clock: Clock = perf_counter_ns) -> float:
        """Nanoseconds a record, into arrays that have been touched."""
        self._ring.fill()
        start = clock()
        count = self._library.peer_drain(self._peer)
        took = clock() - start
        assert count == RECORDS, count
        return took / RECORDS

    def drain_kept(self) -> float:
        """Nanoseconds a record, into arrays made for it."""
        kept = (ctypes.c_size_t * 7)()
        self._ring.fill()
        start = perf_counter_ns()
        count = self._library.peer_drain_kept(self._peer, kept, RECORDS)
        took = perf_counter_ns() - start
        self._library.kept_release(kept)
        assert count == RECORDS, count
        return took / RECORDS

    def close(self) -> None:
        self._library.peer_close(self._peer)


class Driven:
    """A consumer in a process of its own, which drains the ring at each line it gets."""

    def __init__(self, ring: FullRing, command: list[str]) -> None:
        self._ring = ring
        fd = ring.map.fileno()
        self._process = subprocess.Popen(
            [*command, str(fd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(fd,), text=True, bufsize=1
        )

    def drain(self) -> float:
        self._ring.fill()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write("drain\n")
        count, took = map(int, stdout.readline().split())
        assert count == RECORDS, count
        return took / RECORDS

    def close(self) -> None:
        self._process.communicate()


def bcc(ring: FullRing) -> Driven:
    """bcc's consumer in Debian's Python, with the callback that its users write to get rows."""
    return Driven(ring, [system_python("bcc"), str(HERE / "peers" / "bcc_rows.py")])


def aya(ring: FullRing) -> Driven:
    """aya's consumer, which appends to vectors."""
    return Driven(ring, [str(build_rust("aya", "aya-rows")), str(RECORDS)])


def reader(ring: FullRing, record: type[fb.Struct] = Record) -> fb.RingBuffer:
    """Decodes on this thread, as the peers do, and gives out what is there at once, as `ring_buffer__consume` does."""
    return fb.RingBuffer(ring.map, record, background=False, max_latency=0)


def drained(stream: fb.Stream, clock: Clock = perf_counter_ns) -> float:
    """Nanoseconds a record of ours; batches are let go one after another."""
    rows = 0
    start = clock()
    for batch in stream:
        rows += batch.num_rows
        if rows >= RECORDS:
            break
    took = clock() - start
    assert rows >= RECORDS, rows
    return took / rows


def drained_kept(stream: fb.Stream) -> float:
    """Nanoseconds a record of ours, everything kept as one table."""
    start = perf_counter_ns()
    table = stream.read(rows=RECORDS)
    took = perf_counter_ns() - start
    assert table.num_rows == RECORDS, table.num_rows
    return took / RECORDS
