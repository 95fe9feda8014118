"""The encodings of blocks about data, byte for byte: what the kernel takes, written down before the blocks were."""

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import maps, memory, random, ringbuf, time

RING = fb.MapSpec("ringbuf", max_entries=4096)
COUNTS = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=16)

# maps have the file descriptor 10
GOLDEN = {
    "reserve": (
        ringbuf.reserve(RING, 64),
        "181100000a000000 0000000000000000 b702000040000000 b703000000000000 8500000083000000",
    ),
    "submit": (ringbuf.submit(r6), "bf61000000000000 b702000000000000 8500000084000000"),
    "discard": (ringbuf.discard(r6), "bf61000000000000 b702000000000000 8500000085000000"),
    "output": (
        ringbuf.output(RING, r6, 64),
        "181100000a000000 0000000000000000 bf62000000000000 b703000040000000 b704000000000000 8500000082000000",
    ),
    "query": (ringbuf.query(RING), "181100000a000000 0000000000000000 b702000000000000 8500000086000000"),
    "now": (time.now(), "8500000005000000"),
    "below": (random.below(100), "8500000007000000 9700000064000000"),
    "stamp, stack": (time.stamp(fp - 16), "8500000005000000 7b0af0ff00000000"),
    "elapsed": (time.elapsed(fp - 16, r6), "8500000005000000 bf06000000000000 79a0f0ff00000000 1f06000000000000"),
    "stamp, record": (time.stamp(r6 + 8), "8500000005000000 7b06080000000000"),
    "zero": (
        memory.zero(fp - 64, 40),
        "b700000000000000 7b0ac0ff00000000 7b0ac8ff00000000 7b0ad0ff00000000 7b0ad8ff00000000 7b0ae0ff00000000",
    ),
    "copy, by 4": (
        memory.copy(fp - 32, fp - 64, 8, width=4),
        "61a0e0ff00000000 630ac0ff00000000 61a0e4ff00000000 630ac4ff00000000",
    ),
    "fill, by 4": (memory.fill(fp - 16, 0x12, 8, width=4), "b700000012121212 630af0ff00000000 630af4ff00000000"),
    "store": (memory.store(fp - 8, 42, 4), "b70000002a000000 630af8ff00000000"),
    "lookup": (
        maps.lookup(COUNTS, fp - 16),
        "181100000a000000 0000000000000000 bfa2000000000000 07020000f0ffffff 8500000001000000",
    ),
    "update": (
        maps.update(COUNTS, fp - 16, fp - 32),
        """181100000a000000 0000000000000000 bfa2000000000000 07020000f0ffffff
        bfa3000000000000 07030000e0ffffff b704000000000000 8500000002000000""",
    ),
    "delete": (
        maps.delete(COUNTS, fp - 16),
        "181100000a000000 0000000000000000 bfa2000000000000 07020000f0ffffff 8500000003000000",
    ),
    "lookup, registers": (maps.lookup(r8, r9), "bf81000000000000 bf92000000000000 8500000001000000"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_encoding(name):
    block, expected = GOLDEN[name]
    assert assemble(block).link(lambda _: 10) == bytes.fromhex(expected)


def test_bitfields_share_their_bytes():
    layout = fb.Struct.of("Flags", {"low": fb.bits(fb.u16, 3), "high": fb.bits(fb.u16, 5), "port": fb.port})
    values = {"low": 5, "high": 9, "port": 80}
    number = int.from_bytes(layout(**values).pack(), "little")
    assert bytes(assemble(memory.init(fp - 8, layout, values))) == bytes(assemble(mov(r0, number), stxw(fp, -8, r0)))


def test_what_is_not_aligned_to_8_is_stored_by_4():
    # 8 bytes at fp - 84, which the kernel refuses, is what the widest store at once would be
    assert bytes(assemble(memory.zero(fp - 84, 12))) == bytes.fromhex(
        "b700000000000000 630aacff00000000 7b0ab0ff00000000"
    )


def test_a_new_element_is_skipped_over_when_there_is_one():
    # the branch after the first lookup lands behind the second, not on it
    code = assemble(maps.lookup_or_init(COUNTS, fp - 16, fp - 32))
    assert len(code) == 19
    assert code[5] == jne(r0, 0, 13)


def test_a_full_ring_is_told_by_zero():
    code = assemble(ringbuf.reserve(RING, 64, r6, fail="full"), label("full"), mov(r0, 0), exit_())
    assert (code[5], code[6]) == (jeq(r0, 0, 1), mov(r6, r0))


@pytest.mark.parametrize(("clock", "helper"), [("monotonic", 5), ("boot", 125), ("coarse", 160), ("tai", 208)], ids=str)
def test_clocks(clock, helper):
    assert list(assemble(time.now(clock=clock))) == [call_id(helper)]
