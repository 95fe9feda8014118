"""The running kernel judges the table of helpers: what it accepts is listed, what it checks is what the table says.

Thousands of tiny programs are loaded by bpf(2) alone, and the verifier's complaints are read. None is attached or run.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import platform
import re
import subprocess
from pathlib import Path
from struct import pack

import pytest

from fastbpf.helpers.prototypes import PROGRAM_TYPES, prototype
from fastbpf.kernel_version import KernelVersion

HELPERS = tuple(prototype(id) for id in range(1, 212))
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_CREATE, PROG_LOAD = 0, 5
SLEEPABLE = 1 << 4
CAP_SYS_ADMIN, CAP_PERFMON = 21, 38

# What the kernel allows hangs on the attach type too; where a row says more than one, none of them allows everything.
VARIANTS = {
    "kprobe": [(0, 0), (0, SLEEPABLE), (42, 0), (48, 0)],
    "cgroup_skb": [(0, 0), (1, 0)],
    "cgroup_sock": [(attach, 0) for attach in (2, 12, 13, 34)],
    "sock_ops": [(3, 0)],
    "cgroup_device": [(6, 0)],
    "cgroup_sock_addr": [(attach, 0) for attach in (*range(8, 12), 14, 15, 19, 20, *range(29, 33), *range(49, 54))],
    "sk_reuseport": [(39, 0), (40, 0)],
    "cgroup_sysctl": [(18, 0)],
    "cgroup_sockopt": [(21, 0), (22, 0)],
    "sk_lookup": [(36, 0)],
    "syscall": [(0, SLEEPABLE)],
    "netfilter": [(45, 0)],
}
UNASKED = {"lirc_mode2", "tracing", "struct_ops", "ext", "lsm"}  # need a driver, or something to be attached to

# What the table lists and Linux 6.18 or later may refuse, by what it hangs on.
DEPENDS = {
    "probe_write_user": "lockdown (LOCKDOWN_BPF_WRITE_USER)",
    "override_return": "CONFIG_BPF_KPROBE_OVERRIDE",
}

libc = ctypes.CDLL(None, use_errno=True)
log = ctypes.create_string_buffer(1 << 16)


def bpf(command, attributes):
    result = libc.syscall(SYS_BPF, command, ctypes.create_string_buffer(attributes, 128), 128)
    return result if result >= 0 else -ctypes.get_errno()


def insn(opcode, dst=0, src=0, off=0, imm=0):
    return pack("<BBhi", opcode, dst | src << 4, off, imm)


def mov(dst, imm):
    return insn(0xB7, dst, imm=imm)


def frame(dst, off):
    return insn(0xBF, dst, 10) + insn(0x07, dst, imm=off)


def call(id):
    return insn(0x85, imm=id)


def wide(dst, src, fd):
    return insn(0x18, dst, src, 0, fd) + insn(0)


END = mov(0, 0) + insn(0x95)


def load(program_type, variant, code, licence=b"GPL", level=1):
    """What the verifier complained of, in one line; "" if it did not. Nothing stays loaded; `log` holds all it said."""
    attach, flags = variant
    text, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(licence)
    where, log[0] = ctypes.addressof, b"\0"
    number = PROGRAM_TYPES.index(program_type) + 1
    head = pack("<IIQQIIQ", number, len(code) // 8, where(text), where(licence), level, len(log), where(log))
    fd = bpf(PROG_LOAD, head + pack("<II16sII", 0, flags, b"", 0, attach))
    if fd >= 0:
        os.close(fd)
        return ""
    said = [line for line in log.value.decode().splitlines() if not re.match(r"\d+:|processed|func#|$", line)]
    return said[-1] if said else f"not verified: {os.strerror(-fd)}"


REFUSED = (
    "cannot use helper",
    "unknown func",
    "invalid func",
    "not supported for program type",
    "not allowed in probe",
    "might sleep",
)


@pytest.fixture(scope="module")
def accepted():
    """Which helpers each program type may call here, and in which variants."""
    cells = {}
    for program_type in PROGRAM_TYPES:
        for variant in () if program_type in UNASKED else VARIANTS.get(program_type, [(0, 0)]):
            for helper in HELPERS:
                said = load(program_type, variant, call(helper.id) + END)
                if "not verified" in said:
                    break  # an older kernel, which knows no such programs
                if not any(words in said for words in REFUSED):
                    cells.setdefault((helper.id, program_type), []).append(variant)
    return cells


def test_numbers_are_those_of_the_kernels_types():
    text = subprocess.run(
        ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"], capture_output=True, text=True, check=True
    ).stdout
    types = {name.lower(): int(value) for name, value in re.findall(r"'BPF_PROG_TYPE_(\w+)' val=(\d+)", text)}
    helpers = {name: int(value) for name, value in re.findall(r"'BPF_FUNC_(\w+)' val=(\d+)", text)}
    assert {name: number for number, name in enumerate(("unspec", *PROGRAM_TYPES))} == types
    assert {"unspec": 0} | {helper.name: helper.id for helper in HELPERS} == helpers


def test_what_the_kernel_accepts_is_listed(accepted):
    assert len(accepted) > 1000
    missing = [(t, prototype(id).name) for id, t in accepted if prototype(id).allows(t) is not True]
    assert missing == []
    assert all(prototype(id).since <= KernelVersion.running() for id, _ in accepted)


def test_what_is_listed_is_accepted_or_explained(accepted):
    asked = [(h, t) for h in HELPERS for t in h.program_types - UNASKED]
    refused = [(h, t) for h, t in asked if (h.id, t) not in accepted]
    assert len(refused) < len(asked)
    if KernelVersion.running() >= (6, 18):  # older ones allow less
        assert [(t, h.name) for h, t in refused if h.name not in DEPENDS] == []


def test_who_needs_the_gpl(accepted):
    restricted = {}
    for (id, program_type), variants in accepted.items():
        for variant in variants:
            said = load(program_type, variant, call(id) + END, licence=b"Proprietary")
            restricted.setdefault(id, set()).add("GPL-restricted" in said)
    assert len(restricted) > 180
    # for some types the kernel has an edition of the helper without the demand, as get_stackid for perf_event
    assert {id: prototype(id).gpl_only for id in restricted} == {id: seen == {True} for id, seen in restricted.items()}


# -- arguments ---------------------------------------------------------------------------------------------------------

KEY, VALUE, SIZE = 6, 24, 12  # differ from each other and from the sizes that helpers fix
GET_CURRENT_TASK_BTF, GET_PRANDOM_U32 = 158, 7


@pytest.fixture(scope="module")
def maps():
    """Some maps by type; the first is a hash whose key and value sizes tell themselves apart."""
    hash_map, percpu_hash, ring, array = 1, 5, 27, 2
    made = {
        hash_map: pack("<IIIII", hash_map, KEY, VALUE, 1, 0),
        percpu_hash: pack("<IIIII", percpu_hash, KEY, VALUE, 1, 0),
        ring: pack("<IIIII", ring, 0, 0, os.sysconf("SC_PAGE_SIZE"), 0),
        array: pack("<IIIII", array, 4, VALUE, 1, 0),
    }
    fds = [bpf(MAP_CREATE, attributes) for attributes in made.values()]
    assert all(fd >= 0 for fd in fds)
    yield fds
    for fd in fds:
        os.close(fd)


# How programs begin: the context in r6, in r7 a pointer that the helper may want, 64 bytes of the stack written.
CONTEXT = insn(0xBF, 6, 1)
STACK = b"".join(insn(0x7A, 10, 0, -off, 0) for off in range(8, 72, 8))
PROLOGUES = (
    CONTEXT + insn(0xBF, 7, 1) + STACK,  # the context again
    CONTEXT + insn(0x79, 7, 1, 168) + insn(0x55, 7, 0, 2, 0) + END + STACK,  # a socket: sk of struct __sk_buff
    CONTEXT + STACK + call(GET_CURRENT_TASK_BTF) + insn(0xBF, 7, 0),  # a task
)

# What a register holds when it is the one asked about.
QUESTIONS = {
    "a number": lambda r: mov(r, 3),
    "zero": lambda r: mov(r, 0),
    "the stack": lambda r: frame(r, -64),
    "the last byte": lambda r: frame(r, -1),
    "unwritten stack": lambda r: frame(r, -128),
    "nothing": lambda _: b"",
}


def filled(register, parameter, map_fd, size):
    match parameter.kind:
        case "map":
            return wide(register, 1, map_fd)
        case "map_key" | "map_value" | "mem_read" | "mem_write":
            return frame(register, -64)
        case "ctx" | "unchecked":
            return insn(0xBF, register, 6)
        case "size" | "alloc_size":
            return mov(register, size)
        case "scalar":
            return mov(register, 0)
        case "pointer":
            return insn(0xBF, register, 7)
    return None  # a callback or a record: those take more than an instruction


class Judge:
    """Asks the verifier about one parameter of one helper."""

    def __init__(self, helper, place, accepted, map_fd):
        self.helper, self.place, self.map_fd = helper, place, map_fd
        cells = [(t, v) for (id, t), variants in accepted.items() if id == helper.id for v in variants]
        cells.sort(key=lambda cell: cell[0] != "sched_cls")  # which can have sockets
        self.settings = [(*cell, prologue) for cell in cells for prologue in PROLOGUES]

    def ask(self, question, size=SIZE):
        """The complaint, "" if there is none about this parameter; None if no program gets as far as to ask.

        `size` is for the parameter behind it, if that is its size.
        """
        for position, setting in enumerate(self.settings):
            said = self._say(question, size, *setting)
            if said is not None:
                self.settings = self.settings[position:]
                return said
        self.settings = []
        return None

    def _say(self, question, size, program_type, variant, prologue):
        code = prologue + call(GET_PRANDOM_U32)  # which leaves r1 to r5 unwritten
        for place, parameter in enumerate(self.helper.parameters):
            register = place + 1
            if place == self.place:
                code += QUESTIONS[question](register)
            else:
                instruction = filled(register, parameter, self.map_fd, size if place == self.place + 1 else SIZE)
                if instruction is None and place < self.place:
                    return None
                code += instruction or b""
        said = load(program_type, variant, code + call(self.helper.id) + END)
        about = re.match(r"R(\d) |invalid (?:indirect )?\w+ \w+ stack R(\d) ", said)
        if about:
            number = int(about[1] or about[2])
            # the size is what the kernel names when the memory before it is refused
            if number == self.place + 1:
                return said
            if number <= self.place or number in {6, 7}:
                return None
            return ""
        before_arguments = (
            "not verified",
            "might sleep",
            "cannot use helper",
            "invalid bpf_context access",
            "R0 ",
            "sleepable",
        )
        return None if any(words in said for words in before_arguments) else ""


# What the verifier wants for the kinds that it has a name for; the rest of what it wants is "pointer" to us.
WANTED = {"map_ptr": "map", "ctx": "ctx", "func": "func", "ringbuf_mem": "ringbuf_mem"}


def as_checked(judge):
    """The parameter's rule as the verifier's answers give it away; None where no program of ours gets so far."""
    said = judge.ask("a number")
    if said is None:
        return None
    if not said:
        if "expected=scalar" not in judge.ask("the stack"):
            return {"kind": "scalar" if "!read_ok" in judge.ask("nothing") else "unchecked"}
        return {"kind": "size", "zero_ok": "zero-sized" not in judge.ask("zero")}
    wanted = re.search(r"type=scalar expected=(.*)", said)[1]
    nullable = "type=scalar" not in judge.ask("zero", size=0)
    if not wanted.startswith("fp, pkt"):
        return {"kind": WANTED.get(wanted, "pointer"), "nullable": nullable}
    verb, size = re.search(r"invalid (read|write) \w+ stack R\d off=-1 size=(\d+)", judge.ask("the last byte")).groups()
    return {"kind": "memory", "verb": verb, "size": int(size), "nullable": nullable}


def as_listed(parameter):
    """The same of the table's rule."""
    match parameter.kind:
        case "map_key":
            memory = "read", KEY
        case "map_value":
            memory = "read" if parameter.initialised else "write", VALUE
        case "mem_read" | "mem_write":
            memory = parameter.kind.removeprefix("mem_"), parameter.size or SIZE
        case "size" | "alloc_size":
            return {"kind": "size", "zero_ok": parameter.zero_ok or parameter.kind == "alloc_size"}
        case "scalar" | "unchecked":
            return {"kind": parameter.kind}
        case _:
            return {"kind": parameter.kind, "nullable": parameter.nullable}
    return {"kind": "memory", "verb": memory[0], "size": memory[1], "nullable": parameter.nullable}


