"""Which line of Python wrote an instruction."""

from __future__ import annotations

import sys

from fastbpf.asm.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# Frames of these write instructions on behalf of whoever called them.
_PACKAGE = __file__.removesuffix("asm/source.py")
_PLACES = tuple(_PACKAGE + name for name in ("asm/", "blocks/", "programs.py"))
_OURS: set[str] = set()
# A line that writes many instructions is one object.
_SOURCES: dict[str, dict[int, Source]] = {}


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
        _set_file(self, file)
        _set_line(self, line)

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"

    def __repr__(self) -> str:
        return f"Source({self.file!r}, {self.line})"


# Every instruction has one: these take half the time of object.__setattr__.
_set_file, _set_line = Source.file.__set__, Source.line.__set__  # type: ignore[attr-defined]  # slots


def here() -> Source:
    """The line that called into the assembler, past its own frames and those of building blocks and `ProgramSpec`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file not in _OURS and not _is_ours(file, frame):
            lines, line = _SOURCES.setdefault(file, {}), frame.f_lineno
            source = lines.get(line)
            if source is None:
                source = lines[line] = Source(file, line)
            return source
        frame = frame.f_back
    return Source("<unknown>", 0)


def _is_ours(file: str, frame: FrameType) -> bool:
    if file.startswith(_PLACES):
        _OURS.add(file)
        return True
    # A dataclass's __init__ is text that was compiled, as what `python -c` runs is.
    return file == "<string>" and frame.f_globals.get("__name__") == "fastbpf.programs"
