"""The check against the verifier of the running kernel: no program that the kernel accepts has an error."""

from __future__ import annotations

import collections
import ctypes
import os
import random
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from struct import pack
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbpf.asm import *

MAP_CREATE, PROG_LOAD = 0, 5
MAP_TYPES = {"hash": 1, "array": 2, "percpu_array": 6, "lru_hash": 9, "ringbuf": 27}
RDONLY_PROG = 1 << 7
SLEEPABLE = 1 << 4

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class RawMap:
    """A map made with bpf(2) alone, which says what it is as a MapSpec does."""

    fd: int
    name: str
    type: str
    key: SimpleNamespace
    value: SimpleNamespace
    max_entries: int
    flags: int
    __bpf_map__ = True

    @classmethod
    def create(cls, type: str, key: int, value: int, entries: int, flags: int = 0) -> RawMap:
        attributes = ctypes.create_string_buffer(pack("<IIIII", MAP_TYPES[type], key, value, entries, flags), 72)
        fd = libc.syscall(321, MAP_CREATE, attributes, 72)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return cls(fd, type, type, SimpleNamespace(size=key), SimpleNamespace(size=value), entries, flags)

    def __hash__(self) -> int:
        return id(self)


PROG_TYPES = {"socket_filter": 1, "sched_cls": 3, "tracepoint": 5, "xdp": 6, "raw_tracepoint": 17, "syscall": 31}
_license = ctypes.create_string_buffer(b"GPL")
_log = ctypes.create_string_buffer(1 << 16)


def accepted(code: Code, prog_type: str, log: bool = False) -> str | None:
    """None if the kernel takes the program; else what it says, if asked."""
    raw = ctypes.create_string_buffer(code.link(lambda map: map.fd))
    flags = SLEEPABLE if prog_type == "syscall" else 0
    where = (1, len(_log), ctypes.addressof(_log)) if log else (0, 0, 0)
    attributes = ctypes.create_string_buffer(
        pack(
            "<IIQQIIQII",
            *(PROG_TYPES[prog_type], len(code), ctypes.addressof(raw), ctypes.addressof(_license)),
            *(*where, 0, flags),
        ),
        128,
    )
    fd = libc.syscall(321, PROG_LOAD, attributes, 128)
    if fd >= 0:
        os.close(fd)
        return None
    return _log.value.decode() if log else os.strerror(ctypes.get_errno())


@pytest.fixture(scope="module")
def maps():
    with ExitStack() as stack:
        made = all_maps()
        for map in made:
            stack.callback(os.close, map.fd)
        yield made


def all_maps() -> list[RawMap]:
    return [
        RawMap.create("hash", 4, 16, 8),
        RawMap.create("array", 4, 16, 4),
        RawMap.create("percpu_array", 4, 8, 2),
        RawMap.create("lru_hash", 8, 24, 8),
        RawMap.create("array", 4, 64, 1),
        RawMap.create("array", 4, 16, 4, RDONLY_PROG),
        RawMap.create("ringbuf", 0, 0, 4096),
    ]


ALU64 = [add, sub, mul, div, mod, and_, or_, xor, lsh, rsh, arsh, sdiv, smod]
ALU32 = [add32, sub32, mul32, div32, mod32, and32, or32, xor32, lsh32, rsh32, arsh32]
IN_PLACE = [neg, neg32, be16, be32, be64, le16, le32, bswap16, bswap32, bswap64]
EXTEND = [movsx8, movsx16, movsx32, movsx8_32, movsx16_32]
JUMPS = [jeq, jne, jgt, jge, jlt, jle, jset, jsgt, jsge, jslt, jsle]
JUMPS32 = [jeq32, jne32, jgt32, jge32, jlt32, jle32, jset32, jsgt32, jsge32, jslt32, jsle32]
LOADS = {1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw}
LOADS_SIGNED = {1: ldxsb, 2: ldxsh, 4: ldxsw, 8: ldxdw}
STORES = {1: stxb, 2: stxh, 4: stxw, 8: stxdw}
NUMBERS = {1: stb, 2: sth, 4: stw, 8: stdw}
ATOMICS = [atomic_add, atomic_or, atomic_fetch_add, atomic_fetch_xor, atomic_xchg, atomic_cmpxchg]
EDGES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 255, 256, 4095, -1, -2, -8, -4096, (1 << 31) - 1, -(1 << 31)]
REGISTERS = [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9]
FIELDS = {
    "socket_filter": [(0, 4), (16, 4), (48, 4), (52, 2), (8, 1)],
    "sched_cls": [(0, 4), (8, 4), (16, 4), (76, 4), (80, 4), (152, 8), (48, 1)],
    "xdp": [(0, 4), (4, 4), (12, 4), (16, 4)],
    "tracepoint": [(8, 8), (16, 8), (24, 4), (30, 2), (33, 1)],
    "raw_tracepoint": [(0, 8), (8, 8), (16, 4)],
    "syscall": [(0, 8), (8, 4), (12, 2), (15, 1)],
}
PACKETS = {("xdp", 0): "packet", ("xdp", 4): "end", ("sched_cls", 76): "packet", ("sched_cls", 80): "end"}
PLAIN = ["ktime_get_ns", "get_prandom_u32", "get_smp_processor_id", "get_numa_node_id", "jiffies64"]
SOME = ["get_current_pid_tgid", "get_current_uid_gid", "get_current_cgroup_id", "get_current_task"]
CHANGES = [add, sub, and_, or_, xor, mul, add32, and32, mod, div, lsh, rsh, arsh]


