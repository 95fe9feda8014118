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
# A type, or one with a name: words, and stars behind the first.
_WORDS = re.compile(r"[A-Za-z_]\w*(?:[\s*]+[A-Za-z_]\w*)*[\s*]*", re.ASCII)
# What is no type yet, and what is no name.
_BEFORE_TYPES = {"const", "volatile", "struct", "union", "enum"}
_C_WORDS = {*_BEFORE_TYPES, "void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "restrict"}
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
        signature: in C, with the names of the arguments: `"u64 bpf_clock(u32 which)"`. Those without are called arg1,
            arg2 and so on, by place. Arrays are written as the pointers that they are.
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
        plain = name.removeprefix("bpf_") if _is_text(name) else ""
        if not re.fullmatch(r"[A-Za-z_]\w*", plain, re.ASCII):
            raise HelperError(f"{name!r} cannot be a helper's name: write it as in C, ktime_get_ns or bpf_ktime_get_ns")
        if not _is_id(id):
            raise HelperError(f"{plain}: {id!r} cannot be a helper's id: the call instruction takes 1 to 2147483647")
        if not _is_text(category) or not category.strip():
            raise HelperError(f'{plain}: {category!r} is no category: give a word, such as "time"')
        if not _is_text(description):
            raise HelperError(f"{plain}: {description!r} is no description: give a text")
        if not isinstance(gpl_only, bool):
            raise HelperError(f"{plain}: gpl_only is True or False, not {gpl_only!r}")
        if capability is not None and not (_is_text(capability) and _CAPABILITY.fullmatch(capability)):
            raise HelperError(f"{plain}: {capability!r} is no capability: write it as CAP_PERFMON, or None")
        if config is not None and not _is_text(config):
            raise HelperError(f'{plain}: {config!r} is no option of the kernel: write it as "BPF_EVENTS", or None')
        if lockdown not in (None, "integrity", "confidentiality"):  # a list is in no set
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
        """Its parameters: C type and name each. `("...", "")` is as many more as there are registers.

        One that the signature does not name is called by its place, `arg1` to `arg5`.
        """
        return tuple(_split(one, place) for place, one in enumerate(self._parts()[1], 1))

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


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _written(known: Prototype) -> str:
    arguments = [_declared(one.type, one.name) for one in known.parameters] + ["..."] * known.variadic
    return f"{_declared(known.returns, f'bpf_{known.name}')}({', '.join(arguments) or 'void'})"


# C puts the star at the name.
def _declared(kind: str, name: str) -> str:
    return f"{kind}{name}" if kind.endswith("*") else f"{kind} {name}"


def _split(argument: str, place: int) -> tuple[str, str]:
    if argument == "...":
        return argument, ""
    name = re.split(r"[\s*]", argument)[-1]
    kind = argument.removesuffix(name).strip()
    if not name or name in _C_WORDS or _BEFORE_TYPES.issuperset(kind.split()):
        return argument, f"arg{place}"
    return kind, name


def _checked(signature: str, name: str) -> str:
    found = _SIGNATURE.fullmatch(signature.strip()) if _is_text(signature) else None
    if not found or found[2].removeprefix("bpf_") != name or not _WORDS.fullmatch(found[1].strip()):
        raise HelperError(f'{name}: {signature!r} is not its signature: write it in C, "long bpf_{name}(void *ctx)"')
    if found[3].count(",") >= _MOST:
        raise HelperError(f"{name}: {signature!r} has more than {_MOST} parameters: there are only registers r1 to r5")
    _check_parameters(found[3].strip(), name)
    return " ".join(signature.strip().rstrip(";").split())


def _check_parameters(text: str, name: str) -> None:
    if text in {"", "void"}:
        return
    written = [one.strip() for one in text.split(",")]
    names = []
    if written[-1] == "...":
        names.append("more")  # which call.NAME takes them as
        written.pop()
    for place, one in enumerate(written, 1):
        kind, parameter = _split(one, place)
        if not _WORDS.fullmatch(one) or kind == "void":
            raise HelperError(
                f"{name}: {one!r} is no parameter: write type and name, as in u32 flags, and u32 *list for an array"
            )
        if parameter.removesuffix("_") in names:  # call.NAME(from_=...) gives the parameter from
            raise HelperError(f"{name}: two parameters are called {parameter} in ({text}): give each its own name")
        names.append(parameter.removesuffix("_"))


def _program_types(types: Iterable[str] | str, name: str) -> frozenset[str]:
    if types == "all":
        return frozenset(PROGRAM_TYPES)
    try:
        chosen = frozenset([types] if isinstance(types, str) else types)
    except TypeError:
        raise HelperError(f'{name}: {types!r} are no program types; give some, such as {{"xdp"}}, or "all"') from None
    if not chosen:
        raise HelperError(f'{name}: no program type may call it; give some, such as {{"xdp"}}, or "all"')
    for one in sorted(chosen.difference(PROGRAM_TYPES), key=str):
        raise HelperError(f"{name}: {one!r} is no program type; {nearest(one, PROGRAM_TYPES)}")
    return chosen
