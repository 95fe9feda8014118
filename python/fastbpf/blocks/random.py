"""Random numbers, for sampling and choosing; not for secrets.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import random
>>> print(assemble(random.below(6)))
   0: (85) call bpf_get_prandom_u32#7
   1: (97) r0 %= 6
"""

from __future__ import annotations

from collections.abc import Mapping

from fastbpf.asm import *
from fastbpf.asm.operands import label_name, within
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block
from fastbpf.blocks.operand import BY_CALLS, moved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block

__all__ = ["below", "boolean", "choose", "percentage", "u32"]

_MOST = (1 << 31) - 1


@checked
def u32(dst: Register = r0) -> Block:
    """A random number of 32 bits: dst = 0 to 2**32 - 1. Clobbers r0 to r5. Linux 4.1.

    >>> from fastbpf.asm import assemble, r6
    >>> from fastbpf.blocks import random
    >>> print(assemble(random.u32(r6)))
       0: (85) call bpf_get_prandom_u32#7
       1: (bf) r6 = r0
    """
    return block("random.u32", call.get_prandom_u32(), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def below(n: int, dst: Register = r0) -> Block:
    """A random number: dst = 0 to n - 1, for n of 1 to 2**31 - 1.

    Emits: call get_prandom_u32; r0 %= n; dst = r0.

    The lowest 2**32 % n numbers are likelier than others, by one part in 2**32 // n. Clobbers r0 to r5. Linux 4.1.

    >>> from fastbpf.blocks import random
    >>> random.below(0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: below(0): n must be from 1 to 2147483647, not 0
    """
    return block("random.below", draw(n), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def percentage(dst: Register = r0) -> Block:
    """A random number: dst = 0 to 99. As `below(100)`.

    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import random
    >>> bytes(assemble(random.percentage())) == bytes(assemble(random.below(100)))
    True
    """
    return block("random.percentage", draw(100), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def boolean(dst: Register = r0) -> Block:
    """Heads or tails: dst = 0 or 1. As `below(2)`, and without its bias.

    >>> from fastbpf.asm import assemble
    >>> from fastbpf.blocks import random
    >>> print(assemble(random.boolean()))
       0: (85) call bpf_get_prandom_u32#7
       1: (97) r0 %= 2
    """
    return block("random.boolean", draw(2), moved(dst), clobbers=(*BY_CALLS, dst))


@checked
def choose(weights: Mapping[str, int]) -> Block:
    """Go to one of several labels, to each as often as its weight is of the sum of all.

    Emits: call get_prandom_u32; r0 %= the sum; a comparison and a branch for each label but the last; a branch.

    Clobbers r0 to r5. Linux 4.1.

    >>> from fastbpf.asm import *
    >>> from fastbpf.blocks import random
    >>> print(
    ...     assemble(
    ...         random.choose({"first": 30, "second": 50, "third": 20}),
    ...         [label("first"), mov(r0, 0), exit_()],
    ...         [label("second"), mov(r0, 1), exit_()],
    ...         [label("third"), mov(r0, 2), exit_()],
    ...     )
    ... )
       0: (85) call bpf_get_prandom_u32#7
       1: (97) r0 %= 100
       2: (a5) if r0 < 0x1e goto pc+2       ; first
       3: (a5) if r0 < 0x50 goto pc+3       ; second
       4: (05) goto pc+4                    ; third
    first:
       5: (b7) r0 = 0
       6: (95) exit
    second:
       7: (b7) r0 = 1
       8: (95) exit
    third:
       9: (b7) r0 = 2
      10: (95) exit
    """
    if not isinstance(weights, Mapping):
        raise OperandError(f'{show(weights)} is not a dict of labels and their weights, such as {{"a": 1, "b": 2}}')
    if not weights:
        raise OperandError("there is no label to choose")
    steps: list[Instruction] = []
    total = 0
    for name, weight in weights.items():
        total += within(weight, 1, _MOST, "a weight")
        steps.append(jlt(r0, within(total, 1, _MOST, "the sum of weights"), label_name(name)))
    steps[-1] = ja(name)
    return block("random.choose", draw(total), steps, clobbers=BY_CALLS)


def draw(n: object) -> list[Instruction]:
    """What leaves a number below n in r0."""
    return [*call.get_prandom_u32(), mod(r0, within(n, 1, _MOST, "n"))]
