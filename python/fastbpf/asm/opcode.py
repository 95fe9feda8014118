"""The numbers that opcodes are made of (RFC 9669 §3 and §4; include/uapi/linux/bpf.h)."""

from __future__ import annotations

# the low three bits: the class
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)

# arithmetic and jumps: is the second operand the number in the instruction, or a register?
K, X = 0x00, 0x08

# arithmetic: the upper four bits
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, MOV, ARSH, END = range(0x00, 0xE0, 0x10)

# jumps: the upper four bits
JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, CALL, EXIT, JLT, JLE, JSLT, JSLE, JCOND = range(0x00, 0xF0, 0x10)

# loads and stores: how much, and how
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0

# the load of a 64-bit number: the only instruction that takes two slots
WIDE = LD | IMM | DW

CALLS = JMP | CALL
GOTOL = JMP32 | JA
GOTOX = JMP | JA | X
MAY_GOTO = JMP | JCOND

# what the source register of a wide load and of a call says about the number
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_FUNC, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE = range(1, 7)
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2

# what goes to another place of the program: branches of 16 bits, and, with the field that extends it, what has 32
_CONDITIONS = (JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, JLT, JLE, JSLT, JSLE)
NEAR = frozenset({cls | operand | test for cls in (JMP, JMP32) for operand in (K, X) for test in _CONDITIONS})
NEAR |= {JMP | JA, MAY_GOTO}
FAR = frozenset({(GOTOL, 0), (CALLS, PSEUDO_CALL), (WIDE, PSEUDO_FUNC)})

# the field that, besides the opcode, says what an instruction does
EXTENSIONS = {
    **{size | ATOMIC | STX: "imm" for size in (B, H, W, DW)},
    **{operand | op | cls: "off" for operand in (K, X) for op in (DIV, MOD, MOV) for cls in (ALU, ALU64)},
    **{operand | END | cls: "imm" for operand in (K, X) for cls in (ALU, ALU64)},
    CALLS: "src",
    WIDE: "src",
}
