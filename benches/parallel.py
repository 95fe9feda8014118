"""One producer at full speed on one CPU, the consumer on the other: how many events come through, at what cost."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benches.harness import OURS, Effort, MissingPeerError, Result, Target, build, take_turns
from benches.producing import Read, by_fastbpf, by_libbpf, program

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = "libbpf ring_buffer__poll"


def run(effort: Effort) -> Result:
    seconds = 0.3 if effort.smoke else 2
    cpu: dict[str, list[float]] = {OURS: [], POLL: []}
    notes = []

    def side(name: str, read: Callable[..., Read]) -> Callable[[], float]:
        def measure() -> float:
            with program().load() as one:
                found = read([one], (1, 0), seconds)
            cpu[name].append(found.cpu_ns_each)
            return found.millions

        return measure

    sides = {OURS: side(OURS, by_fastbpf)}
    try:
        build("poller.c", libraries=("bpf",))
        sides[POLL] = side(POLL, by_libbpf)
    except MissingPeerError as error:
        notes.append(str(error))
    medians = take_turns(sides, effort)
    each = {name: median(values) for name, values in cpu.items() if values}
    result = Result("parallel", "events of a producer at full speed, read on the other CPU", "million/s", medians)
    result.notes = [*notes, *(f"{name}: {value:.1f} ns of CPU an event" for name, value in each.items())]
    if POLL in medians:
        result.targets.append(Target(f"× {POLL}", medians[OURS] / medians[POLL], 1.5, at_least=True))
        result.below(f"× the CPU an event of {POLL}", each[OURS] / each[POLL], 0.5)
    return result
