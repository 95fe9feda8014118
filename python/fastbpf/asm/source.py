"""Which line of Python wrote an instruction."""

from __future__ import annotations

import sys

from fastbpf.asm.value import Value, fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# Frames of these write instructions on behalf of whoever called them.
_PACKAGE = __file__.removesuffix("asm/source.py")
_OURS = tuple(_PACKAGE + name for name in ("asm/", "blocks/", "programs.py"))


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
    """The line that called into the assembler, past its own frames and those of building blocks and `ProgramSpec`."""
    frame = sys._getframe(1)
    while _ours(frame) and frame.f_back is not None:
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno)


def _ours(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    # A dataclass's __init__ is text that was compiled, as what `python -c` runs is.
    return file.startswith(_OURS) or (file == "<string>" and frame.f_globals.get("__name__") == "fastbpf.programs")
