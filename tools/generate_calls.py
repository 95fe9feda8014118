#!/usr/bin/env python3
"""Write python/fastbpf/asm/signatures.pyi: what editors and type checkers know of `call.NAME`, for each helper.

It has the names and types of the parameters and the documentation, out of the table of helpers. `--check` writes
nothing, shows what would change, and then exits with 1.
"""

from __future__ import annotations

import difflib
import sys
import textwrap
from pathlib import Path

from fastbpf.asm.call_help import annotation, document, python
from fastbpf.helpers.names import NAMES
from fastbpf.helpers.prototypes import prototype

STUB = Path(__file__).parents[1] / "python/fastbpf/asm/signatures.pyi"

HEAD = '''\
"""The calls of the kernel's helper functions, as type checkers see them. Written by tools/generate_calls.py."""

from fastbpf.asm.arguments import Bytes, Callback, Map, Number, Pointer, Size, Text
from fastbpf.asm.instruction import Instruction

class HelperCalls:
    """The kernel's helper functions by name: `call.map_lookup_elem(counts, fp - 8)`."""

    def __dir__(self) -> list[str]: ...'''


def method(number: int) -> str:
    """The stub of one helper's call."""
    helper = prototype(number)
    if helper is None:
        raise LookupError(number)
    parameters = [f"{python(one.name)}: {annotation(helper, one)}" for one in helper.parameters]
    if helper.variadic:
        parameters.append("*more: Text | Number | Map")
    # the signature, which comes first at run time, stands above it here
    text = document(number).partition("\n\n")[2]
    unlike_a_signature = "" if f"{helper.name}(" not in text.partition("\n")[0] else "  # noqa: D402"
    return (
        f"{heading(helper.name, ['self', *parameters])}\n"
        f'        """{textwrap.indent(text, " " * 8).lstrip()}\n'
        f'        """{unlike_a_signature}\n'
    )


def heading(name: str, parameters: list[str]) -> str:
    """The `def` of a method, in as many lines as ruff would make of it."""
    returns = ") -> tuple[Instruction, ...]:"
    line = f"    def {name}({', '.join(parameters)}{returns}"
    if len(line) <= 120:
        return line
    line = f"{' ' * 8}{', '.join(parameters)}"
    within = [line] if len(line) <= 120 else [f"{' ' * 8}{one}," for one in parameters]
    return "\n".join([f"    def {name}(", *within, f"    {returns}"])


def text() -> str:
    """All of signatures.pyi."""
    return "\n".join([HEAD, *(method(number) for number in range(1, len(NAMES)))])


def main() -> int:
    """Write the stub, or compare it."""
    new, old = text(), STUB.read_text() if STUB.exists() else ""
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True)))
        return int(new != old)
    STUB.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
