"""The kernel's `format` files, read as fields.

Every tracepoint has a `format` in tracefs that lists the fields of its record, one a line::

    field:const char * filename;	offset:24;	size:8;	signed:0;

The record is the context of a BPF program of type `tracepoint`, but for its first 8 bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

from .c_types import is_aggregate, is_text_pointer, number
from .fields import Array, Bytes, Chars, DataLoc, Field, Read, Scalar, UserText
from .syscalls import TEXT

__all__ = ["parse"]


class _Line(NamedTuple):
    base: str  # the C type without the dimensions of an array
    name: str
    dimensions: str  # "[16]", "[2][3]" or ""
    offset: int
    size: int
    signed: bool


_NAME = re.compile(r"^name: (\S+)", re.MULTILINE)
_FIELD = re.compile(
    r"^\s*field:(?P<base>[^;]*?)(?P<name>\w+)\s*(?P<dimensions>(?:\[[^\];]*\])*)\s*;"
    r"\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);(?:\s*signed:(?P<signed>\d+);)?",
    re.MULTILINE,
)
_DATA_LOC = re.compile(r"__(?P<relative>rel_)?data_loc (?P<element>.*?)(?:\[\])?$")

# The first argument of a syscall's record: after the common fields and __syscall_nr, each argument has 8 bytes
# (struct syscall_trace_enter in kernel/trace/trace.h).
_FIRST_ARGUMENT = 16


def parse(text: str, *, syscall: bool = False) -> tuple[Field, ...]:
    r"""The fields that a tracepoint's `format` file lists, in its order.

    `syscall` says that it is an event of the category `syscalls`, whose formats follow rules of their own. The
    `common_*` fields are left out: programs may not read them, and helpers tell the same.

    >>> text = '''name: sched_process_exec
    ... format:
    ...     field:int common_pid;	offset:4;	size:4;	signed:1;
    ...
    ...     field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;
    ...     field:pid_t pid;	offset:12;	size:4;	signed:1;
    ... '''
    >>> for field in parse(text):
    ...     print(field.name, field.read)
    filename DataLoc(offset=8, relative=False, size=1, signed=False, text=True)
    pid Scalar(offset=12, load=4, size=4, signed=True, boolean=False)

    Source: `f_show()` in the kernel's kernel/trace/trace_events.c.
    """
    lines = [line for line in _lines(text) if not line.name.startswith("common_")]
    if syscall:
        found = _NAME.search(text)
        return tuple(_syscall_fields(found[1] if found else "", lines))
    # A field without size is a flexible array that closes a record of ftrace's own: nothing of it is in the context.
    return tuple(Field(line.name, line.base + line.dimensions, _read(line)) for line in lines if line.size)


def _lines(text: str) -> Iterator[_Line]:
    for found in _FIELD.finditer(text):
        base, name, dimensions, offset, size, signed = found.groups()
        yield _Line(base.strip(), name, dimensions, int(offset), int(size), signed == "1")


def _read(line: _Line) -> Read:
    # The compiler wrote size and sign of these lines, so they hold whatever the type's name is.
    base, _, dimensions, offset, size, signed = line
    variable = _DATA_LOC.match(base)
    if variable:
        return _data_loc(variable, offset, signed=signed)
    if is_aggregate(base):
        return Bytes(offset, size)
    if not dimensions:
        boolean = base in ("bool", "_Bool")
        return Scalar(offset, size, size, signed, boolean) if size in (1, 2, 4, 8) else Bytes(offset, size)
    if dimensions.count("[") > 1:
        return Bytes(offset, size)
    if base.removeprefix("const ") == "char":
        return Chars(offset, size)
    element = _element_size(base, dimensions, size)
    return Array(offset, element, signed, size // element) if element else Bytes(offset, size)


def _element_size(base: str, dimensions: str, size: int) -> int | None:
    # Old kernels write the count as a name ("[TASK_COMM_LEN]"): there the type must be one we know.
    count = dimensions[1:-1].strip()
    known = number(base)
    element = size // int(count) if count.isdigit() and int(count) else known.size if known else 0
    return element if element in (1, 2, 4, 8) and size % element == 0 else None


def _data_loc(variable: re.Match[str], offset: int, *, signed: bool) -> DataLoc:
    relative, element = variable["relative"] is not None, variable["element"]
    if element.removeprefix("const ") == "char":
        return DataLoc(offset, relative, 1, False, text=True)
    # A bitmap is words (include/trace/stages/stage3_trace_output.h); what we do not know is bytes.
    known = number("unsigned long" if element == "cpumask_t" else element)
    return DataLoc(offset, relative, known.size if known else 1, signed and known is not None, text=False)


def _syscall_fields(name: str, lines: list[_Line]) -> Iterator[Field]:
    # These lines say "size:8; signed:0;" of every argument, so the type must tell. The whole register is there.
    text_arguments = TEXT.get(name.removeprefix("sys_enter_"), ())
    for line in lines:
        # Left out: the syscall's number, which the probe's name says, and the copies of text that kernels since 6.19
        # list (__filename_val) and keep out of the context of BPF programs.
        if line.name == "__syscall_nr" or line.base.startswith("__data_loc"):
            continue
        position = (line.offset - _FIRST_ARGUMENT) // 8
        read: Read
        if position in text_arguments and is_text_pointer(line.base):
            read = UserText(line.offset)
        else:
            size, signed = number(line.base) or (8, False)
            read = Scalar(line.offset, 8, size, signed)
        yield Field(line.name, line.base, read)
