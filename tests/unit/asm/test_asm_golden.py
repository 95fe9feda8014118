"""Sequences that other systems emit for the same work, byte for byte."""

from __future__ import annotations

import pytest

from fastbpf.asm import *


class Ring:
    name = "ring"
    __bpf_map__ = True


ring = Ring()
W = 4


def copied(*offsets: tuple[Register, int, Register, int]) -> list[tuple[Instruction, Instruction]]:
    return [(ldxw(r0, src, at), stxw(dst, to, r0)) for src, at, dst, to in offsets]


# the name that clj-ebpf 0.9 gives it: the same by hand, and the bytes that the kernel takes
GOLDEN = {
    "mov, exit": ([mov(r0, 2), exit_()], "b700000002000000 9500000000000000"),
    "bounds-check 0, 14": (
        [mov(r8, r6), add(r8, 14), jgt(r8, r7, 10)],
        "bf68000000000000 070800000e000000 2d780a0000000000",
    ),
    "bounds-check 14, 20": (
        [mov(r8, r6), add(r8, 34), jgt(r8, r7, 5)],
        "bf68000000000000 0708000022000000 2d78050000000000",
    ),
    "l3-csum-replace-4": (
        call.l3_csum_replace(r6, 24, r7, r8, 4),
        "bf61000000000000 b702000018000000 bf73000000000000 bf84000000000000 b705000004000000 850000000a000000",
    ),
    "l4-csum-replace-4 with pseudo header": (
        call.l4_csum_replace(r6, 50, r7, r8, 0x14),
        "bf61000000000000 b702000032000000 bf73000000000000 bf84000000000000 b705000014000000 850000000b000000",
    ),
    "csum-diff": (
        call.csum_diff(r6, 4, r7, 4, r8),
        "bf61000000000000 b702000004000000 bf73000000000000 b704000004000000 bf85000000000000 850000001c000000",
    ),
    "fold-csum-32": (
        [(mov(r1, r0), rsh(r1, 16), and_(r0, 0xFFFF), add(r0, r1))] * 2,
        "bf01000000000000 7701000010000000 57000000ffff0000 0f10000000000000" * 2,
    ),
    "negate-csum": ([xor(r0, 0xFFFF), and_(r0, 0xFFFF)], "a7000000ffff0000 57000000ffff0000"),
    "ringbuf-reserve": (
        call.ringbuf_reserve(ring, 64, 0),
        "181100000a000000 0000000000000000 b702000040000000 b703000000000000 8500000083000000",
    ),
    "ringbuf-submit": (call.ringbuf_submit(r6, 0), "bf61000000000000 b702000000000000 8500000084000000"),
    "ringbuf-discard": (call.ringbuf_discard(r6, 0), "bf61000000000000 b702000000000000 8500000085000000"),
    "ringbuf-output": (
        call.ringbuf_output(ring, r6, 64, 0),
        "181100000a000000 0000000000000000 bf62000000000000 b703000040000000 b704000000000000 8500000082000000",
    ),
    "load-ipv6-address": (
        copied(*((r7, 22 + at, r10, -32 + at) for at in range(0, 16, W))),
        (
            "6170160000000000 630ae0ff00000000 61701a0000000000 630ae4ff00000000"
            "61701e0000000000 630ae8ff00000000 6170220000000000 630aecff00000000"
        ),
    ),
    "load-ipv4-unified": (
        [mov(r0, 0), stxdw(fp, -32, r0), stxw(fp, -24, r0), ldxw(r0, r7, 26), stxw(fp, -20, r0)],
        "b700000000000000 7b0ae0ff00000000 630ae8ff00000000 61701a0000000000 630aecff00000000",
    ),
    "copy-ipv6-address": (
        copied(*((fp, -32 + at, fp, -48 + at) for at in range(0, 16, W))),
        (
            "61a0e0ff00000000 630ad0ff00000000 61a0e4ff00000000 630ad4ff00000000"
            "61a0e8ff00000000 630ad8ff00000000 61a0ecff00000000 630adcff00000000"
        ),
    ),
    "store-ipv6-address": (
        copied(*((fp, -32 + at, r7, 22 + at) for at in range(0, 16, W))),
        (
            "61a0e0ff00000000 6307160000000000 61a0e4ff00000000 63071a0000000000"
            "61a0e8ff00000000 63071e0000000000 61a0ecff00000000 6307220000000000"
        ),
    ),
    "ktime-get-ns": (call.ktime_get_ns(), "8500000005000000"),
    "random-mod": ([call.get_prandom_u32(), mod(r0, 100)], "8500000007000000 9700000064000000"),
    "store-timestamp": ([call.ktime_get_ns(), stxdw(fp, -16, r0)], "8500000005000000 7b0af0ff00000000"),
    "load-elapsed-ns": (
        [call.ktime_get_ns(), mov(r6, r0), ldxdw(r0, fp, -16), sub(r6, r0)],
        "8500000005000000 bf06000000000000 79a0f0ff00000000 1f06000000000000",
    ),
    "update-timestamp": ([call.ktime_get_ns(), stxdw(r6, 8, r0)], "8500000005000000 7b06080000000000"),
    "memset": (
        [const(r0, 0x12121212), stxw(fp, -16, r0), stxw(fp, -12, r0)],
        "b700000012121212 630af0ff00000000 630af4ff00000000",
    ),
    "map-lookup": (
        call.map_lookup_elem(ring, fp - 16),
        "181100000a000000 0000000000000000 bfa2000000000000 07020000f0ffffff 8500000001000000",
    ),
    "map-update": (
        call.map_update_elem(ring, fp - 16, fp - 32, 0),
        (
            "181100000a000000 0000000000000000 bfa2000000000000 07020000f0ffffff"
            "bfa3000000000000 07030000e0ffffff b704000000000000 8500000002000000"
        ),
    ),
    "map-lookup by registers": (
        call.map_lookup_elem(r8, r9),
        "bf81000000000000 bf92000000000000 8500000001000000",
    ),
    # where that system is wrong: its htons is the little-endian 0xd4, which on x86-64 swaps nothing
    "htons, htonl, 64 bits": ([be16(r7), be32(r7), be64(r7)], "dc07000010000000 dc07000020000000 dc07000040000000"),
    "le16": ([le16(r7)], "d407000010000000"),
    "bswap16": ([bswap16(r7)], "d707000010000000"),
    "atomic add": ([atomic_add(r1, 0, r2)], "db21000000000000"),
    "atomic fetch add": ([atomic_fetch_add(r1, 0, r2)], "db21000001000000"),
    # two more of its faults: both without the fetch bit
    "atomic exchange": ([atomic_xchg(r1, 0, r2)], "db210000e1000000"),
    "atomic compare and exchange": ([atomic_cmpxchg(r1, 0, r2)], "db210000f1000000"),
    "a number of 64 bits": ([lddw(r0, 0x123456789ABCDEF)], "18000000efcdab89 0000000067452301"),
    "a map's value": ([ld_map_value(r1, ring, 0)], "182100000a000000 0000000000000000"),
    "xdp data and data_end": (
        [ld_ctx(r6, r1, ctx.xdp_md.data), ld_ctx(r7, r1, ctx.xdp_md.data_end)],
        "6116000000000000 6117040000000000",
    ),
    "tc data and data_end": (
        [ld_ctx(r6, r1, ctx.sk_buff.data), ld_ctx(r7, r1, ctx.sk_buff.data_end)],
        "61164c0000000000 6117500000000000",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_bytes_are_the_known_ones(name: str) -> None:
    parts, golden = GOLDEN[name]
    assert assemble(parts).link(lambda _: 10).hex(" ", 8) == bytes.fromhex(golden).hex(" ", 8)
