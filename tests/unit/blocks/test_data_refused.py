"""What blocks about data refuse, where it is written, and with what words."""

from __future__ import annotations

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import (
    atomics,
    latency,
    loops,
    maps,
    memory,
    printing,
    process,
    random,
    ringbuf,
    sampling,
    sockets,
    strings,
    time,
)
from fastbpf.blocks.stack import Stack

RING = fb.MapSpec("ringbuf", max_entries=4096, name="ring")
COUNTS = fb.MapSpec("hash", key=fb.u64, value=fb.u64, max_entries=16, name="counts")
ARRAY = fb.MapSpec("array", value=fb.u64, max_entries=16, name="cells")
BYTES = fb.MapSpec("hash", key=fb.u32, value=fb.u8, max_entries=16, name="bytes")


class Pair(fb.Struct):
    first: fb.u32
    second: fb.u64
    name: fb.char[4]


class SIX(fb.Struct):
    a: fb.u32
    b: fb.u32
    c: fb.u32
    d: fb.u32
    e: fb.u32


PAIRS = fb.MapSpec("hash", key=fb.u32, value=Pair, max_entries=16, name="pairs")

REFUSED = {
    # the stack's 512 bytes
    "too deep": (lambda: memory.zero(fp - 520, 8), "not within the stack"),
    "over its end": (lambda: memory.zero(fp - 8, 16), "of 16 bytes at fp - 8 is not within the stack"),
    "above it": (lambda: memory.store(fp + 8, 1, 8), "not within the stack"),
    "a copy over its end": (lambda: memory.copy(fp - 16, fp - 4, 8), "not within the stack"),
    "a number for a place": (lambda: memory.zero(-16, 8), "is written fp - 16, or r6 \\+ 8"),
    "no bytes": (lambda: memory.zero(fp - 8, 0), "the size must be from 1"),
    "far from a register": (lambda: memory.zero(r6 + 0x7FFF, 8), "the offset must be from"),
    # alignment
    "8 at 4": (lambda: memory.store(fp - 12, 1, 8), "aligned to 8 bytes; such as fp - 16"),
    "a time stamp at 4": (lambda: time.stamp(fp - 12), "aligned to 8"),
    "a record at 4": (lambda: memory.init(fp - 28, Pair, {}), "a Pair at fp - 28 must be aligned to 8 bytes"),
    "an atomic at 4": (lambda: atomics.increment(fp - 12), "aligned to 8"),
    # numbers
    "3 bytes": (lambda: memory.store(fp - 8, 1, 3), "1, 2, 4 or 8 bytes, not 3"),
    "a number too wide": (lambda: memory.store(fp - 8, 1 << 32, 4), "a number of 4 bytes must be from"),
    "a byte too wide": (lambda: memory.fill(fp - 8, 256, 8), "a number of 1 byte must be from -128 to 255"),
    "parts of a value": (lambda: memory.fill(fp - 16, 1, 12, each=8), "not a whole number of values of 8 bytes"),
    "modulo 0": (lambda: random.below(0), "n must be from 1"),
    "modulo 2**31": (lambda: random.below(1 << 31), "n must be from 1 to 2147483647"),
    "one in none": (lambda: sampling.one_in(0, "out"), "n must be from 1"),
    "no choice": (lambda: random.choose({}), "no label to choose"),
    "no weight": (lambda: random.choose({"a": 1, "b": 0}), "a weight must be from 1"),
    "a negative pid": (lambda: process.only_pid(-1, "out"), "the number must be from 0"),
    # registers
    "fp for scratch": (lambda: memory.zero(fp - 8, 8, scratch=fp), "scratch=fp cannot be written"),
    "the place for scratch": (lambda: memory.zero(r3, 8, scratch=r3), "scratch=r3 is in use"),
    "a value for scratch": (
        lambda: memory.init(fp - 24, Pair, {"first": r2}, scratch=r2),
        "scratch=r2 is in use",
    ),
    "lost by the call": (lambda: time.stamp(r1 + 8), "a call, which loses r1; keep it in r6 to r9"),
    "a lost start": (lambda: time.elapsed(r0, r6), "which loses r0"),
    "a lost key": (lambda: maps.lookup_or_init(COUNTS, r2, fp - 8), "the key is needed after a call"),
    "a lost amount": (lambda: maps.increment(COUNTS, fp - 8, r3), "what is added is needed after a call"),
    "both in one": (lambda: process.info(r6, r6), "r6 cannot hold both"),
    "ids that are lost": (lambda: process.info(r1, r6), "loses r1"),
    "comm at ids": (lambda: process.info(r6, r7, comm=r6 + 8), "r6 holds something else by then"),
    "result over the key": (
        lambda: latency.finish(COUNTS, r6, r6, fail="out"),
        "the key is needed after r6 is written",
    ),
    "result that is lost": (
        lambda: latency.finish(COUNTS, fp - 8, r0, fail="out"),
        "the result is needed after a call",
    ),
    "old over the place": (lambda: atomics.add(r6, 1, old=r6), "old=r6 is the place"),
    "old and scratch": (lambda: atomics.add(r6, 1, old=r1, scratch=r2), "leave scratch= out"),
    "swap in r0": (lambda: atomics.compare_and_swap(r6, r0, 1, fail="out"), "expected cannot be r0"),
    "update by r0": (lambda: atomics.update(r6, r0, fail="out"), "the value cannot be r0"),
    "a call in an update": (
        lambda: atomics.update(r6, r7, call.ktime_get_ns(), fail="out"),
        "the change writes r0, which the loop needs; a call would, too",
    ),
    "counter in the body": (lambda: loops.bounded(r6, 3, [mov(r6, 0)]), "the body writes the counter r6"),
    "counter in a block": (lambda: loops.bounded(r0, 3, memory.zero(fp - 8, 8)), "the body writes the counter r0"),
    "context for a key": (lambda: sockets.key4(r6, r6, "sock"), "both the context and the place"),
    # maps
    "a descriptor": (lambda: maps.lookup(10, fp - 8), "10 is not a map; give a MapSpec, a Map"),
    "a descriptor of a ring": (lambda: ringbuf.reserve(10, 8), "10 is not a map"),
    "elements of a ring": (lambda: maps.delete(RING, fp - 8), "ring is a ring buffer, which has no elements"),
    "records of a hash": (lambda: ringbuf.output(COUNTS, fp - 8, 8), "counts is no ring buffer but of type hash"),
    "a key cut off": (lambda: maps.lookup(COUNTS, fp - 4), "the key of 8 bytes at fp - 4"),
    "a value cut off": (lambda: maps.update(COUNTS, fp - 8, fp - 4), "the value of 8 bytes at fp - 4"),
    "a new value cut off": (lambda: maps.increment(PAIRS, fp - 8, field="first", new=fp - 8), "new value of 24 bytes"),
    "a new value over the key": (
        lambda: maps.increment(COUNTS, fp - 12, new=fp - 16),
        "the new value of 8 bytes at fp - 16 lies over the key of 8 bytes at fp - 12",
    ),
    "a start over the key": (
        lambda: latency.start(COUNTS, fp - 8, at=fp - 8),
        "the time of 8 bytes at fp - 8 lies over",
    ),
    "a record too long": (lambda: ringbuf.reserve(RING, 4081), "4081 bytes never fits: .* holds 4080 at most"),
    "a copy too long": (lambda: ringbuf.output(RING, r6, 4088), "4088 bytes never fits"),
    "an unknown question": (lambda: ringbuf.query(RING, 9), "what is asked must be from 0 to 3"),
    "unknown flags": (lambda: ringbuf.submit(r6, 3), "flags, 0, NO_WAKEUP or FORCE_WAKEUP, must be from 0 to 2"),
    "which field": (lambda: maps.increment(PAIRS, fp - 8), "which field of Pair is the counter; there are first,"),
    "no such field": (lambda: maps.increment(PAIRS, fp - 8, field="frist"), 'did you mean "first"'),
    "no fields": (lambda: maps.increment(COUNTS, fp - 8, field="n"), "which has no fields"),
    "a field that is text": (lambda: maps.increment(PAIRS, fp - 8, field="name"), "cannot be counted up"),
    "counts of 8 bits": (lambda: maps.increment(BYTES, fp - 8), "fb.u8 cannot be counted up atomically"),
    "an amount too wide": (
        lambda: maps.increment(PAIRS, fp - 8, 1 << 32, field="first"),
        "what is added to 32 bits must be from",
    ),
    "starts in an array": (lambda: latency.start(ARRAY, fp - 4, at=fp - 16), "starts need a hash"),
    "starts of a byte": (lambda: latency.start(BYTES, fp - 4, at=fp - 16), "a start is fb.u64"),
    # records
    "no field of it": (lambda: memory.init(fp - 24, Pair, {"frist": 1}), 'no field "frist"; did you mean "first"'),
    "a value that does not fit": (lambda: memory.init(fp - 24, Pair, {"first": 1 << 32}), "first: 4294967296 does not"),
    "bits in a register": (
        lambda: memory.init(fp - 8, fb.Struct.of("Flags", {"low": fb.bits(fb.u8, 3)}), {"low": r6}),
        r"low is fb.bits\(fb.u8, 3\), which a register cannot hold",
    ),
    "text in a register": (lambda: memory.init(fp - 24, Pair, {"name": r6}), "which a register cannot hold"),
    # words
    "a clock": (lambda: time.now(clock="monotonous"), 'there are "monotonic", .*; did you mean "monotonic"'),
    "a context": (lambda: sockets.key4(r6, fp - 16, "tc"), '"tc" is no kind of context; there are "sk_skb"'),
    "an atomic of a byte": (lambda: atomics.add(r6, 1, size="u8"), '"u8" is no size'),
    # text
    "more numbers": (lambda: printing.trace_printk("%d", at=fp - 8), "prints 1 number, and 0 are given"),
    "too many": (lambda: printing.trace_printk("%d%d%d%d", 1, 2, 3, 4, at=fp - 16), "trace_printk takes 3"),
    "no text": (lambda: printing.trace_printk("", at=fp - 8), "is no text to print"),
    "a string too deep": (lambda: strings.read_user(fp - 513, 513, r6), "not within the stack"),
    "not a part": (lambda: loops.bounded(r6, 3, ["label"]), '"label" is not an instruction'),
    "bytes for text": (lambda: printing.trace_printk(b"x", at=fp - 8), "is no text to print"),
    "half a conversion": (lambda: printing.trace_printk("100%", at=fp - 8), '"%" is no conversion; there are %d'),
    "a fraction": (lambda: printing.trace_printk("%f", r6, at=fp - 8), '"%f" is no conversion'),
    "a short": (lambda: printing.trace_printk("%d %hd", r6, r7, at=fp - 8), '"%hd" is no conversion'),
    "a bell": (lambda: printing.trace_printk("\a", at=fp - 8), "the kernel refuses the character"),
    "text for %s": (lambda: printing.trace_printk("%s", "a", at=fp - 8), '"a" is text; %s takes the address'),
    # what is not of its type at all
    "labels in a list": (lambda: random.choose(["a"]), "is not a dict of labels"),
    "a class for a number": (lambda: random.below(int), "<class 'int'> is not an integer"),
    "no layout": (lambda: memory.init(fp - 8, fb.u64, {}), "is not a Struct"),
    "a record for a layout": (lambda: memory.init(fp - 24, Pair(first=1, second=2, name=""), {}), "is not a Struct"),
    "fields in a list": (lambda: memory.init(fp - 24, Pair, ["first"]), "is not a dict of fields"),
    "a size in a list": (lambda: atomics.increment(r6, size=["u64"]), "is no size"),
    # fp is no number
    "fp for an amount": (
        lambda: maps.increment(COUNTS, fp - 8, r10),
        "what is added is a number, and fp is an address",
    ),
    "fp for a time": (lambda: time.elapsed(fp, r6), "did you mean fp - 8\\?"),
    "fp for a pid": (lambda: process.only_pid(fp, "out"), "what is compared is a number"),
    "a number for what was found": (lambda: process.pid(r6, 5), "5 is not a register"),
    "fp for what was found": (lambda: process.uid(r6, fp), "fp is an address"),
    # scratch registers: r6 to r9 are never chosen
    "no register for a swap": (
        lambda: atomics.update(r1, r2, mov(r3, r4), mov(r5, r4), fail="out"),
        "no register of r0 to r5 is free; name 2 with scratch=",
    ),
    "one register for two": (
        lambda: atomics.update(r1, r2, mov(r3, r4), fail="out"),
        "only r5 of r0 to r5 is free; name 2 with scratch=",
    ),
    "no register for a record": (
        lambda: memory.init(r5, SIX, dict(zip(SIX.fields, (r0, r1, r2, r3, r4), strict=True))),
        "no register of r0 to r5 is free; name one with scratch=",
    ),
    "scratch in the change": (
        lambda: atomics.update(r6, r1, mov(r1, r7), fail="out", scratch=(r7, r8)),
        "scratch=r7 is in use",
    ),
    "scratch for nothing": (lambda: atomics.compare_and_swap(r6, 0, r7, fail="out", scratch=r1), "leave scratch= out"),
    "one scratch for two": (
        lambda: atomics.compare_and_swap(r6, 1 << 40, 1, fail="out", scratch=r1),
        "scratch=r1 is not a tuple of 2 registers",
    ),
    # the stack's allocator
    "a big place": (lambda: Stack().take(513), "the size of a place must be from 1 to 512"),
    "text for a size": (lambda: Stack().take("4"), '"4" is no size'),
    "nothing for a size": (lambda: Stack().take(None), "None is no size"),
    "a fraction for a size": (lambda: Stack().take(4.0), "4.0 is no size"),
    "an alignment in a list": (lambda: Stack().take(8, align=[8]), "is no alignment"),
    "an odd alignment": (lambda: Stack().take(8, align=3), "3 is no alignment"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    build, words = REFUSED[name]
    with pytest.raises(fb.AsmError, match=words) as refused:
        build()
    assert str(refused.value).startswith("test_data_refused.py:")


def test_a_label_of_the_program_is_not_taken_for_one_of_the_block():
    counting = maps.increment(COUNTS, fp - 8, new=fp - 16, fail="done")
    code = assemble(counting, mov(r0, 1), exit_(), label("done"), mov(r0, 2), exit_())
    last = code.labels["done"]
    goals = {slot + 1 + insn.off for slot, insn in code.placed() if insn.kind == jeq(r0, 0, "x").kind}
    assert last in goals
    turn = loops.bounded(r6, 3, jeq(r7, 0, "again"))
    code = assemble(label("again"), mov(r0, 0), turn, exit_())
    assert code[2] == jeq(r7, 0, -3)


def test_scratch_registers_of_r6_to_r9_are_used_when_they_are_named():
    change = mov(r3, r4), mov(r5, r4)
    assert atomics.update(r1, r2, change, fail="out", scratch=(r8, r9)).clobbers == (r0, r2, r3, r5, r8, r9)
    assert atomics.compare_and_swap(r1, 0, 5, fail="out", scratch=r9).clobbers == (r0, r9)
    both = atomics.compare_and_swap(r6, 1 << 40, 1 << 50, fail="out", scratch=(r7, r1))
    assert both.clobbers == (r0, r1, r7)
    steps = list(assemble(both, label("out"), exit_()))
    assert steps[:4] == [lddw(r7, 1 << 50), lddw(r1, 1 << 40), mov(r0, r1), atomic_cmpxchg(r6, 0, r7)]


def test_the_longest_records_and_addresses_of_text_are_taken():
    ringbuf.reserve(RING, 4080)
    ringbuf.output(RING, r6, 4080)
    steps = list(assemble(printing.trace_printk("%s", r0 + 8, at=fp - 8)))
    # the text is written by way of another register than the address needs
    assert next(insn.dst for insn in steps if insn.kind == mov(r1, 0).kind) == 5


def test_clobbers_and_stack_of_loops_are_those_of_what_is_in_them():
    turn = loops.bounded(
        r6,
        3,
        [memory.zero(fp - 24, 8), piece(stxw(fp, -4, r7))],
        atomic_fetch_add(r8, 0, r3),
        atomic_cmpxchg(r8, 0, r2),
    )
    assert turn.clobbers == (r0, r3, r6)
    assert turn.stack == (-24, 0)
    assert loops.bounded(r6, 2, ldxw(r4, r8, 0), ldabsw(0)).clobbers == (r0, r1, r2, r3, r4, r5, r6)
    assert loops.unrolled(2, load_acquire(r9, r8, 0), stxw(r8, 0, r1)).clobbers == (r9,)


def test_a_block_can_stand_twice():
    twice = [maps.lookup_or_init(COUNTS, fp - 8, fp - 16)] * 2
    assert len(assemble(twice)) == 38


def test_parts_may_come_from_a_generator():
    assert len(assemble(loops.unrolled(2, (mov(r6, n) for n in range(3))))) == 6


def test_arguments_that_would_overwrite_each_other_are_moved_in_parallel():
    assert simulated(maps.update(r2, r1, r3)) == {1: 2, 2: 1, 3: 3}
    assert simulated(maps.update(r3, r1, r2)) == {1: 3, 2: 1, 3: 2}


def simulated(block):
    """Which register's first value each of r1 to r3 has in the end."""
    values = {n: n for n in range(11)}
    for insn in assemble(block):
        if insn.kind == mov(r1, r2).kind:
            values[insn.dst] = values[insn.src]
    return {n: values[n] for n in (1, 2, 3)}
