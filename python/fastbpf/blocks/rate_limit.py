"""Rate limits: so many packets a second for each key, with bursts. A token bucket, exact on any number of CPUs.

A bucket is one number: the moment at which it will be full again, in sixteenths of a nanosecond of CLOCK_MONOTONIC. A
packet moves it by the time in which one token flows in, and is refused if it would move it further ahead than an empty
bucket takes to fill. So no fraction of a token is ever lost, zero is a full bucket, and one compare-and-swap takes a
token: two CPUs cannot take the same one, and a CPU whose clock is behind sees fewer tokens, never more.

>>> import fastbpf as fb
>>> from fastbpf.asm import *
>>> from fastbpf.blocks import rate_limit
>>> buckets = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=4096, name="buckets")
>>> rate_limit.simple(buckets, key=fp - 8, stack=fp - 16, rate=100, burst=200, fail="drop")
<Block rate_limit.simple: clobbers r0, r1, r2, r3, r4, r5; writes fp - 16 to fp - 9; fails to "drop">
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import integer, label_name, map_object, within
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import Block, block, on_stack, own
from fastbpf.blocks.operand import BY_CALLS
from fastbpf.record import Struct, u64

__all__ = ["OFF", "Limit", "configured", "limit", "simple"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbpf.asm.assembly import Part
    from fastbpf.asm.operands import MapObject

    Number = int | float

_SHIFT = 4  # sixteenths of a nanosecond last for 36 years of uptime, and time 100 million packets a second to 0.3 %
_SECOND = 10**9 << _SHIFT
_SCALE = 1000  # rates and bursts in a configuration are thousandths
_MOST = 1 << 62  # how far ahead a bucket may be: nine years
_AHEAD = 1 << 20 + _SHIFT  # a millisecond: clocks of two CPUs differ by less
_RACES = 2
_NEW_ONLY = 1  # BPF_NOEXIST


class Limit(Struct):
    """A limit in the map of `configured`: thousandths of packets a second, and of the packets in a burst."""

    rate: u64  # type: ignore[valid-type]  # a field's type is an object
    burst: u64  # type: ignore[valid-type]


@checked
def limit(rate: Number, burst: Number) -> Limit:
    """The value for the map of `configured`: `rate` packets a second, `burst` packets at once.

    Both to a thousandth. A rate of 0 is no limit, a burst below 1 lets nothing through.

    >>> limit(100, 200), limit(0.5, 1).pack().hex()
    (Limit(rate=100000, burst=200000), 'f401000000000000e803000000000000')
    """
    return Limit(rate=_thousandths(rate, "rate"), burst=_thousandths(burst, "burst"))


#: No limit.
OFF = Limit(rate=0, burst=0)


@checked
def simple(
    buckets: MapObject,
    *,
    key: Address,
    stack: Address,
    rate: Number,
    burst: int,
    fail: str,
    error: str | None = None,
) -> Block:
    """Let `rate` packets a second through for each key, and `burst` at once; send the others to `fail`.

    It reads the clock, finds the key's bucket or makes one that is full, and takes a token of it. Executes at most 25
    instructions, 34 where CPUs race for one bucket.

    Args:
        buckets: a hash or an LRU hash whose values are `fb.u64`.
        key: where on the stack the key is, such as `fp - 16`; of the size that the map's keys have.
        stack: 8 bytes of the stack for passing use, aligned to 8.
        rate: packets a second, to a thousandth: above 0, and exact to 1 % up to 300 million.
        burst: packets that a bucket holds; 0 refuses all. Of more than flow in in nine years it holds so many.
        fail: the label for packets that are refused.
        error: the label for packets whose bucket cannot be made, as in a hash that is full; `fail` unless told.

    Clobbers r0 to r5; goes on behind itself with packets that pass. When CPUs take tokens of one bucket at the same
    moment, and one loses the race twice in a row, it takes a token unseen; if that was one too many, the next comes
    later by as much. A bucket that a slower limit left further behind than this one could is empty.

    Linux 5.12, for the compare-and-swap.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import *
    >>> buckets = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=4096, name="buckets")
    >>> limited = simple(buckets, key=fp - 8, stack=fp - 16, rate=100, burst=200, fail="drop")
    >>> code = assemble(
    ...     stw(fp, -8, 1),
    ...     limited,
    ...     mov(r0, 2),
    ...     exit_(),
    ...     label("drop"),
    ...     mov(r0, 1),
    ...     exit_(),
    ... )
    >>> for number, instruction in enumerate(code):
    ...     if number < 5:
    ...         print(instruction)
    stw(fp, -8, 1)
    call_id(5)
    lsh(r0, 4)
    add(r0, 160000000)
    stxdw(fp, -16, r0)
    """
    at = on_stack(stack, 8, 8, what="what is for passing use")
    _check(buckets, key, at, 8, fail, error)
    interval = _interval(rate)
    if not within(burst, 0, (1 << 64) - 1, "the burst"):
        # with ways to all that it leads to otherwise: the verifier refuses code that nothing leads to
        never = () if error is None else jne(r0, 0, error)
        return block("rate_limit.simple", mov(r0, 0), never, jeq(r0, 0, fail), clobbers=(r0,), fails_to=fail)
    slack = min((burst - 1) * interval, _MOST)
    return block(
        "rate_limit.simple",
        _now(at, lambda: _plus(r0, interval, r1)),
        _take(buckets, key, at, lambda to: const(to, interval), lambda to: const(to, slack), fail, error or fail),
        clobbers=BY_CALLS,
        stack=(at, at + 8),
        fails_to=fail,
    )


@checked
def configured(
    config: MapObject,
    index: int | Register,
    buckets: MapObject,
    *,
    key: Address,
    stack: Address,
    fail: str,
    error: str | None = None,
) -> Block:
    """As `simple`, with the rate and the burst of `config[index]`, which may change while the program runs.

    Executes at most 51 instructions, 60 where CPUs race for one bucket.

    Args:
        config: an array of `Limit`; see `limit`. A rate of 0 is no limit, nor an index in a register
            that it does not have.
        index: which limit applies, a number that config has, or a register, of which the low 32 bits count.
        buckets: a hash or an LRU hash whose values are `fb.u64`.
        key: where on the stack the key is, such as `fp - 16`; of the size that the map's keys have.
        stack: 24 bytes of the stack for passing use, aligned to 8.
        fail: the label for packets that are refused.
        error: the label for packets whose bucket cannot be made, as in a hash that is full; `fail` unless told.

    Clobbers r0 to r5; goes on behind itself with packets that pass. A change of the limit holds from the next packet
    on; a bucket keeps, of the time that it was from being full, what the new limit allows.

    Linux 5.12, for the compare-and-swap.

    >>> import fastbpf as fb
    >>> from fastbpf.asm import *
    >>> config = fb.MapSpec("array", value=Limit, max_entries=2, name="config")
    >>> buckets = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=4096, name="buckets")
    >>> configured(config, 1, buckets, key=fp - 8, stack=fp - 32, fail="drop")
    <Block rate_limit.configured: clobbers r0, r1, r2, r3, r4, r5; writes fp - 32 to fp - 9; fails to "drop">
    """
    at = on_stack(stack, 24, 8, what="what is for passing use")
    _check(buckets, key, at, 24, fail, error)
    _check_map(config, "the limits", ("array",), 4, Limit.size)
    interval, slack = at + 8, at + 16
    passed, some, few = (own(name, fail, error) for name in ("passed", "some", "few"))
    return block(
        "rate_limit.configured",
        stxw(fp, at, index) if type(index) is Register else stw(fp, at, _index(index, config)),
        call.map_lookup_elem(config, stack),
        jeq(r0, 0, passed),
        ldxdw(r1, r0, Limit.offset("rate")),
        jeq(r1, 0, passed),
        ldxdw(r2, r0, Limit.offset("burst")),
        jlt(r2, _SCALE, fail),
        # r3 = the time of one token, rounded
        const(r3, 2 * _SECOND * _SCALE),
        div(r3, r1),
        add(r3, 1),
        rsh(r3, 1),
        jne(r3, 0, some),
        mov(r3, 1),
        label(some),
        stxdw(fp, interval, r3),
        # r2 = that of all tokens but one, which is less than _MOST unless there are many
        div(r2, _SCALE),
        sub(r2, 1),
        jlt(r2, _MOST // (_SECOND * _SCALE), few),
        const(r4, _MOST),
        div(r4, r3),
        jle(r2, r4, few),
        mov(r2, r4),
        label(few),
        mul(r2, r3),
        stxdw(fp, slack, r2),
        _now(at, lambda: [ldxdw(r1, fp, interval), add(r0, r1)]),
        _take(
            buckets,
            key,
            at,
            lambda to: ldxdw(to, fp, interval),
            lambda to: ldxdw(to, fp, slack),
            fail,
            error or fail,
        ),
        label(passed),
        clobbers=BY_CALLS,
        stack=(at, at + 24),
        fails_to=fail,
    )


def _now(at: int, interval_later: Callable[[], Part]) -> Part:
    # when a bucket is full again that is full now and gives one token
    return call.ktime_get_ns(), lsh(r0, _SHIFT), interval_later(), stxdw(fp, at, r0)


def _take(
    buckets: MapObject,
    key: Address,
    at: int,
    interval: Callable[[Register], Instruction],
    slack: Callable[[Register], Instruction],
    fail: str,
    error: str,
) -> Part:
    full, soonest, latest, then, before = r0, r2, r3, r4, r5
    found, later, none, taken = (own(name, fail, error) for name in ("found", "later", "none", "taken"))
    return (
        call.map_lookup_elem(buckets, key),
        jne(r0, 0, found),
        call.map_update_elem(buckets, key, fp + at, _NEW_ONLY),
        jeq(r0, 0, taken),
        # Another CPU has made it meanwhile: a token of it, given back if it was one too many.
        call.map_lookup_elem(buckets, key),
        jeq(r0, 0, error),
        interval(r1),
        mov(then, r1),
        atomic_fetch_add(r0, 0, then),
        add(then, r1),
        ldxdw(latest, fp, at),
        slack(soonest),
        add(latest, soonest),
        jle(then, latest, taken),
        neg(r1),
        atomic_add(r0, 0, r1),
        ja(fail),
        label(found),
        mov(r1, r0),
        ldxdw(soonest, fp, at),
        slack(latest),
        add(latest, soonest),
        ldxdw(full, r1, 0),
        [
            piece(
                mov(before, full),
                interval(then),
                add(then, full),
                jge(then, soonest, later),
                mov(then, soonest),
                label(later),
                jgt(then, latest, none),
                atomic_cmpxchg(r1, 0, then),  # gives what was there in r0
                jeq(full, before, taken),
            )
            for _ in range(_RACES)
        ],
        interval(then),
        atomic_add(r1, 0, then),
        ja(taken),
        label(none),
        add(latest, _AHEAD),
        jle(full, latest, fail),
        atomic_cmpxchg(r1, 0, latest),  # a slower limit's: empty by this one
        ja(fail),
        label(taken),
    )


def _plus(register: Register, number: int, spare: Register) -> Part:
    if number < 1 << 31:
        return add(register, number)
    return const(spare, number), add(register, spare)


def _interval(rate: Number) -> int:
    # the time of one token, rounded as `configured` does it
    thousandths = _thousandths(rate, "rate", least="at least 0.001")
    if not thousandths:
        raise OperandError("a rate of 0 lets nothing through; it is at least 0.001 packets a second")
    return max((_SECOND * _SCALE + thousandths // 2) // thousandths, 1)


def _thousandths(value: Number, what: str, least: str = "0 or at least 0.001") -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OperandError(f"{show(value)} is not a {what}; that is a number of packets")
    most = ((1 << 64) - 1) // _SCALE
    if not 0 <= value <= most:  # which nan is not
        raise OperandError(f"the {what} must be from 0 to {most}, not {value}")
    thousandths = round(value * _SCALE)
    if value and not thousandths:  # a rate of 0 is no limit, which this is not
        raise OperandError(f"the {what} must be {least}, not {value}")
    return thousandths


def _index(index: object, config: MapObject) -> int:
    number = within(integer(index, "an index: a number or a register"), 0, (1 << 32) - 1, "the index")
    count = getattr(getattr(config, "spec", config), "max_entries", None)
    if count is not None and number >= count:
        raise OperandError(f"the index must be from 0 to {count - 1}, which {show(config)} has, not {number}")
    return number - (1 << 32) if number >= 1 << 31 else number


def _check(buckets: MapObject, key: object, at: int, size: int, fail: object, error: object) -> None:
    key_size, _ = _check_map(buckets, "the buckets", ("hash", "lru_hash"), None, u64.size)
    begin = on_stack(key, key_size or 1, what="the key")
    if begin < at + size and at < begin + (key_size or 1):
        raise OperandError(f"the key at {show(key)} and the {size} bytes for passing use at {fp + at} overlap")
    label_name(fail)
    if error is not None:
        label_name(error)


def _check_map(
    map: MapObject, what: str, types: Sequence[str], key: int | None, value: int
) -> tuple[int | None, int | None]:
    # of maps that tell
    spec = getattr(map_object(map), "spec", map)
    kind = getattr(spec, "type", None)
    if kind is not None and kind not in types:
        raise OperandError(f"{what} are in a map of type {' or '.join(types)}; {show(map)} is of type {kind}")
    sizes = [getattr(getattr(spec, part, None), "size", None) for part in ("key", "value")]
    for part, size, wanted in zip(("keys", "values"), sizes, (key, value), strict=True):
        if None not in {size, wanted} and size != wanted:
            raise OperandError(f"{what} are in a map with {part} of {wanted} bytes; {show(map)} has {size}")
    return sizes[0], sizes[1]
