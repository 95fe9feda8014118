"""How bad input is refused: with the instruction as it was written, and the line that wrote it."""

from __future__ import annotations

from functools import wraps

from fastbpf.asm.source import here
from fastbpf.errors import AsmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import ParamSpec, TypeGuard, TypeVar

    from fastbpf.asm.operands import MapObject

    _P = ParamSpec("_P")
    _T = TypeVar("_T")


class OperandError(Exception):
    """Why an operand is refused. `checked` turns it into an AsmError that says of which instruction."""


def checked(build: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make `build`, a function or the `__call__` of a mnemonic, raise AsmError where it would raise OperandError."""

    @wraps(build)
    def checked_build(*args: _P.args, **options: _P.kwargs) -> _T:
        try:
            return build(*args, **options)
        except OperandError as refused:
            method = build.__name__ == "__call__"
            text = written(repr(args[0]), args[1:], options) if method else written(build.__name__, args, options)
            raise AsmError(f"{here()}: {text}: {refused}") from None

    return checked_build


def written(name: str, operands: Iterable[object], options: Mapping[str, object] | None = None) -> str:
    """A call as people write it: `stxdw(fp, -16, r0)`."""
    shown = [show(operand) for operand in operands]
    shown += [f"{option}={show(value)}" for option, value in (options or {}).items()]
    return f"{name}({', '.join(shown)})"


def show(value: object) -> str:
    """An operand as people write it: text in double quotes, a map by its name."""
    if isinstance(value, str):
        text = repr(value)
        return text if '"' in text else f'"{text[1:-1]}"'
    if is_map(value):
        return str(getattr(value, "name", "") or f"<{type(value).__name__}>")
    return repr(value)


def is_map(value: object) -> TypeGuard[MapObject]:
    """Whether `value` stands for a map, such as a MapSpec or a Map: its class says so."""
    return bool(getattr(type(value), "__bpf_map__", False))


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence that refuses `name`: those of `names` that look most like it, or nothing."""
    from difflib import get_close_matches  # takes a millisecond to import, and only errors need it

    matches = [f'"{match}"' for match in get_close_matches(name, list(names), n=3)]
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
