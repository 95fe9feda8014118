"""The rate limiter in the kernel, against a plain token bucket: by a clock that the test sets, and by the real one."""

import time
from fractions import Fraction
from itertools import count
from struct import pack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kernel.producers import on_two_cpus

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import rate_limit

SECOND = 10**9
DAY = 86_400 * SECOND
PACKET = bytes(64)
# whose tokens take whole sixteenths of a nanosecond, so that fractions say exactly what has to happen
EXACT = (1, 2, 5, 40, 100, 1000, 31_250, 10**6, 4 * 10**6, 10**8)


class State(fb.Struct):
    """What the programs here share with the test: a clock that goes on by `step` a look, a key, what they counted."""

    now: fb.u64
    step: fb.u64
    key: fb.u64
    index: fb.u64
    passed: fb.u64
    refused: fb.u64
    failed: fb.u64
    first: fb.u64
    last: fb.u64


STATE = fb.MapSpec("array", value=State, max_entries=1, name="state")
CONFIG = fb.MapSpec("array", value=rate_limit.Limit, max_entries=2, name="config")


def buckets(entries=64, type="hash"):
    return fb.MapSpec(type, key=fb.u64, value=fb.u64, max_entries=entries, name="buckets")


def at(field, register=r0):
    return ld_map_value(register, STATE, State.offset(field))


def program(*limiters):
    """Passes a packet through limiters, counts what became of it, and notes when that was by the real clock."""
    return assemble(
        at("key"),
        ldxdw(r0, r0, 0),
        stxdw(fp, -8, r0),
        [mov(register, 40 + register.number) for register in (r6, r7, r8, r9)],
        call.ktime_get_boot_ns(),
        mov(r1, r0),
        at("first"),
        ldxdw(r2, r0, 0),
        jne(r2, 0, "before"),
        stxdw(r0, 0, r1),
        label("before"),
        limiters,
        jeq(r9, 0, "error"),  # for limiters that have no way there
        # what the block does not clobber, it has kept
        [jne(register, 40 + register.number, "clobbered") for register in (r6, r7, r8, r9)],
        label("passed"),
        call.ktime_get_boot_ns(),
        mov(r1, r0),
        at("last"),
        stxdw(r0, 0, r1),
        mov(r6, 1),
        at("passed"),
        ja("count"),
        label("drop"),
        [jne(register, 40 + register.number, "clobbered") for register in (r6, r7, r8, r9)],
        mov(r6, 0),
        at("refused"),
        ja("count"),
        label("error"),
        mov(r6, 2),
        at("failed"),
        label("count"),
        mov(r1, 1),
        atomic_add(r0, 0, r1),
        mov(r0, r6),
        exit_(),
        label("clobbered"),
        mov(r0, 99),
        exit_(),
    )


def by_the_clock_of_the_test(code):
    """The same code, with each look at the clock a look at `State.now`."""
    look = call.ktime_get_ns()[-1]
    if look not in code:  # nothing would lead to the clock, which the verifier refuses
        return code
    return assemble(
        [call_sub("clock") if insn == look else insn for insn in code],
        label("clock"),
        at("now", r1),
        ldxdw(r0, r1, 0),
        ldxdw(r2, r1, State.offset("step") - State.offset("now")),
        add(r2, r0),
        stxdw(r1, 0, r2),
        exit_(),
    )


class Limiter:
    def __init__(self, *limiters, real_clock=False, change=assemble):
        code = change(program(*limiters))
        self.program = fb.ProgramSpec("xdp", code if real_clock else by_the_clock_of_the_test(code)).load()
        self.maps = self.program.maps

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.close()

    def begin(self, **values):
        self.maps["state"][0] = State(**dict.fromkeys(State.fields, 0) | values)

    def packet(self, now, key=1):
        """Whether a packet at that time passes."""
        self.begin(now=now, key=key)
        return {0: False, 1: True}[self.program.test_run(PACKET).retval]

    def packets(self, number, **values):
        """What became of that many."""
        self.begin(**values)
        retval = self.program.test_run(PACKET, repeat=number).retval
        assert retval in {0, 1, 2}
        return self.maps["state"][0]


def simple(rate, burst, spec=None, **options):
    options = {"key": fp - 8, "stack": fp - 16, "fail": "drop", "error": "error"} | options
    return rate_limit.simple(spec or buckets(), rate=rate, burst=burst, **options)