def agrees(listed, checked):
    if listed["kind"] == "unchecked":  # by some program types
        return True
    if listed["kind"] == "pointer":  # for some program types the context, and only for some nullable
        return checked["kind"] in {"pointer", "ctx"} and listed["nullable"] >= checked["nullable"]
    return listed == checked


def parameters():
    return [(helper, place) for helper in HELPERS for place in range(len(helper.parameters))]


def test_arguments_are_what_the_verifier_wants(accepted, maps):
    judged, wrong = 0, []
    for helper, place in parameters():
        parameter = helper.parameters[place]
        checked = as_checked(Judge(helper, place, accepted, maps[0]))
        judged += checked is not None
        if checked is not None and not agrees(as_listed(parameter), checked):
            wrong.append((helper.name, parameter, checked))
    assert wrong == []
    assert judged > 0.8 * len(parameters())


@contextlib.contextmanager
def without_capabilities(*capabilities):
    """Takes them from this thread's effective set for a while (capset(2), version 3)."""
    header = ctypes.create_string_buffer(pack("<Ii", 0x20080522, 0))
    data = ctypes.create_string_buffer(24)
    assert libc.capget(header, data) == 0
    had, sets = data.raw[:24], bytearray(data.raw[:24])
    for capability in capabilities:
        place = capability // 8 + (8 if capability >= 32 else 0)  # effective, permitted, inheritable; twice
        sets[place] &= ~(1 << capability % 8)
    assert libc.capset(header, bytes(sets)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, had) == 0


