"""The 100,000 instructions that the assembler is timed with: labels, branches both ways, loads, stores, numbers."""

from __future__ import annotations

import shutil

from benches.harness import MissingPeerError
from fastbpf.asm import *

BLOCKS = 100_000 // 8


def written() -> list[Instruction | Label]:
    """The parts, each written by a call as people write it."""
    parts: list[Instruction | Label] = []
    for block in range(BLOCKS):
        parts += [
            label(f"block{block}"),
            mov(r1, block),
            add(r1, r2),
            stxdw(fp, -8, r1),
            ldxdw(r3, fp, -8),
            jeq(r1, 5, f"block{block + 1}"),
            jlt32(r3, r1, f"block{block}"),
            const(r4, block),
            mov32(r5, 3),
        ]
    return [*parts, label(f"block{BLOCKS}"), exit_()]


def text() -> str:
    """The same for LLVM."""
    lines = [
        f"""block{block}:
        r1 = {block}
        r1 += r2
        *(u64 *)(r10 - 8) = r1
        r3 = *(u64 *)(r10 - 8)
        if r1 == 5 goto block{block + 1}
        if w3 < w1 goto block{block}
        r4 = {block}
        w5 = 3"""
        for block in range(BLOCKS)
    ]
    return "\n".join([*lines, f"block{BLOCKS}:", "exit\n"])


def llvm(tool: str) -> str:
    """The newest of LLVM's tools of that name."""
    found = [path for version in range(40, 13, -1) if (path := shutil.which(f"{tool}-{version}"))]
    found += [path] if (path := shutil.which(tool)) else []
    if not found:
        raise MissingPeerError(f"{tool} is not installed")
    return found[0]
