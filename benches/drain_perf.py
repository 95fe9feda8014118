"""From full perf buffers to columns; ours have the kernel's time and CPU of each record too, libbpf's have not."""

from __future__ import annotations

import ctypes
from time import perf_counter_ns

import fastbpf as fb
from benches.harness import OURS, Effort, MissingPeerError, Result, build, pinned, take_turns
from benches.shapes import AT_ONCE, PLAIN, copier, few_bytes

# Bytes of a record in our buffer; libbpf's take 64.
SAMPLE = 80
LIBBPF = "libbpf perf_buffer__consume"


def run(effort: Effort) -> Result:
    size = effort.scaled(32 << 20, 2 << 20)
    runs = size // SAMPLE // AT_ONCE
    count = runs * AT_ONCE
    notes = []
    with pinned(0), copier(PLAIN, "perf").load() as program, copier(PLAIN, "perf").load() as other:
        for one in (program, other):
            one.maps["few"][0] = few_bytes(PLAIN)

        def fill(program: fb.Program) -> None:
            for _ in range(runs):
                missing = program.test_run().retval
                assert missing == 0, f"the buffer was full {missing} records early"

        array = program.maps["ring"]
        with fb.PerfBuffer(array, PLAIN.layout, buffer=size, background=False, max_latency=0) as stream:

            def fastbpf() -> float:
                fill(program)
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
                library = ctypes.CDLL(str(build("perf.c", shared=True, libraries=("bpf",))))
                library.perf_open.restype = ctypes.c_void_p
                library.perf_open.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t]
                library.perf_drain.restype = ctypes.c_long
                library.perf_drain.argtypes = [ctypes.c_void_p]
                library.perf_close.argtypes = [ctypes.c_void_p]
                peer = library.perf_open(other.maps["ring"].fileno(), size // 4096, count)
                assert peer, "libbpf cannot open the buffers"

                def libbpf() -> float:
                    fill(other)
                    start = perf_counter_ns()
                    found = library.perf_drain(peer)
                    took = perf_counter_ns() - start
                    assert found == count, found
                    return took / count

                sides = {LIBBPF: libbpf, OURS: fastbpf}
            except MissingPeerError as error:
                notes.append(str(error))
            medians = take_turns(sides, effort, rounds=2 * effort.rounds + 1)
            if LIBBPF in sides:
                library.perf_close(peer)
    result = Result("drain_perf", f"a full perf buffer of {count:,} records of 48 bytes", "ns/event", medians)
    result.notes = notes
    result.ratio(LIBBPF, 0.9)
    return result
