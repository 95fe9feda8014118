"""From a full ring to columns: structs in structs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.shapes import NESTED, measure

if TYPE_CHECKING:
    from benches.harness import Effort, Result


def run(effort: Effort) -> Result:
    return measure("drain_nested", NESTED, effort)
