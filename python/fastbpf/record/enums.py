"""Numbers with names."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from enum import EnumMeta, IntEnum
from typing import Any, Final

from fastbpf.errors import LayoutError
from fastbpf.record.types import FieldType, Number, i32, i64, is_integer, u32, u64

__all__ = ["enum"]


class Enum(FieldType):
    """An integer whose values have names. Made by `fb.enum`."""

    __slots__ = ("_class", "_shown", "base", "names")

    def __init__(
        self, names: Mapping[str, int], base: Number, name: str, made_from: type[IntEnum] | None = None
    ) -> None:
        self.base: Final = base
        # A number's first name is the one that is shown.
        self.names: Final = names
        self._shown: Final = {names[one]: one for one in reversed([*names])}
        self._class: Final = made_from
        numbers = ",".join(f"{one}={number}" for one, number in names.items() if self._shown[number] == one)
        super().__init__(f"enum {base.code}{{{numbers}}}", base.size, base.align, name)

    def number(self, value: Any) -> int:
        """The number of a name, or of a member; a number is what it is."""
        if isinstance(value, str):
            if value not in self.names:
                raise LayoutError(f"{value!r} is none of {', '.join(self.names)}")
            return self.names[value]
        try:
            return operator.index(value)
        except TypeError:
            raise self._refusal(value) from None

    def _pack(self, value: Any) -> bytes:
        return self.base.pack(self.number(value))

    def _unpack(self, data: bytes) -> Any:
        number = self.base.unpack(data)
        if self._class is None:
            return self._shown.get(number, number)
        try:
            return self._class(number)
        except ValueError:
            return number


def enum(names: type[IntEnum] | Mapping[str, int], base: Number | None = None) -> Enum:
    """A type of integers with names → a dictionary column of the names; a number without a name is its decimal text.

    Args:
        names: an `enum.IntEnum`, or names and numbers.
        base: the integer that holds it; unless told, what C takes for an enum: `fb.u32`, `fb.i32` where a number is
            negative, 64 bits where one is larger.

    An `IntEnum` may also stand as a field's type by itself.

    >>> import enum
    >>> import fastbpf as fb
    >>> class State(enum.IntEnum):
    ...     RUNNING = 0
    ...     STOPPED = 4
    >>> class Task(fb.Struct):
    ...     pid: fb.u32
    ...     state: State
    ...     policy: fb.enum({"OTHER": 0, "FIFO": 1}, base=fb.u8)
    >>> Task.unpack(Task(pid=1, state=State.STOPPED, policy="FIFO").pack())
    Task(pid=1, state=<State.STOPPED: 4>, policy='FIFO')

    Raises:
        LayoutError: a name that C could not have, a number that does not fit.
    """
    given: Any = names
    made_from, found = None, {}
    if isinstance(given, EnumMeta) and issubclass(given, IntEnum):
        made_from, found = given, {name: int(member) for name, member in given.__members__.items()}
    elif isinstance(given, Mapping):
        found = dict(given)
    if not found:
        raise LayoutError(f"fb.enum({names!r}): give an enum.IntEnum, or a dict of names and numbers")
    for name, number in found.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII):
            raise LayoutError(f"fb.enum: {name!r} is no name; letters, digits and _ make one, as in C")
        if type(number) is not int:
            raise LayoutError(f"fb.enum: {name} = {number!r} is no whole number")
    own = _base(found)
    if base is not None and not is_integer(base):
        raise LayoutError(f"fb.enum(…, base={base!r}): the base is an integer type, such as fb.u8")
    for name, number in found.items():
        try:
            (base or own).pack(number)
        except LayoutError:
            raise LayoutError(f"fb.enum: {name} = {number} does not fit into {base or own!r}") from None
    shown = made_from.__name__ if made_from else repr(found)
    held = "" if base is None or base == own else f", base={base!r}"
    return Enum(found, base or own, f"fb.enum({shown}{held})", made_from)


def _base(names: Mapping[str, int]) -> Number:
    least, most = min(names.values()), max(names.values())
    if least < 0:
        return i32 if least >= -(1 << 31) and most < 1 << 31 else i64
    return u32 if most < 1 << 32 else u64