def configured(index=0, spec=None, **options):
    options = {"key": fp - 8, "stack": fp - 32, "fail": "drop", "error": "error"} | options
    return rate_limit.configured(CONFIG, index, spec or buckets(), **options)


class TokenBucket:
    """The model: tokens that flow in evenly, up to the burst; a packet takes a whole one or is refused."""

    def __init__(self, rate, burst, now):
        self.rate, self.burst, self.tokens, self.last = Fraction(rate), burst, Fraction(burst), now

    def packet(self, now):
        elapsed = Fraction(now - self.last, SECOND)
        self.tokens, self.last = min(self.tokens + elapsed * self.rate, self.burst), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


# gaps between packets, in sixteenths of the time of a token: packed, at the limit, with pauses
gaps = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 40), st.integers(0, 16 * 30)), min_size=1, max_size=60)
keys = count(1)


@pytest.fixture(scope="module")
def by_configuration():
    with Limiter(configured(spec=buckets(100_000))) as limiter:
        yield limiter


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EXACT), st.integers(0, 20), st.integers(0, 10 * 365 * DAY), gaps)
@example(1, 1, 0, [0, 15, 1, 16])
@example(10**8, 3, 17 * 365 * DAY, [0, 0, 0, 0, 16, 1])
def test_it_decides_as_the_model(by_configuration, rate, burst, start, gaps):
    key, now = next(keys), start
    by_configuration.maps["config"][0] = rate_limit.limit(rate, burst)
    model = TokenBucket(rate, burst, start)
    for gap in gaps:
        now += gap * SECOND // rate // 16
        assert by_configuration.packet(now, key) == model.packet(now)


@pytest.mark.parametrize("burst", [0, 1, 3, 20])
@pytest.mark.parametrize("rate", EXACT[::3])
def test_constants_decide_as_the_model(rate, burst):
    with Limiter(simple(rate, burst)) as limiter:
        now = DAY
        model = TokenBucket(rate, burst, now)
        for gap in [0] * (burst + 2) + [15, 1, 0, 16, 40, 7, 8, 1] * 4 + [16 * 30] + [0] * (burst + 1):
            now += gap * SECOND // rate // 16
            assert limiter.packet(now) == model.packet(now)


@pytest.mark.parametrize("rate", [0.3, 3, 7, 999, 65_537, 3_000_000, 33_000_000, 299_999_999])
@pytest.mark.parametrize("build", [lambda rate: simple(rate, 5), lambda _: configured()], ids=["simple", "configured"])
def test_the_long_run_rate_is_exact(build, rate):
    # far above the limit, in steps that no fraction of a token fits
    with Limiter(build(rate)) as limiter:
        if "config" in limiter.maps:
            limiter.maps["config"][0] = rate_limit.limit(rate, 5)
        number = 50_000
        step = max(int(SECOND / rate / 3.7), 1)
        seen = limiter.packets(number, now=DAY, step=step)
        expected = 5 + rate * number * step / SECOND
        assert abs(seen.passed - min(expected, number)) <= max(0.01 * expected, 1)


