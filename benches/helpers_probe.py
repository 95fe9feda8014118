"""How long it takes to ask the kernel which of all helpers programs of a type may call, beside bpftool."""

from __future__ import annotations

import subprocess
from time import perf_counter

from benches.harness import OURS, Effort, MissingPeerError, Result, find, take_turns
from fastbpf import helpers

TYPES = ("xdp", "sched_cls", "kprobe")
BPFTOOL = "bpftool feature probe, all types"


def probe(prog_type: str) -> float:
    start = perf_counter()
    found = helpers.probe(prog_type)
    took = perf_counter() - start
    assert len(found) == 211
    return 1000 * took


def run(effort: Effort) -> Result:
    sides, notes = {OURS: lambda: probe(TYPES[0])}, []
    sides |= {f"{OURS}, {kind}": lambda kind=kind: probe(kind) for kind in TYPES[1:]}
    try:
        tool = find("bpftool")

        def theirs() -> float:
            start = perf_counter()
            subprocess.run([tool, "feature", "probe"], stdout=subprocess.DEVNULL, check=True)
            return 1000 * (perf_counter() - start)

        if not effort.smoke:
            sides[BPFTOOL] = theirs
    except MissingPeerError as error:
        notes.append(str(error))
    medians = take_turns(sides, effort)
    result = Result(
        "helpers_probe", "helpers.probe of all 211 helpers for one program type", "ms", medians, notes=notes
    )
    for kind in TYPES:
        result.below(f"ms, {kind}", medians[OURS if kind == TYPES[0] else f"{OURS}, {kind}"], 30)
    return result
