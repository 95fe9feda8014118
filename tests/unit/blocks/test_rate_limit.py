"""The rate limiter as it is written: what it refuses, how long it is, how its configuration is encoded."""

from struct import pack, unpack_from

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import rate_limit

BUCKETS = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=16, name="buckets")
CONFIG = fb.MapSpec("array", value=rate_limit.Limit, max_entries=2, name="config")
END = (mov(r0, 2), exit_(), label("drop"), mov(r0, 1), exit_())


def simple(**changed):
    given = {"key": fp - 8, "stack": fp - 16, "rate": 100, "burst": 200, "fail": "drop"} | changed
    return rate_limit.simple(given.pop("buckets", BUCKETS), **given)


def configured(index=0, **changed):
    given = {"key": fp - 8, "stack": fp - 32, "fail": "drop"} | changed
    return rate_limit.configured(given.pop("config", CONFIG), index, given.pop("buckets", BUCKETS), **given)


def mapped(type, value):
    return fb.MapSpec(type, key=fb.u32, value=value, max_entries=2, name="other")


def longest_path(raw, races=True):
    """Instructions on the longest way through code without loops, read from its bytes as RFC 9669 lays them out.

    Without races, what follows a compare-and-swap or the making of a bucket always finds that it went well.
    """
    longest, before = {}, {}
    slot = 0
    while slot < len(raw) // 8:
        after = slot + (2 if raw[slot * 8] == 0x18 else 1)
        before[after], slot = slot, after
    for slot in reversed(before.values()):
        opcode, _, off, _ = unpack_from("<BBhi", raw, slot * 8)
        after = slot + (2 if opcode == 0x18 else 1)
        if opcode == 0x95:
            follow = []
        elif opcode == 0x05:
            follow = [after + off]
        elif opcode & 7 in {5, 6} and opcode != 0x85:
            follow = [after, after + off]
            if not races and raw[before[slot] * 8 :][:8] in (CMPXCHG, UPDATE):
                follow = [after + off]
        else:
            follow = [after]
        assert all(one > slot for one in follow)
        longest[slot] = 1 + max((longest[one] for one in follow), default=0)
    return longest[0]


# *(u64 *)(r1 + 0) by r4, and helper 2
CMPXCHG, UPDATE = pack("<BBhi", 0xDB, 0x41, 0, 0xF1), pack("<BBhi", 0x85, 0, 0, 2)


def executed(limited, races=True):
    return longest_path(bytes(assemble(limited, END)), races) - 2  # mov, exit


@pytest.mark.parametrize("rate", [100, 0.001, 1e6, 10**15])
def test_it_takes_few_instructions(rate):
    assert executed(simple(rate=rate, burst=200)) <= 34
    assert executed(simple(rate=rate, burst=200), races=False) <= 25


def test_a_configured_one_takes_at_most_60_too():
    assert executed(configured(), races=False) <= 51
    assert executed(configured()) <= 60


def test_the_longest_path_is_found():
    assert longest_path(bytes(assemble(jeq(r1, 0, "end"), lddw(r0, 1 << 40), mov(r0, 1), label("end"), exit_()))) == 4


def test_it_stands_twice_in_a_program():
    code = assemble(simple(), configured(1, stack=fp - 40), simple(rate=5), END)
    assert [part.name for _, _, part in code.pieces if hasattr(part, "name")] == [
        "rate_limit.simple",
        "rate_limit.configured",
        "rate_limit.simple",
    ]
    assert set(code.labels) == {"drop"}


@pytest.mark.parametrize("name", ["found", "later", "none", "taken", "passed", "some", "few"])
def test_its_own_labels_hide_none_of_the_caller(name):
    there = (mov(r0, 2), exit_(), label(name), mov(r0, 1), exit_())
    for build in (simple, configured):
        for options in ({"fail": name}, {"fail": "drop", "error": name}):
            other = assemble(
                build(**{key: "other" if value == name else value for key, value in options.items()}),
                [label("other") if part == label(name) else part for part in there],
                END[2:],
            )
            assert bytes(assemble(build(**options), there, END[2:])) == bytes(other)


