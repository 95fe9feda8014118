"""What a dictionary can do."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from contextlib import suppress
from typing import TYPE_CHECKING, Any


# Of what is deleted between the walk and the look-up, there is nothing to tell.
def _there(mapping: Any) -> Iterator[tuple[Any, Any]]:
    for key in mapping:
        try:
            value = mapping[key]
        except KeyError:
            continue
        yield key, value


class _Items(ItemsView[Any, Any]):
    _mapping: Any

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return _there(self._mapping)


class _Values(ValuesView[Any]):
    _mapping: Any

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in _there(self._mapping))


if TYPE_CHECKING:
    Dictionary = MutableMapping[Any, Any]
else:

    class Dictionary:
        """A MutableMapping that does not say so: polars takes a Mapping for columns by name, and asks for no Arrow."""

        __contains__ = MutableMapping.__contains__
        get = MutableMapping.get
        keys = MutableMapping.keys
        setdefault = MutableMapping.setdefault
        update = MutableMapping.update

        def items(self) -> ItemsView[Any, Any]:
            """As dict.items; what is deleted meanwhile is left out."""
            return _Items(self)

        def values(self) -> ValuesView[Any]:
            """As dict.values; what is deleted meanwhile is left out."""
            return _Values(self)

        def popitem(self) -> tuple[Any, Any]:
            """As dict.popitem."""
            for key in self:
                with suppress(KeyError):
                    return key, self.pop(key)
            raise KeyError("the map is empty")

        def clear(self) -> None:
            """As dict.clear, for the keys that are there when it is called."""
            for key in list(self):
                with suppress(KeyError):
                    del self[key]

        def pop(self, key: Any, *default: Any) -> Any:
            """As dict.pop."""
            try:
                value = self[key]
                del self[key]
            except KeyError:
                if not default:
                    raise
                return default[0]
            return value
