"""The forms that statements have: patterns, and who makes the instruction of what they match.

In a pattern a space may be any white space or none, ~ is at least some, and REG, NUM … stand for what follows here.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbpf.asm.instruction import Instruction

# A number that begins with 0 is none: LLVM reads it as octal. Each is one group; no two spaces in a row, which would
# take time that is quadratic.
_NUMBER = r"(?:0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)"
_NAME = r'"(?:\\.|[^"\\])*"|[A-Za-z_.$][\w.$]*'
_ATOMS = {
    "REG": r"([rw][0-9]+)",
    "NUM": rf"((?:[+-] )?{_NUMBER})",
    "BITS": r"u(8|16|32|64) \*",
    "TO": rf"((?:pc )?[+-] {_NUMBER}|{_NAME})",
    "NAME": rf"({_NAME})",
}
# two groups: a register and the offset
_ATOMS["AT"] = rf"{_ATOMS['REG']}(?: ((?:[+-]|\+ -) {_NUMBER}))?"
_ATOMS["PLACE"] = rf"\( {_ATOMS['AT']} \)"
_ATOM = re.compile(r"\b(?:" + "|".join(_ATOMS) + r")\b")
FORMS: dict[str, list[tuple[re.Pattern[str], Callable[..., Instruction]]]] = {}


def form(*patterns: str) -> Callable[[Callable[..., Instruction]], Callable[..., Instruction]]:
    """Enter the function under these patterns; it is called with the statement and what the groups matched."""

    def enter(build: Callable[..., Instruction]) -> Callable[..., Instruction]:
        for pattern in patterns:
            expanded = _ATOM.sub(lambda found: _ATOMS[found[0]], pattern)
            form = re.compile(expanded.replace(" ", r"\s*").replace("~", r"\s+"))
            # its first letter says which statements are tried against it
            for first in "rw" if pattern.startswith("REG") else pattern.lstrip("\\")[0]:
                FORMS.setdefault(first, []).append((form, build))
        return build

    return enter
