"""The encodings of blocks for packets, byte for byte: what the kernel takes, written down before the blocks were."""

import pytest

from fastbpf.asm import *
from fastbpf.blocks import bounds, checksum, ethernet, ipv4, ipv6, packet

FOLD = "bf01000000000000 7701000010000000 57000000ffff0000 0f10000000000000"
CSUM = "bf61000000000000 b7020000{:02x}000000 bf73000000000000 bf84000000000000 b7050000{:02x}000000 850000000{}000000"

GOLDEN = {
    "bounds 0, 14": (
        bounds.check(r6, r7, 0, 14, 10, scratch=r8),
        "bf68000000000000 070800000e000000 2d780a0000000000",
    ),
    "bounds 14, 20": (
        bounds.check(r6, r7, 14, 20, 5, scratch=r8),
        "bf68000000000000 0708000022000000 2d78050000000000",
    ),
    "Ethernet": (ethernet.check(r6, r7, fail=10, scratch=r8), "bf68000000000000 070800000e000000 2d780a0000000000"),
    "IPv4 behind Ethernet": (
        ipv4.check(r6, r7, offset=14, fail=5, scratch=r8),
        "bf68000000000000 0708000022000000 2d78050000000000",
    ),
    "l3, 4": (checksum.replace_l3(r6, 24, r7, r8), CSUM.format(24, 4, "a")),
    "l3, 2": (checksum.replace_l3(r6, 24, r7, r8, 2), CSUM.format(24, 2, "a")),
    "l4, 4, pseudo": (checksum.replace_l4(r6, 50, r7, r8, pseudo=True), CSUM.format(50, 0x14, "b")),
    "l4, 2": (checksum.replace_l4(r6, 50, r7, r8, 2), CSUM.format(50, 2, "b")),
    "diff": (
        checksum.diff(r6, 4, r7, 4, r8),
        "bf61000000000000 b702000004000000 bf73000000000000 b704000004000000 bf85000000000000 850000001c000000",
    ),
    "diff, 0": (
        checksum.diff(r6, 4, r7, 4, seed=0),
        "bf61000000000000 b702000004000000 bf73000000000000 b704000004000000 b705000000000000 850000001c000000",
    ),
    "fold": (checksum.fold(r0, r1), FOLD * 2),
    "negate": (checksum.negate(r0), "a7000000ffff0000 57000000ffff0000"),
    "load an address": (
        ipv6.load_address(fp - 32, r7, 22),
        """6170160000000000 630ae0ff00000000 61701a0000000000 630ae4ff00000000
        61701e0000000000 630ae8ff00000000 6170220000000000 630aecff00000000""",
    ),
    "load an IPv4 address, ::a.b.c.d": (
        ipv6.load_mapped(fp - 32, r7, 26, mapped=False),
        "b700000000000000 7b0ae0ff00000000 630ae8ff00000000 61701a0000000000 630aecff00000000",
    ),
    "load an IPv4 address, ::ffff:a.b.c.d": (
        ipv6.load_mapped(fp - 32, r7, 26),
        "b700000000000000 7b0ae0ff00000000 b40000000000ffff 630ae8ff00000000 61701a0000000000 630aecff00000000",
    ),
    "copy an address": (
        ipv6.copy_address(fp - 48, fp - 32),
        """61a0e0ff00000000 630ad0ff00000000 61a0e4ff00000000 630ad4ff00000000
        61a0e8ff00000000 630ad8ff00000000 61a0ecff00000000 630adcff00000000""",
    ),
    "store an address": (
        ipv6.store_address(r7, 22, fp - 32),
        """61a0e0ff00000000 6307160000000000 61a0e4ff00000000 63071a0000000000
        61a0e8ff00000000 63071e0000000000 61a0ecff00000000 6307220000000000""",
    ),
    "pointers, xdp": (packet.pointers(r6, r7, r1, "xdp"), "6116000000000000 6117040000000000"),
    "pointers, tc": (packet.pointers(r6, r7, r1, "sched_cls"), "61164c0000000000 6117500000000000"),
    "verdict": (packet.verdict(2), "b700000002000000 9500000000000000"),
    "length of the header": (ipv4.header_length(r2, r8), "7182000000000000 570200000f000000 6702000002000000"),
    "a protocol, swapped": (
        packet.match(r6, ethernet.PROTOCOL, ethernet.IPV6, fail="no", scratch=r0),
        "69600c0000000000 5500000086dd0000",
    ),
    "a port, swapped": (packet.load(r2, r6, packet.HeaderField("port", 34, 2)), "6962220000000000 dc02000010000000"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_encoding(name):
    block, expected = GOLDEN[name]
    assert bytes(assemble(block, label("no"), exit_()))[:-8] == bytes.fromhex(expected)
