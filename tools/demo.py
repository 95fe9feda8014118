"""`make demo`: traces the files that a command opens, from the kernel to a Parquet file to a polars frame.

Without the privilege to trace, it replays a capture that the project's own tests recorded, through the same decoder.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from fastbpf import system

ROOT = Path(__file__).resolve().parents[1]
CAPTURE = ROOT / "tests/data/openat.fbpf"
PROBE = "tracepoint:syscalls:sys_enter_openat"
FASTBPF = [sys.executable, "-m", "fastbpf"]
# Opens a few hundred files in two seconds.
COMMAND = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do ls -R /usr/share/zoneinfo; sleep 0.2; done >/dev/null"]


def show(*arguments: object) -> None:
    """Run one of our commands on this terminal, and show how it was called."""
    words = [str(argument) for argument in arguments]
    print("\n$ fastbpf", *(f"'{word}'" if " " in word else word for word in words), flush=True)
    subprocess.run([*FASTBPF, *words], check=True)


def read(path: Path) -> None:
    """Show what polars makes of the file, and the accounting in it."""
    frame = pl.read_parquet(path)
    print(f"\n>>> polars.read_parquet({path.name!r})", frame, sep="\n")
    print("\n>>> the most opened", frame["filename"].value_counts(sort=True).head(5), sep="\n")
    stats = json.loads(pq.read_metadata(path).metadata[b"fastbpf.stats"])
    print("\naccounting, from the file's footer:", ", ".join(f"{key} {value}" for key, value in stats.items()))


def refused() -> str | None:
    """Why this process may not trace; None if it may."""
    return next((f"{check.name}: {check.found}" for check in system.doctor() if check.needed and not check.ok), None)


why = refused()
with tempfile.TemporaryDirectory(prefix="fastbpf-demo-") as folder:
    parquet = Path(folder) / "demo.parquet"
    if why:
        print(f"No privilege to trace ({why}): this replays a capture that the project's own tests recorded.")
        show("replay", CAPTURE, "-n", 10)
        show("replay", CAPTURE, "-o", parquet)
    else:
        print("The files that a command opens, traced on this machine.")
        show("trace", PROBE, "-f", "ts,pid,comm,filename", "--", *COMMAND)
        show("trace", PROBE, "-o", parquet, "--", *COMMAND)
    read(parquet)
