"""Which line of Python wrote an instruction."""

from __future__ import annotations

import sys

from fastbpf.asm.value import Value, fill

# Frames of these folders write instructions on behalf of whoever called them.
_ASM = __file__.removesuffix("source.py")
_OURS = (_ASM, _ASM[: -len("asm/")] + "blocks" + _ASM[-1])


class Source(Value):
    """A line of a Python file.

    >>> str(Source("/home/me/count_opens.py", 12))
    'count_opens.py:12'
    """

    __match_args__ = ("file", "line")
    __slots__ = __match_args__
    file: str
    line: int

    def __init__(self, file: str, line: int) -> None:
        fill(self, "file", file)
        fill(self, "line", line)

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"

    def __repr__(self) -> str:
        return f"Source({self.file!r}, {self.line})"


def here() -> Source:
    """The line that called into the assembler, past the assembler's own frames and those of the building blocks."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_OURS) and frame.f_back is not None:
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)
