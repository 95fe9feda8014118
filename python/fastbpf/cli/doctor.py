"""`fastbpf doctor`."""

from __future__ import annotations

import sys

import click

from fastbpf import system


@click.command()
def doctor() -> None:
    """Try what tracing needs, and say what to do about what does not work.

    Exits with 0 when tracing works, with 1 when it does not.
    """
    checks = system.doctor()
    width = max(len(check.name) for check in checks)
    for check in checks:
        remedy = f"; {check.remedy}" if check.remedy else ""
        print(f"{check.name:{width}}  {'ok     ' if check.ok else 'problem'}  {check.found}{remedy}")
    works = all(check.ok for check in checks if check.needed)
    print(f"\n{'tracing works' if works else 'tracing does not work'}")
    sys.exit(not works)
