"""Calls of the kernel's helper functions by name, by number, and of the program's own subprograms.

>>> from fastbpf.asm import call, fp, r1, r2
>>> call.ktime_get_ns()
(call_id(5),)
>>> call.get_current_comm(fp - 16, 16)
(mov(r1, fp), add(r1, -16), mov(r2, 16), call_id(16))
"""

from __future__ import annotations

from fastbpf.asm import opcode as op
from fastbpf.asm.arguments import place
from fastbpf.asm.instruction import Instruction
from fastbpf.asm.mnemonic import Mnemonic
from fastbpf.asm.operands import symbol, target, within
from fastbpf.asm.refusal import OperandError, checked, nearest
from fastbpf.asm.source import here
from fastbpf.errors import AsmError
from fastbpf.helpers.names import NAMES, PARAMETERS

__all__ = ["call", "call_id", "call_kfunc", "call_sub"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.asm.arguments import Argument


class _CallId(Mnemonic):
    """The call of a helper by its number."""

    @checked
    def __call__(self, number: int) -> Instruction:
        """Call the helper of that number with what r1 to r5 hold; r0 is the result, r1 to r5 are lost."""
        return Instruction(op.CALLS, imm=within(number, 0, (1 << 31) - 1, "the number of a helper"), source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (insn.imm,)


class _CallSub(Mnemonic):
    """The call of a subprogram."""

    @checked
    def __call__(self, to: str | int) -> Instruction:
        """Call what begins at a label (or `to` slots further than the next instruction) with what r1 to r5 hold.

        The subprogram has a stack frame of its own and returns r0 by `exit_()`; r1 to r5 are lost. Linux 4.16.
        """
        name, imm = target(to, 32)
        return Instruction(op.CALLS, src=op.PSEUDO_CALL, imm=imm, label=name, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (insn.label or insn.imm,)


class _CallKfunc(Mnemonic):
    """The call of a function of the kernel."""

    @checked
    def __call__(self, function: str | int) -> Instruction:
        """Call a kernel function that is open to programs (a kfunc) with what r1 to r5 hold; r0 is the result.

        It goes by its name, which loading looks up in the kernel's BTF, or by the BTF id that it has on this machine.
        """
        if isinstance(function, str):
            return Instruction(op.CALLS, src=op.PSEUDO_KFUNC_CALL, label=symbol(function), source=here())
        imm = within(function, 1, (1 << 31) - 1, "the BTF id of a kernel function")
        return Instruction(op.CALLS, src=op.PSEUDO_KFUNC_CALL, imm=imm, source=here())

    def operands(self, insn: Instruction, /) -> tuple[object, ...]:
        return (insn.label or insn.imm,)


class _HelperCall:
    """The call of a helper, its arguments moved into place."""

    def __init__(self, name: str) -> None:
        self._number = NAMES.index(name)
        self._parameters = PARAMETERS[self._number]
        self.__name__ = name
        self.__doc__ = f"{name}({', '.join(self._parameters)}): helper {self._number}, see bpf-helpers(7)."

    @checked
    def __call__(self, *arguments: Argument) -> tuple[Instruction, ...]:
        """Move the arguments into r1 to r5 and call; r0 is the result, r1 to r5 are lost.

        An argument is a register, an address (`fp - 8`, `r6 + 24`), any number of 64 bits, or a map. They are moved as
        if all at once, so `call.x(r2, r1)` swaps, by way of r0.
        """
        self._check_count(len(arguments))
        return (*place(arguments), call_id(self._number))

    def _check_count(self, given: int) -> None:
        least, most = len(self._parameters), len(self._parameters)
        if self._parameters[-1:] == ("...",):
            least, most = least - 1, 5
        if not least <= given <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            signature = f"{self.__name__}({', '.join(self._parameters)})"
            raise OperandError(f"{signature} takes {wanted} argument{'s' * (wanted != '1')}, not {given}")

    def __repr__(self) -> str:
        return f"call.{self.__name__}"


# also an AttributeError, so that hasattr() and the like get the answer they know
class _UnknownHelperError(AsmError, AttributeError):
    pass


class _Call:
    """The helpers by name: `call.ktime_get_ns()` gives a tuple of instructions, which `assemble` flattens."""

    def __getattr__(self, name: str) -> _HelperCall:
        if name not in _HELPERS:
            guess = nearest(name.removeprefix("bpf_"), _HELPERS)
            raise _UnknownHelperError(f"{here()}: call.{name}: the kernel has no helper of that name{guess}")
        # kept as an attribute: the next look-up does not come here
        self.__dict__[name] = helper = _HelperCall(name)
        return helper

    def __dir__(self) -> list[str]:
        return sorted(_HELPERS)

    def __repr__(self) -> str:
        return "call"


# number 0 is no helper
_HELPERS = frozenset(NAMES[1:])

call: Final = _Call()
call_id: Final = _CallId("call_id", "call a helper by its number", (op.CALLS, 0))
call_sub: Final = _CallSub("call_sub", "call a subprogram. Linux 4.16.", (op.CALLS, op.PSEUDO_CALL))
call_kfunc: Final = _CallKfunc("call_kfunc", "call a kernel function. Linux 5.13.", (op.CALLS, op.PSEUDO_KFUNC_CALL))
