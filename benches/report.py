"""Results as a table on the screen, as JSON, and as the README's Markdown."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING, Any

from benches.harness import OURS, Result, Target, plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def _limit(target: Target) -> str:
    return f"{'≥' if target.at_least else '≤'} {plain(target.limit)}"


def shown(result: Result, *, judged: bool) -> str:
    """One result, several lines."""
    lines = [f"{result.name}: {result.work} ({result.unit})"]
    for name, value in sorted(result.medians.items(), key=lambda item: -item[1]):
        lines.append(f"    {plain(value):>10}  {name}")
    if judged:
        for target in result.targets:
            verdict = "ok" if target.met else "MISSED"
            lines.append(f"    {plain(target.value):>10}  {target.text}, has to be {_limit(target)}: {verdict}")
    lines += [f"                {note}" for note in result.notes]
    return "\n".join(lines)


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    return {
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine()},
        "results": [
            {
                "name": one.name,
                "work": one.work,
                "unit": one.unit,
                "medians": one.medians,
                "targets": [
                    {"text": t.text, "value": t.value, "limit": t.limit, "at_least": t.at_least, "met": t.met}
                    for t in one.targets
                ],
                "notes": one.notes,
            }
            for one in results
        ],
    }


def keep(results: Iterable[Result], file: Path) -> None:
    """Writes the results of one run, in place of what stands there: a table never mixes runs."""
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(as_json(results), indent=2, ensure_ascii=False) + "\n")


def markdown(file: Path, order: list[str]) -> str:
    """The README's table, from JSON."""
    kept = json.loads(file.read_text())
    machine = kept["machine"]
    kernel = ".".join(machine["kernel"].split(".")[:2])
    where = f"{machine['cpus']} CPUs ({machine['architecture']}, Linux {kernel})"
    lines = [
        f"Medians of one run on {where}; `make bench` measures again.",
        "",
        "| what | fastbpf | others | goals |",
        "|---|---|---|---|",
    ]
    for one in sorted(kept["results"], key=lambda one: order.index(one["name"])):
        unit = one["unit"]
        others = sorted((value, name) for name, value in one["medians"].items() if name != OURS)
        text = ", ".join(f"{name} {plain(value)}" for value, name in others) or "—"
        goals = "; ".join(map(_goal, one["targets"]))
        lines.append(f"| {one['work']} | **{plain(one['medians'][OURS])} {unit}** | {text} | {goals} |")
    return "\n".join(lines)


def _goal(target: dict[str, Any]) -> str:
    sign = "≥" if target["at_least"] else "≤"
    verdict = "" if target["met"] else ", **missed**"
    return f"{plain(target['value'])} {target['text']} ({sign} {plain(target['limit'])}{verdict})"
