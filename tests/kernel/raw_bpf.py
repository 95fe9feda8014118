"""Maps, programs and runs by bpf(2) alone, for what fastbpf has no words for: every map type, BTF, attach types."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from struct import pack, unpack_from

from fastbpf.asm import Code
from fastbpf.asm.rodata import ReadOnly
from fastbpf.helpers.prototypes import PROGRAM_TYPES
from fastbpf.symbols import btf_id, functions

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[platform.machine()]
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, PROG_LOAD, PROG_ATTACH, PROG_DETACH, PROG_TEST_RUN = (
    0,
    1,
    2,
    3,
    5,
    8,
    9,
    10,
)
RAW_TRACEPOINT_OPEN, BTF_LOAD, MAP_FREEZE, LINK_CREATE, ITER_CREATE = 17, 18, 22, 28, 33
FUNC = 12

_MAP_TYPES = """
unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array
"""
MAP_TYPES = _MAP_TYPES.split()

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    """bpf(2); gives what it gives, raises OSError."""
    buffer = attributes if isinstance(attributes, ctypes.Array) else ctypes.create_string_buffer(attributes, 160)
    result = libc.syscall(SYS_BPF, command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def address(data):
    """Where a ctypes buffer is."""
    return ctypes.addressof(data)


# -- BTF ---------------------------------------------------------------------------------------------------------------


class Btf:
    """Types for a map or a program, as a compiler would write them."""

    def __init__(self):
        self.types, self.strings, self.count = b"", b"\0", 0

    def name(self, text):
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind, name="", size_or_type=0, entries=(), more=b""):
        tail = more + b"".join(pack("<" + "I" * len(entry), *entry) for entry in entries)
        self.types += pack("<III", self.name(name) if name else 0, kind << 24 | len(entries), size_or_type) + tail
        self.count += 1
        return self.count

    def int(self, name="unsigned int", size=4):
        return self.add(1, name, size, more=pack("<I", size * 8))

    def struct(self, name, size, *members):
        """`members` are name, type and offset in bytes."""
        return self.add(4, name, size, [(self.name(member), type, offset * 8) for member, type, offset in members])

    def load(self):
        head = pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        blob = ctypes.create_string_buffer(head + self.types + self.strings, 24 + len(self.types) + len(self.strings))
        return bpf(BTF_LOAD, pack("<QQIII", address(blob), 0, len(blob), 0, 0))


@cache
def kernel_btf():
    """The ids of functions and types in the kernel's BTF: (kind, name) -> id."""
    command = ["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"]
    types = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["types"]
    return {(one["kind"], one["name"]): one for one in reversed(types)}, {one["id"]: one for one in types}


