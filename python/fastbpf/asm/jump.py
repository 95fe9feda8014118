"""Branches: `jeq(r0, 0, "exit")` goes to `label("exit")` if r0 is 0.

A target is the name of a label, or a number of slots to skip from the next instruction on (negative: back). Names that
end in 32 compare the lower halves.

>>> from fastbpf.asm import ja, jeq, jlt32, label, r0, r1
>>> jeq(r0, 0, "exit"), jlt32(r0, r1, -3), ja("exit"), label("exit")
(jeq(r0, 0, "exit"), jlt32(r0, r1, -3), ja("exit"), label("exit"))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.instruction import Instruction, Label
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import REGISTERS, Register, bits32, is_upper_half, label_name, register, signed32, target
from fastbpf.asm.refusal import checked
from fastbpf.asm.source import here

__all__ = ["exit_", "gotol", "gotox", "ja", "label", "may_goto"]
__all__ += ["jeq", "jge", "jgt", "jle", "jlt", "jne", "jset", "jsge", "jsgt", "jsle", "jslt"]
__all__ += ["jeq32", "jge32", "jgt32", "jle32", "jlt32", "jne32", "jset32", "jsge32", "jsgt32", "jsle32", "jslt32"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class _Goto(Mnemonic):
    """A branch that looks at no register."""

    def __init__(self, name: str, opcode: int, meaning: str) -> None:
        self._opcode = opcode
        super().__init__(name, meaning, (opcode, 0))

    @checked
    def __call__(self, to: str | int) -> Instruction:
        """Go on at a label, or `to` slots further than the next instruction."""
        if self._opcode == op.GOTOL:
            name, imm = target(to, 32)
            return Instruction(self._opcode, imm=imm, label=name, source=here())
        name, off = target(to, 16)
        return Instruction(self._opcode, off=off, label=name, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (insn.label or insn.distance,)


class _GotoRegister(Mnemonic):
    """A branch to an address that a register holds."""

    @checked
    def __call__(self, to: Register) -> Instruction:
        """Go on where `to` says: an address that was read from a map of type insn_array."""
        return Instruction(op.GOTOX, register(to), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (REGISTERS[insn.dst],)


class _Branch(Mnemonic):
    """Go to a label if a comparison holds."""

    def __init__(self, name: str, code: int, bits: int, meaning: str) -> None:
        self._opcode = code | (op.JMP if bits == 64 else op.JMP32)
        self._number = signed32 if bits == 64 else bits32
        super().__init__(name, meaning, (self._opcode | op.K, 0), (self._opcode | op.X, 0))

    @checked
    def __call__(self, dst: Register, src: Register | int, to: str | int) -> Instruction:
        """If `dst (op) src`, go on at a label, or `to` slots further than the next instruction."""
        number = register(dst)
        name, off = target(to, 16)
        if type(src) is Register:
            return Instruction(self._opcode | op.X, number, src.number, off, 0, name, source=here())
        remedy = "put it into a register with const() and compare with that"
        if is_upper_half(src):
            remedy = f"{self!r}32({dst}, {src:#x}, …) takes it and looks at the low 32 bits; else {remedy}"
        imm = self._number(src, remedy)
        return Instruction(self._opcode | op.K, number, 0, off, imm, name, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return REGISTERS[insn.dst], REGISTERS[insn.src] if insn.opcode & op.X else insn.imm, insn.label or insn.off


class _Exit(Mnemonic):
    """The end of a program."""

    @checked
    def __call__(self) -> Instruction:
        """End the program, or return from a subprogram; r0 is the result."""
        return Instruction(op.JMP | op.EXIT, source=here())

    def operands(self, _insn: Instruction, /) -> tuple[object, ...]:
        return ()


@checked
def label(name: str) -> Label:
    """Name the place of the next instruction, for branches from before or after it. Takes no room in the program."""
    return Label(label_name(name), here())


ja: Final = _Goto("ja", op.JMP | op.JA, "go to a label")
gotol: Final = _Goto("gotol", op.GOTOL, "go to a label, however far. Linux 6.6.")
gotox: Final = _GotoRegister("gotox", "go to the address in a register. Linux 6.19.", (op.GOTOX, 0))
may_goto: Final = _Goto(
    "may_goto", op.MAY_GOTO, "go to a label when the program has looped too long; else go on. Linux 6.9."
)

jeq: Final = _Branch("jeq", op.JEQ, 64, "if dst == src")
jne: Final = _Branch("jne", op.JNE, 64, "if dst != src")
jgt: Final = _Branch("jgt", op.JGT, 64, "if dst > src, unsigned")
jge: Final = _Branch("jge", op.JGE, 64, "if dst >= src, unsigned")
jlt: Final = _Branch("jlt", op.JLT, 64, "if dst < src, unsigned")
jle: Final = _Branch("jle", op.JLE, 64, "if dst <= src, unsigned")
jsgt: Final = _Branch("jsgt", op.JSGT, 64, "if dst > src, signed")
jsge: Final = _Branch("jsge", op.JSGE, 64, "if dst >= src, signed")
jslt: Final = _Branch("jslt", op.JSLT, 64, "if dst < src, signed")
jsle: Final = _Branch("jsle", op.JSLE, 64, "if dst <= src, signed")
jset: Final = _Branch("jset", op.JSET, 64, "if dst & src")

jeq32: Final = _Branch("jeq32", op.JEQ, 32, "if (u32)dst == (u32)src")
jne32: Final = _Branch("jne32", op.JNE, 32, "if (u32)dst != (u32)src")
jgt32: Final = _Branch("jgt32", op.JGT, 32, "if (u32)dst > (u32)src")
jge32: Final = _Branch("jge32", op.JGE, 32, "if (u32)dst >= (u32)src")
jlt32: Final = _Branch("jlt32", op.JLT, 32, "if (u32)dst < (u32)src")
jle32: Final = _Branch("jle32", op.JLE, 32, "if (u32)dst <= (u32)src")
jsgt32: Final = _Branch("jsgt32", op.JSGT, 32, "if (s32)dst > (s32)src")
jsge32: Final = _Branch("jsge32", op.JSGE, 32, "if (s32)dst >= (s32)src")
jslt32: Final = _Branch("jslt32", op.JSLT, 32, "if (s32)dst < (s32)src")
jsle32: Final = _Branch("jsle32", op.JSLE, 32, "if (s32)dst <= (s32)src")
jset32: Final = _Branch("jset32", op.JSET, 32, "if (u32)dst & (u32)src")

exit_: Final = _Exit("exit_", "end the program, or return from a subprogram", (op.JMP | op.EXIT, 0))
