"""Calls of the kernel's helper functions by name, by number, and of the program's own subprograms.

>>> from fastbpf.asm import call, fp, r1, r2
>>> call.ktime_get_ns()
(call_id(5),)
>>> call.get_current_comm(fp - 16, 16)
(mov(r1, fp), add(r1, -16), mov(r2, 16), call_id(16))
"""

from __future__ import annotations

import sys

from fastbpf.asm import opcode as op
from fastbpf.asm.arguments import fitting, place
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
    from collections.abc import Mapping, Sequence
    from inspect import Signature
    from typing import Final

    from fastbpf.asm.arguments import Argument
    from fastbpf.asm.signatures import HelperCalls
    from fastbpf.helpers.prototypes import Parameter


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
    # The call of a helper, its arguments moved into place. Its docstring is written when it is asked for.

    def __init__(self, number: int, name: str, names: tuple[str, ...]) -> None:
        self._number = number
        self.__name__ = name
        self._variadic = names[-1:] == ("...",)
        self._names = names[:-1] if self._variadic else names
        self._parameters: tuple[Parameter, ...] | None = None

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a text, once it is read
        if self._number < len(NAMES):
            from fastbpf.asm.call_help import document

            return document(self._number)
        from fastbpf.helpers.summary import describe

        return describe(self._number)

    @property
    def __signature__(self) -> Signature:
        from fastbpf.asm.call_help import signature

        return signature(self._names, variadic=self._variadic)

    @checked
    def __call__(self, *arguments: Argument, **named: Argument) -> tuple[Instruction, ...]:
        given = self._in_order(arguments, named) if named else arguments
        self._check_count(len(given))
        if not given:
            return (call_id(self._number),)
        if self._parameters is None:
            from fastbpf.helpers.prototypes import prototype  # takes as long to import as the assembler

            known = prototype(self._number)
            self._parameters = known.parameters if known else ()
        return (*place(fitting(self._parameters, given)), call_id(self._number))

    def _in_order(self, arguments: Sequence[Argument], named: Mapping[str, Argument]) -> list[Argument]:
        values = dict(zip(self._names, arguments, strict=False))
        for written, argument in named.items():
            name = written.removesuffix("_")  # from is a word of Python: from_=
            if name not in self._names:
                guess = nearest(name, self._names)
                raise OperandError(f"{self._signature()} has no parameter {written}{guess}")
            if name in values:
                raise OperandError(f"{name} is given twice")
            values[name] = argument
        if missing := [name for name in self._names if name not in values]:
            raise OperandError(
                f"{self._signature()}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            )
        return [*(values[name] for name in self._names), *arguments[len(self._names) :]]

    def _check_count(self, given: int) -> None:
        least = len(self._names)
        most = 5 if self._variadic else least
        if not least <= given <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            missing = f": {' and '.join(self._names[given:])} missing" if 0 < given < least else ""
            plural = "s" * (wanted != "1")
            raise OperandError(f"{self._signature()} takes {wanted} argument{plural}, not {given}{missing}")

    def _signature(self) -> str:
        return f"{self.__name__}({', '.join([*self._names, *['...'] * self._variadic])})"

    def __repr__(self) -> str:
        return f"call.{self.__name__}"


# also an AttributeError, so that hasattr() and the like get the answer they know
class _UnknownHelperError(AsmError, AttributeError):
    pass


class _Call:
    """The kernel's helper functions by name. A call gives a tuple of instructions, which `assemble` flattens.

    The arguments are moved into r1 to r5 as if all at once, so `call.redirect(r2, r1)` swaps, by way of r0. r0 is the
    result; r1 to r5 are lost. They go by place or by name (`from_` for `from`), and each may be

    * a register, whatever it holds;
    * an address, `fp - 8` or `r6 + 24`;
    * a number of 64 bits, where no pointer is wanted;
    * a map, a MapSpec or a Map, where one is wanted;
    * text, where the helper reads text, and bytes, where it reads memory: loading puts them into a map that nobody
      can change (Linux 5.2), text as UTF-8 with a zero at its end. Their size may then be given as None;
    * None for NULL, where the helper takes that;
    * the label of a subprogram, where it calls back.

    `help(call.map_lookup_elem)` tells what a helper does. Raises AsmError, with the parameter's name, for what it
    cannot take, and for helpers that do not exist. Those that `helpers.register` has added are called alike, unchecked.

    >>> from fastbpf.asm import call, fp, r2
    >>> call.trace_printk("pid %d", None, r2)
    (ld_map_value(r1, .rodata, 0), mov(r3, r2), mov(r2, 7), call_id(6))
    >>> call.trace_printk(fmt=fp - 8, fmt_size=8)
    (mov(r1, fp), add(r1, -8), mov(r2, 8), call_id(6))
    """

    def __getattr__(self, name: str) -> _HelperCall:
        if name not in _HELPERS:
            if (own := _registered(name)) is not None:
                return own
            guess = nearest(name.removeprefix("bpf_"), _HELPERS)
            raise _UnknownHelperError(f"{here()}: call.{name}: the kernel has no helper of that name{guess}")
        # kept as an attribute: the next look-up does not come here
        number = NAMES.index(name)
        self.__dict__[name] = helper = _HelperCall(number, name, PARAMETERS[number])
        return helper

    def __dir__(self) -> list[str]:
        return sorted(_HELPERS)

    def __repr__(self) -> str:
        return "call"


# A helper that was added by `helpers.register`, if the registry is in use at all.
def _registered(name: str) -> _HelperCall | None:
    registry = sys.modules.get("fastbpf.helpers.registry")
    helper = registry.own(name) if registry else None
    return helper and _HelperCall(helper.id, name, tuple([name or kind for kind, name in helper.parameters]))


# number 0 is no helper
_HELPERS = frozenset(NAMES[1:])

call: Final[HelperCalls] = _Call()  # type: ignore[assignment]  # which has each of its names when it is asked
call_id: Final = _CallId("call_id", "call a helper by its number", (op.CALLS, 0))
call_sub: Final = _CallSub("call_sub", "call a subprogram. Linux 4.16.", (op.CALLS, op.PSEUDO_CALL))
call_kfunc: Final = _CallKfunc("call_kfunc", "call a kernel function. Linux 5.13.", (op.CALLS, op.PSEUDO_KFUNC_CALL))
