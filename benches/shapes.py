"""Records of other shapes, drained from a full ring beside libbpf C that does the same work."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from time import perf_counter_ns

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, Turns, build, medians, turns
from benches.records import Record
from fastbpf.asm import *

RING_BYTES = 64 << 20
# Records of one run of the filling program, which takes the same few again and again.
AT_ONCE = 1024
FEW = 64
LIBBPF = "libbpf C, columns"


class Small(fb.Struct):
    ts: fb.ktime
    pid: fb.u32
    value: fb.u32


class Large(fb.Struct):
    ts: fb.ktime
    pid: fb.u32
    cpu: fb.u32
    counts: fb.u64[13]
    path: fb.raw[128]
    result: fb.i64


class Named(fb.Struct):
    ts: fb.ktime
    pid: fb.u32
    name: fb.text[64]
    comm: fb.char[16]


class Endpoint(fb.Struct):
    address: fb.u32
    port: fb.u16
    family: fb.u16


class Flow(fb.Struct):
    ts: fb.ktime
    source: Endpoint
    target: Endpoint
    packets: fb.u64
    bytes: fb.u64


@dataclass(frozen=True)
class Shape:
    """A layout, how the peer calls it, and a few records as the program writes them."""

    layout: type[fb.Struct]
    peer: bytes
    work: str
    few: list[bytes]

    @property
    def runs(self) -> int:
        """How often the filling program can run before the ring is full."""
        whole = sum((len(record) + 15) // 8 * 8 for record in self.few)
        return RING_BYTES // (whole * (AT_ONCE // FEW))


COMMS = (b"nginx", b"postgres", b"python3", b"kworker/0:1", b"redis-server", b"systemd-journal", b"java", b"bash")


def _named(i: int) -> bytes:
    name = b"/usr/lib/x86_64-linux-gnu/libsomething.so.6.0.30"[: 8 + 5 * i % 41]
    place = len(name) << 16 | Named.size
    return struct.pack("=QII16s", i, 1000 + i % 8, place, COMMS[i % 8]) + name


def _flow(i: int) -> bytes:
    return struct.pack("=QIHHIHHQQ", i, 10 << 24 | i, 4000 + i, 2, 10 << 24 | 9, 443, 2, i, 1500 * i)


def _record(i: int) -> bytes:
    return struct.pack("=QIIQQ16s", i, 1000 + i % 8, i % 2, i, i, COMMS[i % 8])


SMALL = Shape(Small, b"small", "16 bytes, 3 columns", [struct.pack("=QII", i, i, 7 * i) for i in range(FEW)])
LARGE = Shape(
    Large,
    b"large",
    "256 bytes, 6 columns",
    [struct.pack("=QII13Q128sq", i, i, i % 2, *range(13), COMMS[i % 8] * 8, -i) for i in range(FEW)],
)
STRINGS = Shape(Named, b"strings", "text of 8 to 48 bytes, and comm", [_named(i) for i in range(FEW)])
PLAIN = Shape(Record, b"plain", "48 bytes, 6 columns", [_record(i) for i in range(FEW)])
NESTED = Shape(Flow, b"nested", "40 bytes, 2 structs of 3 fields", [_flow(i) for i in range(FEW)])


def copier(
    shape: Shape, output: str = "ringbuf", *, size: int = RING_BYTES, at_once: int = AT_ONCE, wakeup: bool = False
) -> fb.ProgramSpec:
    """A program that writes the few records one after another, and returns how many of a run found no room."""
    most = max(map(len, shape.few))
    stride = 8 + (most + 7) // 8 * 8
    few = fb.MapSpec("array", value=fb.raw[stride * FEW], max_entries=1, name="few")
    if output == "ringbuf":
        ring = fb.MapSpec("ringbuf", max_entries=size, name="ring")
        write = [call.ringbuf_output(ring, r2, r3, 0 if wakeup else 1)]  # BPF_RB_NO_WAKEUP
    else:
        array = fb.MapSpec("perf_event_array", name="ring")
        write = [mov(r5, r3), mov(r4, r2), call.perf_event_output(r9, array, 0xFFFFFFFF, r4, r5)]  # BPF_F_CURRENT_CPU
    code = assemble(
        mov(r9, r1),
        mov(r6, at_once),
        label("next"),
        mov(r7, r6),
        and_(r7, FEW - 1),
        mul(r7, stride),
        ld_map_value(r2, few, 0),
        add(r2, r7),
        ldxdw(r3, r2, 0),
        jgt(r3, most, "full"),
        add(r2, 8),
        *write,
        jne(r0, 0, "full"),
        sub(r6, 1),
        jne(r6, 0, "next"),
        label("full"),
        mov(r0, r6),
        exit_(),
    )
    return fb.ProgramSpec("raw_tracepoint", code, name="copy")


def few_bytes(shape: Shape) -> bytes:
    """The value of the map that the program copies from."""
    stride = 8 + (max(map(len, shape.few)) + 7) // 8 * 8
    return b"".join((struct.pack("=Q", len(record)) + record).ljust(stride, b"\0") for record in shape.few)


def measure(name: str, shape: Shape, effort: Effort) -> Result:
    count = shape.runs * AT_ONCE
    notes = []
    with copier(shape).load() as first, copier(shape).load() as second:
        for one in (first, second):
            one.maps["few"][0] = few_bytes(shape)
        # Where the pages of a ring lie changes the time by up to a fifth: each side reads both.
        measured = [
            _turns(shape, ours, theirs, count, notes, effort) for ours, theirs in ((first, second), (second, first))
        ]
    result = Result(name, f"a full ring of {count:,} records: {shape.work}", "ns/event", medians(*measured))
    result.notes = list(dict.fromkeys(notes))
    result.ratio(LIBBPF, 0.9)
    return result


def _turns(shape: Shape, ours: fb.Program, theirs: fb.Program, count: int, notes: list[str], effort: Effort) -> Turns:
    def fill(program: fb.Program) -> None:
        for _ in range(shape.runs):
            missing = program.test_run().retval
            assert missing == 0, f"the ring was full {missing} records early"

    with fb.RingBuffer(ours.maps["ring"], shape.layout, background=False, max_latency=0) as stream:

        def fastbpf() -> float:
            fill(ours)
            rows = 0
            start = perf_counter_ns()
            for batch in stream:
                rows += batch.num_rows
                if rows >= count:
                    break
            took = perf_counter_ns() - start
            assert rows == count, rows
            return took / count

        sides = {OURS: fastbpf}
        try:
            library = ctypes.CDLL(str(build("shapes.c", shared=True, libraries=("bpf",))))
            library.shape_open.restype = ctypes.c_void_p
            library.shape_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t]
            library.shape_drain.restype = ctypes.c_long
            library.shape_drain.argtypes = [ctypes.c_void_p]
            library.shape_close.argtypes = [ctypes.c_void_p]
            peer = library.shape_open(shape.peer, theirs.maps["ring"].fileno(), count)
            assert peer, "libbpf cannot open the ring"

            def libbpf() -> float:
                fill(theirs)
                start = perf_counter_ns()
                found = library.shape_drain(peer)
                took = perf_counter_ns() - start
                assert found == count, found
                return took / count

            sides = {LIBBPF: libbpf, OURS: fastbpf}
        except MissingPeerError as error:
            notes.append(str(error))
        measured = turns(sides, effort, rounds=effort.rounds + 1)
        if LIBBPF in sides:
            library.shape_close(peer)
    return measured
