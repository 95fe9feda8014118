"""`fastbpf disasm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fastbpf.cli.input import read_input
from fastbpf.cli.refusal import Refused, refusing
from fastbpf.errors import Error

if TYPE_CHECKING:
    from fastbpf.asm.code import Code

_ELF = b"\x7fELF"


@click.command()
@click.argument("file", required=False)
@click.option("--prog", type=click.IntRange(1, (1 << 32) - 1), metavar="ID", help="A loaded program, by its id.")
@click.option("--bytes", "with_bytes", is_flag=True, help="The bytes of each instruction, too.")
def disasm(file: str | None, prog: int | None, with_bytes: bool) -> None:  # noqa: FBT001  # click gives names
    """Show the raw instructions in FILE (- is stdin), or those of a loaded program, as the kernel's verifier does.

    A loaded program is shown as the kernel has rewritten it, as by bpftool prog dump xlated: helpers by the address
    that is called, maps by their ids.

    \b
    fastbpf disasm drop.bin
    fastbpf disasm --prog 42 --bytes
    """  # noqa: D301  # click reads \b
    if (file is None) == (prog is None):
        raise Refused("give either a FILE or --prog ID")
    with refusing((Error, OSError)):
        text = _loaded(prog, with_bytes=with_bytes) if prog is not None else _raw(str(file)).text(bytes=with_bytes)
    print(text)


def _raw(file: str) -> Code:
    from fastbpf.asm.disassembly import disassemble

    raw = read_input(file)
    if raw.startswith(_ELF):
        raise Refused(
            f"{file} is an object file; llvm-objcopy -O binary --only-section=SECTION takes a program out of it"
        )
    return disassemble(raw)


def _loaded(prog: int, *, with_bytes: bool) -> str:
    from fastbpf import _native
    from fastbpf.asm.code import Code
    from fastbpf.asm.disassembly import decoded
    from fastbpf.asm.text.listing import listing
    from fastbpf.asm.text.loaded import loaded_writer
    from fastbpf.cli.kallsyms import CallNames

    raw = _native.program_instructions(prog)
    if not raw:
        raise Refused("the kernel does not show the instructions of a loaded program; run as root")
    return listing(Code(decoded(raw, strict=False)), bytes=with_bytes, write=loaded_writer(CallNames()))
