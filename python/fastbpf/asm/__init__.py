"""BPF programs in Python: kernel mnemonics, one instruction a call, labels are text. Pure Python, any operating system.

>>> from fastbpf.asm import *
>>> code = assemble(
...     call.get_prandom_u32(),
...     jset(r0, 1, "odd"),
...     mov(r0, 0),
...     label("odd"),
...     exit_(),
... )
>>> len(code), bytes(code)[:8].hex()
(4, '8500000007000000')

A mistake raises `AsmError`, which says which instruction, and which file and line wrote it:

>>> add(r1, 5_000_000_000)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
fastbpf.errors.AsmError: <doctest ...>:1: add(r1, 5000000000): 5000000000 does not fit: ...
"""

# ruff: noqa: F403, F405 - each file says in its __all__ what it gives; type checkers want to read the names here again

from fastbpf.asm.alu import *
from fastbpf.asm.assembly import *
from fastbpf.asm.atomic import *
from fastbpf.asm.calls import *
from fastbpf.asm.code import *
from fastbpf.asm.context import *
from fastbpf.asm.disassembly import disassemble
from fastbpf.asm.instruction import Instruction, Label
from fastbpf.asm.jump import *
from fastbpf.asm.kfuncs import *
from fastbpf.asm.memory import *
from fastbpf.asm.operands import Address, Register, fp, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10
from fastbpf.asm.packet import *
from fastbpf.asm.source import Source
from fastbpf.asm.text import parse
from fastbpf.asm.wide import *
from fastbpf.errors import AsmError

__all__ = ["Address", "AsmError", "Instruction", "Label", "Register", "Source"]
__all__ += ["fp", "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"]
__all__ += ["add", "const", "div", "mod", "mov", "mul", "neg", "sdiv", "smod", "sub"]
__all__ += ["and_", "arsh", "lsh", "or_", "rsh", "xor"]
__all__ += ["add32", "and32", "div32", "mod32", "mov32", "mul32", "or32", "sdiv32", "smod32", "sub32"]
__all__ += ["arsh32", "lsh32", "neg32", "rsh32", "xor32"]
__all__ += ["addr_space_cast", "movsx8", "movsx8_32", "movsx16", "movsx16_32", "movsx32"]
__all__ += ["be16", "be32", "be64", "bswap16", "bswap32", "bswap64", "le16", "le32", "le64"]
__all__ += ["ldxb", "ldxdw", "ldxh", "ldxsb", "ldxsh", "ldxsw", "ldxw"]
__all__ += ["stb", "stdw", "sth", "stw", "stxb", "stxdw", "stxh", "stxw"]
__all__ += ["ld_btf_id", "ld_func", "ld_map", "ld_map_index", "ld_map_index_value", "ld_map_value", "lddw"]
__all__ += ["ldabsb", "ldabsh", "ldabsw", "ldindb", "ldindh", "ldindw"]
__all__ += ["exit_", "gotol", "gotox", "ja", "label", "may_goto", "piece"]
__all__ += ["jeq", "jge", "jgt", "jle", "jlt", "jne", "jset", "jsge", "jsgt", "jsle", "jslt"]
__all__ += ["jeq32", "jge32", "jgt32", "jle32", "jlt32", "jne32", "jset32", "jsge32", "jsgt32", "jsle32", "jslt32"]
__all__ += ["atomic_add", "atomic_and", "atomic_cmpxchg", "atomic_or", "atomic_xchg", "atomic_xor"]
__all__ += ["atomic_fetch_add", "atomic_fetch_and", "atomic_fetch_or", "atomic_fetch_xor"]
__all__ += ["load_acquire", "store_release"]
__all__ += ["call", "call_id", "call_kfunc", "call_sub", "kfunc"]
__all__ += ["Field", "ctx", "ld_ctx"]
__all__ += ["Code", "assemble", "disassemble", "parse"]
