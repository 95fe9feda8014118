"""Printing to the kernel's trace log, for debugging: `cat /sys/kernel/tracing/trace_pipe` shows it.

>>> from fastbpf.asm import *
>>> from fastbpf.blocks import printing
>>> print(assemble(printing.trace_printk("pid %d", r6, at=fp - 8)))
   0: (b7) r0 = 543451504
   1: (63) *(u32 *)(r10 -8) = r0
   2: (b7) r0 = 25637
   3: (6b) *(u16 *)(r10 -4) = r0
   4: (b7) r0 = 0
   5: (73) *(u8 *)(r10 -2) = r0
   6: (bf) r1 = r10
   7: (07) r1 += -8
   8: (b7) r2 = 7
   9: (bf) r3 = r6
  10: (85) call bpf_trace_printk#6
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import REGISTERS
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block, scratch
from fastbpf.blocks.memory import write
from fastbpf.blocks.operand import BY_CALLS, extent, invoke, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["trace_printk"]


@checked
def trace_printk(text: str, *arguments: Operand, at: Place) -> Block:
    """Print a line, with up to three numbers in it, by way of a copy of the text at `at`.

    Emits: stores of the text, which ends in a NUL; r1 = at; r2 = its length; r3, r4, r5 = the arguments; call
    trace_printk.

    The text is a format of the kernel's: %d %u %x for 32 bits, %lld %llu %llx for 64, %s and %p for addresses, %% for
    a percent sign. r0 is how many bytes were printed, or a negative errno for a format that the kernel refuses. Slow,
    and every reader of the log sees it. Clobbers r0 to r5. Needs the licence "GPL". Linux 4.1.

    Raises AsmError when text and arguments do not fit together, or the text does not fit on the stack at `at`.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import printing
    >>> printing.trace_printk("%d of %d", r6, at=fp - 16)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: "%d of %d" prints 2 numbers, and 1 is given
    """
    if not text or "\0" in text:
        raise OperandError(f"{show(text)} is no text to print")
    printed = text.replace("%%", "").count("%")
    if printed != len(arguments):
        are = "is" if len(arguments) == 1 else "are"
        numbers = f"{printed} number{'s' * (printed != 1)}"
        raise OperandError(f"{show(text)} prints {numbers}, and {len(arguments)} {are} given")
    if printed > 3:
        raise OperandError(f"{show(text)} prints {printed} numbers; trace_printk takes 3, call.trace_vprintk more")
    data = text.encode() + b"\0"
    address = place(at, len(data), what="the text")
    by = scratch(address.base, *(one for one in arguments if one in REGISTERS))
    steps = write(address, data, by), invoke("trace_printk", address, len(data), *arguments)
    return block("printing.trace_printk", *steps, clobbers=(*BY_CALLS, by), stack=extent(address, len(data)))
