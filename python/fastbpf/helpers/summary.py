"""The registry as a whole, and one helper as text for reading."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fastbpf.helpers.facts import LINES
from fastbpf.helpers.prototypes import PROGRAM_TYPES
from fastbpf.helpers.registry import all, get

if TYPE_CHECKING:
    from fastbpf.kernel_version import KernelVersion

__all__ = ["Stats", "describe", "stats", "table"]


class Stats(NamedTuple):
    """How many helpers there are: in all, the kernel's and your own, by category, first kernel and capability."""

    total: int
    built_in: int
    custom: int
    categories: dict[str, int]
    kernels: dict[KernelVersion, int]
    gpl_only: int
    capabilities: dict[str, int]


def stats() -> Stats:
    """Counts the registry.

    >>> counted = stats()
    >>> counted.total, counted.categories["map"], counted.gpl_only
    (211, 7, 42)
    """
    known = all()
    return Stats(
        total=len(known),
        built_in=len(LINES),
        custom=len(known) - len(LINES),
        categories=dict(sorted(Counter(one.category for one in known).items())),
        kernels=dict(sorted(Counter(one.min_kernel for one in known).items())),
        gpl_only=sum(one.gpl_only for one in known),
        capabilities=dict(sorted(Counter(one.capability for one in known if one.capability).items())),
    )


def describe(helper: str | int) -> str:
    """A helper as text for reading. Raises `HelperError`, with the nearest names, if there is none.

    >>> print(describe("jiffies64"))
    bpf_jiffies64, helper 118
    <BLANKLINE>
        __u64 bpf_jiffies64(void)
    <BLANKLINE>
    The kernel's tick counter of 64 bits.
    <BLANKLINE>
    since          Linux 5.6
    category       time
    program types  all but lirc_mode2, ext
    licence        any
    takes          CAP_BPF
    """
    from textwrap import fill

    one = get(helper)
    facts = {
        "since": f"Linux {one.min_kernel}",
        "category": one.category,
        "program types": fill(types_of(one.prog_types), 100, subsequent_indent=" " * 15),
        "licence": "GPL, or one compatible with it" if one.gpl_only else "any",
        "takes": ", ".join(taken(one)),
    }
    told = [f"{name:<15}{value}" for name, value in facts.items() if value]
    parts = [f"bpf_{one.name}, helper {one.id}", f"    {one.signature}", fill(one.description, 100), "\n".join(told)]
    return "\n\n".join(part for part in parts if part)


def taken(one: Any) -> list[str]:
    """What it takes besides the program type: a capability, a kernel built so, a kernel not locked down."""
    return [
        *([one.capability] if one.capability else []),
        *([f"CONFIG_{one.config}"] if one.config else []),
        *([f"a kernel that is not locked down for {one.lockdown}"] if one.lockdown else []),
    ]


def types_of(types: frozenset[str]) -> str:
    """Program types for reading: `"xdp, sched_cls"`, `"all but ext"`."""
    missing = [one for one in PROGRAM_TYPES if one not in types]
    if not missing:
        return "all"
    if len(missing) < len(PROGRAM_TYPES) / 2:
        return f"all but {', '.join(missing)}"
    return ", ".join(one for one in PROGRAM_TYPES if one in types)


def table() -> Any:
    """The registry as a `pyarrow.Table`, a row a helper.

    >>> table().select(["id", "name", "min_kernel", "gpl_only"]).slice(0, 1).to_pylist()
    [{'id': 1, 'name': 'map_lookup_elem', 'min_kernel': '3.19', 'gpl_only': False}]
    """
    import pyarrow as pa

    rows = [
        one._asdict()
        | {
            "min_kernel": str(one.min_kernel),
            "prog_types": [kind for kind in PROGRAM_TYPES if kind in one.prog_types],
            "custom": one.id > len(LINES),
        }
        for one in all()
    ]
    text, flag = pa.string(), pa.bool_()
    schema = pa.schema(
        {
            "id": pa.uint32(),
            "name": text,
            "signature": text,
            "min_kernel": text,
            "prog_types": pa.list_(text),
            "category": text,
            "description": text,
            "gpl_only": flag,
            "capability": text,
            "config": text,
            "lockdown": text,
            "custom": flag,
        }
    )
    return pa.Table.from_pylist(rows, schema)
