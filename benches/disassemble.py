"""The bytes of 100,000 instructions to instructions; to their text too, as llvm-objdump does."""

from __future__ import annotations

import subprocess
from time import perf_counter

from benches.harness import BUILD, OURS, Effort, MissingPeerError, Result, take_turns
from benches.hundred_thousand import llvm, text, written
from fastbpf.asm import assemble, disassemble

TEXT, LLVM = "fastbpf, to text", "llvm-objdump, to text"


def run(effort: Effort) -> Result:
    raw = bytes(assemble(written()))

    def ours() -> float:
        start = perf_counter()
        disassemble(raw)
        return perf_counter() - start

    def to_text() -> float:
        start = perf_counter()
        str(disassemble(raw))
        return perf_counter() - start

    sides, notes = {OURS: ours}, []
    if not effort.smoke:
        sides[TEXT] = to_text
        try:
            tool, assembler = llvm("llvm-objdump"), llvm("llvm-mc")
            file = BUILD / "hundred_thousand.s"
            file.write_text(text())
            object_file = file.with_suffix(".o")
            subprocess.run(
                [assembler, "-triple=bpfel", "-mcpu=v3", "-filetype=obj", "-o", object_file, file], check=True
            )

            def theirs() -> float:
                start = perf_counter()
                subprocess.run([tool, "-d", object_file], check=True, stdout=subprocess.DEVNULL)
                return perf_counter() - start

            sides[LLVM] = theirs
        except MissingPeerError as error:
            notes.append(str(error))
    result = Result("disassemble", "the bytes of 100,000 instructions", "s", take_turns(sides, effort), notes=notes)
    result.below("s", result.ours, 0.5)
    return result
