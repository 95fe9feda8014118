"""Time: the kernel's clocks, time stamps, time that has passed. Nanoseconds, in u64.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import time
>>> print(assemble(time.stamp(fp - 8), time.elapsed(fp - 8, r6)))
   0: (85) call bpf_ktime_get_ns#5
   1: (7b) *(u64 *)(r10 -8) = r0
   2: (85) call bpf_ktime_get_ns#5
   3: (bf) r6 = r0
   4: (79) r0 = *(u64 *)(r10 -8)
   5: (1f) r6 -= r0
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import writable
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.operand import BY_CALLS, extent, moved, numeric, one_of, place, survives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Place

__all__ = ["CLOCKS", "elapsed", "jiffies", "now", "stamp"]

#: The helper that reads each clock. "monotonic" stands still while the machine sleeps (Linux 4.1), "boot" does not
#: (5.8); "coarse" is monotonic as of the last timer tick, cheaper, and only for programs about networks (5.11); "tai"
#: is the time of day, without leap seconds (6.1).
CLOCKS: Final = {
    "monotonic": "ktime_get_ns",
    "boot": "ktime_get_boot_ns",
    "coarse": "ktime_get_coarse_ns",
    "tai": "ktime_get_tai_ns",
}


@checked
def now(dst: Register = r0, clock: str = "monotonic") -> Block:
    """What a clock says: dst = nanoseconds. `clock` is one of `CLOCKS`.

    Emits: call ktime_get_ns, or its sibling; dst = r0.

    Clobbers r0 to r5.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import time
    >>> print(assemble(time.now(), time.now(r6, clock="coarse")))
       0: (85) call bpf_ktime_get_ns#5
       1: (85) call bpf_ktime_get_coarse_ns#160
       2: (bf) r6 = r0
    """
    return block("time.now", _read(clock), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def jiffies(dst: Register = r0) -> Block:
    """The kernel's count of timer ticks: dst = jiffies64. Clobbers r0 to r5. Linux 5.6.

    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import time
    >>> print(assemble(time.jiffies()))
       0: (85) call bpf_jiffies64#118
    """
    return block("time.jiffies", call.jiffies64(), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def stamp(at: Place, clock: str = "monotonic") -> Block:
    """Write what a clock says to a place of 8 bytes: on the stack, or in what r6 to r9 point to.

    Emits: call ktime_get_ns, or its sibling; *(u64 *)(at) = r0.

    Clobbers r0 to r5. Raises AsmError for a place that is not aligned to 8, and one at a register that the call loses.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import time
    >>> print(assemble(time.stamp(r6 + 8)))
       0: (85) call bpf_ktime_get_ns#5
       1: (7b) *(u64 *)(r6 +8) = r0
    """
    address = place(at, 8, 8)
    survives(address, "the place")
    steps = [*_read(clock), stxdw(address.base, address.offset, r0)]
    return block("time.stamp", steps, clobbers=BY_CALLS, stack=extent(address, 8))


@checked
def elapsed(since: Place, dst: Register = r0, clock: str = "monotonic") -> Block:
    """How much time has passed: dst = now - since.

    Emits: call ktime_get_ns, or its sibling; dst = r0 - since.

    Args:
        since: an address, such as `fp - 8` or `r6 + 8`, where `stamp` wrote; or a register that holds what `now` said.
        dst: where nanoseconds go.
        clock: the clock that said it.

    Clobbers r0 to r5. `since` must be kept on the stack or in r6 to r9.

    >>> from fastbpf.asm import assemble, r6, r7
    >>> from fastbpf.blocks import time
    >>> print(assemble(time.elapsed(r6, r7)))
       0: (85) call bpf_ktime_get_ns#5
       1: (1f) r0 -= r6
       2: (bf) r7 = r0
    """
    survives(since, "the time since when")
    numeric(since, "the time since when", "did you mean fp - 8?")
    writable(dst)
    if type(since) is Register:
        steps = [sub(r0, since), *moved(dst)]
    else:
        address = place(since, 8, 8)
        if dst in (r0, address.base):
            steps = [ldxdw(r1, address.base, address.offset), sub(r0, r1), *moved(dst)]
        else:
            steps = [mov(dst, r0), ldxdw(r0, address.base, address.offset), sub(dst, r0)]
    return block("time.elapsed", _read(clock), steps, clobbers=(*BY_CALLS, dst))


def _read(clock: object) -> tuple[Instruction, ...]:
    read: tuple[Instruction, ...] = getattr(call, CLOCKS[one_of(clock, CLOCKS, "clock")])()
    return read
