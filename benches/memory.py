"""Memory of the whole command while events go to Parquet at full rate."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benches.calls import FIELDS, PROBE, calls_command, fastbpf_command, running
from benches.harness import BUILD, OURS, Effort, Result


def resident(pid: int) -> float:
    """Megabytes; 0 when the process has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0


def run(effort: Effort) -> Result:
    length = effort.scaled(60, 2)
    file = BUILD / "memory.parquet"
    command = [fastbpf_command(), "trace", PROBE, "-f", ",".join(FIELDS), "-o", str(file), "--force", "--"]
    samples = []
    with running([*command, *calls_command(seconds=length)]) as process:
        while process.poll() is None:
            samples.append(resident(process.pid))
            time.sleep(0.1)
    rows, size = pq.read_metadata(file).num_rows, file.stat().st_size
    file.unlink()
    # The first quarter is the start; what grows afterwards would grow for ever.
    quarter = len(samples) // 4
    growth = median(samples[-quarter - 1 : -1]) / median(samples[quarter : 2 * quarter])
    result = Result("memory", f"of fastbpf during {length} s at full rate to Parquet", "MB", {OURS: max(samples)})
    result.below("MB at most", result.ours, 250)
    result.below("× in the last quarter, of the second", growth, 1.05)
    result.notes = [f"{rows:,} rows ({rows / length / 1e6:.1f} million a second), {size / 1e6:,.0f} MB of Parquet"]
    return result
