"""How the arguments of a call get into r1 to r5, and which of them a parameter takes."""

from __future__ import annotations

from fastbpf.asm.alu import add, const, mov
from fastbpf.asm.operands import REGISTERS, Address, Register, bits64, label_name, r0, r10, signed32
from fastbpf.asm.refusal import OperandError, is_map, show
from fastbpf.asm.rodata import ReadOnly
from fastbpf.asm.wide import ld_func, ld_map, ld_map_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from fastbpf.asm.instruction import Instruction
    from fastbpf.asm.operands import MapObject
    from fastbpf.helpers.prototypes import Parameter

    #: Any value: a register, an address, a number of 64 bits (signed or unsigned).
    Number: TypeAlias = Register | Address | int
    #: Memory, or what else a pointer points to.
    Pointer: TypeAlias = Register | Address
    #: Memory that is only read: also bytes that come with the code, and text, which is UTF-8 with a zero at its end.
    Bytes: TypeAlias = Register | Address | bytes
    Text: TypeAlias = Register | Address | bytes | str
    #: A map: a MapSpec or a Map.
    Map: TypeAlias = Register | MapObject
    #: The label of a subprogram that is called back.
    Callback: TypeAlias = Register | str
    #: A size; None is that of the text or the bytes in front of it, or 0 behind NULL.
    Size: TypeAlias = Register | Address | int | None

    #: What calls take, all in all.
    Argument: TypeAlias = Register | Address | int | MapObject | str | bytes | None

_READ = frozenset({"map_key", "map_value", "mem_read"})
_MEMORY = _READ | {"mem_write"}


def fitting(parameters: Sequence[Parameter], arguments: Sequence[Argument]) -> list[Argument]:
    """The arguments as `place` wants them, text in read-only memory, sizes as numbers; what does not fit is refused.

    Whatever a register holds is taken; the kernel sees to that. Arguments beyond the parameters that are known may be
    anything, and a str among them is text.
    """
    fit: list[Argument] = []
    for place, argument in enumerate(arguments):
        if type(argument) is Register:
            fit.append(argument)
        elif place >= len(parameters):
            fit.append(_more(place, argument))
        else:
            before = (parameters[place - 1], arguments[place - 1], fit[place - 1]) if place else None
            fit.append(_fit(parameters[place], argument, before))
            if isinstance(argument, bytes) and parameters[place].kind in {"map_key", "map_value"}:
                _check_length(parameters[place], argument, arguments[0])
    return fit


# The kernel would not see it: behind these bytes stand others of the program.
def _check_length(parameter: Parameter, argument: bytes, table: Argument) -> None:
    from fastbpf.asm.check.maps import MapFacts

    facts = MapFacts(table)
    size = facts.key_size if parameter.kind == "map_key" else facts.value_size
    if size is not None and len(argument) < size:
        raise OperandError(f"{parameter.name} has {size} bytes in this map, not the {len(argument)} of {argument!r}")


def _fit(parameter: Parameter, argument: Argument, before: tuple[Parameter, Argument, Argument] | None) -> Argument:
    name, kind = parameter.name, parameter.kind
    if kind == "size" and before is not None and before[0].size_index is not None:
        argument = _size(name, argument, before[1], before[2])
    if argument is None:
        if parameter.nullable:
            return 0
        raise OperandError(f"{name} cannot be None{_remedy(parameter)}")
    if isinstance(argument, str | bytes):
        return _bytes(parameter, argument)
    if is_map(argument):
        # a number may be any pointer's: probe_read_kernel reads the kernel's own struct bpf_map
        if kind == "map" or (kind in {"scalar", "unchecked"} and parameter.type.endswith("*")):
            return argument
        raise OperandError(f"{name}: {show(argument)} is a map{_remedy(parameter)}")
    if type(argument) is Address:
        if kind in {"map", "func"} or (kind in {"size", "alloc_size"} and argument.base == r10):
            raise OperandError(f"{name}: {argument} is an address{_remedy(parameter)}")
        return argument
    if isinstance(argument, bool) or not hasattr(argument, "__index__"):
        raise OperandError(f"{name}: {show(argument)} cannot be an argument{_remedy(parameter)}")
    if kind not in {"scalar", "size", "alloc_size", "unchecked"} and (argument != 0 or not parameter.nullable):
        raise OperandError(f"{name}: {show(argument)} is a number{_remedy(parameter)}")
    return argument


def _more(place: int, argument: Argument) -> Argument:
    # of a parameter that nothing is known of
    if isinstance(argument, str | bytes):
        return read_only(f"argument {place + 1}", argument)
    plain = not isinstance(argument, bool) and hasattr(argument, "__index__")
    if argument is None or type(argument) is Address or is_map(argument) or plain:
        return argument
    raise OperandError(f"argument {place + 1}: {show(argument)} cannot be an argument; give a register or a number")


