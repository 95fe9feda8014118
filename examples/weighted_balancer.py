"""Sends each packet to one of three backends at random: 30 %, 50 %, 20 %. A million runs show the split.

sudo python examples/weighted_balancer.py
"""

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import maps, random

WEIGHTS = {"small": 30, "large": 50, "spare": 20}
RUNS = 1_000_000

chosen = fb.MapSpec("array", value=fb.u64, max_entries=len(WEIGHTS), name="chosen")

code = assemble(
    random.choose(WEIGHTS),
    [[label(name), stw(fp, -4, number), ja("count")] for number, name in enumerate(WEIGHTS)],
    label("count"),
    maps.increment(chosen, fp - 4),
    ldxw(r0, fp, -4),  # the backend's number
    exit_(),
)


def main() -> None:
    with fb.ProgramSpec("socket_filter", code, name="balance").load() as program:
        program.test_run(bytes(64), repeat=RUNS)
        for number, (name, weight) in enumerate(WEIGHTS.items()):
            count = program.maps["chosen"][number]
            print(f"{name}: {count} of {RUNS} = {count / RUNS:.2%}, wanted {weight} %")


if __name__ == "__main__":
    main()
