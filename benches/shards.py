"""Two producers on two CPUs, each with a ring of its own, or both with one; the consumer where there is room for it."""

from __future__ import annotations

from contextlib import ExitStack

from benches.harness import OURS, Effort, Result, Target, take_turns
from benches.producing import by_fastbpf, by_libbpf, program

SHARED = "fastbpf, one shared ring"
POLL = "libbpf ring_buffer__poll, one shared ring"


def run(effort: Effort) -> Result:
    seconds = 0.3 if effort.smoke else 2

    def sharded() -> float:
        with ExitStack() as stack:
            both = [stack.enter_context(program().load()) for _ in range(2)]
            return by_fastbpf(both, (0, None), seconds).millions

    def shared() -> float:
        with program().load() as one:
            return by_fastbpf([one, one], (0, None), seconds).millions

    def libbpf() -> float:
        with program().load() as one:
            return by_libbpf([one, one], (0, None), seconds).millions

    sides = {OURS: sharded, SHARED: shared} | ({} if effort.smoke else {POLL: libbpf})
    medians = take_turns(sides, effort)
    result = Result("shards", "events of two producers at full speed, a ring for each", "million/s", medians)
    result.targets.append(Target(f"× {SHARED}", medians[OURS] / medians[SHARED], 1.5, at_least=True))
    return result
