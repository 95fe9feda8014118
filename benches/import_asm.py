"""How long importing the assembler takes, beyond Python itself."""

from __future__ import annotations

import sys

from benches.harness import OURS, Effort, Result, take_turns
from benches.import_ import milliseconds


def run(effort: Effort) -> Result:
    sides = {
        "bare": lambda: milliseconds(sys.executable, "pass"),
        OURS: lambda: milliseconds(sys.executable, "from fastbpf.asm import *"),
    }
    took = take_turns(sides, effort, rounds=4 * effort.rounds)
    medians = {OURS: took[OURS] - took["bare"]}
    result = Result("import_asm", "from fastbpf.asm import *, beyond bare Python", "ms", medians)
    result.below("ms", result.ours, 25)
    return result
