"""What a mnemonic is: a callable that makes one kind of instruction, and can write it back."""

from __future__ import annotations

from fastbpf.asm.instruction import MNEMONICS, Instruction
from fastbpf.asm.refusal import written
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Mnemonic:
    """The name of an instruction. Its `kinds` are those that calling it can make (see `Instruction.kind`)."""

    if TYPE_CHECKING:
        __call__: Callable[..., Instruction]

    def __init__(self, name: str, meaning: str, *kinds: tuple[int, int]) -> None:
        self.__name__ = name
        self.__doc__ = meaning
        for kind in kinds:
            MNEMONICS[kind] = self

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        """What to call this mnemonic with to make `insn`."""
        raise NotImplementedError

    def options(self, _insn: Instruction, /) -> Mapping[str, object]:
        """The same for what is given by keyword."""
        return {}

    def write(self, insn: Instruction) -> str | None:
        """`insn` as people write it; None when it has a bit set that this mnemonic never sets."""
        try:
            operands, options = self.operands(insn), self.options(insn)
            same = self(*operands, **options) == insn
        except (AsmError, LookupError):  # such as a register above r10
            same = False
        return written(self.__name__, operands, options) if same else None

    def __repr__(self) -> str:
        return self.__name__
