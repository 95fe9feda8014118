"""What fastbpf raises: one family, and each member is also the built-in error that it resembles.

Each message says what is wrong and what to do about it. An `OSError` of ours always has its `errno`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Error(Exception):
    """The base of everything that fastbpf raises on purpose."""


class AsmError(Error, ValueError):
    """Bad assembly. The message names the instruction and the file and line that wrote it."""


class CheckError(AsmError):
    """Code that no kernel would take. `findings` has what `Code.check` found, each with its instruction and line."""

    def __init__(self, findings: Iterable[Any]) -> None:
        self.findings: tuple[Any, ...] = tuple(findings)
        super().__init__("\n".join(str(one) for one in self.findings))


class ProbeError(Error, ValueError):
    """An unknown probe or field. The message gives the nearest names that exist."""


class WhereError(Error, ValueError):
    """A bad where expression: what is wrong, in which text, at which column (0-based).

    >>> print(WhereError("there is no field 'pod'; did you mean 'pid'?", "pod != 1", 0))
    there is no field 'pod'; did you mean 'pid'?
    pod != 1
    ^
    """

    def __init__(self, message: str, text: str, column: int) -> None:
        super().__init__(message, text, column)
        self.message = message
        self.text = text
        self.column = column

    def __str__(self) -> str:
        start = self.text.rfind("\n", 0, self.column) + 1
        end = self.text.find("\n", self.column)
        if end < 0:
            end = len(self.text)
        # a tab stays a tab, so that the caret stands under its column whatever the terminal makes of tabs
        margin = "".join("\t" if c == "\t" else " " for c in self.text[start : self.column])
        return f"{self.message}\n{self.text[:end]}\n{margin}^{self.text[end:]}"


class LayoutError(Error, TypeError):
    """A Struct that cannot be laid out in memory, or a type that fastbpf does not know."""


class ObjectError(Error, ValueError):
    """An ELF file that is no object for BPF, or has something in it that fastbpf cannot load. The message says what."""


class KernelError(Error, OSError):
    """The kernel refused: `errno` says with which number, the message why and what to do.

    >>> import errno
    >>> error = KernelError(errno.EPERM, "loading a program takes CAP_BPF: run as root")
    >>> error.errno == errno.EPERM, str(error)
    (True, 'loading a program takes CAP_BPF: run as root')
    """

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, message)

    def __str__(self) -> str:
        return str(self.strerror)


class VerifierError(KernelError):
    """The kernel's verifier refused a program.

    `reason` is the kernel's sentence on why; `log` is all that the verifier said, a line an item. What it says of the
    refused instruction is in `slot`, its place in the code, `instruction`, its text, `source`, the line of Python (or
    of an object's C) as `"file.py:12"` that wrote it (each None where it is not known), and `registers`: what the
    verifier knew of them there, in the words of this kernel, as `{"R1": "ctx()", "R10": "fp0"}`.
    """

    def __init__(
        self,
        errno: int,
        message: str,
        log: Iterable[str] = (),
        *,
        reason: str = "",
        slot: int | None = None,
        instruction: str | None = None,
        source: str | None = None,
        registers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(errno, message)
        self.log = tuple(log)
        self.reason = reason
        self.slot = slot
        self.instruction = instruction
        self.source = source
        self.registers = registers or {}


class StreamError(Error, RuntimeError):
    """A stream that cannot go on: it is closed, or this process is a fork of the one that opened it."""
