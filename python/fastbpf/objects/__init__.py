"""Objects: ELF files of programs, maps and types, as clang writes them, and what the kernel makes of them."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastbpf.asm import Code
from fastbpf.asm.opcode import CALLS
from fastbpf.asm.refusal import nearest
from fastbpf.errors import AsmError, KernelError, ObjectError, ProbeError, VerifierError
from fastbpf.maps import Map, MapSpec, Variables, check_given
from fastbpf.objects.code import placed
from fastbpf.objects.maps import created, spec
from fastbpf.objects.sections import Purpose, purpose
from fastbpf.privileges import remedied, with_memlock
from fastbpf.programs import _TYPES, Program, ProgramSpec
from fastbpf.record.btf import Types
from fastbpf.verifier_log import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from fastbpf import _native

__all__ = ["LoadedObject", "Object", "ObjectProgram"]

T = TypeVar("T")

_NO_FIELD: Final = 0xBAD2310

# What programs of these types want at load is nothing that an object says alone.
_NOT_LOADED: Final = {
    "ext": "the program that it is to replace a function of",
    "struct_ops": "the map that holds its struct",
}


@dataclass(frozen=True)
class ObjectProgram(ProgramSpec):
    """A program of an object: a `ProgramSpec` that the object made.

    Args:
        type: the kernel's name for the program type, as the section tells it, or "unspec" if it does not.
        code: the instructions, with the functions that the program calls behind it; each knows its line of C if the
            object was compiled with -g. The kernel's structs are in it as they were where it was compiled.
        name: the function's name in C.
        license: the object's.
        section: the section that it is in, "tp/sched/sched_switch".
        probe: where it is to be attached, as the section tells it: "tracepoint:sched:sched_switch", "xdp".
    """

    section: str = ""
    probe: str = ""
    _object: Object | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Takes what the object says: the kernel is the judge of it."""

    def load(self, maps: Mapping[str, Map] | None = None, *, check: bool = False, stats: bool = False) -> Program:
        """As `ProgramSpec.load`, of this one program and the object's maps. See `Object.load` for several."""
        if self._object is None:
            raise ObjectError(
                f"program {self.name!r} is of no object; fb.Object.open(path).programs has those that are"
            )
        if check:
            self._check()
        loaded = self._object._load([self], maps or {}, {}, stats=stats)
        program = loaded.programs[self.name]
        program._owned.push(loaded)
        return program


class _Named(dict[str, T]):
    # A dictionary that knows what it holds.
    def __init__(self, what: str, items: Iterable[tuple[str, T]]) -> None:
        super().__init__(items)
        self._what = what

    def __missing__(self, name: str) -> T:
        raise KeyError(f"the object has no {self._what} {name!r}{nearest(str(name), self)}")


