"""Loops that end, as the kernel demands: a bounded one, and one by bpf_loop.

To do something a few times without a loop, repeat the parts: `[write(n) for n in range(4)]`.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import loops
>>> print(assemble(mov(r0, 0), loops.bounded(r6, 10, add(r0, r6)), exit_()))
   0: (b7) r0 = 0
   1: (b7) r6 = 0
   2: (0f) r0 += r6
   3: (07) r6 += 1
   4: (a5) if r6 < 0xa goto pc-3
   5: (95) exit
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import within, writable
from fastbpf.asm.refusal import OperandError, checked
from fastbpf.blocks.block import block, own
from fastbpf.blocks.operand import BY_CALLS, goals, place, settled, stores, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.asm.assembly import Part
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["bounded", "each", "unrolled"]

# BPF_MAX_LOOPS, include/linux/bpf_verifier.h
_MOST = 1 << 23


@checked
def bounded(counter: Register, times: int, *body: Part) -> Block:
    """Do something a number of times, with counter = 0, 1, … times - 1.

    Emits: counter = 0; again: the body; counter += 1; if counter < times goto again.

    The body must leave the counter alone; if it calls, the counter must be of r6 to r9. To end the loop early, the body
    goes to a label behind it. The verifier walks through every turn: it takes some thousands of small ones. Clobbers
    the counter, which is `times` at the end, and what the body writes. Linux 5.3.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import loops
    >>> loops.bounded(r1, 5, add(r6, r1))
    <Block loops.bounded: clobbers r1, r6>
    >>> loops.bounded(r1, 5, call.ktime_get_ns())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: the body writes the counter r1; a call loses r0 to r5
    """
    writable(counter)
    within(times, 1, (1 << 31) - 1, "times")
    parts = settled(body)
    changed = written(parts)
    if counter in changed:
        raise OperandError(f"the body writes the counter {counter}{'; a call loses r0 to r5' * (counter in BY_CALLS)}")
    again = own("again", *goals(parts))
    steps = mov(counter, 0), label(again), parts, add(counter, 1), jlt(counter, times, again)
    return block("loops.bounded", *steps, clobbers=(counter, *changed), stack=stores(parts))


@checked
def unrolled(times: int, *body: Part) -> Block:
    """Do something a number of times, by repeating it: for kernels before 5.3, and where a loop costs too much.

    Emits: the body, `times` times. Labels in it are those of each turn.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import loops
    >>> print(assemble(loops.unrolled(2, jeq(r6, 0, "even"), add(r0, 1), label("even"), rsh(r6, 1))))
       0: (15) if r6 == 0x0 goto pc+1
       1: (07) r0 += 1
       2: (77) r6 >>= 1
       3: (15) if r6 == 0x0 goto pc+1
       4: (07) r0 += 1
       5: (77) r6 >>= 1
    """
    parts = settled(body)
    turns = [piece(*parts)] * within(times, 1, 1 << 20, "times")
    return block("loops.unrolled", turns, clobbers=written(parts), stack=stores(parts))


@checked
def each(times: Operand, callback: str, context: Place | None = None) -> Block:
    """Call a subprogram for 0, 1, … times - 1: r0 = how often it was called. The verifier walks through it once.

    Emits: r1 = times; r2 = the subprogram; r3 = context; r4 = 0; call loop.

    Args:
        times: a number up to 2**23, or a register; the kernel refuses more when it runs: r0 = -E2BIG.
        callback: the label of the subprogram. It gets the number in r1 and the context in r2, and returns 0 to go on,
            1 to end the loop.
        context: an address such as `fp - 16`, through which both share data; None for none.

    Clobbers r0 to r5. What the subprogram writes through the context is not in `stack`. Linux 5.17.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import loops
    >>> print(assemble(loops.each(100, "add", fp - 8), label("add"), mov(r0, 0), exit_()))
       0: (b7) r1 = 100
       1: (18) r2 = subprog[+5]             ; add
       3: (bf) r3 = r10
       4: (07) r3 += -8
       5: (b7) r4 = 0
       6: (85) call bpf_loop#181
    add:
       7: (b7) r0 = 0
       8: (95) exit
    """
    if type(times) is not Register:
        within(times, 0, _MOST, "times")
    if context is not None:
        place(context, 1, what="the context")
    return block("loops.each", call.loop(times, callback, context, 0), clobbers=BY_CALLS)