def member(struct, name):
    """The offset of a member of a kernel struct, in bytes."""
    named, numbered = kernel_btf()

    def search(members, at):
        for one in members:
            if one["name"] == name:
                return at + one["bits_offset"] // 8
            if one["name"] == "(anon)":
                found = search(numbered[one["type_id"]].get("members", ()), at + one["bits_offset"] // 8)
                if found is not None:
                    return found
        return None

    return search(named["STRUCT", struct]["members"], 0)


# -- maps --------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class RawMap:
    """A map of any type."""

    type: str
    key: int = 4
    value: int = 8
    entries: int = 1
    flags: int = 0
    inner: RawMap | None = None
    types: tuple = ()  # Btf, or its descriptor, and the numbers of the types of key and value
    extra: int = 0
    name: str = ""
    fd: int = -1
    __bpf_map__ = True

    def __enter__(self):
        btf, key_type, value_type = self.types or (None, 0, 0)
        btf_fd = btf.load() if isinstance(btf, Btf) else btf or 0
        head = pack("<IIIII", MAP_TYPES.index(self.type), self.key, self.value, self.entries, self.flags)
        head += pack("<II16sI", self.inner.fd if self.inner else 0, 0, b"", 0)
        self.fd = bpf(MAP_CREATE, head + pack("<IIIIQ", btf_fd, key_type, value_type, 0, self.extra))
        if isinstance(btf, Btf):
            os.close(btf_fd)
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def _element(self, command, key, value, flags=0):
        k = ctypes.create_string_buffer(key, max(len(key), 1))
        bpf(command, pack("<IIQQQ", self.fd, 0, address(k) if key else 0, address(value) if value else 0, flags))

    def update(self, key, value, flags=0):
        self._element(MAP_UPDATE, key, ctypes.create_string_buffer(value, len(value)), flags)

    def lookup(self, key):
        value = ctypes.create_string_buffer(self.value * (64 if "percpu" in self.type else 1))
        self._element(MAP_LOOKUP, key, value)
        return value.raw

    def delete(self, key):
        self._element(MAP_DELETE, key, None)


def read_only(content):
    """The map that holds what code only reads."""
    made = RawMap("array", 4, len(content), 1, 1 << 7).__enter__()
    made.update(bytes(4), content)
    bpf(MAP_FREEZE, pack("<I", made.fd))
    return made


# -- programs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What a test run gave."""

    retval: int
    data: bytes
    ctx: bytes


@dataclass
class Setting:
    """What is to be loaded, besides code."""

    type: str
    attach: int = 0
    flags: int = 0
    target: str | int = 0  # the kernel's function or type that it is for, or its BTF id
    program: int = 0  # the program that it is for: its descriptor
    btf: tuple[int, int] | None = None  # the descriptor of its BTF, and the number of its only function there


@contextlib.contextmanager
def loaded(setting, code: Code):
    """A program's descriptor; the verifier's log in the AssertionError otherwise."""
    with contextlib.ExitStack() as stack:
        constants = {}

        def resolve(map):
            if isinstance(map, ReadOnly):
                if map not in constants:
                    constants[map] = stack.enter_context(contextlib.closing(_Closing(read_only(map.content)))).map
                return constants[map].fd
            return map.fd if isinstance(map, RawMap) else map.fileno()

        raw = ctypes.create_string_buffer(code.link(resolve, btf_id))
        starts = functions(code, "main")
        btf_fd, infos = 0, b""
        if setting.btf:
            btf_fd, main = setting.btf
            starts, infos = [(0, "main")], pack("<II", 0, main)
        elif starts:
            btf = Btf()
            prototype = btf.add(13, "", btf.int("int"))
            infos = b"".join(pack("<II", slot, btf.add(12, name, prototype)) for slot, name in starts)
            btf_fd = btf.load()
            stack.callback(os.close, btf_fd)
        infos = ctypes.create_string_buffer(infos, max(len(infos), 1))
        license, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(1 << 20)
        target = setting.target
        if isinstance(target, str):
            named, _ = kernel_btf()
            target = (named.get(("FUNC", target)) or named["TYPEDEF", target])["id"]

        def attributes(level):
            number = PROGRAM_TYPES.index(setting.type) + 1
            flags = setting.flags | (1 << 4 if setting.type == "syscall" else 0)
            head = pack("<IIQQ", number, len(code), address(raw), address(license))
            head += pack(
                "<IIQII16sII",
                level,
                len(log) if level else 0,
                address(log) if level else 0,
                0,
                flags,
                b"",
                0,
                setting.attach,
            )
            head += pack("<IIQI", btf_fd, 8 if starts else 0, address(infos) if starts else 0, len(starts))
            assert len(head) == 92
            return head + pack("<IQIII", 0, 0, 0, target, setting.program) + bytes(32)

        try:
            fd = bpf(PROG_LOAD, attributes(0))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.close(bpf(PROG_LOAD, attributes(1)))
            raise AssertionError(f"{error}\n{log.value.decode()[-6000:]}") from None
        stack.callback(os.close, fd)
        yield fd


class _Closing:
    def __init__(self, map):
        self.map = map

    def close(self):
        os.close(self.map.fd)


def run_once(program, data=None, ctx=None, *, back=True):
    """One BPF_PROG_TEST_RUN; without `back` the context does not come back."""
    given = ctypes.create_string_buffer(data or b"", max(len(data or b""), 1))
    taken = ctypes.create_string_buffer(4096)
    ctx_given = ctypes.create_string_buffer(ctx or b"", max(len(ctx or b""), 1))
    ctx_taken = ctypes.create_string_buffer(512)
    attributes = ctypes.create_string_buffer(
        pack(
            "<IIIIQQIIIIQQIII",
            *(program, 0, len(data or b""), len(taken) if data else 0, address(given) if data else 0),
            *(address(taken) if data else 0, 0, 0, len(ctx or b""), len(ctx_taken) if ctx and back else 0),
            *(address(ctx_given) if ctx else 0, address(ctx_taken) if ctx and back else 0, 0, 0, 0),
        ),
        80,
    )
    bpf(PROG_TEST_RUN, attributes)
    retval, _, data_size = unpack_from("<III", attributes.raw, 4)
    (ctx_size,) = unpack_from("<I", attributes.raw, 44)
    return Ran(retval, taken.raw[:data_size], (ctx_taken.raw if ctx else b"")[:ctx_size])


def perf_event(type, config, *, pid=-1, cpu=0, period=1, sample=0, wakeup=1):
    """perf_event_open(2)."""
    attributes = pack("<IIQQQQ", type, 112, config, period, sample, 0) + pack("<QII", 0, wakeup, 0) + bytes(56)
    buffer = ctypes.create_string_buffer(attributes, 112)
    fd = libc.syscall(SYS_PERF_EVENT_OPEN, buffer, pid, cpu, -1, 8)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
