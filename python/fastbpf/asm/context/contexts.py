"""The contexts by name: `ctx.xdp_md.data`. The tables are read when the first field is asked for."""

from __future__ import annotations

from fastbpf.asm.context.field import Field
from fastbpf.asm.refusal import nearest
from fastbpf.asm.source import here
from fastbpf.asm.value import Value, fill
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

ARCHITECTURES: Final = ("arm64", "ppc64le", "riscv64", "s390x", "x86_64")


class UnknownFieldError(AsmError, AttributeError):
    """No context or field has that name. Also an AttributeError, so that hasattr() gets the answer that it knows."""


class Context(Value):
    """A context of programs. Its fields are its attributes; `dir()` lists them.

    >>> from fastbpf.asm.context import ctx
    >>> dir(ctx.bpf_sysctl), ctx.bpf_sysctl.file_pos.offset
    (['file_pos', 'write'], 4)
    """

    # every name has an underscore: fields are called "size", "type", "name"
    __match_args__ = ("_path", "_members")
    __slots__ = __match_args__
    _path: str
    _members: Mapping[str, Field]

    def __init__(self, path: str, members: Mapping[str, Field]) -> None:
        fill(self, "_path", path)
        fill(self, "_members", members)

    def _content(self) -> tuple[object, ...]:
        return (self._path,)

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._members:
            raise _unknown(repr(self), "field", name, self._members)
        return self._members[name]

    def __dir__(self) -> list[str]:
        return list(self._members)

    def __repr__(self) -> str:
        return f"ctx.{self._path}"


class Registers(Context):
    """A context of registers: the running machine's, and those of each architecture as `ctx.pt_regs.arm64`.

    Beside its own registers, each has `arg1` …, `ret`, `ip`, `sp`, `fp`, and `syscall_arg1` … `syscall_arg6`.

    >>> from fastbpf.asm.context import ctx
    >>> ctx.pt_regs.x86_64.rdi.offset, ctx.pt_regs.arm64.regs[0].offset
    (112, 0)
    >>> ctx.pt_regs.x86_64.arg1.offset, ctx.pt_regs.arm64.arg1.offset, ctx.pt_regs.s390x.arg1.offset
    (112, 0, 40)
    """

    __match_args__ = ("_path", "_members", *ARCHITECTURES)
    __slots__ = ARCHITECTURES
    arm64: Context
    ppc64le: Context
    riscv64: Context
    s390x: Context
    x86_64: Context

    def __init__(self, path: str, members: Mapping[str, Field], *others: Context) -> None:
        super().__init__(path, members)
        for architecture, context in zip(ARCHITECTURES, others, strict=True):
            fill(self, architecture, context)

    def __getattr__(self, name: str) -> Field:
        if name not in self._members and not name.startswith("_"):
            raise _unknown(repr(self), "field", name, dir(self))
        return super().__getattr__(name)

    def __dir__(self) -> list[str]:
        return [*self._members, *ARCHITECTURES]


class _Contexts:
    """What r1 points to when a program begins, by the kernel's names: `ctx.xdp_md`, `ctx.bpf_sock_ops` and others.

    `ctx.sk_buff` is its struct __sk_buff. `ctx.pt_regs` and `ctx.bpf_perf_event_data` are the running machine's,
    `ctx.pt_regs.arm64` another's. `ctx.args[i]` is what fentry, fexit, tp_btf and LSM programs get, 8 bytes each.
    """

    @property
    def args(self) -> Field:
        return Field("", "args", 0, 0, "__u64", 0)

    @property
    def pt_regs(self) -> Registers:
        return _registers("pt_regs")

    @property
    def bpf_perf_event_data(self) -> Registers:
        return _registers("bpf_perf_event_data")

    def __getattr__(self, name: str) -> Context:
        from fastbpf.asm.context.fields import CONTEXTS

        if name not in CONTEXTS:
            if name.startswith("_") and name.endswith("_"):
                raise AttributeError(name)
            raise _unknown("ctx", "context", name, dir(self))
        # kept as an attribute: the next look-up does not come here
        self.__dict__[name] = context = Context(name, _table(name, CONTEXTS[name]))
        return context

    def __dir__(self) -> list[str]:
        from fastbpf.asm.context.fields import CONTEXTS

        return sorted([*CONTEXTS, "args", "bpf_perf_event_data", "pt_regs"])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"ctx.{name} cannot be set")

    def __repr__(self) -> str:
        return "ctx"


def machine() -> str:
    """The running machine's architecture, as it is called here."""
    from platform import machine

    from fastbpf.asm.context.conventions import MACHINES

    return MACHINES.get(machine(), machine())


def registers(path: str, architecture: str) -> dict[str, Field]:
    """The fields of pt_regs, or of bpf_perf_event_data, on an architecture; of none that we know, nothing."""
    from fastbpf.asm.context.conventions import KERNEL_ONLY, roles
    from fastbpf.asm.context.fields import REGISTERS

    if architecture not in REGISTERS:
        return {}
    found = _table(path, REGISTERS[architecture])
    if path.startswith("bpf_perf_event_data"):
        end = max(field.offset + field.size for field in found.values())
        found |= {name: Field(path, name, end + at, 8, "__u64") for name, at in (("sample_period", 0), ("addr", 8))}
    else:
        found |= {
            name: Field(path, name, offset, 8, "unsigned long")
            for name, offset in KERNEL_ONLY.get(architecture, {}).items()
        }
    for role, register in roles(architecture).items():
        name, _, element = register.partition("[")
        if name in found and role not in found:
            field = found[name][int(element[:-1])] if element else found[name]
            found[role] = Field(path, role, field.offset, field.size, field.type)
    return found


def _registers(name: str) -> Registers:
    kept = ctx.__dict__
    if f"_{name}" not in kept:
        others = [Context(f"{name}.{one}", registers(f"{name}.{one}", one)) for one in ARCHITECTURES]
        kept[f"_{name}"] = Registers(name, registers(name, machine()), *others)
    made: Registers = kept[f"_{name}"]
    return made


def _table(path: str, rows: Mapping[str, tuple[int, int, str, int | None]]) -> dict[str, Field]:
    return {
        name: Field(path, name, offset, size * (1 if count is None else count), type_, count)
        for name, (offset, size, type_, count) in rows.items()
    }


def _unknown(owner: str, what: str, name: str, names: Iterable[str]) -> UnknownFieldError:
    known = sorted(names)
    guess = nearest(name.lstrip("_"), known)
    if not guess:
        guess = f"; it has {', '.join(known[:4])}{' …' if len(known) > 4 else ''}"
    return UnknownFieldError(f'{here()}: {owner} has no {what} "{name}"{guess}')


ctx: Final = _Contexts()
