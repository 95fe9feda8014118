"""`fastbpf replay`."""

from __future__ import annotations

import click

from fastbpf.cli import options
from fastbpf.cli.session import Session
from fastbpf.cli.views import claim_views


@click.command()
@click.argument("file")
@options.rows
@click.option("-o", "--output", metavar="FILE", help="Write .parquet, .arrow, .arrows, .ndjson or .csv.")
@options.force
def replay(file: str, rows: int | None, output: str | None, force: bool) -> None:  # noqa: FBT001  # click gives names
    """Decode the capture FILE, as if it happened now.

    Of a capture with several types of record, each goes to a file of its own: -o events.parquet makes
    events.Open.parquet and events.Exit.parquet. Without -o the lines tell the type, in the field `record`.

    \b
    fastbpf replay opens.fbpf
    fastbpf replay opens.fbpf -o opens.parquet
    """  # noqa: D301  # click reads \b
    with Session() as session:
        capture = session.open_capture(file, rows)
        place = session.enter(lambda: claim_views(output, capture.names, force=force))
        session.run(capture, session.enter(lambda: place.open(capture, session.metadata)))
