"""Options that commands share."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A time: 5s, 500ms, 2m, 1h; a plain number is seconds.

    >>> Duration().convert("1.5m", None, None)
    90.0
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) *([a-z]*)", str(value))
        if not found or found[2] not in _UNITS:
            self.fail(f"{value!r} is no time; write 500ms, 5s, 2m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


def options(*several: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which --help shows them."""

    def decorate(command: Any) -> Any:
        for one in reversed(several):
            command = one(command)
        return command

    return decorate


rows: Final = click.option(
    "-n", "--rows", type=click.IntRange(0, sys.maxsize), metavar="N", help="End after so many rows."
)
# What a trace is: the same for `trace` and `record`.
traced: Final = options(
    click.argument("probe"),
    click.option(
        "-f",
        "--fields",
        multiple=True,
        metavar="F,F…",
        help="The columns: ts pid tid uid gid cpu comm cgroup, and the probe's own, which args.NAME always means; by "
        "default ts, pid, tid, comm and all of the probe's own.",
    ),
    click.option("--where", metavar="EXPR", help="Only events for which this Python expression over fields holds."),
    click.option(
        "-p",
        "--pid",
        type=click.IntRange(1, (1 << 31) - 1),
        metavar="PID",
        help="Only this process, as the initial pid namespace numbers it; the trace ends when it does (seen from that "
        "namespace only).",
    ),
    click.option("--for", "seconds", type=Duration(), help="End after this time: 500ms, 5s, 2m."),
    rows,
    click.option("--buffer", default="8MiB", show_default=True, metavar="SIZE", help="Size of the ring buffer."),
    click.option(
        "--shards",
        type=click.Choice(["cpu"]),
        metavar="cpu",
        help="A ring buffer for each CPU, for many events; rows come in no order then.",
    ),
    click.option(
        "--overflow",
        type=click.Choice(["block", "drop_newest", "drop_oldest"]),
        default="block",
        metavar="HOW",
        help="When writing is slow: block (the default), drop_newest or drop_oldest.",
    ),
    click.option("--text", default=256, show_default=True, metavar="BYTES", help="How much of a text is kept."),
    click.option("--include-self", is_flag=True, help="The events of fastbpf itself, too."),
    click.option("--raw", is_flag=True, help="Add ts_raw, the kernel's own time."),
)
in_order: Final = click.option("--ordered", is_flag=True, help="Rows in the order of ts.")
force: Final = click.option("--force", is_flag=True, help="Replace the file if it exists.")
command: Final = click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD …]")


def field_names(fields: tuple[str, ...]) -> list[str]:
    """The names in `-f a,b -f c`."""
    return [name.strip() for part in fields for name in part.split(",") if name.strip()]
