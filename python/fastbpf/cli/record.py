"""`fastbpf record`."""

from __future__ import annotations

from typing import Any

import click

from fastbpf.cli import options
from fastbpf.cli.session import Session
from fastbpf.cli.views import claim_capture


@click.command()
@options.traced
@click.option("-o", "--output", metavar="FILE", required=True, help="The capture, FILE.fbpf.")
@options.force
@options.command
def record(output: str, force: bool, **how: Any) -> None:  # noqa: FBT001  # click gives names
    """Trace PROBE into a capture: what the buffer held, byte for byte.

    `fastbpf replay` decodes it, anywhere and without privileges. CMD is as for `fastbpf trace`.

    \b
    fastbpf record tracepoint:syscalls:sys_enter_openat -o opens.fbpf -- ls
    fastbpf replay opens.fbpf -o opens.parquet
    """  # noqa: D301  # click reads \b
    with Session() as session:
        place = session.enter(lambda: claim_capture(output, force=force, live=not how["command"]))
        events = session.attach(how, decode=False)
        session.run(events, session.enter(lambda: place.open(events, session.metadata)))
