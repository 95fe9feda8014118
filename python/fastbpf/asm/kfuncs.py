"""Calls of the kernel's functions that are open to programs (kfuncs), by name.

>>> from fastbpf.asm import kfunc, r6
>>> kfunc.bpf_task_from_pid(r6)
(mov(r1, r6), call_kfunc("bpf_task_from_pid"))
"""

from __future__ import annotations

from fastbpf.asm.arguments import fitting, place
from fastbpf.asm.calls import call_kfunc
from fastbpf.asm.refusal import OperandError, checked

__all__ = ["kfunc"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from fastbpf.asm.arguments import Argument
    from fastbpf.asm.instruction import Instruction


class _KfuncCall:
    # The call of one kernel function.

    def __init__(self, name: str) -> None:
        self.__name__ = name

    @checked
    def __call__(self, *arguments: Argument) -> tuple[Instruction, ...]:
        """Move up to five arguments into r1 to r5 and call; r0 is the result, r1 to r5 are lost.

        They are registers, addresses, numbers and maps as with helpers; text and bytes are put into memory that is only
        read, and None is NULL. Loading looks the function up in the kernel's BTF.
        """
        if len(arguments) > 5:
            raise OperandError(f"a function of the kernel takes at most 5 arguments, not {len(arguments)}")
        return (*place(fitting((), arguments)), call_kfunc(self.__name__))

    def __repr__(self) -> str:
        return f"kfunc.{self.__name__}"


class _Kfunc:
    """The kernel's functions for programs, by their names in its BTF: `kfunc.bpf_task_from_pid(r1)`. Linux 5.13.

    Which there are, what they take and which programs may call them hangs on the kernel, more than with helpers: see
    https://docs.kernel.org/bpf/kfuncs.html. `dir(kfunc)` lists those of the running kernel (Linux 6.10 tells).
    """

    def __getattr__(self, name: str) -> _KfuncCall:
        if name.startswith("__"):
            raise AttributeError(name)
        return _KfuncCall(name)

    def __dir__(self) -> list[str]:
        try:
            from fastbpf._native import btf_names
        except ImportError:  # not on Linux
            return []
        try:
            return sorted(btf_names(12, "bpf_kfunc"))  # BTF_KIND_FUNC
        except OSError:
            return []

    def __repr__(self) -> str:
        return "kfunc"


kfunc: Final = _Kfunc()
