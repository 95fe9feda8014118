"""The signs and words of the kernel's text, for who writes it and who reads it (kernel/bpf/disasm.c)."""

from __future__ import annotations

from fastbpf.asm import opcode as op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ALU: Final = {
    op.ADD: "+=",
    op.SUB: "-=",
    op.MUL: "*=",
    op.DIV: "/=",
    op.OR: "|=",
    op.AND: "&=",
    op.LSH: "<<=",
    op.RSH: ">>=",
    op.MOD: "%=",
    op.XOR: "^=",
    op.MOV: "=",
    op.ARSH: "s>>=",
}
# the same operations with the offset 1
SIGNED: Final = {op.DIV: "s/=", op.MOD: "s%="}
COMPARE: Final = {
    op.JEQ: "==",
    op.JGT: ">",
    op.JGE: ">=",
    op.JSET: "&",
    op.JNE: "!=",
    op.JSGT: "s>",
    op.JSGE: "s>=",
    op.JLT: "<",
    op.JLE: "<=",
    op.JSLT: "s<",
    op.JSLE: "s<=",
}
SIZES: Final = {op.B: 8, op.H: 16, op.W: 32, op.DW: 64}
BY_BITS: Final = {str(bits): size for size, bits in SIZES.items()}

# what the number of an atomic instruction says (include/uapi/linux/bpf.h)
FETCH: Final = 0x01
XCHG, CMPXCHG = 0xE1, 0xF1
LOAD_ACQUIRE, STORE_RELEASE = 0x100, 0x110
ATOMIC: Final = {op.ADD: "add", op.OR: "or", op.AND: "and", op.XOR: "xor"}

# Not for programs: the kernel puts these into code that it has checked.
NOSPEC: Final = op.ST | 0xC0
PERCPU: Final = -1
ADDR_SPACE_CAST: Final = 1


def is_word(name: str) -> bool:
    """Whether the text can show `name` bare; any other name stands in double quotes."""
    return name.replace(".", "_").replace("$", "_").isidentifier() and name.isascii()


def quoted(name: str) -> str:
    """`name` as the text shows it: bare, or in double quotes with JSON's escapes."""
    if is_word(name):
        return name
    from json import dumps

    return dumps(name)