@pytest.mark.parametrize("rate", [1000, 10**6, 5 * 10**6])
@pytest.mark.parametrize("step", [30, 100, 333, 999])
def test_nobody_starves_above_a_million_packets_a_second(rate, step):
    with Limiter(simple(rate, 10)) as limiter:
        number = 100_000
        seen = limiter.packets(number, now=DAY, step=step)
        expected = min(number, 10 + rate * number * step // SECOND)
        assert abs(seen.passed - expected) <= 0.01 * expected + 1
        assert seen.passed + seen.refused == number


@pytest.mark.parametrize("behind", [1, 1000, 300_000, SECOND, 20 * SECOND])
def test_no_tokens_flow_in_while_a_clock_is_behind(behind):
    with Limiter(simple(1000, 4)) as limiter:
        assert [limiter.packet(DAY) for _ in range(5)] == [True] * 4 + [False]
        assert not any(limiter.packet(DAY - behind) for _ in range(20))


def test_two_clocks_that_differ_give_no_more_than_one():
    with Limiter(simple(1000, 4)) as limiter:
        passed = sum(limiter.packet(DAY + step * 10_000 - (step % 2) * 300_000) for step in range(10_000))
        # 0.1 s, and the burst
        assert 99 <= passed <= 104


def test_no_packet_passes_a_burst_of_none():
    with Limiter(simple(1000, 0)) as limiter:
        assert limiter.packets(1000, now=DAY, step=SECOND).refused == 1000


@pytest.mark.parametrize("rate", [2_147_484, 1 << 32, 5 * 10**9, 10**15])
def test_rates_and_bursts_beyond_32_bits(rate):
    burst = 3 << 31
    for limited in (simple(rate, burst), configured()):
        with Limiter(limited) as limiter:
            if "config" in limiter.maps:
                limiter.maps["config"][0] = rate_limit.limit(rate, burst)
            assert limiter.packets(1000, now=DAY).passed == 1000
            interval = max(round(16 * SECOND / rate), 1)
            assert limiter.maps["buckets"][0] == (DAY << 4) + 1000 * interval


def test_a_bucket_is_full_again_after_at_most_nine_years():
    for limited in (simple(0.001, 10**9), configured()):
        with Limiter(limited) as limiter:
            if "config" in limiter.maps:
                limiter.maps["config"][0] = rate_limit.limit(0.001, 10**9)
            tokens = (1 << 62) // (1000 * SECOND << 4)
            limiter.packet(DAY, 7)
            limiter.maps["buckets"][7] = (DAY << 4) + (tokens - 2) * (1000 * SECOND << 4)
            assert [limiter.packet(DAY, 7) for _ in range(3)] in ([True, True, False], [True, True, True])
            assert not limiter.packet(DAY, 7)


def test_keys_have_buckets_of_their_own():
    with Limiter(simple(1, 2)) as limiter:
        assert [limiter.packet(DAY, key) for key in (1, 2, 1, 2, 1, 2)] == [True] * 4 + [False] * 2


def test_zero_in_the_map_is_a_full_bucket():
    with Limiter(simple(1, 2)) as limiter:
        assert [limiter.packet(DAY) for _ in range(3)] == [True, True, False]
        limiter.maps["buckets"][1] = 0
        assert [limiter.packet(DAY) for _ in range(3)] == [True, True, False]


def test_a_full_map_is_an_error():
    with Limiter(simple(1, 2, buckets(2))) as limiter:
        for key in (1, 2):
            assert limiter.packet(DAY, key)
        assert limiter.packets(1, now=DAY, key=3).failed == 1
        assert limiter.packet(DAY, 1)
    with Limiter(simple(1, 2, buckets(1), error=None)) as limiter:
        assert limiter.packet(DAY, 1)
        assert not limiter.packet(DAY, 2)


def test_an_lru_hash_forgets_instead():
    with Limiter(simple(1, 1, buckets(64, "lru_hash"))) as limiter:
        assert all(limiter.packet(DAY, key) for key in range(1000))
        assert not limiter.packet(DAY, 999)


def test_each_index_has_its_limit():
    with Limiter(configured(0), configured(1, stack=fp - 40, spec=fb.MapSpec("hash", fb.u64, fb.u64, 8, "b"))) as both:
        both.maps["config"][0] = rate_limit.limit(1, 5)
        assert both.packets(10, now=DAY).passed == 5
        both.maps["config"][1] = rate_limit.limit(1, 2)
        assert both.packets(10, now=2 * DAY).passed == 2


def test_an_index_may_be_in_a_register():
    with Limiter(at("index"), ldxdw(r3, r0, 0), configured(r3)) as limiter:
        limiter.maps["config"][1] = rate_limit.limit(1, 3)
        assert limiter.packets(10, now=DAY, index=1).passed == 3
        assert limiter.packets(10, now=DAY, index=0).passed == 10  # rate 0
        assert limiter.packets(10, now=DAY, index=2).passed == 10  # no such index


def test_a_new_limit_holds_at_once():
    with Limiter(configured()) as limiter:
        config = limiter.maps["config"]
        assert limiter.packets(100, now=DAY).passed == 100
        config[0] = rate_limit.limit(0.01, 3)  # a token in 100 s
        assert limiter.packets(10, now=DAY).passed == 3
        config[0] = rate_limit.limit(1000, 3)
        assert not limiter.packet(DAY + 10, 0)  # empty, but no longer for 300 s
        assert [limiter.packet(DAY + 4_100_000, 0) for _ in range(4)] == [True] * 3 + [False]
        config[0] = rate_limit.OFF
        assert limiter.packets(100, now=DAY).passed == 100


def emptied(limiter, burst_seconds, key=0):
    # the bucket is empty now; what flows in later, it can hold
    limiter.packets(1, key=key)
    limiter.maps["buckets"][key] = (now := (time.clock_gettime_ns(time.CLOCK_MONOTONIC) + burst_seconds * SECOND) << 4)
    limiter.begin(key=key)
    return now


def test_the_long_run_rate_by_the_real_clock():
    rate = 100_000
    with Limiter(simple(rate, 60 * rate), real_clock=True) as limiter:
        start = emptied(limiter, 60)
        while (state := limiter.maps["state"][0]).passed < 20_000:
            limiter.program.test_run(PACKET, repeat=20_000)
        offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        # as long as it was empty, by the time that the program noted when the last one passed
        elapsed = (state.last - offset) - ((start >> 4) - 60 * SECOND)
        assert abs(state.passed - rate * elapsed / SECOND) <= 0.01 * state.passed
        assert state.refused > 0
        assert limiter.maps["buckets"][0] == start + state.passed * (16 * SECOND // rate)


# with fewer tries, more packets have to take a token unseen
@pytest.mark.parametrize("races", [1, 2])
@pytest.mark.parametrize("rate", [300_000, 50_000_000])
def test_two_cpus_never_take_the_same_token(rate, races, monkeypatch):
    monkeypatch.setattr(rate_limit, "_RACES", races)
    with Limiter(simple(rate, 60 * rate), real_clock=True) as limiter:
        start = emptied(limiter, 60)
        on_two_cpus(lambda: limiter.program.test_run(PACKET, repeat=300_000))
        state = limiter.maps["state"][0]
        assert state.passed + state.refused == 600_000
        assert state.failed == 0
        # every packet that passed has moved the bucket by the time of one token
        assert limiter.maps["buckets"][0] == start + state.passed * (16 * SECOND // rate)


def test_of_two_cpus_that_make_a_bucket_one_has_its_token():
    # two runs after one another have the same key, and mostly run on different CPUs
    key = (mov(r1, 1), at("index"), atomic_fetch_add(r0, 0, r1), rsh(r1, 1), stxdw(fp, -8, r1))
    with Limiter(key, simple(0.001, 1, buckets(200_000)), real_clock=True) as limiter:
        limiter.begin()
        on_two_cpus(lambda: limiter.program.test_run(PACKET, repeat=100_000))
        state = limiter.maps["state"][0]
        assert (state.passed, state.refused, state.failed) == (100_000, 100_000, 0)


@pytest.mark.parametrize("burst", [1, 2, 5])
@pytest.mark.parametrize("kind", ["simple", "configured"])
def test_who_finds_the_bucket_made_meanwhile_takes_a_token_of_it(kind, burst):
    limited = simple(2, burst) if kind == "simple" else configured()
    look = call.map_lookup_elem(STATE, fp - 8)[-1]

    def blind(code):
        """Its first look at the buckets, the last but one, finds none."""
        at = [number for number, insn in enumerate(code) if insn == look][-2]
        parts = [call_sub("miss") if number == at else insn for number, insn in enumerate(code)]
        return assemble(parts, label("miss"), mov(r0, 0), exit_())

    with Limiter(limited, change=blind) as limiter:
        if kind == "configured":
            limiter.maps["config"][0] = rate_limit.limit(2, burst)
        passed = [limiter.packet(now=SECOND) for _ in range(burst + 3)]
        assert passed == [True] * burst + [False] * 3
        # what was one too many has been given back
        assert limiter.maps["buckets"][1] == 16 * (SECOND + burst * SECOND // 2)


def test_the_clock_is_one_that_user_space_reads():
    with Limiter(simple(1000, 1), real_clock=True) as limiter:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        assert limiter.packets(1).passed == 1
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        assert before <= (limiter.maps["buckets"][0] >> 4) - SECOND // 1000 <= after


def test_state_is_laid_out_as_its_bytes():
    assert State(**{name: place for place, name in enumerate(State.fields)}).pack() == pack("<9Q", *range(9))
