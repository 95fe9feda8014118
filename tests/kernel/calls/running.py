"""Programs that note which helpers they called, and what they found; and the cases that run them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from struct import unpack

from tests.kernel.raw_bpf import *

from fastbpf.asm import *
from fastbpf.asm.assembly import Piece
from fastbpf.asm.instruction import Label
from fastbpf.helpers.names import NAMES

TC, XDP, RAW, SYSCALL = Setting("sched_cls"), Setting("xdp"), Setting("raw_tracepoint"), Setting("syscall")
RETURN = {"sched_cls": 0, "xdp": 2, "cgroup_skb": 1, "sk_lookup": 1, "netfilter": 1, "sk_msg": 1}
RETURN |= dict.fromkeys(("sock_ops", "cgroup_sock_addr", "cgroup_sysctl", "cgroup_sockopt"), 1)
U64 = (1 << 64) - 1

ETHERNET = bytes(range(12)) + b"\x08\x00"
IPV4 = bytes.fromhex("45000030 00010000 40110000 0a000001 0a000002".replace(" ", ""))
PACKET = ETHERNET + IPV4 + bytes.fromhex("04d2 162e 001c 0000".replace(" ", "")) + bytes(range(20))
IFINDEX_LO = 1

# 64 results, and a byte for each helper that says whether it was called
RESULTS = RawMap("array", 4, 1024)

# which helpers were given which types of maps
MAPS = set()


def seen(number):
    """The note that a helper was called."""
    return [ld_map_value(r1, RESULTS, 512 + number), stb(r1, 0, 1)]


def keep(place, register=r0):
    """Store a result; r1 to r5 are lost by the call before anyway."""
    scratch = r1 if register != r1 else r2
    return [ld_map_value(scratch, RESULTS, 8 * place), stxdw(scratch, 0, register)]


def noted(parts):
    """The parts, with a note behind each call of a helper."""
    for part in parts:
        if isinstance(part, tuple) and part and isinstance(part[-1], Instruction) and part[-1].opcode == 0x85:
            MAPS.update((NAMES[part[-1].imm], insn.map.type) for insn in part if isinstance(insn.map, RawMap))
        if isinstance(part, Instruction):
            yield part
            if (part.opcode, part.src) == (0x85, 0):
                yield seen(part.imm)
        elif isinstance(part, Piece | Label):
            yield part
        else:
            yield list(noted(part))


def program(setting, *parts, after=()):
    """The descriptor of a program with these parts: r6 is its context, "out" its end. `after` are its subprograms."""
    code = [mov(r6, r1), *noted(parts), label("out"), mov(r0, RETURN.get(setting.type, 0)), exit_(), *noted(after)]
    return loaded(setting, assemble(code))


def results():
    """What was kept, since `forget`."""
    return list(unpack("<64Q", RESULTS.lookup(bytes(4))[:512]))


def forget():
    """Empty the results, not the notes."""
    content = RESULTS.lookup(bytes(4))
    RESULTS.update(bytes(4), bytes(512) + content[512:])


def run(setting, *parts, data=None, ctx=None, after=()):
    """What the program kept, in order, and what its run gave."""
    forget()
    if data is None and setting.type not in {"syscall", "raw_tracepoint", "sk_lookup", "tracing"}:
        data = PACKET
    if ctx is None and setting.type == "raw_tracepoint":
        ctx = bytes(64)
    with program(setting, *parts, after=after) as fd:
        ran = run_once(fd, data, ctx, back=setting.type not in {"raw_tracepoint", "syscall"})
    return results(), ran


# name of a helper: the function that has a program call it
CASES = {}


def own_group():
    """The number of the control group that this process is in."""
    path = Path("/proc/self/cgroup").read_text().strip().rpartition("0::")[2].partition("\n")[0]
    return Path(group_root(), path.lstrip("/")).stat().st_ino


def group_root():
    """Where the control groups are, of version 2."""
    return next(
        line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"
    )


def executes(*names):
    """A function that runs programs which call these helpers."""

    def note(case):
        cached = cache(case)
        for name in names:
            assert name in NAMES
            assert name not in CASES
            CASES[name] = cached
        return case

    return note


def signed(value, bits=64):
    """A number as C's signed one of so many bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def fold(total):
    """A sum of 32 bits in 16, as the checksum of IP has it."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(packet):
    """What the checksum of UDP covers of the IP header of a packet."""
    return packet[26:34] + bytes([0, 17]) + packet[38:40]


def checksum(data):
    """The checksum of IP."""
    return ~fold(sum(unpack(f">{len(data) // 2}H", data))) & 0xFFFF


@contextlib.contextmanager
def attached(program, target, attach):
    """A program on a map of sockets or a control group: a descriptor."""
    bpf(PROG_ATTACH, pack("<IIII", target, program, attach, 0))
    try:
        yield
    finally:
        bpf(PROG_DETACH, pack("<IIII", target, program, attach, 0))


def plain_value():
    """BTF of a map whose value is four plain bytes."""
    btf = Btf()
    u32 = btf.int()
    return btf, u32, btf.struct("value", 4, ("n", u32, 0))