def _size(name: str, argument: Argument, memory: Argument, fit: Argument) -> Argument:
    # `memory` is what the size is of: as it was given, and as it fits
    there = len(fit.content) if isinstance(fit, ReadOnly) else 0 if memory is None else None
    if argument is None and there is None:
        raise OperandError(f"{name} cannot be None, the size of text; give the number of bytes at {show(memory)}")
    if argument is None:
        return there
    if there and isinstance(argument, int) and argument > there:
        end = ", the zero at its end included" if isinstance(memory, str) else ""
        raise OperandError(f"{name} is {argument}, but {show(memory)} has {there} bytes{end}; None is its size")
    return argument


def _bytes(parameter: Parameter, argument: str | bytes) -> Argument:
    name, kind, c = parameter.name, parameter.kind, parameter.type
    if kind == "func":
        if isinstance(argument, str):
            return label_name(argument)
    elif kind in _READ and parameter.initialised:
        if isinstance(argument, str) and not takes_text(parameter):
            raise OperandError(f"{name}: {show(argument)} is text, not what {c} points to; give bytes")
        fit = read_only(name, argument)
        if parameter.size is not None and len(fit.content) < parameter.size:
            raise OperandError(f"{name} has {parameter.size} bytes, not the {len(fit.content)} of {show(argument)}")
        return fit
    elif takes_text(parameter):
        fit = read_only(name, argument)
        if not fit.content.endswith(b"\0"):
            raise OperandError(f"{name}: {show(argument)} does not end with a zero byte; give it as a str")
        return fit
    elif kind == "mem_write" or kind in _READ:
        raise OperandError(f"{name}: {show(argument)} cannot be written to{_remedy(parameter)}")
    raise OperandError(f"{name}: {show(argument)} cannot be an argument{_remedy(parameter)}")


def takes_text(parameter: Parameter) -> bool:
    """Whether what is read there may be text, not only bytes."""
    kind, c = parameter.kind, parameter.type
    return (kind == "mem_read" and c.endswith(("char *", "void *"))) or (kind == "pointer" and c == "const char *")


def read_only(name: str, argument: str | bytes) -> ReadOnly:
    """Text or bytes as a map operand; `name` is the parameter's."""
    content = argument.encode() + b"\0" if isinstance(argument, str) else argument
    if not content:
        raise OperandError(f"{name}: there is nothing in {show(argument)}")
    return ReadOnly(content)


def _remedy(parameter: Parameter) -> str:
    kind = parameter.kind
    if kind == "map":
        return "; give a MapSpec or a Map"
    if kind == "func":
        return '; give the label of a subprogram, such as "each"'
    if kind in {"scalar", "size", "alloc_size", "unchecked"}:
        return "; give a number or a register that holds one"
    null = "; None is NULL" if parameter.nullable else ""
    if kind in _MEMORY:
        return f"; give where the memory is, such as fp - 16 or a register{null}"
    what = {"ctx": "the context", "ringbuf_mem": "the reserved record"}.get(kind, f"what {parameter.type} points to")
    return f"; give the register that holds the address of {what}{null}"


def place(arguments: Sequence[Argument]) -> list[Instruction]:
    """Put the arguments into r1, r2 …, as if all at once: no register is overwritten before its last reader.

    They come in their order wherever that is possible. A str is the label of a subprogram here, and None is 0.
    """
    waiting: dict[int, tuple[int, int] | Instruction] = {}  # target: source register and what to add, or a load
    for target, argument in zip(REGISTERS[1:], arguments, strict=False):
        if type(argument) is Register:
            waiting[target.number] = argument.number, 0
        elif type(argument) is Address:
            far = f"add what {argument.base} lacks beforehand"
            waiting[target.number] = argument.base.number, signed32(argument.offset, far)
        else:
            waiting[target.number] = _load(target, argument)
    instructions: list[Instruction] = []
    while waiting:
        read = {move[0] for number, move in waiting.items() if isinstance(move, tuple) and move[0] != number}
        free = next((number for number in waiting if number not in read), None)
        if free is None:
            # Only cycles are left. A value of theirs moves to r0, which nobody reads any more and the call overwrites.
            busy = next(iter(waiting))
            instructions.append(mov(r0, REGISTERS[busy]))
            for number, move in waiting.items():
                if isinstance(move, tuple) and move[0] == busy:
                    waiting[number] = 0, move[1]
            continue
        move = waiting.pop(free)
        if not isinstance(move, tuple):
            instructions.append(move)
            continue
        source, more = move
        if source != free:
            instructions.append(mov(REGISTERS[free], REGISTERS[source]))
        if more:
            instructions.append(add(REGISTERS[free], more))
    return instructions


def _load(target: Register, argument: Argument) -> Instruction:
    if isinstance(argument, ReadOnly):
        return ld_map_value(target, argument, 0)
    if is_map(argument):
        return ld_map(target, argument)
    if isinstance(argument, str):
        return ld_func(target, argument)
    return const(target, bits64(argument or 0))
