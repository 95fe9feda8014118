"""Sampling: go on for some events only.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import sampling
>>> print(assemble(sampling.one_in(100, fail="out"), label("out"), mov(r0, 0), exit_()))
   0: (85) call bpf_get_prandom_u32#7
   1: (97) r0 %= 100
   2: (55) if r0 != 0x0 goto pc+0       ; out
out:
   3: (b7) r0 = 0
   4: (95) exit
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.refusal import checked
from fastbpf.blocks.block import block
from fastbpf.blocks.operand import BY_CALLS
from fastbpf.blocks.random import draw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block

__all__ = ["one_in"]


@checked
def one_in(n: int, fail: str) -> Block:
    """Go on once in n times on average, at random; else go to `fail`.

    Emits: call get_prandom_u32; r0 %= n; if r0 != 0 goto fail.

    n is from 1 (always) to 2**31 - 1. Clobbers r0 to r5; r0 is 0 afterwards. Linux 4.1.

    >>> from fastbpf.blocks import sampling
    >>> sampling.one_in(1000, fail="out")
    <Block sampling.one_in: clobbers r0, r1, r2, r3, r4, r5; fails to "out">
    """
    return block("sampling.one_in", draw(n), jne(r0, 0, fail), clobbers=BY_CALLS, fails_to=fail)