def test_what_it_says_of_itself():
    assert simple().clobbers == configured().clobbers == (r0, r1, r2, r3, r4, r5)
    assert simple().stack == (-16, -8)
    assert configured().stack == (-32, -8)
    assert simple(fail="no").fails_to == "no"


@pytest.mark.parametrize("limited", [simple(), simple(burst=0), configured()])
def test_it_writes_what_it_says_and_no_more(limited):
    raw = bytes(assemble(limited, END[:2], label("drop"), END[3:]))
    for slot in range(len(raw) // 8):
        opcode, registers, off, _ = unpack_from("<BBhi", raw, slot * 8)
        size = {0x7B: 8, 0x63: 4, 0x62: 4, 0x7A: 8}.get(opcode)
        if size and registers & 15 == 10:
            low, high = limited.stack
            assert low <= off
            assert off + size <= high
        if opcode & 7 in {4, 7, 0, 1}:
            assert registers & 15 <= 5


@pytest.mark.parametrize(("rate", "burst"), [(100, 200), (0, 0), (0.5, 1), (5_000_000_000, 1 << 40)])
def test_a_limit_is_encoded_as_thousandths(rate, burst):
    assert rate_limit.limit(rate, burst).pack() == pack("<QQ", round(rate * 1000), burst * 1000)


def test_off_is_sixteen_zeros():
    assert rate_limit.OFF.pack() == bytes(16)


REFUSED = [
    (lambda: simple(rate=0), "lets nothing through"),
    (lambda: simple(rate=0.0004), "the rate must be at least 0.001, not 0.0004"),
    (lambda: rate_limit.limit(0.0004, 1), "the rate must be 0 or at least 0.001, not 0.0004"),
    (lambda: simple(rate=-1), "the rate must be from 0"),
    (lambda: simple(rate=float("nan")), "not nan"),
    (lambda: simple(rate=float("inf")), "not inf"),
    (lambda: simple(rate="fast"), '"fast" is not a rate'),
    (lambda: simple(rate=True), "True is not a rate"),
    (lambda: simple(burst=-1), "the burst must be from 0"),
    (lambda: simple(burst=1.5), "1.5 is not an integer"),
    (lambda: simple(key=-8), "the key is written fp - 16"),
    (lambda: simple(stack=fp - 12), "aligned to 8"),
    (lambda: simple(stack=fp - 8), "overlap"),
    (lambda: simple(key=fp - 18, stack=fp - 16), "overlap"),
    (lambda: configured(stack=fp - 24), "overlap"),
    (lambda: configured(stack=fp - 16), "is not within the stack"),
    (lambda: configured(index=-1), "the index must be from 0"),
    (lambda: configured(index="x"), "is not an index"),
    (lambda: configured(index=2), "the index must be from 0 to 1, which config has, not 2"),
    (lambda: configured(config=BUCKETS), "the limits are in a map of type array; buckets is of type hash"),
    (lambda: configured(config=mapped("array", fb.u64)), "values of 16 bytes; other has 8"),
    (lambda: simple(buckets=CONFIG), "the buckets are in a map of type hash or lru_hash; config is of type array"),
    (lambda: simple(buckets=mapped("percpu_array", fb.u64)), "other is of type percpu_array"),
    (lambda: simple(buckets=mapped("lru_hash", rate_limit.Limit)), "values of 8 bytes; other has 16"),
    (lambda: simple(buckets=7), "7 is not a map"),
    (lambda: simple(fail=""), "cannot name a label"),
    (lambda: simple(error=7), "cannot name a label"),
    (lambda: rate_limit.limit(-1, 1), "the rate must be from 0"),
    (lambda: rate_limit.limit(1, 1 << 60), "the burst must be from 0"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_what_is_refused(build, message):
    with pytest.raises(fb.AsmError) as refused:
        build()
    assert message in str(refused.value)
    assert "test_rate_limit.py" in str(refused.value)


def test_code_check_finds_nothing_wrong():
    code = assemble(stw(fp, -8, 1), simple(), END)
    assert [found for found in code.check("xdp", "6.1") if found.severity == "error"] == []
