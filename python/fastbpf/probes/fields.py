"""What a probe gives: named fields, and how a BPF program reads each of them.

A field says *where* its value is, never what a stream makes of it. Offsets count bytes from the start of the
program's context (`r1` on entry), sizes are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Array",
    "Bytes",
    "Chars",
    "DataLoc",
    "Field",
    "RawArg",
    "Read",
    "Scalar",
    "SyscallArg",
    "SyscallNumber",
    "UserText",
]


@dataclass(frozen=True)
class Scalar:
    """A number in the context: load `load` bytes (1, 2, 4 or 8) at `offset`, keep the low `size` bytes.

    `size` is less than `load` for the arguments of syscalls, which take a whole register each. `signed` tells
    how the kept bytes extend to 64 bits; `boolean` that C calls the type `bool`.
    """

    offset: int
    load: int
    size: int
    signed: bool
    boolean: bool = False


@dataclass(frozen=True)
class Array:
    """`count` numbers of `size` bytes each, side by side in the context from `offset` on."""

    offset: int
    size: int
    signed: bool
    count: int


@dataclass(frozen=True)
class Chars:
    """Text of at most `count` bytes in the context at `offset`; it ends at the first NUL, or at `count`."""

    offset: int
    count: int


@dataclass(frozen=True)
class Bytes:
    """`count` bytes in the context at `offset` whose C type is no number: a struct by value, a matrix."""

    offset: int
    count: int


@dataclass(frozen=True)
class DataLoc:
    """A variable part of the record. The u32 in the context at `offset` is `length << 16 | start`, in bytes.

    The data begins `start` bytes after the start of the context, or, where `relative`, after the end of that
    u32. It lies past what a program may load directly: copy it with `probe_read_kernel`. It is text, which ends at the
    first NUL or at `length`, or numbers of `size` bytes each.

    Source: `__dynamic_array` and `__rel_dynamic_array` in the kernel's include/trace/stages.
    """

    offset: int
    relative: bool
    size: int
    signed: bool
    text: bool


@dataclass(frozen=True)
class UserText:
    """NUL-terminated text in the memory of the process; its address is the 8 bytes in the context at `offset`."""

    offset: int


@dataclass(frozen=True)
class RawArg:
    """Argument `index` of a raw tracepoint (the u64 at `8 * index`): keep the low `size` bytes."""

    index: int
    size: int
    signed: bool


@dataclass(frozen=True)
class SyscallArg:
    """Argument `index` (0 to 5) of the syscall, as the whole register that it came in.

    A raw tracepoint's argument 0 is the `struct pt_regs *` of the process; where in it the arguments are depends on
    the architecture (`syscall_get_arguments()` in its asm/syscall.h).
    """

    index: int


@dataclass(frozen=True)
class SyscallNumber:
    """The number of the syscall, signed 64 bits, from the `struct pt_regs *` in a raw tracepoint's argument 0.

    Source: `syscall_get_nr()` in the architecture's asm/syscall.h.
    """


Read = Scalar | Array | Chars | Bytes | DataLoc | UserText | RawArg | SyscallArg | SyscallNumber
"""How a BPF program gets a field's value: one of the classes of this module."""


@dataclass(frozen=True)
class Field:
    """One value that a probe gives.

    `name` as the kernel names it, `c_type` the C type as the kernel writes it (`"const char *"`, `"char[16]"`,
    `"__data_loc char[]"`), `read` how a BPF program gets the value.

    >>> Field("pid", "pid_t", Scalar(offset=24, load=4, size=4, signed=True))
    Field(name='pid', c_type='pid_t', read=Scalar(offset=24, load=4, size=4, signed=True, boolean=False))
    """

    name: str
    c_type: str
    read: Read
