"""Perf events and iterators."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import socket
import threading
import time
from pathlib import Path
from struct import pack, unpack

from tests.kernel.calls.running import *
from tests.kernel.raw_bpf import *

import fastbpf as fb
from fastbpf.asm import *


@contextlib.contextmanager
def perf_events(kind, config, **options):
    with contextlib.ExitStack() as stack, fb.MapSpec("perf_event_array").create() as map:
        fds = []
        for cpu in range(os.cpu_count()):
            fds.append(perf_event(kind, config, cpu=cpu, **options))
            stack.callback(os.close, fds[-1])
            map[cpu] = fds[-1]
        yield map, fds


def samples(fds):
    """The raw samples in the rings of perf events, which are mapped by `mapped`."""
    return [bytes(ring[4096 + 8 + 4 : 4096 + 8 + 4 + 16]) for ring in fds if unpack("<Q", ring[1024:1032])[0]]


@contextlib.contextmanager
def mapped(fds):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(mmap.mmap(fd, 2 * mmap.PAGESIZE)) for fd in fds]


@executes("perf_event_output", "perf_event_read", "perf_event_read_value")
def perf():
    here = 0xFFFF_FFFF  # BPF_F_CURRENT_CPU
    with perf_events(1, 10, sample=1 << 10) as (map, fds), mapped(fds) as rings:
        found, _ = run(TC, call.perf_event_output(r6, map, here, b"perf sample", None), keep(0))
        assert found[0] == 0
        assert [data[:11] for data in samples(rings)] == [b"perf sample"]
    with perf_events(1, 0) as (map, _):
        found, _ = run(
            TC,
            [call.perf_event_read_value(map, here, fp - 24, 24), keep(0), ldxdw(r0, fp, -24), keep(1)],
            [call.perf_event_read(map, here), keep(2)],
        )
    assert found[0] == 0
    assert 0 < found[1] < found[2] < 1 << 62


@executes("perf_prog_read_value", "read_branch_records")
def perf_programs():
    forget()
    own = perf_event(1, 0, pid=0, cpu=-1, period=10_000)  # a tick each 10 microseconds that this thread runs
    try:
        with program(
            Setting("perf_event"),
            [call.perf_prog_read_value(r6, fp - 24, 24), keep(0), ldxdw(r0, fp, -24), keep(1)],
            [call.read_branch_records(r6, None, 0, 1), keep(2)],
        ) as fd:
            fcntl.ioctl(own, 0x40042408, fd)  # PERF_EVENT_IOC_SET_BPF
            until = time.monotonic() + 5
            while not results()[1] and time.monotonic() < until:
                pass
    finally:
        os.close(own)
    found = results()
    assert found[0] == 0
    assert found[1] >= 10_000
    assert signed(found[2]) in {0, -2, -22}  # without hardware that records branches


def iterated(target, *parts, info=b""):
    """What an iterator of the kernel's writes: its program runs for each object of this process."""
    forget()
    with program(Setting("tracing", attach=28, target=f"bpf_iter_{target}"), *parts) as fd:
        given = ctypes.create_string_buffer(info, max(len(info), 1))
        link = bpf(LINK_CREATE, pack("<IIIIQI", fd, 0, 28, 0, address(given) if info else 0, len(info)) + bytes(40))
        try:
            reader = bpf(ITER_CREATE, pack("<II", link, 0))
            try:
                return b"".join(iter(lambda: os.read(reader, 65536), b""))
            finally:
                os.close(reader)
        finally:
            os.close(link)


@executes("seq_printf", "seq_write", "seq_printf_btf", "d_path", "sock_from_file")
def iterators():
    path = Path(__file__).resolve()
    info = pack("<III", 0, os.getpid(), 0)
    with path.open() as file, socket.socket() as open_socket:
        written = iterated(
            "task_file",
            [
                ldxdw(r7, r6, 0),
                ldxdw(r7, r7, 0),
                ldxdw(r8, r6, member("bpf_iter__task_file", "file")),
                jeq(r8, 0, "out"),
            ],
            [ldxw(r9, r6, member("bpf_iter__task_file", "fd")), call.sock_from_file(r8), jne(r0, 0, "socket")],
            [jne(r9, file.fileno(), "out"), [stdw(fp, at, 0) for at in range(-256, 0, 8)]],
            [call.d_path(r8 + member("file", "f_path"), fp - 256, 256), keep(0)],
            [ldxdw(r0, r6, 0), ldxdw(r0, r0, 0), mov(r7, r0), call.seq_write(r7, fp - 256, 256), keep(1), ja("out")],
            [label("socket"), jne(r9, open_socket.fileno(), "out"), stxdw(fp, -8, r9)],
            [call.seq_printf(r7, "socket %d\n", None, fp - 8, 8), keep(2)],
            info=info,
        )
        found = results()
        assert str(path).encode() + b"\0" in written
        assert f"socket {open_socket.fileno()}\n".encode() in written
        assert found[0] == len(str(path)) + 1
        assert found[1:3] == [0, 0]
    mm = kernel_btf()[0]["STRUCT", "pid"]["id"]
    written = iterated(
        "task",
        [ldxdw(r7, r6, 0), ldxdw(r7, r7, 0), ldxdw(r8, r6, member("bpf_iter__task", "task")), jeq(r8, 0, "out")],
        [ldxdw(r0, r8, member("task_struct", "thread_pid")), stxdw(fp, -16, r0), stw(fp, -8, mm), stw(fp, -4, 0)],
        [call.seq_printf_btf(r7, fp - 16, 16, 0), keep(0)],
        info=pack("<III", threading.get_native_id(), 0, 0),
    )
    assert b"(struct pid)" in written
    assert results()[0] == 0
