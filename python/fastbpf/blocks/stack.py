"""Places on the stack: who gets which of its 512 bytes.

>>> from fastbpf.blocks.stack import Stack
>>> stack = Stack()
>>> key, value = stack.take(4), stack.take(16)
>>> key, value, stack.used
(fp - 4, fp - 24, 24)
"""

from __future__ import annotations

from fastbpf.asm import *
from fastbpf.asm.operands import within
from fastbpf.asm.refusal import OperandError, checked, show
from fastbpf.blocks.block import DEPTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Layout(Protocol):
        """What has a size and an alignment: a Struct, or a field type."""

        @property
        def size(self) -> int: ...
        @property
        def align(self) -> int: ...


__all__ = ["Stack"]


class Stack:
    """Hands out places of a program's stack, from the top down, none over another.

    A subprogram has a frame of its own, so give it a `Stack` of its own; but the frames of a program and the
    subprograms that it calls share the 512 bytes.

    >>> import fastbpf as fb
    >>> from fastbpf.blocks.stack import Stack
    >>> class Key(fb.Struct):
    ...     pid: fb.u32
    ...     device: fb.u64
    >>> stack = Stack()
    >>> stack.take(3), stack.take(Key), stack.take(6, align=1)
    (fp - 3, fp - 24, fp - 30)
    >>> stack.take(500)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbpf.errors.AsmError: ...: take(<Stack: 30 of 512 bytes taken>, 500): 500 bytes more do not fit: 482 are free
    """

    def __init__(self) -> None:
        self._used = 0

    @property
    def used(self) -> int:
        """How many bytes are taken, gaps for alignment included."""
        return self._used

    @checked
    def take(self, size: int | Layout, align: int | None = None) -> Address:
        """A place of that many bytes, or for a value of that layout.

        It is aligned to `align` (1, 2, 4 or 8), else as the layout is, else to the largest of these that divides the
        size, which is enough for every C structure of that size.

        Raises:
            AsmError: the stack has no room for it.
        """
        if isinstance(size, int):
            count = within(size, 1, DEPTH, "the size of a place")
            least = count & -count if count % 8 else 8
        elif hasattr(size, "size") and hasattr(size, "align"):
            count, least = size.size, size.align
        else:
            raise OperandError(f"{show(size)} is no size: a number of bytes, a Struct, or a field type")
        if align is not None and (type(align) is not int or align not in (1, 2, 4, 8)):
            raise OperandError(f"{show(align)} is no alignment; there are 1, 2, 4 and 8")
        end = self._used + count
        end += -end % (align or least)
        if end > DEPTH:
            raise OperandError(f"{count} bytes more do not fit: {DEPTH - self._used} are free")
        self._used = end
        return fp - end

    def __repr__(self) -> str:
        return f"<Stack: {self._used} of {DEPTH} bytes taken>"
