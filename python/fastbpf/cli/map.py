"""`fastbpf map`."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from fastbpf.cli.options import Duration, force
from fastbpf.cli.refusal import refusing
from fastbpf.cli.values import as_json, key_from, value_from
from fastbpf.cli.words import counted, show_lines
from fastbpf.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbpf.maps import Map, MapInfo


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def map() -> None:
    """Look at the kernel's maps and change them.

    A MAP is its number, its name, or the path of a pin (with a / in it). What its maker told the kernel of keys and
    values (BTF) gives them names; otherwise they are bytes.

    \b
    fastbpf map list
    fastbpf map dump counts -o counts.parquet
    fastbpf map top counts --every 500ms
    """  # noqa: D301  # click reads \b


_map = click.argument("name", metavar="MAP")
_json = click.option("--json", "as_lines", is_flag=True, help="A JSON object a line.")


@map.command(name="list")
@_json
def list_(*, as_lines: bool) -> None:
    """List all maps: number, type, name, bytes of key and value, entries, bytes of memory."""
    from fastbpf.maps import loaded_maps

    with refusing():
        found = loaded_maps()
    if as_lines:
        for one in found:
            print(json.dumps(one._asdict()))
        return
    heads = ("id", "type", "name", "key", "value", "entries", "memory")
    show_lines([heads, *(_line(one) for one in found)])


def _line(one: MapInfo) -> Sequence[str]:
    sizes = (one.key_size, one.value_size, one.max_entries, one.memory)
    return (str(one.id), one.type, one.name or "-", *(str(size) for size in sizes))


@map.command()
@_map
@_json
def show(*, name: str, as_lines: bool) -> None:
    """Tell what the kernel knows of MAP, and the columns that its elements become."""
    with _opened(name) as opened:
        info, columns = opened.info._asdict(), _columns(opened)
    if as_lines:
        print(json.dumps({**info, "columns": columns}))
        return
    show_lines([(what, _shown(value)) for what, value in info.items()])
    if columns:
        print("columns")
        show_lines([(f"    {column}", kind) for column, kind in columns.items()])


def _shown(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value) or "-"


# What has no elements has no columns either.
def _columns(opened: Map) -> dict[str, str]:
    from fastbpf.errors import LayoutError
    from fastbpf.maps.tables import Reading

    try:
        schema = Reading(opened, drain=True).schema
    except LayoutError:
        return {}
    return {field.name: _short(field.type) for field in schema}


def _short(kind: Any) -> str:
    text = str(kind)
    return "dictionary<string>" if text.startswith("dictionary<") else text


@map.command()
@_map
@click.option("-o", "--output", metavar="FILE", help="Into a file: .parquet, .arrow, .arrows, .ndjson or .csv.")
@force
@click.option(
    "--reduce",
    type=click.Choice(["sum", "max", "min", "mean"]),
    help="One row of the values that an element has on all CPUs.",
)
def dump(*, name: str, output: str | None, force: bool, reduce: Any) -> None:
    """Read all elements of MAP: a table on a terminal, NDJSON in a pipe, or a file."""
    from fastbpf import system
    from fastbpf.maps.tables import Reading

    with _opened(name) as opened:
        with refusing():
            reading = Reading(opened, reduce, rows=65_536)
        if output is not None:
            from fastbpf.sinks import claim

            with refusing():
                place = claim(output, force=force)
            told = {**system.identity(), "map": opened.spec.name, "map_id": str(opened.id)}
            with place.open(reading.schema, told) as sink:
                for batch in reading.native():
                    sink.write(batch)
                sink.close(None)
            print(f"fastbpf: {counted(sink.rows, 'row')} in {output}", file=sys.stderr)
            return
        if os.isatty(1):
            lines = [reading.schema.names]
            for batch in reading.native():
                lines += [[_printable(cell) for cell in row] for row in batch.to_text(0, len(batch))]
            show_lines(lines)
            return
        for batch in reading.native():
            sys.stdout.buffer.write(batch.to_ndjson())


# What a program copied from somewhere must not move the cursor.
def _printable(text: str | None) -> str:
    if text is None:
        return "null"
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


_KEY_HELP = """KEY and VALUE are numbers, texts and addresses as one writes them, bytes in hexadecimal, lists in
    brackets; of a struct FIELD=VALUE,FIELD=VALUE, or a JSON object."""


@map.command(epilog=_KEY_HELP)
@_map
@click.argument("key")
def get(*, name: str, key: str) -> None:
    """Print the value of KEY in MAP, as JSON."""
    with _opened(name) as opened:
        wanted = key_from(opened, key)
        try:
            value = opened[wanted]
        except KeyError:
            raise _missing(opened, key) from None
    print(as_json(value))


@map.command(name="set", epilog=_KEY_HELP)
@_map
@click.argument("key")
@click.argument("value", nargs=-1, required=True)
@click.option("--new", "how", flag_value="new", help="Only if KEY is not there yet.")
@click.option("--existing", "how", flag_value="existing", help="Only if KEY is there.")
def set_(*, name: str, key: str, value: tuple[str, ...], how: str | None) -> None:
    """Write VALUE for KEY into MAP; where each CPU has a value, one for all or one for each."""
    with _opened(name) as opened:
        wanted, given = key_from(opened, key), value_from(opened, value)
        try:
            opened.update({wanted: given} if _hashes(wanted) else [(wanted, given)], flags=how or "any")
        except KeyError:
            raise _missing(opened, key) from None


def _hashes(key: Any) -> bool:
    return type(key).__hash__ is not None


@map.command(epilog=_KEY_HELP)
@_map
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
def delete(*, name: str, keys: tuple[str, ...]) -> None:
    """Delete the elements with these keys from MAP."""
    with _opened(name) as opened:
        wanted = [key_from(opened, key) for key in keys]
        for text, key in zip(keys, wanted, strict=True):
            try:
                del opened[key]
            except KeyError:
                raise _missing(opened, text) from None


@map.command()
@_map
@click.option("--every", type=Duration(), default="1s", show_default=True, metavar="TIME", help="Between two reads.")
@click.option("-s", "--sort", metavar="COLUMN", help="Largest first; by default the first rate.")
@click.option("-n", "--rows", type=click.IntRange(1), metavar="N", help="So many rows; as many as there is room for.")
@click.option("--for", "seconds", type=Duration(), help="End after this time: 500ms, 5s, 2m.")
def top(*, name: str, every: float, sort: str | None, rows: int | None, seconds: float | None) -> None:
    """Show the largest rows of MAP, with what changed in a second, again and again.

    On a terminal a table; in a pipe NDJSON, the rows of each read one after another.
    """
    from fastbpf.cli.session import Session
    from fastbpf.cli.top import Top

    with Session() as session, _opened(name) as opened:
        with refusing():
            watch = opened.watch(every=0, rates=True)
        now = time.monotonic()
        due, end = now, math.inf if seconds is None else now + seconds
        with Top(sort, rows) as shown:
            # Signals, and a reader that has gone, are looked at every tenth of a second.
            while not session.must_end() and not shown.gone():
                if now >= due:
                    shown.show(next(watch))
                    due = max(due + every, time.monotonic())
                if now >= end:
                    break
                time.sleep(max(0.0, min(due - now, end - now, 0.1)))
                now = time.monotonic()


def _missing(opened: Map, key: str) -> KernelError:
    return KernelError(errno.ENOENT, f"{opened.spec.name or opened.id} has no key {key}")


def _opened(name: str) -> Map:
    from fastbpf.maps import Map

    with refusing():
        if "/" in name:
            return Map.open(name)
        if name.isdecimal():
            return Map.from_id(int(name))
        return Map.from_name(name)
