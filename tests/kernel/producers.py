"""Programs and processes that make events whose number and content are known."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import fastbpf as fb
from fastbpf import _native
from fastbpf.asm import *

GETPPID = {"x86_64": 110, "aarch64": 173}[platform.machine()]
_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_PROG_GET_FD_BY_ID = 13

_LOOP = """
import json, sys
scope = {}
for line in sys.stdin:
    exec(json.loads(line), scope)
    print(json.dumps(scope.pop("answer", None)), flush=True)
"""


class Child:
    """A Python process that runs the code it is sent, and gives back what that code leaves in `answer`."""

    def __init__(self, cpu=None):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.run("import ctypes, os, threading; libc = ctypes.CDLL(None, use_errno=True)")
        if cpu is not None:
            os.sched_setaffinity(self.pid, {cpu})

    def start(self, code):
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def wait(self):
        line = self._process.stdout.readline()
        assert line, f"the child failed on what it was sent; it ended with {self._process.wait()}"
        return json.loads(line)

    def run(self, code):
        self.start(code)
        return self.wait()

    def sleeps(self):
        """Waits until it waits for the next code: it has answered a little before."""
        stat = Path(f"/proc/{self.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)

    def getppid(self, times):
        self.run(f"for _ in range({times}): os.getppid()")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class Recorder:
    """A ring buffer that any bytes can be written to: a program copies them there from a map, when it is told to."""

    def __init__(self, size=4096, longest=4096):
        self.longest = longest
        ring = fb.MapSpec("ringbuf", max_entries=size, name="ring")
        source = fb.MapSpec("array", value=fb.raw[longest], max_entries=1, name="source")
        code = assemble(
            ldxdw(r3, r1, 0),
            ldxdw(r4, r1, 8),
            jgt(r3, longest, "discard"),
            ld_map_value(r2, source, 0),
            call.ringbuf_output(ring, r2, r3, r4),
            exit_(),
            label("discard"),
            call.ringbuf_reserve(ring, 24, 0),
            jeq(r0, 0, "full"),
            call.ringbuf_discard(r0, 0),
            mov(r0, 0),
            exit_(),
            label("full"),
            mov(r0, -1),
            exit_(),
        )
        self.program = fb.ProgramSpec("raw_tracepoint", code, name="recorder").load()
        self.ring = self.program.maps["ring"]
        self._source = self.program.maps["source"]

    def write(self, record, flags=0):
        """True when there was room, as the helper says."""
        self._source[0] = record
        return self.again(len(record), flags)

    def again(self, length, flags=0):
        """The bytes of the last record once more."""
        return self.program.test_run(ctx=struct.pack("<QQ", length, flags)).retval == 0

    def discard(self):
        return self.again(self.longest + 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.close()


class Numbered(fb.Struct):
    number: fb.u64
    ts: fb.boottime
    pid: fb.u32
    cpu: fb.u32


class Numberer:
    """Numbers the getppid calls of chosen processes: the n-th run writes n, and counts itself when there is no room.

    `happened` is how often it ran for them; attached to a syscall's entry, or told to `fill` the ring.
    """

    PER_FILL = 128

    def __init__(self, size, kind="raw_tracepoint"):
        ring = fb.MapSpec("ringbuf", max_entries=size, name="ring")
        counter = fb.MapSpec("array", value=fb.u64, max_entries=1, name="counter")
        lost = fb.MapSpec("array", value=fb.u64, max_entries=1, name="lost")
        pids = fb.MapSpec("hash", key=fb.u32, value=fb.u8, max_entries=64, name="pids")
        emit = (
            ld_map_value(r1, counter, 0),
            mov(r2, 1),
            atomic_fetch_add(r1, 0, r2),
            stxdw(fp, -24, r2),
            call.ktime_get_boot_ns(),
            stxdw(fp, -16, r0),
            call.get_current_pid_tgid(),
            rsh(r0, 32),
            stxw(fp, -8, r0),
            call.get_smp_processor_id(),
            stxw(fp, -4, r0),
            call.ringbuf_output(ring, fp - 24, 24, 0),
            jsge(r0, 0, "written"),
            ld_map_value(r1, lost, 0),
            mov(r2, 1),
            atomic_add(r1, 0, r2),
            label("written"),
        )
        traced = assemble(
            [ldxdw(r2, r1, 8), jne(r2, GETPPID, "done")] if kind == "raw_tracepoint" else [],
            call.get_current_pid_tgid(),
            rsh(r0, 32),
            stxw(fp, -4, r0),
            call.map_lookup_elem(pids, fp - 4),
            jeq(r0, 0, "done"),
            emit,
            label("done"),
            mov(r0, 0),
            exit_(),
        )
        many = assemble(
            mov(r7, 0), label("next"), emit, add(r7, 1), jlt(r7, self.PER_FILL, "next"), mov(r0, 0), exit_()
        )
        self.probe = "raw_tracepoint:sys_enter" if kind == "raw_tracepoint" else "tracepoint:syscalls:sys_enter_getppid"
        with ExitStack() as stack:
            self.program = stack.enter_context(fb.ProgramSpec(kind, traced, name="numberer").load())
            shared = {name: self.program.maps[name] for name in ("ring", "counter", "lost")}
            self._filler = stack.enter_context(fb.ProgramSpec("raw_tracepoint", many, name="filler").load(shared))
            self._stack = stack.pop_all()
        self.ring = self.program.maps["ring"]
        self.lost = self.program.maps["lost"]
        self.pids = self.program.maps["pids"]
        self.link = None

    def attach(self, *children):
        for child in children:
            self.pids[child.pid] = 1
        self.link = self._stack.enter_context(self.program.attach(self.probe))

    def detach(self):
        self.link.close()
        _native.wait_for_running_programs()

    def fill(self, times=1):
        for _ in range(times):
            self._filler.test_run()

    @property
    def happened(self):
        return self.program.maps["counter"][0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


def program_exists(number):
    """Whether the kernel has a program of this id. Asked without any code of ours."""
    attributes = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_SYS_BPF, _PROG_GET_FD_BY_ID, attributes, 12)
    if fd >= 0:
        os.close(fd)
        return True
    assert ctypes.get_errno() == errno.ENOENT, os.strerror(ctypes.get_errno())
    return False


def script(source, *arguments, **options):
    """What a Python process prints that runs `source`; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-c", source, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def threads(name):
    """How many threads of this process have the name."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            count += (task / "comm").read_text().strip() == name
        except OSError:
            continue  # ended meanwhile
    return count


def on_two_cpus(work):
    """Does it on two CPUs at once."""
    together = threading.Barrier(2)

    def there(cpu):
        os.sched_setaffinity(0, {cpu})  # of this thread
        together.wait()
        work()

    cpus = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(there, [cpus[0], cpus[-1]])) == [None, None]
