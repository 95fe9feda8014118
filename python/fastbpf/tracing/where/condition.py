"""The compiler of `where` expressions, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbpf.asm import Instruction, fp
from fastbpf.errors import WhereError
from fastbpf.tracing.where import tree
from fastbpf.tracing.where.emit import emit, fits
from fastbpf.tracing.where.kinds import Chars, Place, Text, TextPlace
from fastbpf.tracing.where.reading import Source
from fastbpf.tracing.where.syntax import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbpf.asm import Label
    from fastbpf.tracing.where.kinds import Kind

# A branch reaches 32767 slots, the verifier follows 8192 branches in a row; half of these are left to the caller.
_MOST_SLOTS = 4096


@dataclass(frozen=True)
class Condition:
    """A compiled expression, or a part of one. `compile_where` makes it."""

    _test: tree.Test

    @property
    def names(self) -> frozenset[str]:
        """The fields that it looks at, by their keys in the mapping of kinds; `emit` needs a place for each."""
        return frozenset(name for name, _ in tree.fields(self._test))

    @property
    def conjuncts(self) -> tuple[Condition, ...]:
        """The conditions, at least one, that must all hold: of numbers first, then of Chars, then of Text."""
        parts = self._test.parts if isinstance(self._test, tree.All) else (self._test,)
        return tuple(Condition(part) for part in parts)

    @property
    def constant(self) -> bool | None:
        """What it always is, whatever the event; None if events decide."""
        return self._test.value if isinstance(self._test, tree.Always) else None

    def emit(self, places: Mapping[str, Place | TextPlace], no: str) -> list[Instruction | Label]:
        """Instructions that fall through when the event is wanted and go to the label `no` when it is not.

        They use r0 to r5 and no stack. A Text needs a TextPlace, other kinds a Place, with bases among r6 to r10.
        What is emitted twice within a program has its own labels each time.

        >>> from fastbpf.tracing.where import Number, Place
        >>> from fastbpf.asm import fp
        >>> compile_where("pid == 1", {"pid": Number(4, signed=False)}).emit({"pid": Place(fp, -8)}, "next")
        [ldxw(r0, fp, -8), jne32(r0, 1, "next")]
        """
        return emit(self._test, places, no)


def compile_where(text: str, kinds: Mapping[str, Kind]) -> Condition:
    """Compile a Python expression over the fields of an event.

    `kinds` has a field under the name that the expression calls it by: "pid", "args.fd".

    Raises WhereError for what is no Python, a name that is not in `kinds`, kinds that do not go together, and what the
    language (see `fastbpf.tracing.where`) does not have; TypeError when `text` is not text.

    >>> from fastbpf.tracing.where import Chars, Number
    >>> kinds = {"pid": Number(4, signed=False), "comm": Chars(16)}
    >>> compile_where('comm == "bash" and pid > 100', kinds).names == {"pid", "comm"}
    True
    >>> compile_where("pid == -1", kinds).constant
    False
    >>> compile_where("pod == 1", kinds)
    Traceback (most recent call last):
        ...
    fastbpf.errors.WhereError: there is no field 'pod'; did you mean 'pid'? The fields are pid, comm
    pod == 1
    ^
    """
    if not isinstance(text, str):
        raise TypeError(f"where is a Python expression as text, such as 'pid == 1', not {text!r}")
    source = Source(text, kinds)
    try:
        test = read(source, kinds)
        if isinstance(test, tree.All):
            test = tree.All(tuple(sorted(test.parts, key=_cost)))
        if not fits(test):
            raise WhereError("this takes more registers than there are; compute less at once", text, 0)
        slots = _slots(test)
    except RecursionError:
        raise WhereError("this is nested too deeply", text, 0) from None
    if slots > _MOST_SLOTS:
        raise WhereError(f"this compiles to {slots} instructions, of at most {_MOST_SLOTS}; ask for less", text, 0)
    return Condition(test)


def _cost(test: tree.Test) -> int:
    # What it takes to get at the fields, which is more than to compare them.
    return max(2 if isinstance(kind, Text) else int(isinstance(kind, Chars)) for _, kind in tree.fields(test))


def _slots(test: tree.Test) -> int:
    places = {name: TextPlace(fp, 0, 0) if isinstance(kind, Text) else Place(fp, 0) for name, kind in tree.fields(test)}
    return sum(piece.slots for piece in emit(test, places, "no") if isinstance(piece, Instruction))
