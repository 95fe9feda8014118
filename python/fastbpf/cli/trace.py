"""`fastbpf trace`."""

from __future__ import annotations

from typing import Any

import click

from fastbpf.cli import options
from fastbpf.cli.session import Session
from fastbpf.cli.views import claim_view


@click.command()
@options.traced
@options.in_order
@click.option("-o", "--output", metavar="FILE", help="Write .parquet, .arrow, .arrows, .ndjson or .csv.")
@options.force
@options.command
def trace(output: str | None, force: bool, **how: Any) -> None:  # noqa: FBT001  # click gives names
    """Trace PROBE, from now until Ctrl-C, or until CMD has ended.

    On a terminal the newest rows are shown; into a pipe goes NDJSON. The last line on stderr says how many rows there
    are and what was lost.

    CMD is traced with its children, and ended when the trace ends first. Its own output stands undisturbed: on a
    terminal the table comes at the end, and when events go to a pipe, CMD's output goes to stderr.

    \b
    fastbpf trace tracepoint:syscalls:sys_enter_openat -- ls
    fastbpf trace t:sched:sched_process_exec -f ts,pid,filename | head
    fastbpf trace t:syscalls:sys_enter_write --where "count > 4096" --for 5s -o writes.parquet
    """  # noqa: D301  # click reads \b
    with Session() as session:
        place = session.enter(lambda: claim_view(output, force=force, live=not how["command"]))
        events = session.attach(how, private_stdout=place.is_pipe)
        session.run(events, session.enter(lambda: place.open(events, session.metadata)))