class Writer:
    """Writes a random program that is right for the most part: it knows roughly what registers and stack hold."""

    def __init__(self, random: random.Random, prog_type: str, maps: list[RawMap]) -> None:
        self.random = random
        self.prog_type = prog_type
        self.maps = maps
        self.slips = random.choice([0, 0, 0.01, 0.05, 0.2])
        self.guards = random.random() < 0.4
        self.parts: list[object] = []
        self.functions: list[list[object]] = []
        self.names = 0
        # what registers hold: "number", "ctx", "record", ("value", map), ("null", map)
        self.holds: dict[Register, object] = {r1: "ctx"}
        self.stack: dict[int, object] = {}
        self.in_function = False
        self.depth = 0

    def program(self) -> Code:
        if self.random.random() < 0.8:
            self.add(mov(r6, r1))
            self.holds[r6] = "ctx"
        for register in (r7, r8, r9, r0):
            if self.random.random() < 0.5:
                self.add(mov(register, self.random.choice(EDGES)))
                self.holds[register] = "number"
        self.block(self.random.randint(2, 14))
        self.end()
        return assemble(self.parts, self.functions)

    def add(self, *parts: object) -> None:
        self.parts.extend(parts)

    def name(self) -> str:
        self.names += 1
        return f"l{self.names}"

    def slip(self) -> bool:
        return self.random.random() < self.slips

    def those(self, *kinds: object) -> list[Register]:
        if self.slip():
            return REGISTERS
        return [register for register, held in self.holds.items() if held in kinds or held[0] in kinds]

    def number(self) -> Register:
        found = self.those("number")
        if found:
            return self.random.choice(found)
        register = self.random.choice([r0, r2, r3, r7, r8, r9])
        self.set(register, "number", mov(register, self.random.choice(EDGES)))
        return register

    def set(self, register: Register, held: object, *parts: object) -> None:
        self.add(*parts)
        self.holds[register] = held

    def target(self) -> Register:
        free = [r for r in REGISTERS if self.holds.get(r, "number") == "number"] or [r0]
        return self.random.choice(REGISTERS if self.slip() else free)

    def block(self, count: int) -> None:
        steps = [
            *[self.arithmetic] * 4,
            *[self.branch] * 4,
            *[self.store] * 3,
            *[self.load] * 3,
            *[self.context] * 3,
            *([self.packet_access] * 3 if self.prog_type in {"xdp", "sched_cls"} else []),
            *[self.plain_call] * 2,
            *[self.look_up] * 3,
            *[self.test_null] * 4,
            *[self.value] * 4,
            *[self.spill] * 2,
            *[self.reserve] * 2,
            *[self.release] * 3,
            *[self.other_call] * 2,
            self.loop,
            self.loop,
            self.function,
            self.atomic,
            self.early_exit,
            self.packet,
            self.scratch,
            self.pointer_arithmetic,
            self.same_again,
            self.widening_loop,
            self.odd,
            *([self.guarded, self.guarded, self.guarded, self.guarded_by_null, self.guarded_by_turns] * self.guards),
        ]
        for _ in range(count):
            self.random.choice(steps)()

    def constant(self) -> int:
        return (
            self.random.choice(EDGES) if self.random.random() < 0.8 else self.random.randint(-(1 << 31), (1 << 31) - 1)
        )

    def arithmetic(self) -> None:
        kind = self.random.random()
        if kind < 0.15:
            to = self.target()
            self.set(
                to, "number", self.random.choice([const(to, self.random.getrandbits(64)), mov(to, self.constant())])
            )
            return
        source = self.number()
        to = self.target()
        if kind < 0.3:
            move = self.random.choice([mov, mov, mov32, *EXTEND])
            self.set(to, self.holds.get(source, "number"), move(to, source))
            return
        to = self.number()
        if kind < 0.4:
            self.add(self.random.choice(IN_PLACE)(to))
            return
        wide = self.random.random() < 0.7
        operation = self.random.choice(ALU64 if wide else ALU32)
        if self.random.random() < 0.6:
            number = self.constant()
            if operation in (lsh, rsh, arsh, lsh32, rsh32, arsh32):
                number = self.random.randrange(64 if wide else 32)
            elif operation in (div, mod, sdiv, smod, div32, mod32):
                number = number or 1
            self.add(operation(to, number))
        else:
            self.add(operation(to, source))

    def comparison(self, to: str) -> object:
        left = self.number()
        if self.random.random() < 0.3:
            mask = self.random.choice([1, 7, 15, 0xFF, 0xF0])
            other = self.target()
            self.set(
                other,
                "number",
                mov(other, left),
                self.random.choice([and_(other, mask), rsh(other, 8), add(other, mask)]),
            )
            left = other
        jump = self.random.choice(JUMPS if self.random.random() < 0.7 else JUMPS32)
        right = self.number() if self.random.random() < 0.2 else self.constant()
        return jump(left, right, to)

    def branch(self) -> None:
        if self.depth > 3:
            return
        other, end = self.name(), self.name()
        self.add(self.comparison(other))
        self.depth += 1
        before = dict(self.holds), dict(self.stack)
        self.block(self.random.randint(0, 4))
        one = dict(self.holds), dict(self.stack)
        self.holds, self.stack = dict(before[0]), dict(before[1])
        if self.random.random() < 0.5:
            self.add(ja(end), label(other))
            self.block(self.random.randint(0, 4))
            self.add(label(end))
        else:
            self.add(label(other))
        self.depth -= 1
        self.meet(one)

    def meet(self, one: tuple[dict, dict]) -> None:
        if self.slip():
            self.holds.update(one[0])
            return
        self.holds = {r: held for r, held in self.holds.items() if one[0].get(r) == held}
        self.stack = {at: held for at, held in self.stack.items() if one[1].get(at) == held}

    def place(self, size: int) -> int:
        if self.slip():
            return self.random.choice([-516, -520, -4, -3, -12, 0, 8, -7, -512, -500])
        return -self.random.randint(1, 6) * 8 + self.random.randrange(0, 8, size)

    def store(self) -> None:
        size = self.random.choice([1, 2, 4, 8, 8, 8])
        at = self.place(size)
        if self.random.random() < 0.5:
            number = self.random.choice([0, 1, 2, 3, 7, 100])
            self.add(NUMBERS[size](fp, at, number))
        else:
            self.add(STORES[size](fp, at, self.number()))
        for byte in range(at, at + size):
            self.stack[byte] = "byte"
        self.stack.pop(at - at % 8, None) if size < 8 else None
        if size == 8:
            self.stack[at] = "number"

    def load(self) -> None:
        size = self.random.choice([1, 2, 4, 8, 8])
        places = [at for at, held in self.stack.items() if at % size == 0 and isinstance(held, str)]
        places = [at for at in places if all(isinstance(self.stack.get(b), str) for b in range(at, at + size))]
        if not places or self.slip():
            places = [self.place(size)]
        to = self.target()
        loads = self.random.choice([LOADS, LOADS, LOADS_SIGNED])
        self.set(to, "number", loads[size](to, fp, self.random.choice(places)))

    def context(self) -> None:
        base = self.random.choice(self.those("ctx") or [r6])
        at, size = self.random.choice(FIELDS[self.prog_type])
        if self.slip():
            at, size = self.random.choice([(0, 8), (2, 4), (at, 1), (at + 1, size), (400, 4), (at, 8), (-4, 4)])
        to = self.target()
        held = (
            "packet"
            if (self.prog_type, at) in {("xdp", 0), ("xdp", 4), ("sched_cls", 76), ("sched_cls", 80)}
            else "number"
        )
        self.set(to, held, LOADS[size](to, base, at))
        if self.slip():
            self.add(STORES[size](base, at, to))

    def lost(self) -> None:
        for register in (r1, r2, r3, r4, r5):
            self.holds.pop(register, None)
        if self.slip():
            self.holds[r1] = "number"

    def plain_call(self) -> None:
        name = self.random.choice(
            [
                "ktime_get_ns",
                "get_prandom_u32",
                "get_smp_processor_id",
                "get_numa_node_id",
                "jiffies64",
                "ktime_get_boot_ns",
            ]
        )
        if self.slip():
            name = self.random.choice(SOME)
        self.add(getattr(call, name)())
        self.lost()
        self.holds[r0] = "number"

    def key(self, size: int) -> int:
        at = -8 * self.random.randint(1, 6)
        if not self.slip():
            if size == 4 and self.random.random() < 0.7:
                self.add(stw(fp, at, self.random.choice([0, 0, 1, 3, 4, 9])))
            else:
                self.add(stxdw(fp, at, self.number()))
            self.stack.pop(at, None)
        return at

    def map(self, *types: str) -> RawMap:
        wanted = types or ("hash", "array", "percpu_array", "lru_hash")
        return self.random.choice([map for map in self.maps if map.type in wanted])

    def look_up(self) -> None:
        map = self.map()
        at = self.key(map.key.size)
        self.add(call.map_lookup_elem(map, fp + at))
        if self.slip():
            self.parts[-1] = (*self.parts[-1][1:-1], mov(r1, 5), self.parts[-1][-1])
        self.lost()
        self.holds[r0] = ("null", map)
        if self.random.random() < 0.5:
            keep = self.random.choice([r7, r8, r9])
            self.set(keep, self.holds[r0], mov(keep, r0))
        if self.random.random() < 0.7:
            self.test_null(r0)

    def test_null(self, register: Register | None = None) -> None:
        found = [register] if register else self.those("null")
        if not found:
            return
        register = self.random.choice(found)
        held = self.holds.get(register)
        if not isinstance(held, tuple):
            return
        out = self.name()
        test = self.random.choice([jeq, jeq, jne])
        if test is jne:
            over = self.name()
            self.add(jne(register, self.random.choice([0, 0, 0, 0, 0, 1]), over), ja(out), label(over))
        else:
            self.add(jeq(register, 0, out))
        if self.random.random() < 0.1:
            self.add(label(out))
            return
        self.depth += 1
        before = dict(self.holds), dict(self.stack)
        for other, kind in list(self.holds.items()):
            if kind == held:
                self.holds[other] = ("record" if held[1] == "record" else "value", held[1])
        self.block(self.random.randint(0, 4))
        if held[1] == "record":
            for other, kind in list(self.holds.items()):
                if kind == ("record", "record"):
                    self.give_back(other)
                    break
        one = dict(self.holds), dict(self.stack)
        self.holds, self.stack = dict(before[0]), dict(before[1])
        if self.random.random() < 0.3:
            self.add(mov(r0, 0), exit_(), label(out)) if self.random.random() < 0.5 else self.add(label(out))
        else:
            self.add(label(out))
        self.depth -= 1
        self.meet(one)

    def value(self) -> None:
        kinds = ["value", "record"] + (["null"] if self.slip() else [])
        found = self.those(*kinds)
        if not found:
            return
        base = self.random.choice(found)
        size = self.random.choice([1, 2, 4, 8])
        at = self.random.randrange(0, 16, size) if not self.slip() else self.random.choice([-8, 12, 20, 64])
        if self.random.random() < 0.5:
            to = self.target()
            self.set(to, "number", LOADS[size](to, base, at))
        else:
            self.add(STORES[size](base, at, self.number()))

    def spill(self) -> None:
        at = -8 * self.random.randint(1, 6)
        spilled = [place for place, held in self.stack.items() if isinstance(held, tuple) or held == "ctx"]
        if spilled and self.random.random() < 0.5:
            place = self.random.choice(spilled)
            to = self.target()
            self.set(to, self.stack[place], ldxdw(to, fp, place))
            return
        sources = [r for r, held in self.holds.items() if held != "number"]
        if sources:
            source = self.random.choice(sources)
            self.add(stxdw(fp, at, source))
            for byte in range(at, at + 8):
                self.stack.pop(byte, None)
            self.stack[at] = self.holds[source]

    def reserve(self) -> None:
        self.add(call.ringbuf_reserve(self.map("ringbuf"), self.random.choice([16, 24]), 0))
        self.lost()
        keep = self.random.choice([r7, r8, r9])
        self.holds[r0] = ("null", "record")
        self.set(keep, self.holds[r0], mov(keep, r0))
        if not self.slip():
            self.test_null(r0)

    def release(self) -> None:
        found = [r for r, held in self.holds.items() if held == ("record", "record")]
        if found and (self.slip() or self.random.random() < 0.3):
            self.give_back(self.random.choice(found))

    def give_back(self, register: Register) -> None:
        if self.slip():
            return
        self.add(self.random.choice([call.ringbuf_submit, call.ringbuf_discard])(register, 0))
        self.lost()
        self.holds.pop(r0, None)
        if not self.slip():
            for other, held in list(self.holds.items()):
                if held == ("record", "record"):
                    del self.holds[other]
            for at, held in list(self.stack.items()):
                if held in (("record", "record"), ("null", "record")):
                    del self.stack[at]

    def other_call(self) -> None:
        size = self.random.choice([4, 8, 16, 16, 24])
        at = -8 * self.random.randint(1, 6)
        choices = []
        map = self.map("hash", "array", "lru_hash")
        choices.append(lambda: call.map_update_elem(map, fp + self.key(map.key.size), fp + at, 0))
        choices.append(lambda: call.map_delete_elem(map, fp + self.key(map.key.size)))
        choices.append(lambda: call.ringbuf_output(self.map("ringbuf"), fp + at, size, 0))
        choices.append(lambda: call.trace_printk(fp + at, size))
        if self.prog_type in {"tracepoint", "raw_tracepoint"} or self.slip():
            choices.append(lambda: call.probe_read_kernel(fp + at, size, 0))
            choices.append(lambda: call.probe_read_kernel_str(fp + at, size, 0))
            choices.append(lambda: call.get_current_comm(fp + at, size))
            choices.append(lambda: call.get_current_comm(fp + at, self.number()))
        if self.prog_type in {"socket_filter", "sched_cls"} or self.slip():
            choices.append(lambda: call.skb_load_bytes(r6, 0, fp + at, size))
        if self.prog_type == "xdp" or self.slip():
            choices.append(lambda: call.xdp_adjust_head(r6, 0))
        if not self.slip():
            for byte in range(at, min(at + max(size, map.value.size), 0), 8):
                if not isinstance(self.stack.get(byte), str):
                    self.add(stdw(fp, byte, 0))
                    self.stack[byte] = "number"
        self.add(self.random.choice(choices)())
        for byte in range(at, at + 24):
            if not isinstance(self.stack.get(byte), str):
                self.stack.pop(byte, None)
        self.lost()
        self.holds[r0] = "number"

    def loop(self) -> None:
        if self.depth > 1:
            return
        counter = self.random.choice([r7, r8, r9])
        top, out = self.name(), self.name()
        kind = self.random.random()
        turns = self.random.choice([2, 3, 5])
        self.set(counter, "number", mov(counter, 0))
        self.add(label(top))
        self.depth += 2
        before = dict(self.holds), dict(self.stack)
        if kind < 0.3:
            self.add(jge(counter, self.number(), out))
        if 0.3 < kind < 0.4:
            self.add(may_goto(out))
        self.block(self.random.randint(0, 3))
        self.depth -= 2
        if self.holds.get(counter) == "number" or self.slip():
            self.add(add(counter, 1), jlt(counter, turns, top))
        self.add(label(out))
        self.meet(before)

    def widening_loop(self) -> None:
        if self.depth:
            return
        top = self.name()
        self.add(label(top), call.get_prandom_u32())
        self.lost()
        self.holds[r0] = "number"
        self.add(self.random.choice([jeq, jne, jgt])(r0, self.constant(), top))

    def function(self) -> None:
        if self.in_function or len(self.functions) > 2:
            return
        name = self.name()
        inner = Writer(self.random, self.prog_type, self.maps)
        inner.slips, inner.in_function, inner.names = self.slips, True, self.names + 1000 * (len(self.functions) + 1)
        arguments = {}
        for register in (r1, r2, r3, r4, r5):
            if register in self.holds:
                arguments[register] = self.holds[register]
        if self.random.random() < 0.5:
            self.set(r1, "stack", mov(r1, fp), add(r1, -8 * self.random.randint(1, 6)))
            arguments[r1] = "stack"
        inner.holds = arguments
        inner.block(self.random.randint(0, 5))
        if arguments.get(r1) == "stack" and inner.holds.get(r1) == "stack":
            inner.add(stdw(r1, 0, 0))
        inner.end()
        self.functions.append([label(name), inner.parts])
        self.add(call_sub(name))
        self.lost()
        self.holds[r0] = "number"
        if self.random.random() < 0.3:
            self.plain_call()
            self.add(call_sub(name)) if not arguments or self.slip() else None
            self.lost()

    def atomic(self) -> None:
        operation = self.random.choice(ATOMICS)
        size = self.random.choice(["u32", "u64"])
        found = self.those("value")
        source = self.number()
        if operation is atomic_cmpxchg and self.holds.get(r0) != "number":
            self.set(r0, "number", mov(r0, 1))
        if found and self.random.random() < 0.6:
            base = self.random.choice(found)
            if base in (source, r0) and operation is not atomic_add:
                return
            self.add(operation(base, 0, source, size=size))
        else:
            at = -8 * self.random.randint(1, 6)
            if not self.slip():
                self.add(stdw(fp, at, 1))
                self.stack[at] = "number"
            self.add(operation(fp, at, source, size=size))
        if operation is atomic_cmpxchg:
            self.holds[r0] = "number"

    def early_exit(self) -> None:
        if not self.depth and not self.slip():
            return
        over = self.name()
        self.add(self.comparison(over))
        self.end()
        self.add(label(over))

    def end(self) -> None:
        for register, held in list(self.holds.items()):
            if held == ("record", "record") and not self.slip():
                self.add(call.ringbuf_discard(register, 0))
                break
        if not self.slip():
            self.add(mov(r0, self.random.choice([0, 1, 2])))
        self.add(exit_())

    def packet(self) -> None:
        if not (self.prog_type in {"socket_filter", "sched_cls"} or self.slip()):
            return
        if self.holds.get(r6) != "ctx" and not self.slip():
            return
        self.add(self.random.choice([ldabsb, ldabsh, ldabsw])(self.random.choice([0, 12, 14])))
        self.lost()
        self.holds[r0] = "number"

    def packet_access(self) -> None:
        if self.holds.get(r6) != "ctx" or self.depth > 2:
            return
        out, far = self.name(), self.random.choice([1, 4, 8, 14])
        start, end = (0, 4) if self.prog_type == "xdp" else (76, 80)
        data, last = self.random.sample([r2, r3, r4, r5], 2)
        moved = self.random.choice([r for r in (r2, r3, r4, r5) if r not in (data, last)])
        self.set(data, "packet", ldxw(data, r6, start))
        self.set(last, "end", ldxw(last, r6, end))
        self.set(moved, "packet", mov(moved, data), add(moved, far))
        tests = [jgt(moved, last, out), jge(moved, last, out), jlt(last, moved, out), jle(last, moved, out)]
        self.add(self.random.choice(tests))
        if self.slip():
            far += self.random.choice([1, 2, 4])
        size = self.random.choice([size for size in (1, 2, 4, 8) if size <= far])
        to = self.random.choice([r for r in (r2, r3, r4, r5, r0) if r not in (data, last)])
        self.set(to, "number", LOADS[size](to, data, self.random.randint(0, far - size)))
        if self.random.random() < 0.5:
            self.add(self.random.choice(JUMPS)(to, self.constant(), out))
        if self.guards and self.random.random() < 0.5:
            # once more: this may be known by now
            again = self.name()
            self.set(moved, "packet", mov(moved, data), add(moved, self.random.choice([1, 4, 8, 14, 20])))
            self.add(self.random.choice([jgt, jge, jlt, jle])(moved, last, again))
            self.add(self.random.choice([stdw(fp, -520, 0), mov(r8, 1)]))
            self.add(label(again))
        self.add(label(out))
        for register in (data, last, moved, to):
            self.holds.pop(register, None)

    def scratch(self) -> None:
        map = next(map for map in self.maps if map.value.size == 64)
        place = self.random.choice([0, 8, 48])
        if self.slip():
            map, place = self.random.choice([(map, 64), (self.random.choice(self.maps), 0)])
        to = self.random.choice([r7, r8, r9])
        self.set(to, ("value", map), ld_map_value(to, map, place))

    def pointer_arithmetic(self) -> None:
        found = self.those("value", "stack", "record", "packet")
        if not found:
            return
        base, to = self.random.choice(found), self.target()
        if self.random.random() < 0.5:
            self.set(to, self.holds.get(base, "number"), mov(to, base), add(to, self.random.choice([0, 1, 4, 8, -8])))
            return
        index = self.number()
        if not self.slip():
            self.add(and_(index, self.random.choice([3, 7])))
        self.set(to, self.holds.get(base, "number"), mov(to, base), add(to, index))

    def same_again(self) -> None:
        if self.depth > 2:
            return
        # one test decides of another, later one
        known = self.number()
        number, over, end = self.constant(), self.name(), self.name()
        keep = self.random.choice([r7, r8, r9])
        if keep == known or self.holds.get(keep, "number") != "number":
            return
        self.add(jeq(known, number, over), mov(keep, 1), label(over))
        self.depth += 1
        self.block(self.random.randint(0, 2))
        self.depth -= 1
        if self.holds.get(known) == "number":
            self.add(self.random.choice([jeq, jeq, jle, jeq32])(known, number, end), add(keep, 1), label(end))

    # A mistake behind several tests: where no number passes all of them, the kernel never sees it.
    def guarded(self) -> None:
        if self.depth > 2:
            return
        out = self.name()
        source = self.random.choice([r2, r3, r4, r5, r7, r8, r9])
        if self.holds.get(source, "number") != "number":
            return
        kind = self.random.random()
        if kind < 0.3:
            self.plain_call()
            self.set(source, "number", mov(source, r0))
        elif kind < 0.7 and self.holds.get(r6) == "ctx":
            at, size = self.random.choice(FIELDS[self.prog_type][:1])
            if (self.prog_type, at) == ("xdp", 0):
                at = 12
            self.set(source, "number", LOADS[size](source, r6, at))
        else:
            source = self.number()
        small = [0, 1, 2, 3, 4, 7, 8, -1, -2, 16, 255]
        for _ in range(self.random.randint(1, 4)):
            tested = source
            if self.random.random() < 0.5:
                tested = self.random.choice([r for r in (r2, r3, r4, r5) if r != source])
                if self.holds.get(tested, "number") != "number":
                    tested = source
                else:
                    self.set(tested, "number", self.random.choice([mov, mov, mov32, movsx8, movsx32])(tested, source))
                    for _ in range(self.random.randint(0, 2)):
                        operation = self.random.choice(CHANGES)
                        number = self.random.choice([1, 2, 3, 7, 8, 15, 16])
                        self.add(operation(tested, number))
                    if self.random.random() < 0.3:
                        at = -8 * self.random.randint(1, 6)
                        self.add(stxdw(fp, at, tested), self.random.choice([ldxdw, ldxw, ldxb])(tested, fp, at))
                        for byte in range(at, at + 8):
                            self.stack[byte] = "byte"
                        self.stack[at] = "number"
            jump = self.random.choice(JUMPS if self.random.random() < 0.6 else JUMPS32)
            right = self.random.choice(small)
            if self.random.random() < 0.1:
                right = self.number()
            self.add(jump(tested, right, out))
        unset = [r for r in (r0, r1, r2, r3, r4, r5, r7, r8, r9) if r not in self.holds]
        mistakes = [stdw(fp, -520, 0), Instruction(0xB7, 10, imm=3), ldxdw(r0, source, 0)]
        if unset:
            mistakes += [stxdw(fp, -8, self.random.choice(unset))] * 3
        self.add(self.random.choice(mistakes))
        self.add(label(out))

    # The same behind tests of copies of one address.
    def guarded_by_null(self) -> None:
        if self.depth > 2 or any(self.holds.get(r, "number") != "number" for r in (r7, r8)):
            return
        map = self.map()
        out, then = self.name(), self.name()
        at = -8 * self.random.randint(1, 6)
        lookup = call.map_lookup_elem(map, fp + self.key(map.key.size))
        self.add(lookup, mov(r7, r0), stxdw(fp, at, r0), mov(r8, self.random.choice([0, 1])))
        self.lost()
        for byte in range(at, at + 8):
            self.stack.pop(byte, None)
        test = self.random.choice([jeq, jne])
        self.add(test(self.random.choice([r0, r7]), 0, self.random.choice([out, then])))
        if self.random.random() < 0.5:
            self.add(mov(r8, self.random.choice([0, 1])))
        self.add(label(then), ldxdw(r3, fp, at))
        copy = self.random.choice([r0, r3, r7])
        self.add(self.random.choice([jeq, jne, jeq32, jgt])(self.random.choice([copy, r8]), 0, out))
        self.add(self.random.choice([ldxb(r4, copy, 0), stb(fp, 0, 0), mov(r4, r4), stxb(copy, 0, r8), add(copy, 0)]))
        self.add(label(out))
        self.holds |= {r8: "number"}
        for register in (r0, r3, r4, r7):
            self.holds.pop(register, None)

    # The same behind a loop, of which the kernel may know how often it turns.
    def guarded_by_turns(self) -> None:
        if self.depth or any(self.holds.get(r, "number") != "number" for r in (r7, r8)):
            return
        top, out, over = self.name(), self.name(), self.name()
        turns = self.random.choice([1, 3, 6])
        limit = turns if self.random.random() < 0.5 else r8
        self.add(mov(r7, 0), mov(r8, self.random.choice([0, 2, 5])))
        if self.random.random() < 0.5 and self.holds.get(r6) == "ctx":
            at, _ = next((at, size) for at, size in FIELDS[self.prog_type][1:] if size >= 4 and at not in (4, 76, 80))
            self.add(ldxw(r8, r6, at), jgt(r8, self.random.choice([3, 6]), over))
        self.add(label(top))
        if self.random.random() < 0.3:
            self.add(may_goto(out))
        self.add(
            self.random.choice([jge, jge, jsge, jeq])(r7, limit, out), add(r7, self.random.choice([1, 1, 2])), ja(top)
        )
        self.add(label(out), self.random.choice(JUMPS)(r7, self.random.choice([limit, 2, 3, 7]), over))
        self.add(self.random.choice([stb(fp, 0, 0), Instruction(0xB7, 10, imm=3)]), label(over))
        self.holds |= {r7: "number", r8: "number"}

    def odd(self) -> None:
        if not self.slip():
            return
        choice = self.random.randrange(12)
        register = self.random.choice(REGISTERS)
        if choice == 0:
            self.add(ja(self.random.choice([-1, 3, 60, -60])))
        elif choice == 1:
            self.add(exit_())
        elif choice == 2:
            self.add(Instruction(0xB7, 10, imm=3))
        elif choice == 3:
            self.add(mov(register, fp), self.random.choice([and_, mul, xor])(register, 3))
        elif choice == 4:
            self.add(call.tail_call(r6, self.map("hash"), 0))
        elif choice == 5:
            self.add(jeq(register, self.random.choice([r10, r6]), 1))
        elif choice == 6:
            self.add(call_id(self.random.choice([0, 300, 44, 9, 181, 115])))
        elif choice == 7:
            self.add(xor(register, register))
        elif choice == 8:
            self.add(self.unlikely())
        elif choice == 9:
            self.set(r7, "number", mov(r7, 0), jeq(r7, 0, 1), self.unlikely())
        elif choice == 10:
            ring = self.map("ringbuf")
            self.add(self.random.choice([call.map_lookup_elem, call.map_delete_elem])(ring, fp + self.key(4)))
        else:
            self.add(call.ringbuf_output(self.map(), fp + self.key(8), 8, 0))

    # An instruction of any opcode, with fields that few have.
    def unlikely(self) -> Instruction:
        opcodes = [*range(256), 0x67, 0x77, 0xC4, 0x37, 0x94, 0xB7, 0xBF, 0x95, 0x05, 0x61, 0xDB, 0x85, 0x18]
        off = self.random.choice([0, 0, 1, 8, -8])
        imm = self.random.choice([0, 0, 1, 32, 64, -1, 0xF1])
        register = self.random.choice(REGISTERS).number
        source = self.random.choice([0, 0, 1, register])
        return Instruction(self.random.choice(opcodes), self.random.choice([0, 0, register]), source, off, imm)


