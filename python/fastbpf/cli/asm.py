"""`fastbpf asm`."""

from __future__ import annotations

import os
import sys

import click

from fastbpf.cli import options
from fastbpf.cli.input import read_input
from fastbpf.cli.refusal import Refused, refusing
from fastbpf.errors import Error


@click.command()
@click.argument("file")
@click.option("-o", "--output", metavar="OUT", help="Write the instructions there; by default to stdout.")
@options.force
def asm(file: str, output: str | None, force: bool) -> None:  # noqa: FBT001  # click gives names
    """Assemble the text in FILE (- is stdin) to the raw instructions of a program, 8 bytes each.

    The text is the kernel's (if r0 == 0x0 goto pc+1), LLVM's (goto +1), or what fastbpf disasm, bpftool and the
    verifier's log show; a map goes by its file descriptor, map[fd:5].

    \b
    fastbpf asm drop.bpf -o drop.bin
    fastbpf disasm drop.bin
    """  # noqa: D301  # click reads \b
    from fastbpf.asm.opcode import CALLS
    from fastbpf.asm.text import parse
    from fastbpf.sinks.output import Output

    if output is None and os.isatty(1):
        raise Refused("instructions are bytes, which a terminal cannot show; give -o OUT, or pipe them on")
    with refusing((Error, OSError)):
        code = parse(_text(file), file=_named(file))
        for insn in code:
            if insn.label is not None:
                remedy = "call kernel-function#ID" if insn.opcode == CALLS else f"r{insn.dst} = btf[id:ID]"
                reason = f"bytes cannot hold the name {insn.label}; write {remedy}, with its id in the kernel's BTF"
                raise Refused(f"{_named(file)}:{insn.source.line if insn.source else 0}: {reason}")
        raw = bytes(code)
        if output is not None:
            place = Output(output, force=force)
            place.write(raw)
            place.commit()
            return
    sys.stdout.buffer.write(raw)


def _text(file: str) -> str:
    try:
        return read_input(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{_named(file)} is no text in UTF-8; fastbpf disasm reads raw instructions") from None


def _named(file: str) -> str:
    return "<stdin>" if file == "-" else file
