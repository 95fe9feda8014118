"""What is known of one helper, as a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fastbpf.errors import Error
from fastbpf.helpers.prototypes import PROGRAM_TYPES, allowed, nearest
from fastbpf.kernel_version import KernelVersion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from fastbpf.helpers.prototypes import Prototype

# What a program may be, how it is called, what it takes.
_SIGNATURE = re.compile(r"([^()]*[\s*])(\w+)\s*\(([^()]*)\)\s*;?")
_CAPABILITY = re.compile(r"CAP_[A-Z_]+")
_MOST = 5  # registers r1 to r5


class HelperError(Error, ValueError):
    """A helper that does not exist, or cannot be registered. The message gives the nearest ones, or the reason."""


class _Fields(NamedTuple):
    id: int
    name: str
    signature: str
    min_kernel: KernelVersion
    prog_types: frozenset[str]
    category: str
    description: str
    gpl_only: bool
    capability: str | None
    config: str | None
    lockdown: str | None


class Helper(_Fields):
    """A helper function. An immutable value: those of the kernel come from `get`, your own you make.

    Args:
        id: the number in the call instruction.
        name: with or without `bpf_`; kept without.
        signature: in C, with the names of the arguments: `"u64 bpf_clock(u32 which)"`.
        min_kernel: the first kernel that has it, in any form that `KernelVersion.of` reads. A program type may have
            got it later: what the running kernel allows, `probe` tells.
        prog_types: the program types that may call it, or "all". For the kernel's helpers some kernel and some attach
            type allow each of them; programs for tracing, lsm, struct_ops and ext may be allowed more.
        category: what it is about, a word.
        description: what it does and returns.
        gpl_only: whether only programs under a licence compatible with the GPL may call it.
        capability: what loading a program that calls it takes besides what the program's type takes, or None.
        config: what the kernel must be built with to have it, without `CONFIG_`, or None.
        lockdown: the lockdown mode that forbids it, "integrity" or "confidentiality", or None.

    Raises `HelperError` for fields that no helper can have.

    >>> clock = Helper(300, "clock", "__u64 bpf_clock(__u32 which)", "6.9", {"xdp", "sched_cls"}, "time")
    >>> clock.min_kernel >= (6, 3), clock.returns, clock.parameters
    (True, '__u64', (('__u32', 'which'),))
    >>> clock
    <helper 300: __u64 bpf_clock(__u32 which)>
    """

    __slots__ = ()

    def __new__(
        cls,
        id: int,
        name: str,
        signature: str,
        min_kernel: str | int | tuple[int, ...],
        prog_types: Iterable[str] | str,
        category: str,
        description: str = "",
        gpl_only: bool = False,  # noqa: FBT001, FBT002  # a field among fields
        capability: str | None = None,
        config: str | None = None,
        lockdown: str | None = None,
    ) -> Self:
        """Checks and reads the fields."""
        plain = str(name).removeprefix("bpf_")
        if not re.fullmatch(r"[A-Za-z_]\w*", plain, re.ASCII):
            raise HelperError(f"{name!r} cannot be a helper's name: write it as in C, ktime_get_ns or bpf_ktime_get_ns")
        if not _is_id(id):
            raise HelperError(f"{plain}: {id!r} cannot be a helper's id: the call instruction takes 1 to 2147483647")
        if capability is not None and not _CAPABILITY.fullmatch(capability):
            raise HelperError(f"{plain}: {capability!r} is no capability: write it as CAP_PERFMON, or None")
        if lockdown not in {None, "integrity", "confidentiality"}:
            raise HelperError(f'{plain}: {lockdown!r} is no lockdown mode: "integrity", "confidentiality" or None')
        return super().__new__(
            cls,
            id,
            plain,
            _checked(signature, plain),
            KernelVersion.of(min_kernel),
            _program_types(prog_types, plain),
            category,
            description,
            gpl_only,
            capability,
            config,
            lockdown,
        )

    @classmethod
    def of(
        cls, known: Prototype, category: str, description: str, capability: str | None, marks: dict[str, str]
    ) -> Self:
        """One of the kernel's, whose facts need no check."""
        fields = (
            known.id,
            known.name,
            _written(known),
            known.since,
            known.program_types,
            category,
            description,
            known.gpl_only,
            capability,
            marks.get("config"),
            marks.get("lockdown"),
        )
        return cls._make(fields)

    @property
    def returns(self) -> str:
        """What it returns, as a C type."""
        return self._parts()[0]

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Its parameters: C type and name each. `("...", "")` is as many more as there are registers."""
        return tuple(_split(one) for one in self._parts()[1])

    def _parts(self) -> tuple[str, tuple[str, ...]]:
        found = _SIGNATURE.fullmatch(self.signature)
        returns, arguments = (found[1].strip(), found[3].strip()) if found else ("", "")
        return returns, () if arguments in {"", "void"} else tuple(one.strip() for one in arguments.split(","))

    def allows(self, prog_type: str) -> bool | None:
        """Whether programs of this type may call it, on some kernel and for some attach type; None if nobody knows.

        That is so for tracing, lsm, struct_ops and ext: what their programs may call hangs on what they are attached
        to. Raises `HelperError` for a type that does not exist.

        >>> from fastbpf import helpers
        >>> [helpers.get("xdp_adjust_head").allows(one) for one in ("xdp", "kprobe", "ext")]
        [True, False, None]
        """
        try:
            return allowed(self.prog_types, prog_type)
        except ValueError as error:
            raise HelperError(str(error)) from None

    def __repr__(self) -> str:
        return f"<helper {self.id}: {self.signature}>"


def _is_id(value: object) -> bool:
    return isinstance(value, int) and 0 < value < 1 << 31


def _written(known: Prototype) -> str:
    arguments = [_declared(one.type, one.name) for one in known.parameters] + ["..."] * known.variadic
    return f"{_declared(known.returns, f'bpf_{known.name}')}({', '.join(arguments) or 'void'})"


# C puts the star at the name.
def _declared(kind: str, name: str) -> str:
    return f"{kind}{name}" if kind.endswith("*") else f"{kind} {name}"


def _split(argument: str) -> tuple[str, str]:
    name = re.split(r"[\s*]", argument)[-1]
    return argument.removesuffix(name).strip() or argument, name if name != argument else ""


def _checked(signature: str, name: str) -> str:
    found = _SIGNATURE.fullmatch(signature.strip())
    if not found or found[2].removeprefix("bpf_") != name:
        raise HelperError(f'{name}: {signature!r} is not its signature: write it in C, "long bpf_{name}(void *ctx)"')
    if found[3].count(",") >= _MOST:
        raise HelperError(f"{name}: {signature!r} has more than {_MOST} parameters: there are only registers r1 to r5")
    return " ".join(signature.strip().rstrip(";").split())


def _program_types(types: Iterable[str] | str, name: str) -> frozenset[str]:
    if types == "all":
        return frozenset(PROGRAM_TYPES)
    chosen = frozenset([types] if isinstance(types, str) else types)
    if not chosen:
        raise HelperError(f'{name}: no program type may call it; give some, such as {{"xdp"}}, or "all"')
    for one in sorted(chosen.difference(PROGRAM_TYPES), key=str):
        raise HelperError(f"{name}: {one!r} is no program type; {nearest(one, PROGRAM_TYPES)}")
    return chosen