def programs(seed: int, count: int, maps: list[RawMap]):
    source = random.Random(seed)
    made = 0
    while made < count:
        prog_type = source.choice([*PROG_TYPES])
        writer = Writer(random.Random(source.getrandbits(64)), prog_type, maps)
        code = writer.program()
        if len(code) > 900:
            continue
        made += 1
        yield prog_type, code


def judge(prog_type: str, code: Code) -> str:
    """Which of both refuse a program."""
    findings = code.check(prog_type)
    severities = {finding.severity for finding in findings}
    if accepted(code, prog_type) is None:
        if "error" in severities:
            told = "\n".join(map(str, findings))
            raise AssertionError(f"the kernel accepts this {prog_type} program, and the check says\n{told}\n{code}")
        return "accepted, warned of" if severities else "accepted"
    return "refused, error" if "error" in severities else "refused, warning" if severities else "refused, not explained"


def test_the_opcodes_that_there_are_not() -> None:
    # where no path leads, the kernel looks at little else
    before = mov(r0, 0), jeq(r0, 0, 1)
    for opcode in set(range(256)) - {0x0D, 0x18}:  # one came with 6.19, the other takes two slots
        code = Code([*before, Instruction(opcode), exit_()])
        there_is_not = any("there is no instruction of opcode" in found.message for found in code.check("xdp"))
        refusal = accepted(code, "xdp", log=True)
        assert refusal if there_is_not else "unknown opcode" not in (refusal or ""), hex(opcode)