def test_capabilities_come_back():
    def effective():
        return re.search(r"CapEff:\s*(\w+)", Path("/proc/thread-self/status").read_text())[1]

    before = effective()
    with without_capabilities(CAP_SYS_ADMIN, CAP_PERFMON):
        assert int(effective(), 16) == int(before, 16) & ~(1 << CAP_SYS_ADMIN | 1 << CAP_PERFMON)
    assert effective() == before


def test_who_wants_memory_to_be_initialised(accepted, maps):
    """Whoever may read all of memory may hand unwritten stack to a helper; others learn who would have read it."""
    judged, wrong = 0, []
    for helper, place in parameters():
        parameter = helper.parameters[place]
        if parameter.kind not in {"map_key", "map_value", "mem_read", "mem_write"}:
            continue
        with without_capabilities(CAP_SYS_ADMIN, CAP_PERFMON):
            said = Judge(helper, place, accepted, maps[0]).ask("unwritten stack")
        if said is not None:
            judged += 1
            if parameter.initialised != bool(re.match("invalid .*read from stack", said)):
                wrong.append((helper.name, parameter, said))
    assert wrong == []
    assert judged > 60


# -- results -----------------------------------------------------------------------------------------------------------

LOOK = insn(0x71, 1, 0)  # r1 = *(u8 *)(r0 + 0)