class Object:
    """An ELF file with programs, maps and their types, as `clang -target bpf -g -O2 -c` writes it.

    Reading it takes no privileges. `programs` and `maps` go by the names that they have in C, global variables are maps
    named ".data", ".rodata" and ".bss"; `license` is what it says in its section of that name.

    >>> import fastbpf as fb
    >>> fb.Object(b"#!/bin/sh")
    Traceback (most recent call last):
        ...
    fastbpf.errors.ObjectError: this is no ELF file; give what `clang -target bpf -g -O2 -c` writes

    Args:
        data: the file's bytes.

    Raises:
        ObjectError: they are no object for this machine's BPF, or one that cannot be read; the message says why.

    Source: Documentation/bpf/libbpf, Documentation/bpf/btf.rst.
    """

    def __init__(self, data: bytes) -> None:
        from fastbpf import _native

        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{data!r}: give an object's bytes; fb.Object.open(path) reads a file")
        self._native = _native.Object(bytes(data))
        self.license: str = self._native.license
        types = Types()
        self.maps: Mapping[str, MapSpec] = _Named("map", [(one[0], spec(types, *one)) for one in self._native.maps()])
        numbered = dict(enumerate(self.maps.values()))
        programs = []
        for name, section, (raw, lines) in self._native.programs():
            kind, probe, *_ = purpose(section)
            try:
                code = Code(placed(raw, lines, numbered))
            except AsmError as error:
                raise ObjectError(f"program {name!r} cannot be read: {error}") from None
            programs.append((name, ObjectProgram(kind, code, name, self.license, section, probe, self)))
        self.programs: Mapping[str, ObjectProgram] = _Named("program", programs)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Reads an object from a file.

        Raises:
            OSError: the file cannot be read.
            ObjectError: it is no object; the message names the file.
        """
        data = Path(path).read_bytes()
        try:
            return cls(data)
        except ObjectError as error:
            raise ObjectError(f"{os.fspath(path)}: {error}") from None

    def __repr__(self) -> str:
        return f"<fastbpf.Object: {_shown(self.programs, self.maps)}>"

    def load(
        self,
        maps: Mapping[str, Map] | None = None,
        *,
        only: Iterable[str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> LoadedObject:
        """Has the kernel make the maps and verify the programs, with its structs as this kernel has them (CO-RE).

        Args:
            maps: maps that exist already, by names that they have in the object, and of their types and sizes.
            only: the programs to load, by name; all unless told, save those in sections such as `SEC("?xdp")`.
            variables: what global variables are from the start, by name: `const volatile` ones too.

        Raises:
            VerifierError: the verifier refused; `.log` has all of its words, `.source` the line of C that is to blame.
            ObjectError: there is no program, map or variable of that name, or fastbpf cannot load what the object has.
            LayoutError: a given map or value is not what the object names.
            ProbeError: the kernel does not have the function or tracepoint that a program is for.
            KernelError: the kernel refused for another reason, privileges for instance.
        """
        return self._load(self._chosen(only), maps or {}, variables or {}, stats=False)

    def _load(
        self, chosen: list[ObjectProgram], given: Mapping[str, Map], variables: Mapping[str, Any], *, stats: bool
    ) -> LoadedObject:
        from fastbpf import _native

        _refuse_unloadable(chosen)
        for name, live in given.items():
            check_given(_one("map", self.maps, name), live)
        contents = self._contents(variables, given)
        with ExitStack() as made:
            load = _native.Load(self._native)
            living = {
                name: given[name] if name in given else made.enter_context(created(load, name, one, contents.get(name)))
                for name, one in self.maps.items()
            }
            load.link({name: live.fileno() for name, live in living.items()})
            programs = []
            for one in chosen:
                native = _verified(load, one, living, stats=stats)
                programs.append((one.name, made.enter_context(Program(one, native, living, ExitStack()))))
            owned = made.pop_all()
        return LoadedObject(_Named("program", programs), _Named("map", living.items()), owned)

    def _chosen(self, only: Iterable[str] | None) -> list[ObjectProgram]:
        if only is None:
            return [one for one in self.programs.values() if not one.section.startswith("?")]
        return [_one("program", self.programs, name) for name in ([only] if isinstance(only, str) else only)]

    # What the maps of global variables hold from the start.
    def _contents(self, variables: Mapping[str, Any], given: Mapping[str, Map]) -> dict[str, bytes]:
        places = {
            field: (name, one.value)
            for name, one in self.maps.items()
            if name.startswith(".") and isinstance(one.value, type)
            for field in one.value.fields
        }
        contents: dict[str, bytearray] = {}
        for variable, value in variables.items():
            name, layout = _one("variable", places, variable)
            if name in given:
                raise ObjectError(f"{variable} is in {name}, and that map is given; write the variable there")
            content = contents.setdefault(name, bytearray(getattr(self.maps[name], "content", b"")))
            at, kind = layout.offset(variable), layout.fields[variable]
            content[at : at + kind.size] = kind.pack(value)
        return {name: bytes(content) for name, content in contents.items()}


class LoadedObject:
    """The programs and maps of an object in the kernel, which this process owns: `programs` and `maps`, by name.

    `variables` has the programs' global variables as attributes: `loaded.variables.counter += 1`.
    """

    def __init__(self, programs: Mapping[str, Program], maps: Mapping[str, Map], owned: ExitStack) -> None:
        self.programs = programs
        self.maps = maps
        self.variables = Variables(_with_fields(maps))
        self._owned = owned

    def __repr__(self) -> str:
        return f"<fastbpf.LoadedObject: {_shown(self.programs, self.maps)}>"

    def close(self) -> None:
        """Lets go of the programs and of the maps that were made for them; links keep these until they are closed."""
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _with_fields(maps: Mapping[str, Map]) -> list[Map]:
    return [one for name, one in maps.items() if name.startswith(".") and isinstance(one.spec.value, type)]


def _shown(programs: Iterable[str], maps: Iterable[str]) -> str:
    return f"programs {', '.join(programs) or 'none'}; maps {', '.join(maps) or 'none'}"


def _one(what: str, there: Mapping[str, T], name: str) -> T:
    if name not in there:
        raise ObjectError(f"the object has no {what} {name!r}{nearest(str(name), there)}")
    return there[name]


def _refuse_unloadable(programs: Iterable[ObjectProgram]) -> None:
    for one in programs:
        if one.type == "unspec":
            raise ObjectError(
                f"program {one.name!r} is in section {one.section!r}, which is no type of program that fastbpf knows; "
                f'call the section after what the program is for, as in SEC("xdp"), or leave the program out with only='
            )
        if one.type in _NOT_LOADED:
            raise ObjectError(
                f"fastbpf loads no {one.section.partition('/')[0]} programs, such as {one.name!r}: the kernel asks "
                f"{_NOT_LOADED[one.type]}; leave it out with only="
            )


def _verified(load: _native.Load, program: ObjectProgram, maps: Mapping[str, Map], *, stats: bool) -> _native.Program:
    told = purpose(program.section)
    target = _target(program, told)
    definition = program.name, _TYPES[told.type], told.flags, told.attach_type, target, stats
    try:
        return with_memlock(lambda: load.program(*definition))
    except VerifierError as error:
        number = error.errno or 0
        if not error.log and number in {errno.EPERM, errno.ENOSYS, errno.ENOMEM}:
            what = f"cannot load program {program.name!r}: {os.strerror(number).lower()} (errno {number})"
            raise remedied(KernelError(number, what)) from None
        code = Code(placed(*load.code(program.name), {live.fileno(): live for live in maps.values()}))
        raise _unrelocated(explained(error, code), code) from None
    except KernelError as error:
        raise remedied(error) from None


# Where the kernel has no such field, aya-obj leaves a call that no kernel takes, for the program not to come by.
def _unrelocated(error: VerifierError, code: Code) -> VerifierError:
    if error.slot is None or code[error.slot].kind[0] != CALLS or code[error.slot].imm != _NO_FIELD:
        return error
    reason = "the program reads a field or a type that this kernel does not have (CO-RE)"
    return VerifierError(
        error.errno or 0,
        f"{error.source}: {reason}; ask bpf_core_field_exists() or bpf_core_type_exists() before",
        error.log,
        reason=reason,
        slot=error.slot,
        instruction=error.instruction,
        source=error.source,
        registers=error.registers,
    )


# The number of the kernel's type that the program is for, 0 if it is for none.
def _target(program: ObjectProgram, told: Purpose) -> int:
    from fastbpf import _native

    if told.target is None:
        return 0
    kind, name = told.target
    if not (number := _native.btf_id(name, kind)):
        text = f"program {program.name!r} is for {program.probe}; this kernel has no {name} in its BTF, or no BTF"
        raise ProbeError(f"{text}; leave it out with only=")
    return number
