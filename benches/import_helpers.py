"""How long importing the helper registry takes, beyond Python itself."""

from __future__ import annotations

import sys

from benches.harness import OURS, Effort, Result, take_turns
from benches.import_ import milliseconds


def run(effort: Effort) -> Result:
    sides = {
        "bare": lambda: milliseconds(sys.executable, "pass"),
        OURS: lambda: milliseconds(sys.executable, "import fastbpf.helpers"),
    }
    took = take_turns(sides, effort, rounds=4 * effort.rounds)
    result = Result(
        "import_helpers", "import fastbpf.helpers, beyond bare Python", "ms", {OURS: took[OURS] - took["bare"]}
    )
    result.below("ms", result.ours, 20)
    return result
