"""`fastbpf helpers`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from fastbpf.cli.refusal import Refused, refusing
from fastbpf.cli.words import show_lines

if TYPE_CHECKING:
    from fastbpf.helpers import Helper, Probed


@click.command()
@click.argument("name", required=False)
@click.option("--category", metavar="C", help="Only those of a category: map, time, network …")
@click.option("--since", metavar="V", help="Only those that came with this kernel or later: 5.8.")
@click.option("--for", "prog_type", metavar="PROG_TYPE", help="Only those for programs of a type: xdp, kprobe …")
@click.option("--probe", is_flag=True, help="With --for: all of them, and what the running kernel says.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def helpers(
    *,
    name: str | None,
    category: str | None,
    since: str | None,
    prog_type: str | None,
    probe: bool,
    as_json: bool,
) -> None:
    """List the kernel's helper functions, or describe the one called NAME, or of that number.

    A line a helper: number, name, first kernel, category, GPL, capability, signature; on a terminal what it does.

    \b
    fastbpf helpers map_lookup_elem
    fastbpf helpers --category ringbuf
    fastbpf helpers --for xdp --since 5.8
    fastbpf helpers --for xdp --probe | grep -v allowed
    """  # noqa: D301  # click reads \b
    from fastbpf import helpers as registry

    chosen = [category, since, prog_type]
    if name is not None and any([*chosen, probe]):
        raise Refused("give either a NAME or what to list")
    if probe and prog_type is None:
        raise Refused("--probe asks the kernel about a program type; give it with --for")
    with refusing():
        if name is not None:
            one = _named(name)
            print(_json(one) if as_json else registry.describe(one.id))
            return
        found = registry.all() if category is None else registry.by_category(category)
        if since is not None:
            newer = set(registry.since(since))
            found = tuple(one for one in found if one in newer)
        if prog_type is not None and not probe:
            _warn_of(prog_type)
            found = tuple(one for one in found if one.allows(prog_type))
    probed = registry.probe(prog_type) if probe and prog_type is not None else None
    if as_json:
        for one in found:
            print(_json(one, probed))
        return
    show_lines([_line(one, probed) for one in found])


# The library's refusals end in what to do in Python.
def _named(name: str) -> Helper:
    from fastbpf.helpers import HelperError, all, get
    from fastbpf.helpers.registry import nearest_helpers

    number = int(name) if name.isdecimal() else None
    try:
        return get(name if number is None else number)
    except HelperError:
        if number is not None:
            raise Refused(f"there is no helper {number}: the kernel has 1 to {all()[-1].id}") from None
        near = nearest_helpers(name.removeprefix("bpf_")) or "`fastbpf helpers | grep WORD` finds them"
        raise Refused(f"there is no helper {name}; {near}") from None


# Of types whose list the table cannot know, or not all of it.
def _warn_of(prog_type: str) -> None:
    from fastbpf.helpers import all
    from fastbpf.helpers.probing import check_type

    check_type(prog_type)
    if any(one.allows(prog_type) is None for one in all()):
        said = f"this list is a lower bound: programs of type {prog_type} may be allowed more"
        print(f"fastbpf: {said}; --probe asks the running kernel", file=sys.stderr)


def _json(one: Helper, probed: Probed | None = None) -> str:
    fields = one._asdict() | {"min_kernel": str(one.min_kernel), "prog_types": sorted(one.prog_types)}
    if probed is not None:
        fields |= {"status": probed[one.id].status, "why": probed[one.id].why}
    return json.dumps(fields)


def _line(one: Helper, probed: Probed | None) -> tuple[str, ...]:
    if probed is not None:
        return str(one.id), one.name, probed[one.id].status, probed[one.id].why
    facts = (str(one.id), one.name, str(one.min_kernel), one.category)
    gpl, capability = "GPL" if one.gpl_only else "-", one.capability or "-"
    return (*facts, gpl, capability, one.description if os.isatty(1) else one.signature)