def result_of(helper, accepted, maps):
    """What the verifier says r0 holds after the call, in its own words; None if no program of ours makes the call."""
    for (id, program_type), variants in accepted.items():
        if id != helper.id:
            continue
        for variant, prologue, map_fd in itertools.product(variants, PROLOGUES, maps):
            arguments = [filled(n + 1, parameter, map_fd, SIZE) for n, parameter in enumerate(helper.parameters)]
            if None in arguments:
                return None
            said = load(program_type, variant, prologue + b"".join(arguments) + call(id) + LOOK + END)
            if seen := re.match(r"R0 (?:invalid mem access '(\w+)'|(!read_ok))", said):
                return seen[1] or seen[2]
            if not said:
                return "memory"
    return None


def test_results_are_what_the_verifier_makes_of_them(accepted, maps):
    judged, wrong = 0, []
    for helper in HELPERS:
        seen = result_of(helper, accepted, maps)
        judged += seen is not None
        match seen:
            case None:
                continue
            case "scalar":
                expected = {"scalar"}
            case "!read_ok":
                expected = {"void"}
            case "map_value_or_null" | "ringbuf_mem_or_null":
                expected = {seen}
            case "memory":
                expected = {"pointer", "map_value"}
            case _:
                expected = {"pointer_or_null"} if "or_null" in seen else {"pointer"}
        if helper.returns_kind not in expected:
            wrong.append((helper.name, helper.returns_kind, seen))
    assert wrong == []
    assert judged > 120


def test_whose_results_have_bounds(accepted, maps):
    """Numbers of which the kernel knows more than that they have 64 bits."""
    bounded, judged = set(), 0
    for helper in HELPERS:
        program_type, variants = next(((t, v) for (id, t), v in accepted.items() if id == helper.id), (None, ()))
        arguments = [filled(n + 1, parameter, maps[0], SIZE) for n, parameter in enumerate(helper.parameters)]
        if not variants or None in arguments:
            continue
        for variant, prologue in itertools.product(variants, PROLOGUES):
            load(program_type, variant, prologue + b"".join(arguments) + call(helper.id) + END, level=2)
            after = re.split(rf"call bpf_\w+#{helper.id}\b", log.value.decode())[-1]
            if seen := re.search(r"\bR0\w*=(?!0)(\w+)\((.*?)\)", after):
                judged += 1
                if seen[1] == "scalar" and seen[2]:
                    bounded.add(helper.name)
                break
    assert judged > 60
    assert bounded <= {helper.name for helper in HELPERS if helper.ret_refined}
    assert bounded >= {"get_smp_processor_id", "probe_read_kernel_str", "get_stack"}


def test_an_element_of_an_array_under_a_constant_key_is_there(maps):
    """Which is why a checker may not call the missing test for NULL an error in each case."""
    constant = insn(0x62, 10, 0, -4, 0) + frame(2, -4) + wide(1, 1, maps[-1]) + call(1) + LOOK + END
    unknown = call(GET_PRANDOM_U32) + insn(0x63, 10, 0, -4) + frame(2, -4) + wide(1, 1, maps[-1]) + call(1) + LOOK + END
    assert "map_value_or_null" in load("socket_filter", (0, 0), unknown)
    assert prototype(1).ret_refined
    if KernelVersion.running() >= (6, 18):
        assert load("socket_filter", (0, 0), constant) == ""
