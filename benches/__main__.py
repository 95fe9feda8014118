"""`python -m benches`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path

import benches
from benches import report
from benches.harness import BUILD, Effort, say

# In the order of the README's table.
NAMES = ["drain", "drain_kept", "drain_small", "drain_large", "drain_strings", "drain_nested", "drain_perf"]
NAMES += ["parallel", "shards", "perf_process", "frame"]
NAMES += ["traced_process", "paced", "consumer", "import", "first_row", "memory", "accounting"]
NAMES += ["assemble", "disassemble", "import_asm", "import_helpers", "helpers_probe", "rate_limit"]
NAMES += ["maps_hash", "maps_array", "maps_percpu", "maps_update", "maps_element"]
# Asked for by name only.
DIAGNOSES = ["breakdown"]
RESULTS = BUILD / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benches", description=benches.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES + DIAGNOSES)}")
    parser.add_argument("--smoke", action="store_true", help="once and short; nothing is judged")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--events", type=int, default=100_000_000, help="how many the accounting follows")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where results are kept")
    parser.add_argument("--readme", action="store_true", help="print the README's table from the results that are kept")
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES + DIAGNOSES):
        parser.error(f"there is no benchmark {unknown.pop()!r}; there are {', '.join(NAMES + DIAGNOSES)}")
    if args.readme:
        print(report.markdown(args.json, NAMES))
        return 0

    BUILD.mkdir(exist_ok=True)
    load = os.getloadavg()[0]
    if load > 0.5 and not args.smoke:
        say(f"others use this machine (load {load:.1f}): times are longer than they should be, ratios say more")
    results = []
    for name in args.names or NAMES:
        say(f"{name} …")
        start = time.monotonic()
        # "import" is a word of Python's.
        module = import_module(f"benches.{name if name != 'import' else 'import_'}")
        result = module.run(Effort(args.rounds, args.smoke, args.events))
        say(f"  {time.monotonic() - start:.1f} s")
        print(report.shown(result, judged=not args.smoke), flush=True)
        results.append(result)
    if args.smoke:
        return 0
    if kept := [one for one in results if one.name in NAMES]:
        report.keep(kept, args.json)
    missed = [f"{one.name} ({target.text})" for one in results for target in one.targets if not target.met]
    if missed:
        say(f"MISSED: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
