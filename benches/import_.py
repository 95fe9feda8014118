"""How long an import takes, beyond Python itself."""

from __future__ import annotations

import os
import subprocess
import sys
from time import perf_counter

from benches.harness import OURS, SYSTEM_PYTHON, Effort, MissingPeerError, Result, system_python, take_turns

BCC = "import bcc"


# What is installed has its bytecode beside it.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def milliseconds(python: str, code: str) -> float:
    start = perf_counter()
    subprocess.run([python, "-c", code], check=True, env=_ENVIRONMENT)
    return (perf_counter() - start) * 1000


def run(effort: Effort) -> Result:
    notes = []
    sides = {
        "bare": lambda: milliseconds(sys.executable, "pass"),
        OURS: lambda: milliseconds(sys.executable, "import fastbpf"),
    }
    try:
        if not effort.smoke:
            system_python("bcc")
            sides["bare, Debian's"] = lambda: milliseconds(SYSTEM_PYTHON, "pass")
            sides[BCC] = lambda: milliseconds(SYSTEM_PYTHON, "import bcc")
    except MissingPeerError as error:
        notes.append(str(error))
    took = take_turns(sides, effort, rounds=4 * effort.rounds)
    medians = {OURS: took[OURS] - took["bare"]}
    if BCC in took:
        medians[BCC] = took[BCC] - took["bare, Debian's"]
    result = Result("import", "import fastbpf, beyond bare Python", "ms", medians, notes=notes)
    result.below("ms", result.ours, 20)
    return result
