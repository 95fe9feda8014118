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
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import block, scratch
from fastbpf.blocks.memory import write
from fastbpf.blocks.operand import BY_CALLS, extent, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastbpf.blocks.block import Block
    from fastbpf.blocks.operand import Operand, Place

__all__ = ["trace_printk"]

# What the kernel, 5.13 and later, reads in a format: bpf_bprintf_prepare, kernel/bpf/helpers.c. No letter or digit may
# follow on text and plain pointers.
_END = r"(?![^\W_])"
_NUMBER, _TEXT = r"c|l{0,2}[diuxX]", rf"(?:s|p[ku]s){_END}"
_CONVERSION = rf"%(?:%|[-+ 0]*(?:[1-9][0-9]*)?(?:{_NUMBER}|{_TEXT}|p(?:[KxsSB]|[iI][46]|{_END})))"
_KNOWN = "%d %i %u %x %X, of 64 bits with l or ll, %c %s %p; %% is a percent sign"


@checked
def trace_printk(text: str, *arguments: Operand | Address, at: Place) -> Block:
    """Print a line, with up to three numbers in it, by way of a copy of the text at `at`.

    Emits: stores of the text, which ends in a NUL; r1 = at; r2 = its length; r3, r4, r5 = the arguments; call
    trace_printk.

    The text is a format of the kernel's: %d %i %u %x %X for 32 bits, with l or ll for 64, %c for a character, %p for
    an address, %s for the text of the kernel's at an address, %% for a percent sign; a width may stand before the
    letter. r0 is how many bytes were printed, or a negative errno. Slow, and every reader of the log sees it. Clobbers
    r0 to r5. Needs the licence "GPL". Linux 4.1; older kernels refuse some
    of these, and text that is not ASCII.

    Raises AsmError for a format that the kernel refuses, when text and arguments do not fit together, or the text does
    not fit on the stack at `at`.

    >>> from fastbpf.asm import fp, r6
    >>> from fastbpf.blocks import printing
    >>> printing.trace_printk("%d of %d", r6, at=fp - 16)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: "%d of %d" prints 2 numbers, and 1 is given
    """
    printed = _conversions(text)
    if printed != len(arguments):
        are = "is" if len(arguments) == 1 else "are"
        numbers = f"{printed} number{'s' * (printed != 1)}"
        raise OperandError(f"{show(text)} prints {numbers}, and {len(arguments)} {are} given")
    if printed > 3:
        raise OperandError(f"{show(text)} prints {printed} numbers; trace_printk takes 3, call.trace_vprintk more")
    for argument in arguments:
        if isinstance(argument, str | bytes):
            raise OperandError(f"{show(argument)} is text; %s takes the address of text that ends in a NUL, as fp - 16")
    data = text.encode() + b"\0"
    address = place(at, len(data), what="the text")
    by = scratch(address.base, *(one.base if type(one) is Address else one for one in arguments))
    steps = write(address, data, by), call.trace_printk(address, len(data), *arguments)
    return block("printing.trace_printk", *steps, clobbers=(*BY_CALLS, by), stack=extent(address, len(data)))


def _conversions(text: object) -> int:
    # How many arguments the text prints.
    if not isinstance(text, str) or not text or "\0" in text:
        raise OperandError(f"{show(text)} is no text to print")
    import re  # takes milliseconds to import

    for character in text:
        if (character < " " and character not in "\t\n\v\f\r") or character == "\x7f":
            raise OperandError(f"{show(text)}: the kernel refuses the character {character!r}")
    count, at = 0, text.find("%")
    while at >= 0:
        found = re.compile(_CONVERSION).match(text, at)
        if not found:
            raise OperandError(f"{show(text)}: {show(text[at : at + 5])} is no conversion; there are {_KNOWN}")
        count += found[0] != "%%"
        at = text.find("%", found.end())
    return count