def test_what_the_kernel_accepts_has_no_error(maps: list[RawMap]) -> None:
    counts = collections.Counter(judge(*program) for program in programs(1, 2000, maps))
    sys.stdout.write(f"{dict(counts)}\n")
    assert counts["accepted"] + counts["accepted, warned of"] > 600
    refused = sum(count for verdict, count in counts.items() if verdict.startswith("refused"))
    assert counts["refused, error"] > refused / 2


MOVERS = [
    ("xdp", call.xdp_adjust_head(r6, 0)),
    ("xdp", call.xdp_adjust_meta(r6, 0)),
    ("xdp", call.xdp_adjust_tail(r6, 0)),
    ("sched_cls", call.clone_redirect(r6, 1, 0)),
    ("sched_cls", call.l3_csum_replace(r6, 24, 0, 1, 2)),
    ("sched_cls", call.l4_csum_replace(r6, 36, 0, 1, 2)),
    ("sched_cls", call.skb_adjust_room(r6, 0, 0, 0)),
    ("sched_cls", call.skb_change_head(r6, 0, 0)),
    ("sched_cls", call.skb_change_proto(r6, 0x86DD, 0)),
    ("sched_cls", call.skb_change_tail(r6, 64, 0)),
    ("sched_cls", call.skb_pull_data(r6, 14)),
    ("sched_cls", call.skb_store_bytes(r6, 0, fp - 8, 1, 0)),
    ("sched_cls", call.skb_vlan_pop(r6)),
    ("sched_cls", call.skb_vlan_push(r6, 0x8100, 1)),
    # they move nothing
    ("xdp", call.ktime_get_ns()),
    ("xdp", call.fib_lookup(r6, fp - 72, 64, 0)),
    ("sched_cls", call.skb_load_bytes(r6, 0, fp - 8, 1)),
    ("sched_cls", call.get_hash_recalc(r6)),
    ("sched_cls", call.set_hash_invalid(r6)),
    ("sched_cls", call.csum_update(r6, 0)),
]


