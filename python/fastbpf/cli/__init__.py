"""The command line. It comes with the extra `fastbpf[cli]`, which brings click and rich."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """The command `fastbpf`. Exit codes: 0 done, 1 failed while running, 2 refused."""
    if not (find_spec("click") and find_spec("rich")):
        print("fastbpf: the command line needs click and rich; pip install 'fastbpf[cli]' brings them", file=sys.stderr)
        sys.exit(2)
    try:
        from fastbpf.cli.group import run

        sys.exit(run())
    except KeyboardInterrupt:
        # Before anything began, or in the middle of a list.
        sys.exit(0)
