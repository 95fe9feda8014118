"""`fastbpf probes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fastbpf.cli.refusal import Refused, refusing
from fastbpf.errors import ProbeError

if TYPE_CHECKING:
    from fastbpf.probes import Probe

# So few are shown with their fields, whether asked for or not.
_FEW = 20


@click.command()
@click.argument("pattern", default="*")
@click.option("-f", "--fields", is_flag=True, help="With their fields, however many probes match.")
def probes(pattern: str, fields: bool) -> None:  # noqa: FBT001  # click gives names
    """List the probes that match PATTERN: a part of the text, or a whole one with * ? [.

    Up to 20 are shown with their fields: name, the column's Arrow type, the kernel's C type. Every probe also has ts,
    pid, tid, uid, gid, cpu, comm and cgroup.

    \b
    fastbpf probes openat
    fastbpf probes 'tracepoint:sched:*'
    """  # noqa: D301  # click reads \b
    from fastbpf.probes import matching

    with refusing():
        found = _named(pattern) or matching(pattern)
    if not found:
        raise Refused(f"no probe matches {pattern!r}; fastbpf probes lists all there are")
    told = fields or len(found) <= _FEW
    for probe in found:
        print(probe.text)
        if told:
            for line in _fields(probe):
                print(f"    {line}")


# A probe's own text names it alone, though it may be a part of others'.
def _named(text: str) -> list[Probe]:
    from fastbpf.probes import resolve

    try:
        return [resolve(text)]
    except ProbeError:
        return []


def _fields(probe: Probe) -> list[str]:
    from fastbpf.record import Struct
    from fastbpf.tracing.columns import choose

    names = [f"args.{field.name}" for field in probe.fields]
    if not names:
        return ["(no fields of its own)"]
    columns = choose(probe, names, text=256, raw=False)
    schema = Struct.of("Record", {column.name: column.type for column in columns}).schema
    rows = [
        (column.name, _short(schema.field(column.name).type), field.c_type)
        for column, field in zip(columns, probe.fields, strict=True)
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return [f"{name:{widths[0]}}  {arrow:{widths[1]}}  {c}" for name, arrow, c in rows]


def _short(kind: object) -> str:
    text = str(kind)
    return "dictionary<string>" if text.startswith("dictionary<") else text
