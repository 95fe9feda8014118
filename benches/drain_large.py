"""From a full ring to columns: records of 256 bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.shapes import LARGE, measure

if TYPE_CHECKING:
    from benches.harness import Effort, Result


def run(effort: Effort) -> Result:
    return measure("drain_large", LARGE, effort)