@pytest.mark.parametrize(("prog_type", "moves"), MOVERS)
@pytest.mark.parametrize("again", [False, True])
def test_addresses_in_a_packet_that_a_helper_moves(prog_type: str, moves: object, again: bool) -> None:
    start, end = (0, 4) if prog_type == "xdp" else (76, 80)

    def look() -> list[object]:
        return [
            *(ldxw(r7, r6, start), ldxw(r8, r6, end)),
            *(mov(r0, r7), add(r0, 14), jgt(r0, r8, "end"), stxdw(fp, -80, r7)),
        ]

    scratch = [stdw(fp, -8 * eight, 0) for eight in range(1, 10)]
    uses = [mov(r9, r7), ldxb(r0, r9, 3), stb(r7, 2, 1), ldxdw(r4, fp, -80), ldxb(r0, r4, 0)]
    code = assemble(
        [mov(r6, r1), scratch, look(), moves, look() if again else [], uses], label("end"), mov(r0, 0), exit_()
    )
    errors = [found for found in code.check(prog_type) if found.severity == "error"]
    assert bool(errors) == bool(accepted(code, prog_type)), accepted(code, prog_type, log=True)
    assert all("pointed into the packet" in found.message for found in errors)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, (1 << 64) - 1), prog_type=st.sampled_from([*PROG_TYPES]))
def test_any_program(maps: list[RawMap], seed: int, prog_type: str) -> None:
    code = Writer(random.Random(seed), prog_type, maps).program()
    if len(code) < 900:
        judge(prog_type, code)
