"""What the check has to say of an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.source import Source


@dataclass(frozen=True)
class Finding:
    """A mistake in a program, at the instruction in `slot`, which the line `source` of Python wrote.

    An `"error"` is what every kernel refuses. A `"warning"` is what only some kernels refuse, or what stands on a path
    of which the check cannot tell whether a run ever takes it.

    >>> from fastbpf.asm import exit_
    >>> print(Finding("error", 0, exit_(), "r0 is not set", None))
    slot 0: error: r0 is not set
    """

    severity: Literal["error", "warning"]
    slot: int
    instruction: Instruction
    message: str
    source: Source | None

    @property
    def text(self) -> str:
        """The instruction as the kernel writes it."""
        from fastbpf.asm.text.writer import write

        return write(self.instruction)

    def __str__(self) -> str:
        return f"{self.source or f'slot {self.slot}'}: {self.severity}: {self.message}"
