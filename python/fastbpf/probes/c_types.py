"""Size and sign of the C types that the kernel writes in its formats.

The sizes hold on every 64-bit Linux (LP64).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Number", "is_aggregate", "is_text_pointer", "number"]


class Number(NamedTuple):
    """A C type that is a number: its size in bytes, and whether it is signed."""

    size: int
    signed: bool


_POINTER = Number(8, False)
_ENUM = Number(4, False)

# Typedefs as include/linux/types.h and the headers in include/uapi define them.
# fmt: off
_NUMBERS = {
    **dict.fromkeys(("bool", "_Bool", "char", "unsigned char", "u8", "__u8", "uint8_t"), Number(1, False)),
    **dict.fromkeys(("signed char", "s8", "__s8", "int8_t"), Number(1, True)),
    **dict.fromkeys(("unsigned short", "unsigned short int", "u16", "__u16", "uint16_t", "__be16", "__le16",
                     "umode_t"), Number(2, False)),
    **dict.fromkeys(("short", "short int", "s16", "__s16", "int16_t"), Number(2, True)),
    **dict.fromkeys(("unsigned", "unsigned int", "uint", "u32", "__u32", "uint32_t", "__be32", "__le32",
                     "uid_t", "gid_t", "qid_t", "dev_t", "gfp_t"), Number(4, False)),
    **dict.fromkeys(("int", "signed int", "s32", "__s32", "int32_t",
                     "pid_t", "key_t", "key_serial_t", "mqd_t", "timer_t", "clockid_t", "rwf_t"), Number(4, True)),
    **dict.fromkeys(("unsigned long", "unsigned long int", "unsigned long long", "unsigned long long int", "ulong",
                     "u64", "__u64", "uint64_t", "__be64", "__le64", "size_t", "uintptr_t",
                     "ino_t", "sector_t", "blkcnt_t", "aio_context_t"), Number(8, False)),
    **dict.fromkeys(("long", "long int", "long long", "long long int", "s64", "__s64", "int64_t",
                     "ssize_t", "off_t", "loff_t", "time64_t"), Number(8, True)),
    # Pointers by another name (include/uapi/linux/capability.h).
    **dict.fromkeys(("cap_user_header_t", "cap_user_data_t"), _POINTER),
}
# fmt: on

# Structs by another name.
_AGGREGATES = frozenset(("cpumask_t", "nodemask_t", "guid_t", "uuid_t"))


def _bare(text: str) -> str:
    return " ".join(word for word in text.split() if word not in ("const", "volatile"))


def number(text: str) -> Number | None:
    """Size and sign of the C type `text`; `None` when it is not known, or no number.

    Pointers are 8 bytes unsigned, enums 4 bytes unsigned.

    >>> number("const clockid_t")
    Number(size=4, signed=True)
    >>> number("struct robust_list_head * *")
    Number(size=8, signed=False)
    >>> number("struct timespec") is None
    True
    """
    if "*" in text:
        return _POINTER
    bare = _bare(text)
    return _ENUM if bare.startswith("enum ") else _NUMBERS.get(bare)


def is_text_pointer(text: str) -> bool:
    """Whether the C type `text` is a pointer to `char`, which may or may not be NUL-terminated text.

    >>> [is_text_pointer(t) for t in ("const char *", "char*", "const char *const *", "unsigned char *")]
    [True, True, False, False]
    """
    return _bare(text).replace(" ", "") == "char*"


def is_aggregate(text: str) -> bool:
    """Whether the C type `text` is a struct or union by value, which is no number whatever its size.

    >>> [is_aggregate(t) for t in ("struct in6_addr", "struct file *", "cpumask_t")]
    [True, False, True]
    """
    bare = _bare(text)
    return "*" not in bare and (bare.startswith(("struct ", "union ")) or bare in _AGGREGATES)
