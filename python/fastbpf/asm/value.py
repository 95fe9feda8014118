"""What the values of the assembler share: fixed once made, equal and hashable by content, picklable."""

from __future__ import annotations

# Written by hand because `dataclasses` takes longer to import than all of the assembler. For the same reason the files
# of this folder import `typing` for type checkers only.


class Value:
    """An immutable value. `__match_args__` names its fields in the order of its constructor."""

    __match_args__: tuple[str, ...] = ()
    __slots__: tuple[str, ...] = ()

    def _fields(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    # what takes part in equality
    _content = _fields

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(other) is not type(self):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make another one")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self._fields()


# how constructors fill the slots
fill = object.__setattr__
