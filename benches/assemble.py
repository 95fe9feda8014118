"""100,000 instructions from Python calls, or LLVM's from text, to the bytes that the kernel loads."""

from __future__ import annotations

import subprocess
from time import perf_counter

from benches.harness import BUILD, OURS, Effort, MissingPeerError, Result, take_turns
from benches.hundred_thousand import llvm, text, written
from fastbpf.asm import assemble

LLVM = "llvm-mc, from text"


def ours() -> float:
    start = perf_counter()
    code = assemble(written())
    took = perf_counter() - start
    assert len(code) == 100_001
    return took


def run(effort: Effort) -> Result:
    sides, notes = {OURS: ours}, []
    file = BUILD / "hundred_thousand.s"
    file.write_text(text())
    try:
        tool = llvm("llvm-mc")
        object_file = file.with_suffix(".o")

        def theirs() -> float:
            start = perf_counter()
            command = [tool, "-triple=bpfel", "-mcpu=v3", "-filetype=obj", "-o", object_file, file]
            subprocess.run(command, check=True)
            return perf_counter() - start

        if not effort.smoke:
            sides[LLVM] = theirs
    except MissingPeerError as error:
        notes.append(str(error))
    result = Result(
        "assemble", "100,000 instructions written and assembled", "s", take_turns(sides, effort), notes=notes
    )
    result.below("s", result.ours, 0.5)
    return result
