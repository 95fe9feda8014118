"""What a condition may look at: kinds of fields, and the places where their values lie when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fastbpf.asm import Register


@dataclass(frozen=True)
class Number:
    """A whole number of `size` bytes (1, 2, 4 or 8), never null. A `boolean` is 0, or 1 if any bit is set."""

    size: int
    signed: bool
    boolean: bool = False


@dataclass(frozen=True)
class Chars:
    """Text within `size` bytes, never null; it ends at the first NUL, which is always there, and garbage follows."""

    size: int


@dataclass(frozen=True)
class Text:
    """Text that may be null, of which at most `most` bytes are kept."""

    most: int


@dataclass(frozen=True)
class Opaque:
    """A value that cannot be compared: `what` says what it is, "a list"."""

    what: str


Kind: TypeAlias = Number | Chars | Text | Opaque


@dataclass(frozen=True)
class Place:
    """Where a Number or Chars lies: at `base + offset`, aligned to its size.

    Chars are taken to be aligned to 8 if their size is a multiple of 8, else not at all.
    """

    base: Register
    offset: int


@dataclass(frozen=True)
class TextPlace:
    """Where a Text lies. The u32 at `base + offset` is `length << 16 | start`, or 0 for null.

    Its bytes begin at `base + start`; `length` does not count a NUL and none is needed. `start` is at most `limit`, and
    `base` points into the value of a map that has room for `limit + most + 1` bytes from there. If `length` is
    `most + 1`, the text was longer than `most`.
    """

    base: Register
    offset: int
    limit: int
