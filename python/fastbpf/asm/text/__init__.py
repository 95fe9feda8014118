"""Code as text, both ways: as the kernel's own disassembler prints it, and read back from that and from LLVM's.

>>> code = parse('''
...     r0 = 0
...     if r1 == 0 goto end
...     call bpf_ktime_get_ns
... end:
...     exit
... ''')
>>> print(code)
   0: (b7) r0 = 0
   1: (15) if r1 == 0x0 goto pc+1       ; end
   2: (85) call bpf_ktime_get_ns#5
end:
   3: (95) exit
"""

from __future__ import annotations

__all__ = ["parse"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.asm.code import Code


def parse(text: str, maps: Mapping[str, object] | None = None, *, file: str = "<text>") -> Code:
    """The code that the text is. `maps` has the maps that it names, `file` is where errors say that it stands.

    It takes what `print(code)` and `code.text()` show, `bpftool prog dump xlated` and the verifier's log, and the code
    of LLVM's assembly and `llvm-objdump -d`: an instruction a line, labels (`end:`), branches by distance (`goto pc+1`,
    `goto +1`) or to a label, helpers by number or by name, with or without `bpf_`, subprograms by label, kernel
    functions as `name#kfunc`, comments from `;`, `//` or `#` on. Where every instruction has the number of its slot,
    they are put in that order, and one that comes again, as in a log, counts once. A number that does not fit into 32
    bits makes a wide load; LLVM's `ll` does so for any, as does the opcode, `(18)`.

    A log must show all of the code; that of a refused program may not. The maps that it names, as Linux 6.18 does and
    6.12 does not, are taken from `maps`; an address without a name is refused. So are the ids of maps and the addresses
    of helpers in a dump of a loaded program: write names there. Of LLVM's directives those are passed over that put
    nothing into the code, such as `.globl`; data and relocations are refused. `call 0x6` is helper 6, but
    `llvm-objdump` writes calls of subprograms and of kernel functions so, too: let it show the bytes (no
    `--no-show-raw-insn`), which say what is called.

    Raises AsmError with the line and the words that it cannot take, for what is no map in `maps`, and for all that
    `assemble` refuses.

    >>> print(parse("r1 = 5 ll").text(bytes=True))
       0: (18) r1 = 0x5
           18 01 00 00 05 00 00 00 00 00 00 00 00 00 00 00
    """
    # half of the reader is patterns, which take longer to compile than the assembler to import
    from fastbpf.asm.text.reader import read_code

    return read_code(text, {} if maps is None else maps, file)
